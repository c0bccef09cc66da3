/*
 * claim.c - have an upload to oneself, and finish it.
 */
#include "config.h"

#include "core/parts.h"
#include "core/whole.h"

enum step
core_fail_creation(struct task *t, enum err_code rc)
{
	/* The record has a bound of its own. */
	return task_refuse(
	    t, rc == ERR_INVALID ? REFUSE_RECORD_TOO_LARGE : core_refusal(rc));
}

/* Is the whole upload what the client said that it would be?  If not, no client
 * can mend it. */
static bool
check_whole(struct task *t)
{
	if (whole_check(t->up, t->arena, &t->whole_wrong, &t->err) != ERR_OK) {
		(void)task_fail(t);
		return false;
	}
	if (t->whole_wrong == NULL)
		return true;
	if (core_is_undone(t))
		core_remove(t);
	else
		core_invalidate(t);
	(void)task_refuse(t, REFUSE_DIGEST_MISMATCH);
	return false;
}

bool
core_finish(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;
	unsigned pending = core_sequel(t, &t->up->info);

	if (t->up->info.digest != NULL && !check_whole(t))
		return false;
	if (!core_ask_to_finish(t))
		return false;
	if (finisher != NULL &&
	    finisher->finish(t->up, pending, &t->err) != ERR_OK) {
		if (core_is_undone(t)) {
			core_remove(t);
			(void)core_fail_creation(t, t->err.code);
		} else {
			(void)task_fail(t);
		}
		return false;
	}
	t->finished = true;
	t->is_over = true;
	return true;
}

/*
 * A request died between the last byte and the finish.  What pre-finish has to
 * say is meant for the request that sends the last byte, so a look asks the
 * client for that byte once more; and a removal finishes nothing.
 */
static bool
finish_late(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;

	if (t->in.deed == DEED_REMOVE)
		return true;
	if (t->in.deed != DEED_LOOK || finisher == NULL ||
	    t->up->info.size == 0 || !core_wants(t, HOOK_PRE_FINISH))
		return core_finish(t);
	if (finisher->refuse(t->up, &t->err) == ERR_OK)
		return true;
	(void)task_fail(t);
	return false;
}

enum step
core_claim(struct task *t, enum lock_how how)
{
	struct err *e = &t->err;
	enum step step;
	enum err_code rc;

	if (t->core->locker != NULL && t->lock == NULL) {
		step = core_lock(t, how);
		/* Without the lock nothing may be repaired. */
		if (step != STEP_RECEIVE || t->lock == NULL)
			return step;
	}
	rc = t->core->store->core->claim(t->up, e);
	if (rc == ERR_NOT_FOUND) {
		/* Removed while we waited. */
		e->code = ERR_OK;
		t->is_over = true;
		return task_refuse(t, REFUSE_NOT_FOUND);
	}
	if (rc == ERR_CORRUPT && t->in.deed == DEED_REMOVE) {
		e->code = ERR_OK;
		return STEP_RECEIVE;
	}
	if (rc != ERR_OK)
		return task_fail(t);
	/* Finished while we waited; the lock of an old one is a note. */
	if (upload_is_finished(t->up))
		t->is_over = !t->up->info.is_marked_by_lock;
	else if (upload_is_whole(t->up) && !finish_late(t))
		return STEP_DONE;
	return STEP_RECEIVE;
}
