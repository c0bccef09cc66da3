/*
 * receive.c - append a body to an upload and finish it when it is whole.
 *
 * The client may leave at any byte.  What came is kept and HEAD will say so;
 * only a checksum that was not verified, or a byte too many, takes it back.
 */
#include "config.h"

#include <string.h>

#include "tus/call.h"

/* How long a holder keeps the lock at least: two tabs then both progress. */
#define MIN_HOLD_MS 250

static bool
is_offered(const struct web_server *srv, const char *name)
{
	size_t i;

	for (i = 0; tus_checksum_offered(srv, i) != NULL; i++)
		if (strcmp(tus_checksum_offered(srv, i), name) == 0)
			return true;
	return false;
}

const char *
tus_checksum_offered(const struct web_server *srv, size_t n)
{
	if (!srv->core.allow_checksum)
		return NULL;
	return srv->core.checksums != NULL ? srv->core.checksums[n] :
					     digest_name(n);
}

bool
tus_check_sum_header(struct web_call *c)
{
	const struct web_request *req = c->req;

	if (tus_checksum_offered(c->srv, 0) == NULL)
		return true;
	switch (tus_parse_sum(c->arena, req->upload_checksum, &c->sum)) {
	case TUS_ABSENT:
		if (!tus_parse_has_token(req->trailer, "Upload-Checksum"))
			return true;
		(void)tus_refuse(c, TUS_CHECKSUM_TRAILER);
		return false;
	case TUS_MALFORMED:
	case TUS_TOO_MANY:
		(void)tus_refuse(c, TUS_BAD_CHECKSUM);
		return false;
	case TUS_VALID:
		break;
	}
	c->has_sum = true;
	if (is_offered(c->srv, c->sum.algorithm))
		return true;
	(void)tus_refuse(c, TUS_UNKNOWN_ALGORITHM);
	return false;
}

bool
tus_check_content_length(struct web_call *c)
{
	const char *s = c->req->content_length;

	/* Caddy says -1 where it does not know. */
	if (s == NULL || *s == '\0' || strcmp(s, "-1") == 0 ||
	    tus_parse_int64(s, &c->content_length))
		return true;
	(void)tus_refuse(c, TUS_BAD_CONTENT_LENGTH);
	return false;
}

/* The size that the upload must not pass, as far as anybody knows it. */
static int64_t
limit_of(const struct web_call *c)
{
	if (c->length >= 0)
		return c->length;
	if (c->up != NULL && !c->up->info.size_deferred)
		return c->up->info.size;
	return c->max_size > 0 ? c->max_size : INT64_MAX;
}

void
tus_limit(struct web_call *c, int64_t max)
{
	if (max > 0 && (c->max_size == 0 || max < c->max_size))
		c->max_size = max;
}

static enum tus_refusal
why_too_long(const struct web_call *c)
{
	bool is_known =
	    c->length >= 0 || (c->up != NULL && !c->up->info.size_deferred);

	return is_known ? TUS_BEYOND_LENGTH : TUS_TOO_LARGE;
}

bool
tus_check_size(struct web_call *c)
{
	int64_t offset = c->up != NULL ? c->up->info.offset : 0;

	c->limit = limit_of(c);
	if (c->content_length <= c->limit - offset)
		return true;
	(void)tus_refuse(c, why_too_long(c));
	return false;
}

/*
 * Take back, or keep, what was written; then the response is whatever the
 * caller says.  False if even that failed and the call is done.
 */
static bool
end_write(struct web_call *c, bool keep)
{
	struct err e;

	if (!c->is_writing)
		return true;
	c->is_writing = false;
	if (c->srv->core.store->core->write_end(c->up, keep, &e) == ERR_OK)
		return true;
	c->res.err = e;
	if (c->method == TUS_POST) {
		tus_uncreate(c);
		(void)tus_fail_creation(c, e.code);
	} else {
		(void)tus_fail(c);
	}
	return false;
}

static bool
renews_expiry(const struct web_call *c)
{
	return c->srv->core.expire_sliding && tus_has_expiry(c->srv);
}

/* A PATCH that was accepted renews the time an upload has, and so do the bytes
 * of a creation.  One without a body has no lock to write under. */
