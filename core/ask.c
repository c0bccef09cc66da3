/*
 * ask.c - pre-hooks and post-receive, which are asked and waited for.
 *
 * An answer may take as long as hooks.timeout says, so a hook is asked only
 * where no lock but that of the upload itself is held.
 */
#include "config.h"

#include <string.h>

#include "core/parts.h"

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
