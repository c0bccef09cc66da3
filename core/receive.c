/*
 * receive.c - append a body to an upload, and finish it when it is whole.
 *
 * The client may leave at any byte.  Its bytes so far are kept, and HEAD says
 * so; only a digest that was not verified, or a byte too many, takes it back.
 */
#include "config.h"

#include "core/parts.h"

/* The least time that a holder keeps the lock, so that two clients of one
 * upload both progress. */
#define MIN_HOLD_MS 250

/*
 * Take back, or keep, what was written; then the outcome is whatever the caller
 * says.  False if even that failed.
 */
static bool
end_write(struct task *t, bool keep)
{
	struct err e;

	if (!t->is_writing)
		return true;
	if (core_has_lost(t)) {
		(void)core_abandon(t);
		return false;
	}
	t->is_writing = false;
	if (t->core->store->core->write_end(t->up, keep, &e) == ERR_OK)
		return true;
	t->err = e;
	if (core_is_undone(t)) {
		core_remove(t);
		(void)core_fail_creation(t, e.code);
	} else {
		(void)task_fail(t);
	}
	return false;
}

/* An append that was accepted renews the time an upload has, and so do the
 * bytes of a creation.  One without a body has no lock to write under. */
static bool
renew_expiry(struct task *t)
{
	const struct core *core = t->core;
	int64_t when = core->now() + core->expire_after;

	if (!core->expire_sliding || !core_can_expire(core) ||
	    t->up->info.expires == when ||
	    (core_is_creation(t) && t->in.body_length == 0))
		return true;
	return core->store->expirer->set_expiry(t->up, when, &t->err) == ERR_OK;
}

/* Is this the end of an upload that its client knows? */
static bool
ends_upload(const struct task *t, int why)
{
	if (why == REFUSE_BEYOND_LENGTH)
		return t->in.is_strict;
	return core_is_creation(t) &&
	    (why == REFUSE_DIGEST_MISMATCH || why == REFUSE_LENGTHS_DISAGREE ||
		why == REFUSE_TOO_LARGE || why == REFUSE_BODY_TOO_LARGE);
}

/* Refuse in the middle of a body.  What the client knows nothing of is undone
 * as a whole. */
static enum step
stop(struct task *t, int why, bool keep)
{
	if (core_has_lost(t))
		return core_abandon(t);
	if (core_is_undone(t)) {
		core_remove(t);
		return task_refuse(t, why);
	}
	if (ends_upload(t, why)) {
		core_invalidate(t);
		return task_refuse(t, why);
	}
	if (keep && t->is_writing && t->past.received > 0)
		(void)renew_expiry(t);
	if (!end_write(t, keep))
		return STEP_DONE;
	/* A request that waits for the upload, or a master that waits for us to
	 * go, does not wait for a hook. */
	if (keep && why != REFUSE_INTERRUPTED && why != REFUSE_SHUTTING_DOWN &&
	    !core_post_receive(t))
		return STEP_DONE;
	/* All that was announced may have come nevertheless. */
	if (upload_is_whole(t->up) && !upload_is_finished(t->up) &&
	    !core_finish(t))
		return STEP_DONE;
	return task_refuse(t, why);
}

/* Refuse as t->err says, and keep what fitted, but never what was not
 * verified. */
static enum step
stop_failed(struct task *t)
{
	return stop(t, core_refusal(t, t->err.code), t->in.sum_count == 0);
}

