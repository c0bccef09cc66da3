/*
 * handle.c - the routes, and the way of a request through the core.
 *
 * One table says which method is attached where and what it takes: dispatch,
 * 405, Allow and Tus-Extension all come from it and from the capabilities of
 * the store, so they cannot disagree.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "tus/call.h"

enum target {
	TARGET_COLLECTION,
	TARGET_UPLOAD
};

struct tus_route {
	enum tus_method method;
	enum target target;
	bool (*offered)(const struct web_server *);
	enum step (*handle)(struct web_call *);
};

static const char *const method_names[TUS_METHOD_MAX] = {
	[TUS_POST] = "POST",
	[TUS_HEAD] = "HEAD",
	[TUS_PATCH] = "PATCH",
	[TUS_DELETE] = "DELETE",
	[TUS_GET] = "GET",
	[TUS_OPTIONS] = "OPTIONS",
};

static bool
always(const struct web_server *srv)
{
	(void)srv;
	return true;
}

static bool
can_terminate(const struct web_server *srv)
{
	return srv->core.allow_terminate && srv->core.store->terminater != NULL;
}

static bool
can_download(const struct web_server *srv)
{
	return srv->core.allow_download && srv->core.store->reader != NULL;
}

bool
tus_has_concat(const struct web_server *srv)
{
	return srv->core.allow_concat && srv->core.store->concater != NULL;
}

bool
tus_has_defer(const struct web_server *srv)
{
	return srv->core.allow_defer &&
	    srv->core.store->length_declarer != NULL;
}

bool
tus_has_expiry(const struct web_server *srv)
{
	return srv->core.expire_after > 0 && srv->core.store->expirer != NULL &&
	    srv->core.store->terminater != NULL;
}

static bool
has_checksum(const struct web_server *srv)
{
	return tus_checksum_offered(srv, 0) != NULL;
}

static const struct tus_route routes[] = {
	{ TUS_POST, TARGET_COLLECTION, always, tus_post },
	{ TUS_OPTIONS, TARGET_COLLECTION, always, tus_options },
	{ TUS_HEAD, TARGET_UPLOAD, always, tus_head },
	{ TUS_PATCH, TARGET_UPLOAD, always, tus_patch },
	{ TUS_DELETE, TARGET_UPLOAD, can_terminate, tus_delete },
	{ TUS_GET, TARGET_UPLOAD, can_download, tus_get },
	{ TUS_OPTIONS, TARGET_UPLOAD, always, tus_options },
};

/* In the order of the header; only what a server offers is named. */
static const struct {
	const char *name;
	bool (*offered)(const struct web_server *);
} extensions[] = {
	{ "creation", always },
	{ "creation-with-upload", always },
	{ "creation-defer-length", tus_has_defer },
	{ "expiration", tus_has_expiry },
	{ "checksum", has_checksum },
	{ "termination", can_terminate },
	{ "concatenation", tus_has_concat },
};

const char *
tus_extensions(const struct web_server *srv, struct arena *a)
{
	const char *list = "";
	size_t i;

	for (i = 0; i < NITEMS(extensions); i++)
		if (extensions[i].offered(srv))
			list = arena_printf(a, "%s%s%s", list,
			    *list == '\0' ? "" : ",", extensions[i].name);
	return list;
}

static enum target
target_of(const struct web_call *c)
{
	return c->id[0] == '\0' ? TARGET_COLLECTION : TARGET_UPLOAD;
}

const char *
tus_allow(const struct web_call *c)
{
	const char *list = "";
	size_t i;

	for (i = 0; i < NITEMS(routes); i++)
		if (routes[i].target == target_of(c) &&
		    routes[i].offered(c->srv))
			list = arena_printf(c->arena, "%s%s%s", list,
			    *list == '\0' ? "" : ", ",
			    method_names[routes[i].method]);
	return list;
}

static const struct tus_route *
find_route(const struct web_call *c)
{
	size_t i;

	for (i = 0; i < NITEMS(routes); i++)
		if (routes[i].method == c->method &&
		    routes[i].target == target_of(c) &&
		    routes[i].offered(c->srv))
			return &routes[i];
	return NULL;
}

static const char *
override_of(const struct web_request *req)
{
	const char *name = req->method_override;

	return name != NULL && name[strspn(name, " \t")] != '\0' ? name : NULL;
}

/*
 * Which methods an override may name, by the method that came.  Web servers let
 * OPTIONS, and often GET and HEAD, through without a login: a safe method never
 * becomes one that reads or writes more.
 */
#define BIT(method) (1U << (method))
static const struct {
	const char *came;
	unsigned may_become;
} overrides[] = {
	{ "POST", BIT(TUS_METHOD_MAX) - 1 },
	{ "PUT", BIT(TUS_METHOD_MAX) - 1 },
	{ "PATCH", BIT(TUS_METHOD_MAX) - 1 },
	{ "DELETE", BIT(TUS_METHOD_MAX) - 1 },
	{ "GET", BIT(TUS_GET) | BIT(TUS_HEAD) | BIT(TUS_OPTIONS) },
	{ "HEAD", BIT(TUS_GET) | BIT(TUS_HEAD) | BIT(TUS_OPTIONS) },
	{ "OPTIONS", BIT(TUS_OPTIONS) },
};

