/*
 * end.c - the one way out of a task.
 *
 * Whatever the outcome: what happened is noted for the hooks, then the upload
 * is closed and its lock given back; after the answer was sent, what is still
 * to be done for a finished upload is done, and hooks are told.
 */
#include "config.h"

#include "base/log.h"
#include "core/parts.h"
#include "core/pending.h"

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
	if (t->created)
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

/* What was done is struck out; the rest is for the sweep. */
static void
follow_up(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;
	unsigned done = STORE_TO_CONFIRM;
	struct err e;

	if (t->pending == 0)
		return;
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

/* A child has all this as well, and its lock is the same: it goes on.  Or there
 * is none: then the next sweep finds what is pending. */
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
