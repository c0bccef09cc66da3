/*
 * request.c - from FastCGI parameters to a struct tus_request.
 *
 * REQUEST_URI is the one that all front ends agree on: there, and as the
 * client sent it.  SCRIPT_NAME and PATH_INFO depend on the server, its module
 * and what happens to lie in its document root, and PATH_INFO is decoded.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fcgi/forwarded.h"
#include "fcgi/request.h"
#include "tus/parse.h"

/* What is needed to find out the rest. */
struct raw {
	struct tus_request *req;
	const char *request_uri, *script_name, *path_info;
	const char *https, *request_scheme, *remote_addr, *remote_port;
	const char *tus_base_path, *tus_max_size, *tus_owner;
	struct forwarded forwarded;
};

#define REQ(name) offsetof(struct tus_request, name), true
#define RAW(name) offsetof(struct raw, name), false

/* In alphabetical order. */
static const struct param {
	const char *name;
	size_t offset;
	bool is_in_request;
} known[] = {
	{ "CONTENT_LENGTH", REQ(content_length) },
	{ "CONTENT_TYPE", REQ(content_type) },
	{ "HTTPS", RAW(https) },
	{ "HTTP_FORWARDED", RAW(forwarded.forwarded) },
	{ "HTTP_HOST", REQ(host) },
	{ "HTTP_IF_NONE_MATCH", REQ(if_none_match) },
	{ "HTTP_IF_RANGE", REQ(if_range) },
	{ "HTTP_ORIGIN", REQ(origin) },
	{ "HTTP_RANGE", REQ(range) },
	{ "HTTP_TRAILER", REQ(trailer) },
	{ "HTTP_TUS_RESUMABLE", REQ(tus_resumable) },
	{ "HTTP_UPLOAD_CHECKSUM", REQ(upload_checksum) },
	{ "HTTP_UPLOAD_CONCAT", REQ(upload_concat) },
	{ "HTTP_UPLOAD_DEFER_LENGTH", REQ(upload_defer_length) },
	{ "HTTP_UPLOAD_LENGTH", REQ(upload_length) },
	{ "HTTP_UPLOAD_METADATA", REQ(upload_metadata) },
	{ "HTTP_UPLOAD_OFFSET", REQ(upload_offset) },
	{ "HTTP_X_FORWARDED_HOST", RAW(forwarded.x_host) },
	{ "HTTP_X_FORWARDED_PROTO", RAW(forwarded.x_proto) },
	{ "HTTP_X_HTTP_METHOD_OVERRIDE", REQ(method_override) },
	{ "HTTP_X_REQUEST_ID", REQ(request_id) },
	{ "PATH_INFO", RAW(path_info) },
	{ "REMOTE_ADDR", RAW(remote_addr) },
	{ "REMOTE_PORT", RAW(remote_port) },
	{ "REQUEST_METHOD", REQ(method) },
	{ "REQUEST_SCHEME", RAW(request_scheme) },
	{ "REQUEST_URI", RAW(request_uri) },
	{ "SCRIPT_NAME", RAW(script_name) },
	{ "TUS_BASE_PATH", RAW(tus_base_path) },
	{ "TUS_MAX_SIZE", RAW(tus_max_size) },
	{ "TUS_OWNER", RAW(tus_owner) },
};

struct name {
	const char *text;
	size_t len;
};

static int
compare_name(const void *key, const void *element)
{
	const struct name *name = key;
	const struct param *p = element;
	int order = strncmp(name->text, p->name, name->len);

	return order != 0 || p->name[name->len] == '\0' ? order : -1;
}

/* Of two with one name the first counts. */
static void
sort_param(struct raw *raw, const char *param, const char *owner_param)
{
	const char *value = strchr(param, '=');
	struct name name = { param, 0 };
	const struct param *p;
	const char **where;

	if (value == NULL)
		return;
	name.len = (size_t)(value - param);
	value++;
	if (*owner_param != '\0' &&
	    strncmp(param, owner_param, name.len) == 0 &&
	    owner_param[name.len] == '\0' && *value != '\0' &&
	    raw->req->owner == NULL)
		raw->req->owner = value;
	p = bsearch(
	    &name, known, NITEMS(known), sizeof(known[0]), compare_name);
	if (p == NULL)
		return;
	where = (const char **)(void *)((char *)(p->is_in_request ?
						(void *)raw->req :
						(void *)raw) +
	    p->offset);
	if (*where == NULL)
		*where = value;
}

