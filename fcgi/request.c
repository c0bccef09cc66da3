/*
 * request.c - make a struct web_request of FastCGI parameters.
 *
 * REQUEST_URI is the one parameter on which all front ends agree: all send it,
 * and send it as the client did.  SCRIPT_NAME and PATH_INFO depend on the
 * server, its module and the files in its document root, and PATH_INFO is
 * decoded.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "fcgi/forwarded.h"
#include "fcgi/request.h"
#include "web/parse.h"

/* Parameters from which the rest of the request is derived. */
struct raw {
	struct web_request *req;
	const char *request_uri, *script_name, *path_info;
	const char *https, *request_scheme, *remote_addr, *remote_port;
	const char *tus_base_path, *tus_max_size, *tus_owner, *tus_retention;
	const char *server_protocol, *server_software;
	struct forwarded forwarded;

	/* The value of owner.param; two different values of it, or of
	 * TUS_OWNER, came. */
	const char *owner;
	bool owner_is_ambiguous;

	/* A bit for each entry of known[], followed by those of others[]: the
	 * header came again, or the parameter came with a second value. */
	uint64_t again;
};

#define REQ(name) offsetof(struct web_request, name), true
#define RAW(name) offsetof(struct raw, name), false

/* In alphabetical order, for a binary search. */
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
	{ "HTTP_IF_MATCH", REQ(if_match) },
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
	{ "HTTP_X_FORWARDED_PREFIX", RAW(forwarded.x_prefix) },
	{ "HTTP_X_FORWARDED_PROTO", RAW(forwarded.x_proto) },
	{ "HTTP_X_HTTP_METHOD_OVERRIDE", REQ(method_override) },
	{ "HTTP_X_REQUEST_ID", REQ(shown.request_id) },
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
	{ "TUS_RETENTION", RAW(tus_retention) },
};

/* In the same order; read only where the IETF's protocol is accepted as
 * well. */
static const struct param others[] = {
	{ "HTTP_CONTENT_DIGEST", REQ(content_digest) },
	{ "HTTP_CONTENT_DISPOSITION", REQ(content_disposition) },
	{ "HTTP_CONTENT_ENCODING", REQ(content_encoding) },
	{ "HTTP_REPR_DIGEST", REQ(repr_digest) },
	{ "HTTP_UPLOAD_COMPLETE", REQ(upload_complete) },
	{ "HTTP_UPLOAD_DRAFT_INTEROP_VERSION", REQ(interop_version) },
	{ "HTTP_UPLOAD_INCOMPLETE", REQ(upload_incomplete) },
	{ "HTTP_WANT_REPR_DIGEST", REQ(want_repr_digest) },
	{ "SERVER_PROTOCOL", RAW(server_protocol) },
	{ "SERVER_SOFTWARE", RAW(server_software) },
};

_Static_assert(NITEMS(known) + NITEMS(others) <= 64, "a bit for each");

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

static bool
begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool
is_named(const char *param, struct name name)
{
	return strncmp(param, name.text, name.len) == 0 &&
	    param[name.len] == '=';
}

/*
 * Apache renames the parameters that were set before an internal redirect, as
 * in an .htaccess, to REDIRECT_NAME, once for each redirect.  Skip these
 * prefixes.
 */
static const char *
skip_redirects(const char *param, const char *owner_param)
{
	static const char redirect[] = "REDIRECT_";
	const struct name owner = { owner_param, strlen(owner_param) };
	const char *p = param;

	if (!begins(p, redirect))
		return p;
	do
		p += strlen(redirect);
	while (begins(p, redirect));
	return begins(p, "TUS_") || is_named(p, owner) ? p : param;
}

/* All values of a header as one list: some front ends pass on each line. */
static const char *
join(char *const *params, struct name name, struct arena *a)
{
	size_t len = 0, at = 0;
	char *const *p;
	char *all;

	for (p = params; *p != NULL; p++)
		if (is_named(*p, name))
			len += strlen(*p + name.len + 1) + 2;
	all = arena_alloc(a, len + 1);
	for (p = params; *p != NULL; p++) {
		const char *value = *p + name.len + 1;

		if (!is_named(*p, name))
			continue;
		if (at > 0) {
			memcpy(all + at, ", ", 2);
			at += 2;
		}
		memcpy(all + at, value, strlen(value));
		at += strlen(value);
	}
	all[at] = '\0';
	return all;
}

