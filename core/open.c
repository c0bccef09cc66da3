/*
 * open.c - an upload and its lock, from looking to letting go: found, locked,
 * claimed, finished, removed, closed; and the hooks that are waited for on the
 * way.
 *
 * A hook may take as long as hooks.timeout says, so none is called while any
 * other lock is held than that of the upload itself.
 */
#include "config.h"

#include <string.h>

#include "core/clock_note.h"
#include "core/parts.h"

/* Milliseconds between two tries to get a lock. */
#define RETRY_MS 10

/* A client forgets an upload that is answered as gone.  So no upload is, if the
 * clock cannot be trusted, or could not when the date was set. */
bool
core_is_expired(const struct task *t)
{
	int64_t expires = t->up->info.expires, now = t->core->now();

	return expires != 0 && expires < now && !upload_is_finished(t->up) &&
	    (clock_was_set(expires) || !clock_was_set(now)) &&
	    !clock_is_wrong(t->core->store);
}

/* A body may take longer than an upload has time, and renews it at its end. */
bool
core_is_over(const struct task *t)
{
	return core_is_expired(t) &&
	    (!t->core->expire_sliding || t->core->locker == NULL);
}

/* Uploads of other owners do not exist for this request. */
static bool
is_visible(const struct task *t)
{
	const char *mine = t->in.owner, *theirs = t->up->info.owner;

	if (theirs == NULL)
		return !t->core->owner_required;
	return mine != NULL && strcmp(mine, theirs) == 0;
}

/* A record that cannot be read does not say whose it is. */
static bool
may_have_owner(const struct task *t)
{
	return t->core->has_owners || t->core->owner_required ||
	    t->in.owner != NULL;
}

bool
core_clear(struct task *t, const char *id)
{
	struct data_store *store = t->core->store;
	struct err e;

	return store->terminater != NULL &&
	    store->terminater->clear(store, id, false, &e) == ERR_OK;
}

void
core_close_upload(struct task *t)
{
	if (t->up != NULL)
		t->core->store->core->close(t->up);
	t->up = NULL;
}

/*
 * A record that looks damaged without the lock may be half written, by a
 * process that was suspended for longer than the store waits.  With the lock it
 * is whole, or damaged.  The holder is not asked to give way.
 */
static enum err_code
look_with_lock(struct task *t, const char *id)
{
	struct data_store *store = t->core->store;
	struct locker *locker = t->core->locker;
	struct lock *lock;
	struct err e;
	enum err_code rc;

	if (locker == NULL)
		return ERR_CORRUPT;
	rc = locker->ops->acquire(
	    locker, id, LOCK_EXISTING_QUIETLY, t->arena, &lock, &e);
	if (rc != ERR_OK)
		return rc == ERR_LOCKED ? rc : ERR_CORRUPT;
	core_close_upload(t);
	rc = store->core->get_upload(store, id, t->arena, &t->up, &t->err);
	locker->ops->release(lock, false);
	return rc;
}

/* Judge the result of opening the upload. */
static bool
judge_look(struct task *t, const char *id, enum err_code rc)
{
	if (rc == ERR_CORRUPT && t->in.deed != DEED_REMOVE)
		rc = look_with_lock(t, id);
	/* A damaged upload can still be removed, where it cannot be another
	 * owner's. */
	if (rc == ERR_CORRUPT && t->in.deed == DEED_REMOVE &&
	    !may_have_owner(t)) {
		t->err.code = ERR_OK;
		return true;
	}
	if (rc == ERR_NOT_FOUND || rc == ERR_LOCKED)
		/* That is nothing to log. */
		t->err.code = ERR_OK;
	else if (rc == ERR_OK && is_visible(t))
		return true;
	return core_refuse(
	    t, rc == ERR_OK ? REFUSE_NOT_FOUND : core_refusal(t, rc));
}

bool
core_look(struct task *t, const char *id)
{
	struct data_store *store = t->core->store;

	return judge_look(t, id,
	    store->core->find_upload(store, id, t->arena, &t->up, &t->err));
}

bool
core_look_at_offset(struct task *t)
{
	struct data_store *store = t->core->store;

	if (t->up->info.offset >= 0)
		return true;
	core_close_upload(t);
	return judge_look(t, t->in.id,
	    store->core->get_upload(
		store, t->in.id, t->arena, &t->up, &t->err));
}

