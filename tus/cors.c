/*
 * cors.c - what a browser wants to hear before it lets a page upload.
 *
 * Origins are compared as whole strings: a pattern that is not anchored lets
 * https://good.example.evil in.
 */
#include "config.h"

#include <string.h>

#include "tus/call.h"

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
tus_cors_allows(const struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;

	return cors->origins == NULL || c->req->origin == NULL ||
	    is_listed(cors, c->req->origin) || is_listed(cors, "*") ||
	    is_own(c->req);
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
	tus_header(c, "Access-Control-Allow-Methods", ALLOW_METHODS);
	tus_header(c, "Access-Control-Allow-Headers", names);
	tus_header_int(c, "Access-Control-Max-Age", cors->max_age);
}

void
tus_cors_headers(struct web_call *c)
{
	const struct web_cors *cors = &c->srv->cors;
	const char *origin = c->req->origin;

	if (cors->origins == NULL)
		return;
	/* Answers differ by origin even where there is none. */
	tus_header(c, "Vary", "Origin");
	if (origin == NULL)
		return;
	if (!is_listed(cors, origin)) {
		if (!is_listed(cors, "*"))
			return;
		origin = "*";
	}
	tus_header(c, "Access-Control-Allow-Origin", origin);
	if (cors->credentials && strcmp(origin, "*") != 0)
		tus_header(c, "Access-Control-Allow-Credentials", "true");
	if (c->method == TUS_OPTIONS)
		add_preflight_headers(c);
	else
		tus_header(c, "Access-Control-Expose-Headers", EXPOSE_HEADERS);
}
