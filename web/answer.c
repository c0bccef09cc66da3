/*
 * answer.c - the header fields of an answer, Location and CORS among them.
 *
 * Origins are compared as whole strings: a pattern that is not anchored lets
 * https://good.example.evil in.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "web/call.h"
#include "web/parse.h"

/* May it be (part of) a header value as it is? */
static bool
is_header_text(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 ? *s != '\t' : *s == 0x7f)
			return false;
	return true;
}

void
web_header(struct web_call *c, const char *key, const char *value)
{
	struct pair *p;

	if (!is_header_text(value))
		return;
	p = arena_alloc(c->arena, sizeof(*p));
	p->key = key;
	p->value = value;
	p->value_len = strlen(value);
	*c->header_end = p;
	c->header_end = &p->next;
}

static struct pair *
find_header(struct web_call *c, const char *key)
{
	struct pair *p = (struct pair *)c->res.headers;

	/* c->header_end is in the last of them. */
	for (; p != NULL; p = p->next)
		if (strcasecmp(p->key, key) == 0)
			return p;
	return NULL;
}

bool
web_has_header(struct web_call *c, const char *key)
{
	return find_header(c, key) != NULL;
}

void
web_header_set(struct web_call *c, const char *key, const char *value)
{
	struct pair *old = find_header(c, key);

	if (old == NULL)
		web_header(c, key, value);
	else if (is_header_text(value))
		old->value = value;
}

void
web_header_int(struct web_call *c, const char *key, int64_t value)
{
	web_header(c, key, arena_printf(c->arena, "%" PRId64, value));
}

bool
web_is_meant(const struct web_call *c, const struct web_protocol *p)
{
	return p == c->protocol ||
	    (c->method == WEB_OPTIONS && c->is_unclaimed);
}

void
web_header_accept_patch(struct web_call *c)
{
	const struct web_protocol *const *p;
	const char *list = "";

	for (p = c->srv->protocols; *p != NULL; p++)
		if (web_is_meant(c, *p))
			list = arena_printf(c->arena, "%s%s%s", list,
			    *list == '\0' ? "" : ", ", (*p)->patch_type);
	web_header(c, "Accept-Patch", list);
}

/* --- Location. --- */