/* Open the upload for writing, where a body turned up. */
static bool
begin_write(struct task *t)
{
	bool is_sure = t->in.body_length >= 0 && t->in.sum_count == 0;

	if (t->in.deed == DEED_CREATE && !core_create(t))
		return false;
	/* The store may have a limit of its own. */
	if (t->in.deed == DEED_CREATE && t->in.body_length > t->past.limit) {
		(void)stop(t, core_why_too_long(t), false);
		return false;
	}
	/* The length counts together with the last byte unless it is known
	 * beforehand that all bytes will be taken. */
	if ((is_sure && !core_declare_length(t)) ||
	    t->core->store->core->write_begin(
		t->up, t->in.sum_count > 0, &t->err) != ERR_OK) {
		(void)stop(t, core_refusal(t, t->err.code), false);
		return false;
	}
	t->is_writing = true;
	t->past.reported = t->up->info.offset;
	t->past.reported_at = t->core->now_ms();
	if (!core_declare_length(t)) {
		(void)stop(t, core_refusal(t, t->err.code), false);
		return false;
	}
	core_begin_digests(t);
	return true;
}

/* The client says that this was all: then the length is what came.  False if it
 * is not, and that was refused. */
static bool
end_upload(struct task *t)
{
	const struct store_length_declarer *declarer =
	    t->core->store->length_declarer;
	const struct file_info *info = &t->up->info;

	if (!t->in.is_last || upload_is_whole(t->up))
		return true;
	if (!info->size_deferred)
		(void)stop(t, REFUSE_LENGTHS_DISAGREE, true);
	else if (declarer->declare_length(t->up, info->offset, &t->err) ==
	    ERR_OK)
		return true;
	else
		(void)stop_failed(t);
	return false;
}

/* The body is here as announced. */
static enum step
complete(struct task *t)
{
	if (core_has_lost(t))
		return core_abandon(t);
	/* An empty body for an upload that is finished. */
	if (t->up != NULL && !t->is_writing && upload_is_finished(t->up)) {
		(void)core_check_digest_of_nothing(t);
		return STEP_DONE;
	}
	if (t->in.deed == DEED_CONCAT)
		return core_concat(t);
	if (!t->is_writing && !begin_write(t))
		return STEP_DONE;
	if (t->past.has_last &&
	    t->core->store->core->write(t->up, &t->past.last, 1, &t->err) !=
		ERR_OK)
		return stop_failed(t);
	if (!core_read_again(t))
		return stop_failed(t);
	if (!core_end_digests(t))
		return stop(t, REFUSE_DIGEST_MISMATCH, false);
	if (!end_upload(t))
		return STEP_DONE;
	if (!renew_expiry(t))
		return stop_failed(t);
	if (end_write(t, true) && core_post_receive(t) &&
	    upload_is_whole(t->up))
		(void)core_finish(t);
	return STEP_DONE;
}

int64_t
task_wanted(const struct task *t)
{
	return t->in.body_length < 0 ? -1 :
				       t->in.body_length - t->past.received;
}

/* What may be written now; the byte that makes it whole may have to wait. */
static size_t
hold_back(struct task *t, const char *buf, size_t len)
{
	if (t->in.body_length >= 0 || len == 0 ||
	    (int64_t)len < t->past.limit - t->up->info.offset)
		return len;
	t->past.last = buf[len - 1];
	t->past.has_last = true;
	return len - 1;
}

/* May this many bytes come? */
static bool
check_slice(struct task *t, size_t len)
{
	enum err_code rc;

	if (t->in.if_body != REFUSE_NOTHING)
		return core_refuse(t, t->in.if_body);
	if (!t->is_writing && !begin_write(t))
		return false;
	if (t->past.has_last ||
	    (uint64_t)len > (uint64_t)(t->past.limit - t->up->info.offset)) {
		(void)stop(t, core_why_too_long(t), false);
		return false;
	}
	rc = core_grow(t, len);
	if (rc != ERR_OK)
		(void)stop(t, core_refusal(t, rc),
		    rc == ERR_UNAVAILABLE && t->in.sum_count == 0);
	return rc == ERR_OK;
}