static bool
is_another(const char *before, const char *value)
{
	return before != NULL && strcmp(before, value) != 0;
}

static const char **
member_of(struct raw *raw, const struct param *p)
{
	void *base = p->is_in_request ? (void *)raw->req : (void *)raw;

	return (const char **)(void *)((char *)base + p->offset);
}

/* The shortest of them; most parameters that are sent are shorter. */
#define SHORTEST_OTHER (sizeof("SERVER_PROTOCOL") - 1)

static const struct param *
find_other(const struct name *name)
{
	if (name->len < SHORTEST_OTHER)
		return NULL;
	return bsearch(
	    name, others, NITEMS(others), sizeof(others[0]), compare_name);
}

static void
sort_param(struct raw *raw, char *const *params, size_t i, struct arena *a,
    const struct settings *s)
{
	const char *owner_param = s->owner_param;
	const char *param = skip_redirects(params[i], owner_param);
	const char *value = strchr(param, '=');
	const struct name owner = { owner_param, strlen(owner_param) };
	struct name name = { param, 0 };
	const struct param *p;
	const char **where;
	uint64_t bit;

	if (value == NULL)
		return;
	name.len = (size_t)(value - param);
	value++;
	if (is_named(param, owner)) {
		raw->owner_is_ambiguous |= is_another(raw->owner, value);
		raw->owner = value;
	}
	p = bsearch(
	    &name, known, NITEMS(known), sizeof(known[0]), compare_name);
	if (p != NULL)
		bit = UINT64_C(1) << (p - known);
	else if (!s->has_rufh || (p = find_other(&name)) == NULL)
		return;
	else
		bit = UINT64_C(1) << (NITEMS(known) + (size_t)(p - others));
	where = member_of(raw, p);
	if (*where == NULL) {
		*where = value;
	} else if (begins(p->name, "HTTP_")) {
		if ((raw->again & bit) == 0)
			*where = join(params, name, a);
		raw->again |= bit;
	} else if (is_another(*where, value)) {
		raw->owner_is_ambiguous |= where == &raw->tus_owner;
		raw->again |= bit;
	}
}

/* Does the answer depend on this parameter?  Two different owners count as
 * none. */
static bool
is_read(struct raw *raw, const struct settings *s, const struct param *p)
{
	bool has_uri = raw->request_uri != NULL && *raw->request_uri != '\0';
	bool has_base = *s->base_path != '\0' ||
	    (raw->tus_base_path != NULL && *raw->tus_base_path != '\0');
	const char **where = member_of(raw, p);

	if (where == &raw->script_name)
		return !has_uri;
	if (where == &raw->path_info)
		return !has_uri || !has_base;
	if (where == &raw->remote_addr || where == &raw->remote_port)
		return s->server.core.hooks != NULL;
	return where != &raw->tus_owner && !begins(p->name, "HTTP_");
}

/* The first parameter that came with two different values and on which the
 * answer depends; NULL if there is none. */
static const char *
find_ambiguous(struct raw *raw, const struct settings *s)
{
	size_t i;

	for (i = 0; i < NITEMS(known); i++)
		if ((raw->again & UINT64_C(1) << i) != 0 &&
		    is_read(raw, s, &known[i]))
			return known[i].name;
	return NULL;
}

