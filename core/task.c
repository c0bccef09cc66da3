/*
 * task.c - begin what one request wants of an upload.
 */
#include "config.h"

#include <string.h>

#include "core/parts.h"

void
task_init(struct task *t, const struct core *core, struct arena *a)
{
	memset(t, 0, sizeof(*t));
	t->core = core;
	t->arena = a;
	t->in.max_size = core->max_size;
	t->in.offset = -1;
	t->in.length = -1;
	t->in.body_length = -1;
	t->reserved = -1;
}

/* --- To look how far it has got. --- */

/* Without the lock, if it was never locked and nothing is to be repaired: the
 * lock is released for good only when the upload is finished or gone. */
static enum step
claim_to_look(struct task *t)
{
	enum lock_how how = t->waited ? LOCK_CREATE : LOCK_EXISTING;
	enum step step = core_claim(t, how);

	if (step != STEP_RECEIVE || t->lock != NULL || t->up->settled)
		return step;
	return core_claim(t, LOCK_CREATE);
}

/*
 * What a look says is an acknowledgement like that of an append: the client
 * throws away what lies below the offset.  It needs the lock only where another
 * request may be writing, or where there is something to repair first.
 */
static enum step
begin_look(struct task *t)
{
	enum step step = STEP_RECEIVE;

	if (t->up == NULL && !core_look(t, t->in.id))
		return STEP_DONE;
	if (core_is_over(t))
		return task_refuse(t, REFUSE_GONE);
	if (!upload_is_finished(t->up))
		step = claim_to_look(t);
	if (step != STEP_RECEIVE)
		return step;
	/* The request that finished it may still be flushing what we read. */
	if ((t->lock != NULL || !t->up->settled) &&
	    t->core->store->core->confirm(t->up, &t->err) != ERR_OK)
		return task_fail(t);
	return core_is_expired(t) ? task_refuse(t, REFUSE_GONE) : STEP_DONE;
}

/* --- To read. --- */

static enum step
begin_read(struct task *t)
{
	if (t->up == NULL && !core_look(t, t->in.id))
		return STEP_DONE;
	if (upload_is_finished(t->up) && !t->up->info.is_partial)
		return STEP_DONE;
	return task_refuse(t, REFUSE_NOT_FOUND);
}

/* --- To remove. --- */

/*
 * Is there no upload of this id, but what a creation or a removal that died
 * has left of one?  Then it was locked once, which no stranger's file was; and
 * as it does not say whose it is, nobody may remove it where uploads have
 * owners.
 */
static bool
clear_rest(struct task *t)
{
	struct locker *locker = t->core->locker;
	struct err e;

	if (t->core->has_owners || t->core->owner_required ||
	    t->in.owner != NULL || locker == NULL ||
	    locker->ops->acquire(locker, t->in.id, LOCK_EXISTING_QUIETLY,
		t->arena, &t->lock, &e) != ERR_OK)
		return false;
	t->is_over = core_clear(t, t->in.id);
	return t->is_over;
}

/* Works on every upload, damaged ones above all.  A request that is writing is
 * asked to let go, as it is for every request that wants the lock. */
static enum step
begin_remove(struct task *t)
{
	enum step step;

	if (t->up == NULL && !core_look(t, t->in.id)) {
		if (t->why == REFUSE_NOT_FOUND && t->up == NULL &&
		    clear_rest(t))
			t->why = REFUSE_NOTHING;
		return STEP_DONE;
	}
	step = core_claim(t, LOCK_CREATE);
	if (step != STEP_RECEIVE)
		return step;
	if (!t->core->allow_terminate_finished && upload_is_finished(t->up))
		return task_refuse(t, REFUSE_KEEP_FINISHED);
	if (!core_ask_to_remove(t))
		return STEP_DONE;
	t->was_removed = t->up->info;
	if (t->core->store->terminater->terminate(t->up, &t->err) != ERR_OK)
		return task_fail(t);
	t->is_over = true;
	t->removed = true;
	return STEP_DONE;
}

/* --- All of them. --- */

#define BIT(hook) (1U << (hook))

/* Each deed, and the hooks that it may wait for or be told of. */
static const struct {
	enum step (*begin)(struct task *);
	unsigned hooks;
} deeds[DEED_MAX] = {
	[DEED_CREATE] = { core_begin_create,
	    BIT(HOOK_PRE_CREATE) | BIT(HOOK_POST_CREATE) |
		BIT(HOOK_POST_RECEIVE) | BIT(HOOK_PRE_FINISH) |
		BIT(HOOK_POST_FINISH) },
	[DEED_CONCAT] = { core_begin_create,
	    BIT(HOOK_PRE_CREATE) | BIT(HOOK_POST_CREATE) |
		BIT(HOOK_PRE_FINISH) | BIT(HOOK_POST_FINISH) },
	[DEED_APPEND] = { core_begin_append,
	    BIT(HOOK_POST_RECEIVE) | BIT(HOOK_PRE_FINISH) |
		BIT(HOOK_POST_FINISH) },
	[DEED_LOOK] = { begin_look, 0 },
	[DEED_READ] = { begin_read, 0 },
	[DEED_REMOVE] = { begin_remove,
	    BIT(HOOK_PRE_TERMINATE) | BIT(HOOK_POST_TERMINATE) },
};

enum step
task_begin(struct task *t)
{
	return deeds[t->in.deed].begin(t);
}

bool
task_may_take_long(const struct task *t)
{
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		if ((deeds[t->in.deed].hooks & BIT(hook)) != 0 &&
		    core_wants(t, hook))
			return true;
	return t->in.deed == DEED_CONCAT;
}

bool
task_may_move(const struct task *t)
{
	const struct file_info *info =
	    t->up != NULL ? &t->up->info : &t->in.create;

	return (core_sequel(t, info) & STORE_TO_MOVE) != 0;
}