static bool
renew_expiry(struct web_call *c)
{
	const struct data_store *store = c->srv->core.store;
	int64_t when = c->srv->core.now() + c->srv->core.expire_after;

	if (!renews_expiry(c) || c->up->info.expires == when ||
	    (c->method == TUS_POST && c->content_length == 0))
		return true;
	return store->expirer->set_expiry(c->up, when, &c->res.err) == ERR_OK;
}

/* Refuse in the middle of a body.  A creation is undone as a whole. */
static enum step
stop(struct web_call *c, enum tus_refusal why, bool keep)
{
	if (c->method == TUS_POST) {
		tus_uncreate(c);
		return tus_refuse(c, why);
	}
	if (keep && c->is_writing && c->received > 0)
		(void)renew_expiry(c);
	if (!end_write(c, keep))
		return STEP_DONE;
	/* Who waits for the upload, or for us to go, waits for no hook. */
	if (keep && why != TUS_INTERRUPTED && why != TUS_SHUTTING_DOWN &&
	    !tus_report(c))
		return STEP_DONE;
	/* All that was announced may have come nevertheless. */
	if (c->body == TUS_BODY_APPEND && upload_is_whole(c->up) &&
	    !upload_is_finished(c->up) && !tus_finish(c))
		return STEP_DONE;
	return tus_refuse(c, why);
}

/* Open the upload for writing, where a body turned up. */
static bool
begin_write(struct web_call *c)
{
	const struct data_store *store = c->srv->core.store;
	struct err *e = &c->res.err;

	if (c->body == TUS_BODY_CREATE && !tus_create_upload(c))
		return false;
	/* The length counts together with the last byte unless it is known
	 * beforehand that all bytes will be taken. */
	if (c->method == TUS_PATCH && c->length >= 0 &&
	    c->up->info.size_deferred && c->content_length >= 0 &&
	    !c->has_sum &&
	    store->length_declarer->declare_length(c->up, c->length, e) !=
		ERR_OK)
		goto fail;
	if (store->core->write_begin(c->up, c->has_sum, e) != ERR_OK)
		goto fail;
	c->is_writing = true;
	c->reported = c->up->info.offset;
	c->reported_at = c->srv->core.now_ms();
	if (c->method == TUS_PATCH && c->length >= 0 &&
	    c->up->info.size_deferred &&
	    store->length_declarer->declare_length(c->up, c->length, e) !=
		ERR_OK)
		goto fail;
	if (c->has_sum)
		c->digest = digest_new(c->arena, c->sum.algorithm);
	if (!c->has_sum || c->digest != NULL)
		return true;
	(void)stop(c, TUS_UNKNOWN_ALGORITHM, false);
	return false;
fail:
	(void)stop(c, tus_refusal_for(e->code), false);
	return false;
}

static enum step
answer_patched(struct web_call *c)
{
	tus_header_int(c, "Upload-Offset", c->up->info.offset);
	tus_header_expires(c);
	return tus_done(c, 204);
}

bool
tus_check_sum_of_nothing(struct web_call *c)
{
	struct digest *digest;

	if (!c->has_sum)
		return true;
	digest = digest_new(c->arena, c->sum.algorithm);
	if (digest == NULL)
		(void)tus_refuse(c, TUS_UNKNOWN_ALGORITHM);
	else if (!digest_end(digest, &c->sum))
		(void)tus_refuse(c, TUS_CHECKSUM_MISMATCH);
	return !c->is_done;
}

/* The body is here as announced. */
static enum step
complete(struct web_call *c)
{
	struct err *e = &c->res.err;
	struct digest *digest;

	if (c->body == TUS_BODY_EMPTY)
		return tus_check_sum_of_nothing(c) ? answer_patched(c) :
						     STEP_DONE;
	if (c->concat.is_final)
		return tus_concat(c);
	if (!c->is_writing && !begin_write(c))
		return STEP_DONE;
	if (c->has_last &&
	    c->srv->core.store->core->write(c->up, &c->last, 1, e) != ERR_OK)
		return stop(c, tus_refusal_for(e->code), !c->has_sum);
	digest = c->digest;
	c->digest = NULL;
	if (digest != NULL && !digest_end(digest, &c->sum))
		return stop(c, TUS_CHECKSUM_MISMATCH, false);
	if (!renew_expiry(c))
		return stop(c, tus_refusal_for(e->code), !c->has_sum);
	if (!end_write(c, true) || !tus_report(c))
		return STEP_DONE;
	if (upload_is_whole(c->up) && !tus_finish(c))
		return STEP_DONE;
	return c->method == TUS_POST ? tus_answer_created(c) :
				       answer_patched(c);
}

