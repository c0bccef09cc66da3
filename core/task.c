/*
 * task.c - a task from its beginning to its end.
 *
 * There is one way out, whatever the outcome: what happened is noted for the
 * hooks, then the upload is closed and its lock given back.  After the answer
 * was sent, what is still to be done for a finished upload is done, and hooks
 * are told.
 */
#include "config.h"

#include <string.h>

#include "base/log.h"
#include "core/parts.h"
#include "core/handle.h"

void
task_init(struct task *t, const struct core *core, struct arena *a)
{
	t->core = core;
	t->arena = a;
	t->in.max_size = core->max_size;
	t->in.offset = -1;
	t->in.length = -1;
	t->in.body_length = -1;
	t->past.reserved = -1;
}

/* --- To look how far it has got. --- */

/* Without the lock, if it was never locked and nothing is to be repaired: the
 * lock is released for good only when the upload is finished or gone. */
static enum step
claim_to_look(struct task *t)
{
	enum lock_how how = t->past.waited ? LOCK_CREATE : LOCK_EXISTING;
	enum step step = core_claim(t, how);

	if (step != STEP_RECEIVE || t->lock != NULL || t->core->locker == NULL)
		return step;
	if (!core_look_at_offset(t))
		return STEP_DONE;
	if (t->up->settled || upload_is_finished(t->up))
		return STEP_RECEIVE;
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
	/* The bytes tell of a finish before the record does. */
	if (!core_look_at_offset(t))
		return STEP_DONE;
	if (upload_is_finished(t->up) && !t->up->info.is_partial)
		return STEP_DONE;
	return task_refuse(t, REFUSE_NOT_FOUND);
}

/* --- To remove. --- */

/*
 * Is there no upload of this id, but the remains of one, from a creation or a
 * removal that died?  Remains were locked once, which no file of another
 * program was; and as they name no owner, no request may remove them where
 * uploads have owners.
 */
static bool
clear_rest(struct task *t)
{
	struct locker *locker = t->core->locker;
	struct err e;

	if (t->core->has_owners || t->core->owner_required ||
	    t->in.owner != NULL || locker == NULL || locker->traces == NULL ||
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
	if (!core_pre_terminate(t))
		return STEP_DONE;
	if (core_has_lost(t))
		return core_abandon(t);
	t->was_removed = t->up->info;
	if (t->core->store->terminater->terminate(t->up, &t->err) != ERR_OK)
		return task_fail(t);
	t->is_over = true;
	t->removed = true;
	return STEP_DONE;
}

/* --- All of them. --- */

#define BIT(hook) (1U << (hook))

/* Each kind of task, and the hooks that it may wait for or call afterwards. */
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

/* --- The way out. --- */

static void
note(struct task *t, enum hook_point hook, const struct file_info *info)
{
	struct hooks *hooks = t->core->hooks;
	const struct hook_event event = { hook, info, t->in.shown };

	if (core_wants(t, hook))
		t->notices[hook] = hooks->ops->note(hooks, &event, t->arena);
}

void
task_conclude(struct task *t)
{
	if (t->past.created)
		note(t, HOOK_POST_CREATE, &t->was_created);
	if (t->finished) {
		note(t, HOOK_POST_FINISH, &t->up->info);
		t->pending = core_sequel(t, &t->up->info);
	}
	if (t->removed)
		note(t, HOOK_POST_TERMINATE, &t->was_removed);
	core_let_go(t);
}

bool
task_has_to_tell(const struct task *t)
{
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		if (t->notices[hook] != NULL)
			return true;
	return t->pending != 0;
}

bool
task_has_to_move(const struct task *t)
{
	return (t->pending & STORE_TO_MOVE) != 0;
}

/* False: what would come next waits, too. */
static bool
move(struct task *t)
{
	struct hook_notice **n = &t->notices[HOOK_POST_FINISH];
	struct hooks *hooks = t->core->hooks;
	struct err e;

	if (!task_has_to_move(t))
		return true;
	if (t->core->store->mover->move(t->up, &e) == ERR_OK) {
		if (*n != NULL)
			hooks->ops->moved(hooks, *n, &t->up->info, t->arena);
		return true;
	}
	log_warn("%s is not moved: %s; the next sweep will try again",
	    t->up->info.id, e.text);
	if (*n != NULL)
		hooks->ops->forget(hooks, *n);
	*n = NULL;
	return false;
}

static bool
tell(struct task *t, enum hook_point hook)
{
	struct hooks *hooks = t->core->hooks;
	bool told = true;

	if (t->notices[hook] != NULL)
		told = hooks->ops->tell(hooks, t->notices[hook]);
	t->notices[hook] = NULL;
	return told;
}

static bool
remove_parts(struct task *t)
{
	struct err e;

	if ((t->pending & STORE_TO_REMOVE) == 0 ||
	    pending_remove_parts(t->core->store, t->core->locker, &t->up->info,
		t->arena, &e) == ERR_OK)
		return true;
	log_warn("parts of %s are not removed: %s; the next sweep will try "
		 "again",
	    t->up->info.id, e.text);
	return false;
}

/* Work that was done is cleared in the record; the rest is for the sweep. */
static void
follow_up(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;
	unsigned done = STORE_TO_CONFIRM;
	struct err e;

	if (t->pending == 0)
		return;
	/* The present holder of the lock finds it in the record. */
	if (core_has_lost(t)) {
		t->pending = 0;
		return;
	}
	if (move(t)) {
		done |= STORE_TO_MOVE;
		if (tell(t, HOOK_POST_FINISH))
			done |= STORE_TO_TELL;
	}
	if (remove_parts(t))
		done |= STORE_TO_REMOVE;
	if (finisher != NULL && finisher->done(t->up, done, &e) != ERR_OK)
		log_warn("%s: %s", t->up->info.id, e.text);
	t->pending = 0;
}

void
task_close(struct task *t)
{
	enum hook_point hook;

	core_let_go(t);
	for (hook = 0; hook < HOOK_POINT_MAX; hook++) {
		if (hook == HOOK_POST_FINISH)
			follow_up(t);
		(void)tell(t, hook);
	}
	core_let_go(t);
}

/* A child process has a copy of all this and shares the lock: it goes on.
 * Without a child, the next sweep finds what is pending. */
void
task_forget(struct task *t)
{
	struct hooks *hooks = t->core->hooks;
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++) {
		if (t->notices[hook] != NULL)
			hooks->ops->forget(hooks, t->notices[hook]);
		t->notices[hook] = NULL;
	}
	t->pending = 0;
	t->is_over = false;
	core_let_go(t);
}