/* May more bytes come now? */
static enum step
pace(struct task *t)
{
	const struct store_pacer *pacer = t->core->store->pacer;

	t->wait = (struct wait){ .fd = -1 };
	if (pacer == NULL || !t->is_writing)
		return STEP_RECEIVE;
	if (pacer->pace(t->up, &t->wait, &t->err) != ERR_OK)
		return stop_failed(t);
	return t->wait.ms > 0 ? STEP_WAIT : STEP_RECEIVE;
}

enum step
task_receive(struct task *t, const void *buf, size_t len)
{
	int64_t wanted = task_wanted(t);
	size_t now, i;

	if (wanted >= 0 && (uint64_t)len > (uint64_t)wanted)
		len = (size_t)wanted;
	if (len == 0)
		return pace(t);
	if (core_has_lost(t))
		return core_abandon(t);
	if (!check_slice(t, len))
		return STEP_DONE;
	t->past.received += (int64_t)len;
	for (i = 0; i < t->in.sum_count && t->digests[i] != NULL; i++)
		digest_update(t->digests[i], buf, len);
	now = hold_back(t, buf, len);
	if (t->core->store->core->write(t->up, buf, now, &t->err) == ERR_OK)
		return pace(t);
	return stop_failed(t);
}

/* A creation whose id no client knows cannot go on in another request: it does
 * not give way. */
static bool
is_asked_for(const struct task *t)
{
	return t->lock != NULL && !core_is_undone(t) &&
	    t->core->now_ms() - t->past.locked_at >= MIN_HOLD_MS &&
	    t->lock->locker->ops->state(t->lock) == LOCK_WANTED;
}

enum step
task_tick(struct task *t)
{
	if (core_has_lost(t))
		return core_abandon(t);
	if (is_asked_for(t)) {
		t->interrupted = true;
		return stop(t, REFUSE_INTERRUPTED, t->in.sum_count == 0);
	}
	return core_report_progress(t) ? pace(t) : STEP_DONE;
}

enum step
task_end(struct task *t, enum body_end why)
{
	static const enum refusal refusals[] = {
		[END_COMPLETE] = REFUSE_UNEXPECTED_END,
		[END_CLIENT_GONE] = REFUSE_UNEXPECTED_END,
		[END_TIMED_OUT] = REFUSE_TIMED_OUT,
		[END_SHUTDOWN] = REFUSE_SHUTTING_DOWN,
	};
	/* All announced bytes are here: how the connection fares is of no
	 * interest any more. */
	bool is_all =
	    t->in.body_length >= 0 ? task_wanted(t) == 0 : why == END_COMPLETE;

	return is_all ? complete(t) :
			stop(t, (int)refusals[why], t->in.sum_count == 0);
}

/* --- To append. --- */

/* A request may be about to renew an upload that seems expired: then the upload
 * is locked, or was locked when this task looked. */
static enum step
claim_expired(struct task *t)
{
	enum step step;

	if (core_is_over(t))
		return task_refuse(t, REFUSE_GONE);
	step = core_claim(t, LOCK_EXISTING);
	if (step != STEP_RECEIVE || t->lock != NULL)
		return step;
	core_close_upload(t);
	if (!core_look(t, t->in.id))
		return STEP_DONE;
	return core_is_expired(t) ? task_refuse(t, REFUSE_GONE) : STEP_RECEIVE;
}

static enum step
claim(struct task *t)
{
	enum step step = STEP_RECEIVE;

	if (core_is_expired(t))
		step = claim_expired(t);
	if (step == STEP_RECEIVE && t->lock == NULL &&
	    !upload_is_finished(t->up) && !core_claim_briefly(t, &step))
		step = core_claim(t, LOCK_CREATE);
	return step;
}

static int
why_not_this_length(const struct task *t)
{
	const struct file_info *info = &t->up->info;

	if (t->in.length < 0)
		return REFUSE_NOTHING;
	if (!info->size_deferred && t->in.length != info->size)
		return REFUSE_LENGTH_CHANGED;
	if (t->in.length < info->offset)
		return REFUSE_LENGTH_TOO_SMALL;
	if (info->size_deferred && t->in.max_size > 0 &&
	    t->in.length > t->in.max_size)
		return REFUSE_TOO_LARGE;
	return REFUSE_NOTHING;
}