bool
task_find_maker(struct task *t, const char **protocol)
{
	struct data_store *store = t->core->store;
	struct err ignored;
	enum err_code rc;

	rc = store->core->get_upload(
	    store, t->in.id, t->arena, &t->up, &ignored);
	if (rc == ERR_OK && is_visible(t)) {
		*protocol = t->up->info.protocol;
		return true;
	}
	if (rc != ERR_OK && rc != ERR_CORRUPT)
		t->up = NULL;
	core_close_upload(t);
	return false;
}

/*
 * The holder may have finished the upload and be moving it or telling hooks of
 * it, which can take longer than we wait.  A finished upload needs no lock: so
 * it is opened anew next time.
 */
static void
look_again(struct task *t)
{
	if (core_sequel(t, &t->up->info) != 0)
		core_close_upload(t);
}

static enum step
lock(struct task *t, enum lock_how how)
{
	struct locker *locker = t->core->locker;
	struct err *e = &t->err;
	enum err_code rc;

	rc = locker->ops->acquire(locker, t->in.id, how, t->arena, &t->lock, e);
	t->asked = rc == ERR_LOCKED;
	switch (rc) {
	case ERR_OK:
		t->past.locked_at = t->core->now_ms();
		return STEP_RECEIVE;
	case ERR_LOCKED:
		t->past.waited = true;
		if (*locker->held_by != '\0' && t->lock_host == NULL)
			t->lock_host = arena_strdup(t->arena, locker->held_by);
		t->wait = (struct wait){ .fd = -1, .ms = RETRY_MS };
		e->code = ERR_OK;
		look_again(t);
		return STEP_WAIT;
	case ERR_CROWDED:
		e->code = ERR_OK;
		return task_refuse(t, REFUSE_LOCKED);
	case ERR_UNAVAILABLE:
		return task_refuse(t, REFUSE_LOCK_UNAVAILABLE);
	default:
		break;
	}
	/* A removal makes room, and a full disk has none for a lock. */
	if ((rc == ERR_NOT_FOUND && how == LOCK_EXISTING) ||
	    (rc == ERR_NO_SPACE && t->in.deed == DEED_REMOVE)) {
		e->code = ERR_OK;
		return STEP_RECEIVE;
	}
	return task_fail(t);
}

enum err_code
core_lock_new(struct task *t, const char *id)
{
	struct locker *locker = t->core->locker;
	enum err_code rc;

	if (locker == NULL || t->lock != NULL)
		return ERR_OK;
	rc = locker->ops->acquire(
	    locker, id, LOCK_CREATE, t->arena, &t->lock, &t->err);
	if (rc == ERR_LOCKED)
		locker->ops->stop_asking(locker, id);
	/* To the client, a lock that too many processes wait for is locked. */
	return rc == ERR_CROWDED ? ERR_LOCKED : rc;
}

bool
core_has_lost(const struct task *t)
{
	return t->lock != NULL && t->lock->locker->can_lose &&
	    t->lock->locker->ops->state(t->lock) == LOCK_LOST;
}

/* The bytes that were written stay, as if this process had been killed. */
enum step
core_abandon(struct task *t)
{
	t->is_writing = false;
	t->is_over = false;
	t->interrupted = true;
	return task_refuse(t, REFUSE_INTERRUPTED);
}

void
task_check_lock(struct task *t)
{
	if (t->why == REFUSE_NOTHING && core_has_lost(t))
		(void)core_abandon(t);
}

void
core_unlock(struct task *t)
{
	if (t->lock != NULL)
		t->lock->locker->ops->release(t->lock, t->is_over);
	t->lock = NULL;
}

void
core_remove(struct task *t)
{
	const struct data_store *store = t->core->store;
	struct err e;

	if (t->up == NULL || core_has_lost(t))
		return;
	if (t->is_writing)
		(void)!store->core->write_end(t->up, false, &e);
	t->is_writing = false;
	/* What cannot be removed now is left to the sweep. */
	if (store->terminater != NULL)
		(void)!store->terminater->terminate(t->up, &e);
	core_close_upload(t);
	t->is_over = true;
	t->past.created = false;
}

