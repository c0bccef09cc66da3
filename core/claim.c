/*
 * claim.c - have an upload to oneself, and finish it; and the hooks that are
 * asked and waited for on the way.
 *
 * An answer may take as long as hooks.timeout says, so a hook is asked only
 * where no lock but that of the upload itself is held.
 */
#include "config.h"

#include <string.h>

#include "core/parts.h"
#include "core/whole.h"

static bool
ask(struct task *t, enum hook_point hook, const struct file_info *info,
    struct hook_verdict *v)
{
	struct hooks *hooks = t->core->hooks;
	const struct hook_event event = { hook, info, t->in.shown };

	memset(v, 0, sizeof(*v));
	return !core_wants(t, hook) ||
	    hooks->ops->ask(hooks, &event, t->arena, v, &t->err) == ERR_OK;
}

static bool
fail(struct task *t)
{
	(void)task_fail(t);
	return false;
}

/* Metadata that a hook made must be such as a client could have sent. */
static bool
change_metadata(struct task *t, const struct pair *metadata)
{
	const struct pair *p = metadata;

	while (p != NULL && store_is_metadata_key(p->key))
		p = p->next;
	if (p != NULL) {
		(void)err_set(&t->err, ERR_INVALID,
		    "pre-create: ChangeFileInfo.MetaData has a key that is "
		    "empty, or not printable ASCII, or has a comma");
		return fail(t);
	}
	t->in.create.metadata = metadata;
	t->in.create.metadata_raw = store_encode_metadata(t->arena, metadata);
	return true;
}

/* Where the upload will go when it is finished. */
static bool
choose_place(struct task *t, const char *path)
{
	struct data_store *store = t->core->store;
	struct err *why = &t->err;

	if (store->mover == NULL)
		(void)err_set(why, ERR_INVALID,
		    "store %s keeps uploads where they are", store->name);
	else if (store->mover->choose(store, path, t->arena,
		     &t->in.create.move_to, why) == ERR_OK)
		return true;
	(void)err_within(why, "pre-create: ChangeFileInfo.Storage.Path");
	return fail(t);
}

/* The size that was announced was checked before the hook made the limit. */
static bool
limit_size(struct task *t, int64_t max)
{
	const struct file_info *info = &t->in.create;

	t->in.create.max_size = max;
	core_limit(t, max);
	if (info->size_deferred || t->in.max_size == 0 ||
	    info->size <= t->in.max_size)
		return info->is_final || core_check_size(t);
	(void)task_refuse(t, REFUSE_TOO_LARGE);
	return false;
}

static bool
change_upload(struct task *t, const struct hook_verdict *v)
{
	if (v->storage_path != NULL && !choose_place(t, v->storage_path))
		return false;
	if (v->id != NULL && !id_is_valid(v->id)) {
		(void)err_set(&t->err, ERR_INVALID,
		    "pre-create: ChangeFileInfo.ID: an id is 1 to %d of the "
		    "characters A-Z a-z 0-9 _ -",
		    ID_MAX);
		return fail(t);
	}
	t->in.create.id = v->id;
	if (v->max_size > 0 && !limit_size(t, v->max_size))
		return false;
	return !v->has_metadata || change_metadata(t, v->metadata);
}

bool
core_ask_to_create(struct task *t)
{
	struct hook_verdict v;

	if (!ask(t, HOOK_PRE_CREATE, &t->in.create, &v))
		return fail(t);
	if (v.reject_upload) {
		(void)core_reject(t, REFUSE_REJECTED, &v.reply);
		return false;
	}
	t->reply = v.reply;
	return change_upload(t, &v);
}

/* A later reply over an earlier one. */
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
 * No client may see a whole upload that was refused.  A creation is undone, and
 * an upload without a byte to give back cannot be anything but whole.
 */
static bool
take_back(struct task *t)
{
	const struct store_finisher *finisher = t->core->store->finisher;

	if (core_is_undone(t) || t->up->info.size == 0 || finisher == NULL)
		core_remove(t);
	else if (finisher->refuse(t->up, &t->err) != ERR_OK)
		return fail(t);
	return true;
}

bool
core_ask_to_finish(struct task *t)
{
	struct hook_verdict v;
	struct err why;

	if (!ask(t, HOOK_PRE_FINISH, &t->up->info, &v)) {
		why = t->err;
		if (!take_back(t))
			return false;
		t->err = why;
		return fail(t);
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
core_ask_to_remove(struct task *t)
{
	struct hook_verdict v;

	if (!ask(t, HOOK_PRE_TERMINATE, &t->up->info, &v))
		return fail(t);
	if (v.reject_termination) {
		(void)core_reject(t, REFUSE_REMOVAL_REJECTED, &v.reply);
		return false;
	}
	t->reply = v.reply;
	return true;
}

bool
core_report(struct task *t)
{
	struct hook_verdict v;
	int64_t offset = t->up->info.offset;

	if (t->received == 0 || offset == t->reported ||
	    !core_wants(t, HOOK_POST_RECEIVE))
		return true;
	t->reported = offset;
	/* A failure of this hook is told to the log alone. */
	(void)ask(t, HOOK_POST_RECEIVE, &t->up->info, &v);
	t->reported_at = t->core->now_ms();
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
	    t->core->now_ms() - t->reported_at < every)
		return true;
	return core_report(t);
}

/* --- Claim and finish. --- */

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