static bool
is_too_large(const struct task *t)
{
	return t->up->info.size_deferred && t->in.max_size > 0 &&
	    t->in.length > t->in.max_size;
}

static int
why_not_these_lengths(struct task *t)
{
	const struct file_info *info = &t->up->info;
	int64_t size = info->size_deferred ? t->in.length : info->size;
	int64_t end = -1;

	if (is_too_large(t))
		return REFUSE_TOO_LARGE;
	if (t->in.body_length > INT64_MAX - info->offset)
		return size < 0 ? REFUSE_TOO_LARGE : REFUSE_BEYOND_LENGTH;
	if (t->in.body_length >= 0)
		end = info->offset + t->in.body_length;
	if (t->in.length >= 0 &&
	    (t->in.length != size || t->in.length < info->offset))
		return REFUSE_LENGTHS_DISAGREE;
	if (size >= 0 && end > size)
		return REFUSE_BEYOND_LENGTH;
	if (t->in.is_last && end >= 0 && size >= 0 && end < size)
		return REFUSE_LENGTHS_DISAGREE;
	if (t->in.is_last && end >= 0 && size < 0)
		t->in.length = end;
	return is_too_large(t) ? REFUSE_TOO_LARGE : REFUSE_NOTHING;
}

/* Strictly: does what is known of the length before an append agree? */
static bool
check_lengths(struct task *t)
{
	int why = why_not_these_lengths(t);

	/* It is not known any more what the client wants to make. */
	if (why == REFUSE_BEYOND_LENGTH && !upload_is_finished(t->up))
		core_invalidate(t);
	return why == REFUSE_NOTHING || core_refuse(t, why);
}

/* What depends on the state of the upload. */
static bool
check_upload(struct task *t)
{
	int why;

	core_limit(t, t->up->info.max_size);
	if (core_is_expired(t))
		why = REFUSE_GONE;
	else if (t->up->info.is_final)
		why = REFUSE_MODIFY_FINAL;
	else if (t->in.offset != t->up->info.offset)
		why = REFUSE_WRONG_OFFSET;
	else if (t->in.is_strict)
		why = REFUSE_NOTHING;
	else
		why = why_not_this_length(t);
	if (why == REFUSE_NOTHING)
		return (!t->in.is_strict || check_lengths(t)) &&
		    core_check_size(t) && core_reserve(t) && core_check_late(t);
	return core_refuse(t, why);
}

enum step
core_begin_append(struct task *t)
{
	enum step step;

	if (t->up == NULL && !core_look(t, t->in.id))
		return STEP_DONE;
	step = claim(t);
	if (step != STEP_RECEIVE)
		return step;
	if (!check_upload(t))
		return STEP_DONE;
	if (t->in.body_length == 0)
		return complete(t);
	if (upload_is_finished(t->up))
		t->in.if_body = REFUSE_BEYOND_LENGTH;
	else if (!begin_write(t))
		return STEP_DONE;
	return STEP_RECEIVE;
}

/* --- To create; or to concatenate, with parts that are looked at when no body
 * has come. --- */

enum step
core_begin_create(struct task *t)
{
	if (t->in.deed == DEED_CREATE) {
		if (t->in.max_size > 0 && t->in.length > t->in.max_size)
			return task_refuse(t, REFUSE_TOO_LARGE);
		if (!core_check_size(t) || !core_check_late(t))
			return STEP_DONE;
	}
	if (t->in.body_length == 0)
		return complete(t);
	return !t->in.is_early || begin_write(t) ? STEP_RECEIVE : STEP_DONE;
}

bool
task_tell(struct task *t)
{
	t->past.is_told = t->in.is_early && t->is_writing;
	return t->past.is_told;
}
