/*
 * park.c - a task changes its process in the middle of a body.
 *
 * What it has written is in the store, its lock is a descriptor that goes with
 * the note, and its intent is made of the request once more.  A hook is never
 * asked or told twice: before the first byte nothing was made, and after it the
 * note says what was.
 *
 * The state of a digest stays behind, because libcrypto cannot export it.  The
 * bytes are on probation in the store, so the task that sees their end reads
 * them once more.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "core/parts.h"

/* Bytes of a digest that are read again in no time. */
#define DIGEST_AGAIN ((int64_t)64 << 20)

static bool
has_reply(const struct task *t)
{
	const struct hook_reply *r = &t->reply;

	return r->status != 0 || r->body != NULL || r->headers != NULL;
}

static bool
can_park(const struct task *t)
{
	const struct data_store *store = t->core->store;
	const struct locker *locker = t->core->locker;

	if (t->why != REFUSE_NOTHING || has_reply(t) ||
	    store->suspender == NULL ||
	    (locker != NULL && locker->lender == NULL))
		return false;
	if (t->up == NULL)
		return t->lock == NULL;
	if (!t->is_writing || core_has_lost(t))
		return false;
	return t->in.sum_count == 0 ||
	    (t->past.received <= DIGEST_AGAIN && store->reads_unfinished);
}

bool
task_park(struct task *t, struct task_note *n)
{
	const struct store_suspender *suspender = t->core->store->suspender;
	struct err ignored;

	if (!can_park(t))
		return false;
	*n = (struct task_note){ .is_blank = t->up == NULL, .loan.fd = -1 };
	if (n->is_blank)
		return true;
	/* A hidden upload has no lock, and is to be seen from now on. */
	if (core_lock_new(t, t->up->info.id) != ERR_OK) {
		t->err.code = ERR_OK;
		return false;
	}
	if (suspender->suspend(t->up, &n->pause, &ignored) != ERR_OK)
		return false;
	if (t->lock != NULL)
		t->lock->locker->lender->lend(t->lock, &n->loan);
	(void)stpcpy(n->id, t->up->info.id);
	n->length = t->in.length;
	n->past = t->past;
	return true;
}

void
task_parted(struct task *t)
{
	/* The ledger keeps what is reserved. */
	t->past.reserved = -1;
	t->is_writing = false;
	if (t->lock != NULL)
		t->lock->locker->lender->parted(t->lock);
	t->lock = NULL;
	core_let_go(t);
}

static enum err_code
adopt(struct task *t, const struct task_note *n)
{
	struct locker *locker = t->core->locker;

	if (n->loan.fd == -1)
		return ERR_OK;
	if (locker != NULL && locker->lender != NULL)
		return locker->lender->adopt(
		    locker, n->id, &n->loan, t->arena, &t->lock, &t->err);
	(void)close(n->loan.fd);
	return err_set(
	    &t->err, ERR_CONFLICT, "%s: there are no such locks here", n->id);
}

/* Nothing is repaired: an upload that is not as this task left it belongs to
 * another request by now. */
static enum step
give_up(struct task *t)
{
	if (t->err.code == ERR_CONFLICT)
		return task_refuse(t, REFUSE_INTERNAL);
	return task_fail(t);
}

static void
restore(struct task *t, const struct task_note *n)
{
	t->is_writing = true;
	t->began_at = n->pause.start;
	t->in.length = n->length;
	t->past = n->past;
	/* post-create is shown the upload as it was before the first byte. */
	t->was_created = t->up->info;
	t->was_created.offset = 0;
}

enum step
task_resume(struct task *t, const struct task_note *n)
{
	const struct store_suspender *suspender = t->core->store->suspender;

	if (adopt(t, n) != ERR_OK)
		return give_up(t);
	if (t->up == NULL && !core_look(t, n->id))
		return STEP_DONE;
	if (suspender == NULL) {
		(void)err_set(&t->err, ERR_CONFLICT,
		    "%s: this store cannot go on with it", n->id);
		return give_up(t);
	}
	if (suspender->resume(t->up, &n->pause, &t->err) != ERR_OK)
		return give_up(t);
	restore(t, n);
	if (core_has_lost(t))
		return core_abandon(t);
	/* No byte has left the memory of a process yet. */
	if (n->pause.end == n->pause.start)
		core_begin_digests(t);
	return core_declare_length(t) ? STEP_RECEIVE : give_up(t);
}

bool
task_has_to_report(const struct task *t)
{
	return t->is_writing && t->core->hooks != NULL &&
	    t->core->hooks->progress > 0 &&
	    t->up->info.offset != t->past.reported &&
	    core_wants(t, HOOK_POST_RECEIVE);
}