static bool
is_host(const char *s)
{
	return s != NULL && *s != '\0' &&
	    s[strspn(s,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789.:[]-")] == '\0';
}

/* What stands before the path of the endpoint for those outside. */
static const char *
prefix_of(const struct web_call *c)
{
	const char *url = c->srv->location_base;

	if (c->srv->location == WEB_LOCATION_BASE)
		return url + strcspn(url, ":") + 3 +
		    strcspn(url + strcspn(url, ":") + 3, "/");
	return c->req->prefix != NULL ? c->req->prefix : "";
}

static const char *
base_of(const struct web_call *c)
{
	return c->req->base != NULL ? c->req->base : "";
}

const char *
web_location(const struct web_call *c, const char *id)
{
	const struct web_request *req = c->req;
	const char *scheme = "http";

	switch (c->srv->location) {
	case WEB_LOCATION_BASE:
		return arena_printf(
		    c->arena, "%s%s/%s", c->srv->location_base, base_of(c), id);
	case WEB_LOCATION_ABSOLUTE:
		if (!is_host(req->host))
			break;
		if (req->scheme != NULL && strcmp(req->scheme, "https") == 0)
			scheme = "https";
		return arena_printf(c->arena, "%s://%s%s%s/%s", scheme,
		    req->host, prefix_of(c), base_of(c), id);
	case WEB_LOCATION_PATH:
		break;
	}
	return arena_printf(c->arena, "%s%s/%s", prefix_of(c), base_of(c), id);
}

const char *
web_reference(const struct web_call *c, const char *ref)
{
	const char *outside =
	    arena_printf(c->arena, "%s%s", prefix_of(c), base_of(c));
	const char *id = web_parse_reference(c->arena, ref, base_of(c));

	return id != NULL ? id : web_parse_reference(c->arena, ref, outside);
}

/* --- CORS: what a browser wants to hear before it lets a page upload. --- */

#define ALLOW_METHODS "POST, HEAD, PATCH, OPTIONS, GET, DELETE"
#define ALLOW_HEADERS                                                          \
	"Authorization, Origin, X-Requested-With, X-Request-ID, "              \
	"X-HTTP-Method-Override, Content-Type, Upload-Length, Upload-Offset, " \
	"Tus-Resumable, Upload-Metadata, Upload-Defer-Length, Upload-Concat, " \
	"Upload-Checksum, Upload-Incomplete, Upload-Complete, "                \
	"Upload-Draft-Interop-Version, Content-Disposition, Content-Digest, "  \
	"Repr-Digest"
#define EXPOSE_HEADERS                                                         \
	"Upload-Offset, Location, Upload-Length, Tus-Version, Tus-Resumable, " \
	"Tus-Max-Size, Tus-Extension, Tus-Checksum-Algorithm, "                \
	"Upload-Metadata, Upload-Defer-Length, Upload-Concat, "                \
	"Upload-Expires, Retry-After, Upload-Complete, Upload-Limit, "         \
	"Upload-Draft-Interop-Version"

/* What other protocols than tus have besides. */
#define OTHER_HEADERS ", Content-Encoding, Want-Repr-Digest"
#define OTHER_EXPOSED ", Repr-Digest, Content-Disposition, Upload-Incomplete"

static bool
has_others(const struct web_call *c)
{
	const struct web_protocol *const *p = c->srv->protocols;

	while (*++p != NULL)
		if (web_is_meant(c, *p))
			return true;
	return false;
}

static bool
is_listed(const struct web_cors *cors, const char *origin)
{
	size_t i;

	for (i = 0; cors->origins[i] != NULL; i++)
		if (strcmp(cors->origins[i], origin) == 0)
			return true;
	return false;
}

/*
 * A page that this host serves is no stranger; browsers name its origin in a
 * POST all the same.  The scheme is left out: behind a proxy that ends TLS we
 * do not know it.
 */
static bool
is_own(const struct web_request *req)
{
	const char *host = strstr(req->origin, "://");

	return host != NULL && req->host != NULL &&
	    strcmp(host + 3, req->host) == 0;
}

bool
web_cors_allows(const struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;

	return cors->origins == NULL || c->req->origin == NULL ||
	    is_listed(cors, c->req->origin) || is_listed(cors, "*") ||
	    is_own(c->req);
}

bool
web_cors_names(const struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;

	return c->req->origin == NULL ||
	    (cors->origins != NULL &&
		(is_listed(cors, c->req->origin) || is_listed(cors, "*")));
}

static void
add_preflight_headers(struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;
	const char *names = ALLOW_HEADERS;
	size_t i;

	for (i = 0;
	     cors->extra_headers != NULL && cors->extra_headers[i] != NULL; i++)
		names = arena_printf(
		    c->arena, "%s, %s", names, cors->extra_headers[i]);
	if (has_others(c))
		names = arena_printf(c->arena, "%s" OTHER_HEADERS, names);
	web_header(c, "Access-Control-Allow-Methods",
	    has_others(c) ? ALLOW_METHODS ", PUT" : ALLOW_METHODS);
	web_header(c, "Access-Control-Allow-Headers", names);
	web_header_int(c, "Access-Control-Max-Age", cors->max_age);
}

void
web_cors_headers(struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;
	const char *origin = c->req->origin;

	if (cors->origins == NULL)
		return;
	/* Answers differ by origin even where there is none. */
	web_header(c, "Vary", "Origin");
	if (origin == NULL)
		return;
	if (!is_listed(cors, origin)) {
		if (!is_listed(cors, "*"))
			return;
		origin = "*";
	}
	web_header(c, "Access-Control-Allow-Origin", origin);
	if (cors->credentials && strcmp(origin, "*") != 0)
		web_header(c, "Access-Control-Allow-Credentials", "true");
	if (c->method == WEB_OPTIONS)
		add_preflight_headers(c);
	else
		web_header(c, "Access-Control-Expose-Headers",
		    has_others(c) ? EXPOSE_HEADERS OTHER_EXPOSED :
				    EXPOSE_HEADERS);
}