static bool
may_become(const char *came, enum tus_method method)
{
	size_t i;

	for (i = 0; came != NULL && i < NITEMS(overrides); i++)
		if (strcmp(overrides[i].came, came) == 0)
			return (overrides[i].may_become & BIT(method)) != 0;
	return false;
}

/* TUS_METHOD_MAX for a method that is unknown, or that the one which came
 * cannot stand for. */
static enum tus_method
method_of(struct web_call *c)
{
	const char *name = override_of(c->req);
	enum tus_method m;

	if (name != NULL)
		name = tus_parse_trim(c->arena, name);
	for (m = 0; m < TUS_METHOD_MAX; m++) {
		if (name != NULL && strcasecmp(method_names[m], name) == 0)
			return may_become(c->req->method, m) ? m :
							       TUS_METHOD_MAX;
		if (name == NULL && c->req->method != NULL &&
		    strcmp(method_names[m], c->req->method) == 0)
			return m;
	}
	return TUS_METHOD_MAX;
}

/* What does the path name, with a slash at its end or without?  False if
 * nothing of ours. */
static bool
parse_path(struct web_call *c)
{
	const char *path = c->req->path;
	size_t len;

	if (path == NULL)
		return false;
	if (strcmp(path, "") == 0 || strcmp(path, "/") == 0)
		return true;
	if (*path++ != '/')
		return false;
	len = strlen(path);
	if (path[len - 1] == '/')
		len--;
	if (len > ID_MAX)
		return false;
	memcpy(c->id, path, len);
	if (id_is_valid(c->id))
		return true;
	c->id[0] = '\0';
	return false;
}

static bool
has_version(const struct web_call *c)
{
	const char *v = tus_parse_trim(c->arena, c->req->tus_resumable);

	return v != NULL && strcmp(v, TUS_VERSION) == 0;
}

/*
 * HEAD by a client that knows nothing of tus, and may have come with GET. Where
 * another method stands for it, a length without a body would be no answer.
 */
static bool
is_plain_head(const struct web_call *c)
{
	return c->method == TUS_HEAD && strcmp(c->req->method, "HEAD") == 0 &&
	    c->req->tus_resumable == NULL && c->id[0] != '\0' &&
	    can_download(c->srv) &&
	    (!c->srv->core.owner_required || c->req->owner != NULL);
}

/* All that can be said before the method's own handler. */
static enum step
find_handler(struct web_call *c)
{
	bool is_ours = parse_path(c);

	if (!tus_cors_allows(c))
		return tus_refuse(c, TUS_ORIGIN_NOT_ALLOWED);
	if (c->method == TUS_METHOD_MAX && override_of(c->req) != NULL)
		return tus_refuse(c, TUS_METHOD_NOT_ALLOWED);
	if (c->method == TUS_OPTIONS)
		return tus_options(c);
	if (is_plain_head(c))
		return tus_plain_head(c);
	if (c->method != TUS_GET && !has_version(c))
		return tus_refuse(c, TUS_UNSUPPORTED_VERSION);
	if (!is_ours)
		return tus_refuse(c, TUS_NOT_FOUND);
	c->route = find_route(c);
	if (c->route == NULL)
		return tus_refuse(c, TUS_METHOD_NOT_ALLOWED);
	if (c->srv->core.owner_required && c->req->owner == NULL)
		return tus_refuse(c, TUS_OWNER_UNKNOWN);
	return c->route->handle(c);
}

struct web_call *
web_call_new(const struct web_server *srv, const struct web_request *req,
    struct arena *a)
{
	struct web_call *c = arena_alloc(a, sizeof(*c));

	c->srv = srv;
	c->req = req;
	c->arena = a;
	c->header_end = (struct pair **)&c->res.headers;
	c->content_length = -1;
	c->length = -1;
	c->offset = -1;
	c->reserved = -1;
	c->max_size = req->max_size >= 0 ? req->max_size : srv->core.max_size;
	c->res.outcome.offset = -1;
	c->method = method_of(c);
	if (c->method < TUS_METHOD_MAX)
		c->res.outcome.method = method_names[c->method];
	return c;
}

enum step
tus_dispatch(struct web_call *c)
{
	/* A second time means that the lock was busy the first. */
	return c->route == NULL ? find_handler(c) : c->route->handle(c);
}

/* OPTIONS: what this server can do.  Asks neither version nor existence. */
enum step
tus_options(struct web_call *c)
{
	const struct web_server *srv = c->srv;
	const char *list = tus_extensions(srv, c->arena);
	size_t i;

	tus_header(c, "Allow", tus_allow(c));
	tus_header(c, "Accept-Patch", TUS_BODY_TYPE);
	tus_header(c, "Tus-Version", TUS_VERSION);
	if (*list != '\0')
		tus_header(c, "Tus-Extension", list);
	if (c->max_size > 0)
		tus_header_int(c, "Tus-Max-Size", c->max_size);
	list = "";
	for (i = 0; tus_checksum_offered(srv, i) != NULL; i++)
		list = arena_printf(c->arena, "%s%s%s", list, i == 0 ? "" : ",",
		    tus_checksum_offered(srv, i));
	if (*list != '\0')
		tus_header(c, "Tus-Checksum-Algorithm", list);
	return tus_done(c, 200);
}