/* The path of a request target, "/a" or "http://host/a", without its query. */
static char *
path_of_uri(struct arena *a, const char *uri)
{
	const char *authority;

	if (*uri != '/' && (authority = strstr(uri, "://")) != NULL &&
	    authority < uri + strcspn(uri, "/?")) {
		uri = authority + 3;
		uri += strcspn(uri, "/?");
	}
	return arena_memdup(a, uri, strcspn(uri, "?"));
}

/* Does the text, once decoded, say the same as plain? */
static bool
decodes_to(const char *text, const char *plain)
{
	for (; *text != '\0'; text++, plain++) {
		int ch = tus_parse_escape(text);

		if (ch >= 0)
			text += 2;
		if ((ch >= 0 ? (char)ch : *text) != *plain)
			return false;
	}
	return *plain == '\0';
}

/* Where in the path PATH_INFO begins, its end if there is none; -1 if the path
 * that the front end has split is another. */
static ssize_t
find_path_info(const char *path, const char *path_info)
{
	size_t i, len = strlen(path);

	if (path_info == NULL || *path_info == '\0')
		return (ssize_t)len;
	for (i = 0; i < len; i++)
		if (path[i] == '/' && decodes_to(path + i, path_info))
			return (ssize_t)i;
	return strcmp(path_info, "/") == 0 ? (ssize_t)len : -1;
}

static void
trim_slashes(char *s)
{
	size_t len = strlen(s);

	while (len > 0 && s[len - 1] == '/')
		s[--len] = '\0';
}

static bool
has_dot_segment(const char *path)
{
	size_t len;

	for (; *path != '\0'; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		if ((len == 1 || len == 2) && strspn(path, ".") >= len)
			return true;
	}
	return false;
}

/* Would a web server find the place where it was asked for the path?  To most,
 * escapes do not matter, nor how many slashes there are. */
static bool
leads_to(const char *path, const char *place)
{
	bool was_slash = false;

	for (; *path != '\0'; path++) {
		int ch = tus_parse_escape(path);

		if (ch >= 0)
			path += 2;
		else
			ch = (unsigned char)*path;
		if (ch == '/' && was_slash)
			continue;
		was_slash = ch == '/';
		if ((unsigned char)*place++ != ch)
			return false;
	}
	return *place == '\0';
}

/*
 * The front end has let the request in to some place.  It is no endpoint if
 * another spelling of the same is, or was meant to be, something else: the
 * metrics, or what "..", "//host" and the like lead to.
 */
static bool
is_endpoint(const struct settings *s, const char *base)
{
	if (strncmp(base, "//", 2) == 0 || has_dot_segment(base))
		return false;
	return s->metrics_path == NULL || !leads_to(base, s->metrics_path);
}

/* Nobody said where the endpoint is: the front end's split decides. */
static void
split_path(struct raw *raw, const struct settings *s, struct arena *a,
    const char *path)
{
	ssize_t at = find_path_info(path, raw->path_info);
	char *base = arena_memdup(a, path, at < 0 ? 0 : (size_t)at);

	trim_slashes(base);
	raw->req->base = base;
	if (at >= 0 && is_endpoint(s, base))
		raw->req->path = path + at;
}

static void
strip_base(struct raw *raw, struct arena *a, const char *path, const char *s)
{
	char *base = arena_strdup(a, s);
	size_t len;

	trim_slashes(base);
	len = strlen(base);
	raw->req->base = base;
	raw->req->path = NULL;
	if (strncmp(path, base, len) == 0 &&
	    (path[len] == '\0' || path[len] == '/'))
		raw->req->path = path + len;
}