void
core_invalidate(struct task *t)
{
	bool was_created = t->past.created;

	t->was_removed = t->up->info;
	core_remove(t);
	t->past.created = was_created;
	t->removed = t->core->store->terminater != NULL;
}

void
core_let_go(struct task *t)
{
	struct locker *locker = t->core->locker;
	size_t i;

	for (i = 0; i < t->in.sum_count; i++) {
		if (t->digests[i] != NULL)
			(void)digest_end(t->digests[i], NULL);
		t->digests[i] = NULL;
	}
	core_shrink(t);
	core_entered(t, t->up != NULL);
	if (t->asked)
		locker->ops->stop_asking(locker, t->in.id);
	t->asked = false;
	if (t->pending != 0)
		return;
	core_close_upload(t);
	core_unlock(t);
}

/* --- Pre-hooks and post-receive, which are asked and waited for. --- */

bool
core_call_hook(struct task *t, enum hook_point hook,
    const struct file_info *info, struct hook_verdict *v)
{
	struct hooks *hooks = t->core->hooks;
	const struct hook_event event = { hook, info, t->in.shown };

	memset(v, 0, sizeof(*v));
	return !core_wants(t, hook) ||
	    hooks->ops->ask(hooks, &event, t->arena, v, &t->err) == ERR_OK;
}

/* Status and body of a later reply replace those of an earlier one; its headers
 * are added. */
static void
merge_reply(struct task *t, const struct hook_reply *later)
{
	struct hook_reply *r = &t->reply;
	struct pair *copy, **end;
	const struct pair *p;

	if (later->status != 0)
		r->status = later->status;
	if (later->body != NULL)
		r->body = later->body;
	for (end = (struct pair **)&r->headers; *end != NULL;)
		end = &(*end)->next;
	for (p = later->headers; p != NULL; p = p->next) {
		copy = arena_alloc(t->arena, sizeof(*copy));
		*copy = *p;
		*end = copy;
		end = &copy->next;
	}
}

/*
 * No client may see a whole upload that was refused.  So a creation is removed,
 * and so is an upload of no bytes, which has no last byte to give back.
 */
static bool
take_back(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;

	if (core_is_undone(t) || t->up->info.size == 0 || finisher == NULL)
		core_remove(t);
	else if (finisher->refuse(t->up, &t->err) != ERR_OK)
		return core_fail(t);
	return true;
}

static bool
call_pre_finish(struct task *t)
{
	struct hook_verdict v;
	struct err why;

	if (!core_call_hook(t, HOOK_PRE_FINISH, &t->up->info, &v)) {
		why = t->err;
		if (!take_back(t))
			return false;
		t->err = why;
		return core_fail(t);
	}
	/* The client is told that it failed, so it must not have finished. */
	if (v.reply.status >= 400) {
		if (take_back(t))
			(void)core_reject(t, REFUSE_REJECTED, &v.reply);
		return false;
	}
	merge_reply(t, &v.reply);
	return true;
}

bool
core_pre_terminate(struct task *t)
{
	struct hook_verdict v;

	if (!core_call_hook(t, HOOK_PRE_TERMINATE, &t->up->info, &v))
		return core_fail(t);
	if (v.reject_termination) {
		(void)core_reject(t, REFUSE_REMOVAL_REJECTED, &v.reply);
		return false;
	}
	t->reply = v.reply;
	return true;
}

bool
core_post_receive(struct task *t)
{
	struct hook_verdict v;
	int64_t offset = t->up->info.offset;

	if (t->past.received == 0 || offset == t->past.reported ||
	    !core_wants(t, HOOK_POST_RECEIVE))
		return true;
	t->past.reported = offset;
	/* A failure of this hook is only logged. */
	(void)core_call_hook(t, HOOK_POST_RECEIVE, &t->up->info, &v);
	t->past.reported_at = t->core->now_ms();
	if (!v.stop_upload)
		return true;
	core_invalidate(t);
	(void)core_reject(t, REFUSE_STOPPED, &v.reply);
	return false;
}

bool
core_report_progress(struct task *t)
{
	int64_t every = t->core->hooks != NULL ? t->core->hooks->progress : 0;

	if (!t->is_writing || every == 0 ||
	    t->core->now_ms() - t->past.reported_at < every)
		return true;
	return core_post_receive(t);
}

