/*
 * answer.c - make the response, and let go of everything that is open.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "tus/call.h"

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
tus_header(struct tus_call *c, const char *key, const char *value)
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
find_header(struct tus_call *c, const char *key)
{
	struct pair *p = (struct pair *)c->res.headers;

	/* c->header_end is in the last of them. */
	for (; p != NULL; p = p->next)
		if (strcasecmp(p->key, key) == 0)
			return p;
	return NULL;
}

/* Only the transport can know these. */
static bool
is_ours_alone(const char *key)
{
	static const char *const keys[] = { "Status", "Content-Length",
		"Connection", "Transfer-Encoding", "Trailer", "Upgrade" };
	size_t i;

	for (i = 0; i < NITEMS(keys); i++)
		if (strcasecmp(keys[i], key) == 0)
			return true;
	return false;
}

/* What a hook wants the client to be told, over what we say. */
static int
apply_reply(struct tus_call *c, int status)
{
	const struct tus_reply *reply = &c->reply;
	const struct pair *p;
	struct pair *old;

	for (p = reply->headers; p != NULL; p = p->next) {
		if (is_ours_alone(p->key))
			continue;
		old = find_header(c, p->key);
		if (old == NULL)
			tus_header(c, p->key, p->value);
		else if (is_header_text(p->value))
			old->value = p->value;
	}
	if (reply->body != NULL) {
		c->res.text = reply->body;
		if (find_header(c, "Content-Type") == NULL)
			tus_header(
			    c, "Content-Type", "text/plain; charset=utf-8");
	}
	return reply->status != 0 ? reply->status : status;
}

void
tus_merge(struct tus_call *c, const struct tus_reply *later)
{
	struct tus_reply *r = &c->reply;
	struct pair *copy, **end;
	const struct pair *p;

	if (later->status != 0)
		r->status = later->status;
	if (later->body != NULL)
		r->body = later->body;
	for (end = (struct pair **)&r->headers; *end != NULL;)
		end = &(*end)->next;
	for (p = later->headers; p != NULL; p = p->next) {
		copy = arena_alloc(c->arena, sizeof(*copy));
		*copy = *p;
		*end = copy;
		end = &copy->next;
	}
}

void
tus_header_int(struct tus_call *c, const char *key, int64_t value)
{
	tus_header(c, key, arena_printf(c->arena, "%" PRId64, value));
}

void
tus_header_expires(struct tus_call *c)
{
	char *date;

	if (!tus_has_expiry(c->srv) || c->up->info.expires == 0 ||
	    upload_is_finished(c->up))
		return;
	date = arena_alloc(c->arena, CLOCK_HTTP_DATE_MAX);
	clock_http_date(c->up->info.expires, date);
	tus_header(c, "Upload-Expires", date);
}

static bool
is_host(const char *s)
{
	return s != NULL && *s != '\0' &&
	    s[strspn(s,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789.:[]-")] == '\0';
}

const char *
tus_location(const struct tus_call *c, const char *id)
{
	const struct tus_request *req = c->req;
	const char *base = req->base != NULL ? req->base : "";
	const char *scheme = "http";

	switch (c->srv->location) {
	case TUS_LOCATION_BASE:
		return arena_printf(
		    c->arena, "%s%s/%s", c->srv->location_base, base, id);
	case TUS_LOCATION_ABSOLUTE:
		if (!is_host(req->host))
			break;
		if (req->scheme != NULL && strcmp(req->scheme, "https") == 0)
			scheme = "https";
		return arena_printf(
		    c->arena, "%s://%s%s/%s", scheme, req->host, base, id);
	case TUS_LOCATION_PATH:
		break;
	}
	return arena_printf(c->arena, "%s/%s", base, id);
}

/* What the log wants to know, before the upload is closed. */
static void
note_outcome(struct tus_call *c)
{
	struct tus_outcome *o = &c->res.outcome;

	o->offset = -1;
	if (c->id[0] != '\0')
		o->id = c->id;
	if (c->up != NULL && c->up->info.id != NULL) {
		o->id = arena_strdup(c->arena, c->up->info.id);
		o->offset = c->up->info.offset;
	}
	o->received = c->received;
}

/* HTTP looks at the method that came, tus at the one it stands for: nothing
 * that is HEAD in either way has a body. */
static bool
is_head(const struct tus_call *c)
{
	const char *method = c->req->method;

	return c->method == TUS_HEAD ||
	    (method != NULL && strcmp(method, "HEAD") == 0);
}

enum tus_step
tus_done(struct tus_call *c, int status)
{
	struct tus_response *res = &c->res;

	tus_header(c, "Tus-Resumable", TUS_VERSION);
	tus_header(c, "X-Content-Type-Options", "nosniff");
	if (c->method != TUS_OPTIONS && res->content == NULL && status != 304)
		tus_header(c, "Cache-Control", "no-store");
	tus_cors_headers(c);
	status = apply_reply(c, status);
	res->status = status;
	res->reason = tus_reason(status);
	res->bodiless = is_head(c) || status == 204 || status == 304;
	if (res->bodiless)
		res->text = NULL;
	note_outcome(c);
	tus_note(c);
	tus_let_go(c);
	c->is_done = true;
	return TUS_DONE;
}

enum tus_step
tus_refuse(struct tus_call *c, enum tus_refusal why)
{
	static const struct tus_reply nothing = { 0, NULL, NULL };

	/* What a hook said goes with what did not happen. */
	return tus_reject(c, why, &nothing);
}

/*
 * A client that gets a 5xx for HEAD begins anew at offset 0, so that every
 * reason which may pass is told as a lock; the code in the log is the true one.
 * A damaged record does not pass.
 */
static int
status_of(const struct tus_call *c, const struct tus_answer *answer)
{
	if (c->method == TUS_HEAD && answer->status >= 500 &&
	    c->res.err.code != ERR_CORRUPT)
		return tus_answer(TUS_LOCKED)->status;
	return answer->status;
}

enum tus_step
tus_reject(
    struct tus_call *c, enum tus_refusal why, const struct tus_reply *reply)
{
	const struct tus_answer *answer = tus_answer(why);
	int status = status_of(c, answer);

	c->reply = *reply;
	c->res.outcome.code = answer->code;
	c->res.outcome.is_soft = status != answer->status;
	if (!is_head(c))
		tus_header(c, "Content-Type", "text/plain; charset=utf-8");
	c->res.text =
	    arena_printf(c->arena, "%s: %s\n", answer->code, answer->text);
	if (status == 405)
		tus_header(c, "Allow", tus_allow(c));
	if (status == 412)
		tus_header(c, "Tus-Version", TUS_VERSION);
	if (status == 423 || status == 503)
		tus_header(c, "Retry-After", "1");
	if (status == 413 && c->max_size > 0)
		tus_header_int(c, "Tus-Max-Size", c->max_size);
	if (why == TUS_WRONG_OFFSET)
		tus_header_int(c, "Upload-Offset", c->up->info.offset);
	return tus_done(c, status);
}

enum tus_step
tus_fail(struct tus_call *c)
{
	return tus_refuse(c, tus_refusal_for(c->res.err.code));
}