static bool
find_path(struct raw *raw, const struct settings *s, struct arena *a)
{
	const char *base = raw->tus_base_path;
	const char *path;

	if (raw->request_uri != NULL && *raw->request_uri != '\0')
		path =
		    tus_parse_unreserved(a, path_of_uri(a, raw->request_uri));
	else if (raw->script_name != NULL || raw->path_info != NULL)
		path = arena_printf(a, "%s%s",
		    raw->script_name != NULL ? raw->script_name : "",
		    raw->path_info != NULL ? raw->path_info : "");
	else
		return false;
	if (base == NULL || *base == '\0')
		base = s->base_path;
	if (*base != '\0')
		strip_base(raw, a, path, base);
	else
		split_path(raw, s, a, path);
	return true;
}

/* The web server's own limit; what is no number is no limit of ours. */
static int64_t
parse_limit(const char *text)
{
	char *end;
	long long n;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	return *end == '\0' && errno == 0 ? (int64_t)n : -1;
}

static bool
is_on(const char *https)
{
	return https != NULL && *https != '\0' && strcasecmp(https, "off") != 0;
}

/* "UPLOAD_OFFSET=" becomes "Upload-Offset". */
static char *
header_name(struct arena *a, const char *param, size_t len)
{
	char *name = arena_memdup(a, param, len);
	bool is_first = true;
	size_t i;

	for (i = 0; i < len; i++) {
		char ch = name[i];

		if (ch == '_')
			name[i] = '-';
		else if (!is_first && ch >= 'A' && ch <= 'Z')
			name[i] = (char)(ch - 'A' + 'a');
		is_first = ch == '_';
	}
	return name;
}

/* The headers of the client, by their usual names, in the order they came. */
static const struct pair *
headers_of(char *const *params, struct arena *a)
{
	static const char prefix[] = "HTTP_", content[] = "CONTENT_";
	const struct pair *first = NULL;
	const struct pair **end = &first;

	for (; params != NULL && *params != NULL; params++) {
		const char *name = *params, *value = strchr(name, '=');
		struct pair *p;

		if (value == NULL || value[1] == '\0')
			continue;
		if (strncmp(name, prefix, strlen(prefix)) == 0)
			name += strlen(prefix);
		else if (strncmp(name, content, strlen(content)) != 0)
			continue;
		/* nginx passes these two in both ways. */
		if (name != *params &&
		    strncmp(name, content, strlen(content)) == 0)
			continue;
		p = arena_alloc(a, sizeof(*p));
		p->key = header_name(a, name, (size_t)(value - name));
		p->value = value + 1;
		p->value_len = strlen(p->value);
		*end = p;
		end = (const struct pair **)&p->next;
	}
	return first;
}

static char *
new_id(struct arena *a)
{
	char *id = arena_alloc(a, ID_MAX + 1);

	id_new(id);
	return id;
}

/* What only hooks want to know. */
static void
describe(struct raw *raw, char *const *params, struct arena *a)
{
	struct tus_request *req = raw->req;
	const char *addr = raw->remote_addr, *port = raw->remote_port;

	req->headers = headers_of(params, a);
	if (req->request_id == NULL)
		req->request_id = new_id(a);
	if (addr == NULL || *addr == '\0')
		return;
	req->remote =
	    arena_printf(a, strchr(addr, ':') != NULL ? "[%s]:%s" : "%s:%s",
		addr, port != NULL && *port != '\0' ? port : "0");
}

bool
request_read(char *const *params, const struct settings *s, struct arena *a,
    struct tus_request *req, const char **why)
{
	struct raw raw = { .req = req };
	char *const *p;

	memset(req, 0, sizeof(*req));
	for (p = params; p != NULL && *p != NULL; p++)
		sort_param(&raw, *p, s->owner_param);
	if (raw.tus_owner != NULL && *raw.tus_owner != '\0')
		req->owner = raw.tus_owner;
	req->max_size = parse_limit(raw.tus_max_size);
	req->uri = raw.request_uri;
	req->scheme = raw.request_scheme;
	if (is_on(raw.https))
		req->scheme = "https";
	if (s->trust_forwarded)
		forwarded_apply(&raw.forwarded, a, &req->host, &req->scheme);
	if (s->server.hooks != NULL)
		describe(&raw, params, a);
	*why = NULL;
	if (req->method == NULL || *req->method == '\0')
		*why = "the front end passed no REQUEST_METHOD";
	else if (!find_path(&raw, s, a))
		*why = "the front end passed neither REQUEST_URI nor "
		       "SCRIPT_NAME";
	return *why == NULL;
}
