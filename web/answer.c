/*
 * answer.c - refusals in words, and the header fields of answers, Location and
 * CORS among them.
 *
 * Origins are compared as whole strings: a pattern that is not anchored would
 * admit https://good.example.evil.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "base/compat.h"
#include "web/call.h"
#include "web/parse.h"

/* --- The words for each refusal, in one table.  --- */

static const struct web_words words[WEB_REFUSE_MAX] = {
	[REFUSE_NOT_FOUND] = { 404, "ERR_UPLOAD_NOT_FOUND",
	    "there is no such upload" },
	[REFUSE_GONE] = { 410, "ERR_UPLOAD_GONE",
	    "the upload was not finished in time and has expired" },
	[REFUSE_LOCKED] = { 423, "ERR_UPLOAD_LOCKED",
	    "another request is writing to the upload; try again" },
	[REFUSE_INTERRUPTED] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "another request took the upload over; ask for the offset and "
	    "go on" },
	[REFUSE_TIMED_OUT] = { 423, "ERR_UPLOAD_INTERRUPTED",
	    "the data came too slowly; ask for the offset and go on" },
	[REFUSE_SHUTTING_DOWN] = { 503, "ERR_SERVER_SHUTDOWN",
	    "the server is going down; the bytes received so far are kept" },
	[REFUSE_TOO_BUSY] = { 503, "ERR_TOO_BUSY",
	    "the server cannot take more now; try again" },
	[REFUSE_LOCK_UNAVAILABLE] = { 503, "ERR_LOCK_UNAVAILABLE",
	    "the locks are out of reach now; try again" },
	[REFUSE_STORE_UNAVAILABLE] = { 503, "ERR_STORE_UNAVAILABLE",
	    "the uploads are out of reach now; try again" },
	[REFUSE_LENGTH_CHANGED] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the length of this upload was another and cannot change" },
	[REFUSE_LENGTH_TOO_SMALL] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "more bytes than that have arrived already" },
	[REFUSE_LENGTHS_DISAGREE] = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the upload has another length than that" },
	[REFUSE_BODY_TOO_LARGE] = { 413, "ERR_MAX_SIZE_EXCEEDED",
	    "one request may not bring so much; send it in several" },
	[REFUSE_TOO_LARGE] = { 413, "ERR_MAX_SIZE_EXCEEDED",
	    "larger than the limit of this server; see Tus-Max-Size" },
	[REFUSE_BEYOND_LENGTH] = { 413, "ERR_UPLOAD_SIZE_EXCEEDED",
	    "more bytes than Upload-Length announced" },
	[REFUSE_WRONG_OFFSET] = { 409, "ERR_MISMATCHED_OFFSET",
	    "the upload is at another offset; see Upload-Offset" },
	[REFUSE_RECORD_TOO_LARGE] = { 431, "ERR_METADATA_TOO_LARGE",
	    "Upload-Metadata or Upload-Concat is longer, or has more keys, "
	    "than this server takes" },
	[REFUSE_PART_NOT_FINISHED] = { 400, "ERR_UPLOAD_NOT_FINISHED",
	    "one of the partial uploads is not finished" },
	[REFUSE_PART_NOT_PARTIAL] = { 400, "ERR_INVALID_CONCAT",
	    "one of the uploads is not a partial one" },
	[REFUSE_MODIFY_FINAL] = { 403, "ERR_MODIFY_FINAL",
	    "a final upload cannot be changed" },
	[REFUSE_KEEP_FINISHED] = { 403, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "finished uploads cannot be removed here" },
	[REFUSE_UNKNOWN_ALGORITHM] = { 400, "ERR_CHECKSUM_ALGORITHM",
	    "unknown algorithm; see Tus-Checksum-Algorithm" },
	[REFUSE_DIGEST_MISMATCH] = { 460, "ERR_CHECKSUM_MISMATCH",
	    "the checksum does not match; send the data again" },
	[REFUSE_UNEXPECTED_END] = { 400, "ERR_UNEXPECTED_EOF",
	    "the body ended early; ask for the offset and go on" },
	[REFUSE_OVER_QUOTA] = { 413, "ERR_QUOTA_EXCEEDED",
	    "you have as much here as you may; remove some of your uploads" },
	[REFUSE_NO_SPACE] = { 507, "ERR_NO_SPACE",
	    "the server has no room left; the bytes received so far are kept" },
	[REFUSE_REJECTED] = { 400, "ERR_UPLOAD_REJECTED",
	    "the upload was rejected" },
	[REFUSE_STOPPED] = { 400, "ERR_UPLOAD_STOPPED",
	    "the upload was stopped and removed" },
	[REFUSE_REMOVAL_REJECTED] = { 400, "ERR_UPLOAD_TERMINATION_REJECTED",
	    "the upload must stay" },
	[REFUSE_INTERNAL] = { 500, "ERR_INTERNAL_SERVER_ERROR",
	    "something went wrong here; the server's log says what" },
	[WEB_REFUSE_ORIGIN] = { 403, "ERR_ORIGIN_NOT_ALLOWED",
	    "this origin may not upload here" },
	[WEB_REFUSE_METHOD] = { 405, "ERR_METHOD_NOT_ALLOWED",
	    "this method is not offered here; see Allow" },
	[WEB_REFUSE_OWNER] = { 403, "ERR_OWNER_UNKNOWN",
	    "log in first: uploads belong to users here" },
	[WEB_REFUSE_BODY_LENGTH] = { 400, "ERR_INVALID_CONTENT_LENGTH",
	    "Content-Length is not a number" },
	[WEB_REFUSE_RANGE] = { 416, "ERR_INVALID_RANGE",
	    "the range is beyond the end" },
	[WEB_REFUSE_PRECONDITION] = { 412, "ERR_PRECONDITION_FAILED",
	    "the file is another one than If-Match names" },
};

const struct web_words *
web_words(int why)
{
	return &words[why];
}

bool
web_refuse(struct web_call *c, int why)
{
	(void)task_refuse(&c->task, why);
	return false;
}

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 460, "Checksum Mismatch" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
	{ 507, "Insufficient Storage" },
};

const char *
web_reason(int status)
{
	size_t i;

	for (i = 0; i < NITEMS(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

/* --- Header fields. --- */

/* Can it be (part of) a header value unchanged? */
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
	web_header(c, key, arena_int(c->arena, value));
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

/* The part of an absolute URL before the path of the endpoint. */
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
	return arena_join(c->arena,
	    (const char *[]){ prefix_of(c), base_of(c), "/", id, NULL });
}

const char *
web_reference(const struct web_call *c, const char *ref)
{
	const char *outside =
	    arena_printf(c->arena, "%s%s", prefix_of(c), base_of(c));
	const char *id;

	if (c->srv->takes_tusd_urls)
		ref = arena_memdup(c->arena, ref, strcspn(ref, "+"));
	id = web_parse_reference(c->arena, ref, base_of(c));
	return id != NULL ? id : web_parse_reference(c->arena, ref, outside);
}

/* --- CORS: the header fields that a browser needs before a page may upload.
 * --- */

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

/* Additional names for protocols other than tus. */
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
 * The origin of a page that this host serves is allowed; browsers send it with
 * a POST all the same.  The scheme is ignored: behind a proxy that ends TLS it
 * is unknown.
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
	/* Set even without an Origin, because the answer depends on it. */
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