enum step
tus_start_body(struct web_call *c)
{
	if (c->content_length == 0)
		return complete(c);
	if (c->body == TUS_BODY_APPEND && !begin_write(c))
		return STEP_DONE;
	return STEP_RECEIVE;
}

int64_t
web_wanted(const struct web_call *c)
{
	return c->content_length < 0 ? -1 : c->content_length - c->received;
}

/* What may be written now; the byte that makes it whole may have to wait. */
static size_t
hold_back(struct web_call *c, const char *buf, size_t len)
{
	if (c->content_length >= 0 || len == 0 ||
	    (int64_t)len < c->limit - c->up->info.offset)
		return len;
	c->last = buf[len - 1];
	c->has_last = true;
	return len - 1;
}

/* May this many bytes come?  If not, the call is done. */
static bool
check_slice(struct web_call *c, size_t len)
{
	enum err_code rc;

	if (c->body == TUS_BODY_EMPTY) {
		(void)tus_refuse(c, TUS_BEYOND_LENGTH);
		return false;
	}
	if (c->body == TUS_BODY_CREATE && !c->has_type) {
		(void)tus_refuse(c, TUS_BAD_CONTENT_TYPE);
		return false;
	}
	if (c->concat.is_final) {
		(void)tus_refuse(c, TUS_FINAL_WITH_BODY);
		return false;
	}
	if (!c->is_writing && !begin_write(c))
		return false;
	if (c->has_last ||
	    (uint64_t)len > (uint64_t)(c->limit - c->up->info.offset)) {
		(void)stop(c, why_too_long(c), false);
		return false;
	}
	rc = tus_grow(c, len);
	if (rc != ERR_OK)
		(void)stop(c, tus_refusal_for(rc),
		    rc == ERR_UNAVAILABLE && !c->has_sum);
	return rc == ERR_OK;
}

enum step
tus_body_slice(struct web_call *c, const void *buf, size_t len)
{
	int64_t wanted = web_wanted(c);
	size_t now;

	if (wanted >= 0 && (uint64_t)len > (uint64_t)wanted)
		len = (size_t)wanted;
	if (len == 0)
		return STEP_RECEIVE;
	if (!check_slice(c, len))
		return STEP_DONE;
	c->received += (int64_t)len;
	if (c->digest != NULL)
		digest_update(c->digest, buf, len);
	now = hold_back(c, buf, len);
	if (c->srv->core.store->core->write(c->up, buf, now, &c->res.err) ==
	    ERR_OK)
		return STEP_RECEIVE;
	/* Keep what fitted, but never what was not verified. */
	return stop(c, tus_refusal_for(c->res.err.code), !c->has_sum);
}

/* A creation cannot go on elsewhere, so it lets nobody in. */
static bool
is_asked_for(const struct web_call *c)
{
	return c->lock != NULL && c->method != TUS_POST &&
	    c->srv->core.now_ms() - c->locked_at >= MIN_HOLD_MS &&
	    c->lock->locker->ops->state(c->lock) == LOCK_WANTED;
}

enum step
tus_body_tick(struct web_call *c)
{
	if (is_asked_for(c)) {
		c->res.outcome.interrupted = true;
		return stop(c, TUS_INTERRUPTED, !c->has_sum);
	}
	return tus_report_progress(c) ? STEP_RECEIVE : STEP_DONE;
}

enum step
tus_body_end(struct web_call *c, enum body_end why)
{
	static const enum tus_refusal refusals[] = {
		[END_COMPLETE] = TUS_UNEXPECTED_END,
		[END_CLIENT_GONE] = TUS_UNEXPECTED_END,
		[END_TIMED_OUT] = TUS_TIMED_OUT,
		[END_SHUTDOWN] = TUS_SHUTTING_DOWN,
	};
	/* All announced bytes are here: how the connection fares is of no
	 * interest any more. */
	bool is_all =
	    c->content_length >= 0 ? web_wanted(c) == 0 : why == END_COMPLETE;

	return is_all ? complete(c) : stop(c, refusals[why], !c->has_sum);
}
