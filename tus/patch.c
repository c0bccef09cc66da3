/*
 * patch.c - PATCH: checks in the order that protocol.md gives, then the body.
 */
#include "config.h"

#include "tus/call.h"

/* What the headers alone can tell. */
static bool
check_headers(struct web_call *c)
{
	const struct web_request *req = c->req;

	if (!tus_parse_is_type(req->content_type, TUS_BODY_TYPE)) {
		(void)tus_refuse(c, TUS_BAD_CONTENT_TYPE);
		return false;
	}
	if (!tus_parse_int64(req->upload_offset, &c->offset)) {
		(void)tus_refuse(c, TUS_BAD_OFFSET);
		return false;
	}
	if (req->upload_length != NULL &&
	    !tus_parse_int64(req->upload_length, &c->length)) {
		(void)tus_refuse(c, TUS_BAD_LENGTH);
		return false;
	}
	return tus_check_content_length(c);
}

static bool
check_length(struct web_call *c)
{
	const struct file_info *info = &c->up->info;

	if (c->length < 0)
		return true;
	if (!info->size_deferred && c->length != info->size) {
		(void)tus_refuse(c, TUS_LENGTH_CHANGED);
		return false;
	}
	if (c->length < info->offset) {
		(void)tus_refuse(c, TUS_LENGTH_TOO_SMALL);
		return false;
	}
	if (info->size_deferred && c->max_size > 0 && c->length > c->max_size) {
		(void)tus_refuse(c, TUS_TOO_LARGE);
		return false;
	}
	return true;
}

/* What depends on the state of the upload; false if refused. */
static bool
check_upload(struct web_call *c)
{
	enum tus_refusal why;

	tus_limit(c, c->up->info.max_size);
	if (tus_is_expired(c))
		why = TUS_GONE;
	else if (c->up->info.is_final)
		why = TUS_MODIFY_FINAL;
	else if (c->offset != c->up->info.offset)
		why = TUS_WRONG_OFFSET;
	else
		return check_length(c) && tus_check_size(c) && tus_reserve(c) &&
		    tus_check_sum_header(c);
	(void)tus_refuse(c, why);
	return false;
}

/* One that seems to have expired may be about to be renewed: then it has a
 * lock, or it had one when we looked. */
static enum step
claim_expired(struct web_call *c)
{
	enum step step;

	if (tus_is_over(c))
		return tus_refuse(c, TUS_GONE);
	step = tus_claim(c, LOCK_EXISTING);
	if (step != STEP_RECEIVE || c->lock != NULL)
		return step;
	c->srv->core.store->core->close(c->up);
	c->up = NULL;
	if (!tus_look(c))
		return STEP_DONE;
	return tus_is_expired(c) ? tus_refuse(c, TUS_GONE) : STEP_RECEIVE;
}

static enum step
claim(struct web_call *c)
{
	enum step step = STEP_RECEIVE;

	if (tus_is_expired(c))
		step = claim_expired(c);
	if (step == STEP_RECEIVE && c->lock == NULL &&
	    !upload_is_finished(c->up))
		step = tus_claim(c, LOCK_CREATE);
	return step;
}

enum step
tus_patch(struct web_call *c)
{
	enum step step;

	if (c->up == NULL && (!check_headers(c) || !tus_look(c)))
		return STEP_DONE;
	step = claim(c);
	if (step != STEP_RECEIVE)
		return step;
	if (!check_upload(c))
		return STEP_DONE;
	c->body = upload_is_finished(c->up) ? TUS_BODY_EMPTY : TUS_BODY_APPEND;
	return tus_start_body(c);
}