/* --- Claim and finish. --- */

enum step
core_fail_creation(struct task *t, enum err_code rc)
{
	/* The record has a bound of its own. */
	return task_refuse(t,
	    rc == ERR_INVALID ? REFUSE_RECORD_TOO_LARGE : core_refusal(t, rc));
}

/* Does the whole upload have the digest that the client announced?  If not, no
 * request can repair it. */
static bool
check_whole(struct task *t)
{
	if (whole_check(t->up, t->arena, &t->whole_wrong, &t->err) != ERR_OK)
		return core_fail(t);
	if (t->whole_wrong == NULL)
		return true;
	if (core_is_undone(t))
		core_remove(t);
	else
		core_invalidate(t);
	return core_refuse(t, REFUSE_DIGEST_MISMATCH);
}

bool
core_finish(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;
	unsigned pending = core_sequel(t, &t->up->info);

	if (t->up->info.digest != NULL && !check_whole(t))
		return false;
	if (!call_pre_finish(t))
		return false;
	if (core_has_lost(t)) {
		(void)core_abandon(t);
		return false;
	}
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
	return core_fail(t);
}

/* A request that needs no lock is at work, which takes no time.  Then all
 * begins anew. */
static enum step
wait_for_guard(struct task *t)
{
	core_unlock(t);
	t->past.waited = true;
	t->wait = (struct wait){ .fd = -1, .ms = RETRY_MS };
	t->err.code = ERR_OK;
	return STEP_WAIT;
}

static enum step
take_over(struct task *t)
{
	const struct data_store *store = t->core->store;
	struct err *e = &t->err;
	enum err_code rc = store->core->claim(t->up, e);

	if (rc == ERR_LOCKED && store->guard != NULL)
		return wait_for_guard(t);
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

static bool
has_trace(const struct task *t)
{
	struct locker *locker = t->core->locker;

	return locker->traces != NULL &&
	    locker->traces->has(locker, t->up->info.id);
}

/* No lock can be made, so no process holds one; but one may be at work that
 * needs none, or may have found room for a lock by now. */
static enum step
claim_without_lock(struct task *t)
{
	const struct store_guard *guard = t->core->store->guard;
	enum err_code rc = ERR_CONFLICT;

	if (guard != NULL)
		rc = guard->raise(t->up, &t->err);
	if (rc == ERR_OK && !has_trace(t))
		return take_over(t);
	if (rc == ERR_OK)
		guard->lower(t->up);
	if (rc == ERR_OK || rc == ERR_LOCKED)
		return wait_for_guard(t);
	t->err.code = ERR_OK;
	return STEP_RECEIVE;
}

enum step
core_claim(struct task *t, enum lock_how how)
{
	enum step step;

	if (t->core->locker != NULL && t->lock == NULL) {
		step = lock(t, how);
		if (step == STEP_RECEIVE && t->lock == NULL &&
		    t->in.deed == DEED_REMOVE)
			return claim_without_lock(t);
		/* Without the lock nothing may be repaired. */
		if (step != STEP_RECEIVE || t->lock == NULL)
			return step;
	}
	return take_over(t);
}

/* Does it end the upload with what has arrived, and wait for nothing on the
 * way? */
static bool
is_brief(const struct task *t)
{
	const struct file_info *info = &t->up->info;

	return t->in.is_here && t->in.sum_count == 0 && !t->past.waited &&
	    !info->size_deferred && info->digest == NULL &&
	    t->in.offset == info->offset &&
	    t->in.body_length == info->size - info->offset &&
	    core_sequel(t, info) == 0 && !core_wants(t, HOOK_PRE_FINISH) &&
	    !core_wants(t, HOOK_POST_RECEIVE);
}

/* A trace of the lock means that another process may hold it: then the guard is
 * not enough. */
bool
core_claim_briefly(struct task *t, enum step *step)
{
	const struct store_guard *guard = t->core->store->guard;
	struct locker *locker = t->core->locker;
	struct err ignored;

	if (guard == NULL || locker == NULL || locker->traces == NULL ||
	    !is_brief(t) || guard->raise(t->up, &ignored) != ERR_OK)
		return false;
	if (has_trace(t)) {
		guard->lower(t->up);
		return false;
	}
	*step = take_over(t);
	return true;
}
