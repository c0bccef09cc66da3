/*
 * end.c - the one way out of a request.
 *
 * A handler records what is to be answered and returns STEP_DONE.  Only here
 * the response is made, what happened is noted for the hooks, and what is open
 * is let go of, in this order.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "tus/call.h"

/* HTTP looks at the method that came, tus at the one it stands for: nothing
 * that is HEAD in either way has a body. */
static bool
is_head(const struct web_call *c)
{
	const char *method = c->req->method;

	return c->method == TUS_HEAD ||
	    (method != NULL && strcmp(method, "HEAD") == 0);
}

/*
 * A client that gets a 5xx for HEAD begins anew at offset 0, so that every
 * reason which may pass is told as a lock; the code in the log is the true one.
 * A damaged record does not pass.
 */
static int
status_of(const struct web_call *c, const struct tus_answer *answer)
{
	if (c->method == TUS_HEAD && answer->status >= 500 &&
	    c->res.err.code != ERR_CORRUPT)
		return tus_answer(TUS_LOCKED)->status;
	return answer->status;
}

static void
add_refusal(struct web_call *c)
{
	const struct tus_answer *answer = tus_answer(c->why);

	c->status = status_of(c, answer);
	c->res.outcome.code = answer->code;
	c->res.outcome.is_soft = c->status != answer->status;
	if (!is_head(c))
		tus_header(c, "Content-Type", "text/plain; charset=utf-8");
	c->res.text =
	    arena_printf(c->arena, "%s: %s\n", answer->code, answer->text);
	if (c->status == 405)
		tus_header(c, "Allow", tus_allow(c));
	if (c->why == TUS_UNSUPPORTED_VERSION)
		tus_header(c, "Tus-Version", TUS_VERSION);
	if (c->why == TUS_BAD_CONTENT_TYPE && c->method == TUS_PATCH)
		tus_header(c, "Accept-Patch", TUS_BODY_TYPE);
	if (c->status == 423 || c->status == 503)
		tus_header(c, "Retry-After",
		    c->why == TUS_LOCK_UNAVAILABLE ? "5" : "1");
	if (c->status == 413 && c->max_size > 0)
		tus_header_int(c, "Tus-Max-Size", c->max_size);
	if (c->why == TUS_WRONG_OFFSET)
		tus_header_int(c, "Upload-Offset", c->up->info.offset);
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
apply_reply(struct web_call *c, int status)
{
	const struct hook_reply *reply = &c->reply;
	const struct pair *p;

	for (p = reply->headers; p != NULL; p = p->next)
		if (!is_ours_alone(p->key))
			tus_header_set(c, p->key, p->value);
	if (reply->body != NULL) {
		c->res.text = reply->body;
		if (!tus_has_header(c, "Content-Type"))
			tus_header(
			    c, "Content-Type", "text/plain; charset=utf-8");
	}
	return reply->status != 0 ? reply->status : status;
}

static void
respond(struct web_call *c)
{
	struct web_response *res = &c->res;
	int status;

	if (c->is_refused)
		add_refusal(c);
	tus_header(c, "Tus-Resumable", TUS_VERSION);
	tus_header(c, "X-Content-Type-Options", "nosniff");
	if (c->method != TUS_OPTIONS && res->content == NULL &&
	    c->status != 304)
		tus_header(c, "Cache-Control", "no-store");
	tus_cors_headers(c);
	status = apply_reply(c, c->status);
	res->status = status;
	res->reason = web_reason(status);
	res->bodiless = is_head(c) || status == 204 || status == 304;
	if (res->bodiless)
		res->text = NULL;
}

/* What the log wants to know, before the upload is closed. */
static void
note_outcome(struct web_call *c)
{
	struct web_outcome *o = &c->res.outcome;

	o->offset = -1;
	if (c->id[0] != '\0')
		o->id = c->id;
	if (c->up != NULL && c->up->info.id != NULL) {
		o->id = arena_strdup(c->arena, c->up->info.id);
		o->offset = c->up->info.offset;
	}
	o->received = c->received;
}

static enum step
conclude(struct web_call *c, enum step step)
{
	if (step != STEP_DONE)
		return step;
	respond(c);
	note_outcome(c);
	tus_note(c);
	tus_let_go(c);
	return STEP_DONE;
}

enum step
web_begin(struct web_call *c)
{
	return conclude(c, tus_dispatch(c));
}

enum step
web_receive(struct web_call *c, const void *buf, size_t len)
{
	return conclude(c, tus_body_slice(c, buf, len));
}

enum step
web_tick(struct web_call *c)
{
	return conclude(c, tus_body_tick(c));
}

void
web_end(struct web_call *c, enum body_end why)
{
	(void)conclude(c, tus_body_end(c, why));
}

void
web_give_up(struct web_call *c)
{
	(void)conclude(c, tus_refuse(c, TUS_LOCKED));
}

void
web_turn_away(struct web_call *c)
{
	/* There may have been another answer, but nobody has seen it. */
	if (c->res.content != NULL)
		c->srv->core.store->reader->close(c->res.content);
	c->res.content = NULL;
	c->res.headers = NULL;
	c->header_end = (struct pair **)&c->res.headers;
	(void)conclude(c, tus_refuse(c, TUS_TOO_BUSY));
}

void
web_look_at(const struct web_call *c, struct web_sight *sight)
{
	*sight = (struct web_sight){ .method = c->res.outcome.method,
		.id = c->id,
		.metadata = c->create.metadata,
		.offset = c->up != NULL ? c->up->info.offset : 0,
		.size = c->length };
	if (c->up == NULL)
		return;
	sight->id = c->up->info.id;
	sight->metadata = c->up->info.metadata;
	if (!c->up->info.size_deferred)
		sight->size = c->up->info.size;
}

const struct web_response *
web_response(const struct web_call *c)
{
	return c->is_done ? &c->res : NULL;
}

ssize_t
web_content(struct web_call *c, void *buf, size_t size, struct err *e)
{
	int64_t left = c->res.content->length - c->sent;
	ssize_t n;

	if ((uint64_t)size > (uint64_t)left)
		size = (size_t)left;
	if (size == 0)
		return 0;
	n = c->srv->core.store->reader->read(c->res.content, buf, size, e);
	if (n > 0)
		c->sent += n;
	return n;
}

void
web_close(struct web_call *c)
{
	if (c->res.content != NULL)
		c->srv->core.store->reader->close(c->res.content);
	c->res.content = NULL;
	tus_let_go(c);
	tus_tell(c);
	tus_let_go(c);
}