static void
find_owner(struct raw *raw)
{
	if (raw->owner_is_ambiguous)
		return;
	if (raw->tus_owner != NULL && *raw->tus_owner != '\0')
		raw->req->owner = raw->tus_owner;
	else if (raw->owner != NULL && *raw->owner != '\0')
		raw->req->owner = raw->owner;
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

/* Is the text, once decoded, equal to plain? */
static bool
decodes_to(const char *text, const char *plain)
{
	for (; *text != '\0'; text++, plain++) {
		int ch = web_parse_escape(text);

		if (ch >= 0)
			text += 2;
		if ((ch >= 0 ? (char)ch : *text) != *plain)
			return false;
	}
	return *plain == '\0';
}

/* Where in the path PATH_INFO begins, its end if there is none; -1 if the front
 * end has split another path than this one. */
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

/* Would a web server that is asked for path serve place?  Most ignore how
 * characters are escaped and how many slashes there are. */
static bool
leads_to(const char *path, const char *place)
{
	bool was_slash = false;

	for (; *path != '\0'; path++) {
		int ch = web_parse_escape(path);

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
 * The front end accepted the request at some path.  That path is no endpoint if
 * another spelling of it names, or was meant to name, something else: the
 * metrics, the status page, or the target of "..", "//host" and the like.
 */
static bool
is_endpoint(const struct settings *s, const char *base)
{
	if (strncmp(base, "//", 2) == 0 || has_dot_segment(base))
		return false;
	return (s->metrics_path == NULL || !leads_to(base, s->metrics_path)) &&
	    (s->status_path == NULL || !leads_to(base, s->status_path));
}

/* No endpoint is configured: the split of the front end decides. */
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
		    web_parse_unreserved(a, path_of_uri(a, raw->request_uri));
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

/* The web server's own limit; a value that is no number is no limit. */
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

/* In the syntax of retention.after; a value that is no duration removes
 * nothing. */
static int64_t
parse_retention(const char *text)
{
	int64_t ms;

	if (text == NULL || *text == '\0')
		return 0;
	if (!conf_takes("retention.after", text, &ms)) {
		log_warn("TUS_RETENTION is no duration: %s; uploads created "
			 "with it are kept for ever",
		    text);
		ms = 0;
	}
	return ms == 0 ? KEPT_FOR_EVER : (ms + 999) / 1000;
}

static bool
is_on(const char *https)
{
	return https != NULL && *https != '\0' && strcasecmp(https, "off") != 0;
}

/* Turns "UPLOAD_OFFSET=" into "Upload-Offset". */
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

/* The client's headers under their usual names, in the order of arrival. */
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
		/* nginx passes these two in both forms. */
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

/* Fill in what only hooks need. */
static void
describe(struct raw *raw, char *const *params, struct arena *a)
{
	struct web_request *req = raw->req;

	req->shown.method = req->method;
	if (req->method_override != NULL && *req->method_override != '\0')
		req->shown.method = req->method_override;
	req->shown.headers = headers_of(params, a);
	if (req->shown.request_id == NULL)
		req->shown.request_id = new_id(a);
}

/* The client's address, for hooks, the status page and the slow log. */
static void
find_remote(struct raw *raw, struct arena *a)
{
	struct web_request *req = raw->req;
	const char *addr = raw->remote_addr, *port = raw->remote_port;

	if (addr == NULL || *addr == '\0')
		return;
	req->shown.remote =
	    arena_printf(a, strchr(addr, ':') != NULL ? "[%s]:%s" : "%s:%s",
		addr, port != NULL && *port != '\0' ? port : "0");
}

/* Does the web server pass on a response with status 104?  Most would treat it
 * as the final one. */
static bool
takes_interim(const struct raw *raw, const struct settings *s)
{
	if (s->interim == INTERIM_OFF || raw->server_protocol == NULL ||
	    strcmp(raw->server_protocol, "HTTP/1.0") == 0)
		return false;
	return s->interim == INTERIM_ON ||
	    (raw->server_software != NULL &&
		begins(raw->server_software, "lighttpd/"));
}

enum request_fault
request_read(char *const *params, const struct settings *s, struct arena *a,
    struct web_request *req, const char **why)
{
	struct raw raw = { .req = req };
	size_t i;

	memset(req, 0, sizeof(*req));
	for (i = 0; params != NULL && params[i] != NULL; i++)
		sort_param(&raw, params, i, a, s);
	find_owner(&raw);
	req->max_size = parse_limit(raw.tus_max_size);
	req->retention = parse_retention(raw.tus_retention);
	req->shown.uri = raw.request_uri;
	req->scheme = raw.request_scheme;
	if (is_on(raw.https))
		req->scheme = "https";
	if (s->trust_forwarded) {
		forwarded_apply(&raw.forwarded, a, &req->host, &req->scheme);
		req->prefix = forwarded_prefix(&raw.forwarded, a);
	}
	req->takes_interim = takes_interim(&raw, s);
	if (s->server.core.hooks != NULL)
		describe(&raw, params, a);
	if (s->server.core.hooks != NULL || s->is_watched)
		find_remote(&raw, a);
	*why = find_ambiguous(&raw, s);
	if (*why != NULL)
		return REQUEST_AMBIGUOUS;
	if (req->method == NULL || *req->method == '\0')
		*why = "REQUEST_METHOD";
	else if (!find_path(&raw, s, a))
		*why = "REQUEST_URI or SCRIPT_NAME";
	return *why == NULL ? REQUEST_OK : REQUEST_INCOMPLETE;
}
