/*
 * hooks.c - where the core asks and tells others.
 *
 * Asking may take as long as hooks.timeout says, so it happens only where no
 * lock but that of the upload itself is held.
 */
#include "config.h"

#include <string.h>

#include "base/log.h"
#include "tus/call.h"

bool
tus_wants(const struct web_call *c, enum hook_point hook)
{
	struct hooks *hooks = c->srv->core.hooks;

	return hooks != NULL && hooks->ops->wants(hooks, hook);
}

static bool
may_ask(const struct web_call *c)
{
	static const enum tus_method methods[HOOK_POINT_MAX][2] = {
		[HOOK_PRE_CREATE] = { TUS_POST, TUS_POST },
		[HOOK_POST_CREATE] = { TUS_POST, TUS_POST },
		[HOOK_POST_RECEIVE] = { TUS_POST, TUS_PATCH },
		[HOOK_PRE_FINISH] = { TUS_POST, TUS_PATCH },
		[HOOK_POST_FINISH] = { TUS_POST, TUS_PATCH },
		[HOOK_PRE_TERMINATE] = { TUS_DELETE, TUS_DELETE },
		[HOOK_POST_TERMINATE] = { TUS_DELETE, TUS_DELETE },
		[HOOK_POST_EXPIRE] = { TUS_METHOD_MAX, TUS_METHOD_MAX },
	};
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		if (c->method < TUS_METHOD_MAX &&
		    (methods[hook][0] == c->method ||
			methods[hook][1] == c->method) &&
		    tus_wants(c, hook))
			return true;
	return false;
}

/* Of a final upload, however its header is spelt, the references follow. */
bool
web_may_take_long(const struct web_call *c)
{
	const char *concat = c->req->upload_concat;

	return may_ask(c) ||
	    (c->method == TUS_POST && concat != NULL &&
		strchr(concat, ';') != NULL);
}

static bool
ask(struct web_call *c, enum hook_point hook, const struct file_info *info,
    struct hook_verdict *v)
{
	struct hooks *hooks = c->srv->core.hooks;
	const struct hook_event event = { hook, info, &c->req->shown };

	memset(v, 0, sizeof(*v));
	return !tus_wants(c, hook) ||
	    hooks->ops->ask(hooks, &event, c->arena, v, &c->res.err) == ERR_OK;
}

static bool
fail(struct web_call *c)
{
	(void)tus_fail(c);
	return false;
}

/* Metadata that a hook made must be such as a client could have sent. */
static bool
change_metadata(struct web_call *c, const struct pair *metadata)
{
	const struct pair *p = metadata;

	while (p != NULL && store_is_metadata_key(p->key))
		p = p->next;
	if (p != NULL) {
		(void)err_set(&c->res.err, ERR_INVALID,
		    "pre-create: ChangeFileInfo.MetaData has a key that is "
		    "empty, or not printable ASCII, or has a comma");
		return fail(c);
	}
	c->create.metadata = metadata;
	c->create.metadata_raw = store_encode_metadata(c->arena, metadata);
	return true;
}

/* Where it will go when it is finished. */
static bool
choose_place(struct web_call *c, const char *path)
{
	struct data_store *store = c->srv->core.store;
	struct err *why = &c->res.err;

	if (store->mover == NULL)
		(void)err_set(why, ERR_INVALID,
		    "store %s keeps uploads where they are", store->name);
	else if (store->mover->choose(
		     store, path, c->arena, &c->create.move_to, why) == ERR_OK)
		return true;
	(void)err_within(why, "pre-create: ChangeFileInfo.Storage.Path");
	return fail(c);
}

/* What is too large by now was not when its headers were checked. */
static bool
limit_size(struct web_call *c, int64_t max)
{
	c->create.max_size = max;
	tus_limit(c, max);
	if (c->create.size_deferred || c->max_size == 0 ||
	    c->create.size <= c->max_size)
		return c->concat.is_final || tus_check_size(c);
	(void)tus_refuse(c, TUS_TOO_LARGE);
	return false;
}

static bool
change_upload(struct web_call *c, const struct hook_verdict *v)
{
	struct err *e = &c->res.err;

	if (v->storage_path != NULL && !choose_place(c, v->storage_path))
		return false;
	if (v->id != NULL && !id_is_valid(v->id)) {
		(void)err_set(e, ERR_INVALID,
		    "pre-create: ChangeFileInfo.ID: an id is 1 to %d of the "
		    "characters A-Z a-z 0-9 _ -",
		    ID_MAX);
		return fail(c);
	}
	c->create.id = v->id;
	if (v->max_size > 0 && !limit_size(c, v->max_size))
		return false;
	return !v->has_metadata || change_metadata(c, v->metadata);
}

bool
tus_pre_create(struct web_call *c)
{
	struct hook_verdict v;

	if (!ask(c, HOOK_PRE_CREATE, &c->create, &v))
		return fail(c);
	if (v.reject_upload) {
		(void)tus_reject(c, TUS_REJECTED, &v.reply);
		return false;
	}
	c->reply = v.reply;
	return change_upload(c, &v);
}

/*
 * Nobody may see a whole upload that was refused.  A creation is undone, and
 * an upload without a byte to give back cannot be anything but whole.
 */
static bool
take_back(struct web_call *c)
{
	const struct store_finisher *finisher = c->srv->core.store->finisher;

	if (c->method == TUS_POST || c->up->info.size == 0 || finisher == NULL)
		tus_uncreate(c);
	else if (finisher->refuse(c->up, &c->res.err) != ERR_OK)
		return fail(c);
	return true;
}

bool
tus_pre_finish(struct web_call *c)
{
	struct hook_verdict v;
	struct err why;

	if (!ask(c, HOOK_PRE_FINISH, &c->up->info, &v)) {
		why = c->res.err;
		if (!take_back(c))
			return false;
		c->res.err = why;
		return fail(c);
	}
	/* The client is told that it failed, so it must not have finished. */
	if (v.reply.status >= 400) {
		if (take_back(c))
			(void)tus_reject(c, TUS_REJECTED, &v.reply);
		return false;
	}
	tus_merge(c, &v.reply);
	return true;
}

bool
tus_pre_terminate(struct web_call *c)
{
	struct hook_verdict v;

	if (!ask(c, HOOK_PRE_TERMINATE, &c->up->info, &v))
		return fail(c);
	if (v.reject_termination) {
		(void)tus_reject(c, TUS_TERMINATION_REJECTED, &v.reply);
		return false;
	}
	c->reply = v.reply;
	return true;
}

bool
tus_report(struct web_call *c)
{
	struct hook_verdict v;
	int64_t offset = c->up->info.offset;
	bool created = c->res.outcome.created;

	if (c->received == 0 || offset == c->reported ||
	    !tus_wants(c, HOOK_POST_RECEIVE))
		return true;
	c->reported = offset;
	/* Its failures are told to nobody but the log. */
	(void)ask(c, HOOK_POST_RECEIVE, &c->up->info, &v);
	c->reported_at = c->srv->core.now_ms();
	if (!v.stop_upload)
		return true;
	c->gone = c->up->info;
	tus_uncreate(c);
	c->res.outcome.created = created;
	c->res.outcome.terminated = c->srv->core.store->terminater != NULL;
	(void)tus_reject(c, TUS_STOPPED, &v.reply);
	return false;
}

bool
tus_report_progress(struct web_call *c)
{
	int64_t every =
	    c->srv->core.hooks != NULL ? c->srv->core.hooks->progress : 0;

	if (!c->is_writing || every == 0 ||
	    c->srv->core.now_ms() - c->reported_at < every)
		return true;
	return tus_report(c);
}

static void
note(struct web_call *c, enum hook_point hook, const struct file_info *info)
{
	struct hooks *hooks = c->srv->core.hooks;
	const struct hook_event event = { hook, info, &c->req->shown };

	if (tus_wants(c, hook))
		c->notices[hook] = hooks->ops->note(hooks, &event, c->arena);
}

unsigned
tus_sequel(const struct web_call *c, const struct file_info *info)
{
	const struct web_server *srv = c->srv;
	unsigned pending = pending_for(srv->core.store, srv->core.hooks, info);

	if (info->is_final && srv->core.concat_removes_parts &&
	    srv->core.store->terminater != NULL)
		pending |= STORE_TO_REMOVE;
	return pending;
}

bool
web_may_move(const struct web_call *c)
{
	const struct file_info *info =
	    c->up != NULL ? &c->up->info : &c->create;

	return (tus_sequel(c, info) & STORE_TO_MOVE) != 0;
}

void
tus_note(struct web_call *c)
{
	const struct web_outcome *o = &c->res.outcome;

	if (o->created)
		note(c, HOOK_POST_CREATE, &c->created);
	if (o->finished) {
		note(c, HOOK_POST_FINISH, &c->up->info);
		c->pending = tus_sequel(c, &c->up->info);
	}
	if (o->terminated)
		note(c, HOOK_POST_TERMINATE, &c->gone);
}

bool
web_has_to_tell(const struct web_call *c)
{
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		if (c->notices[hook] != NULL)
			return true;
	return c->pending != 0;
}

bool
web_has_to_move(const struct web_call *c)
{
	return (c->pending & STORE_TO_MOVE) != 0;
}

/* A child has all this as well, and its lock is the same: it goes on.  Or there
 * is none: then the next sweep finds what is pending. */
void
web_forget(struct web_call *c)
{
	struct hooks *hooks = c->srv->core.hooks;
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++) {
		if (c->notices[hook] != NULL)
			hooks->ops->forget(hooks, c->notices[hook]);
		c->notices[hook] = NULL;
	}
	c->pending = 0;
	c->is_over = false;
	web_close(c);
}

/* False: what would come next waits, too. */
static bool
move(struct web_call *c)
{
	struct hook_notice **n = &c->notices[HOOK_POST_FINISH];
	struct hooks *hooks = c->srv->core.hooks;
	struct err e;

	if (!web_has_to_move(c))
		return true;
	if (c->srv->core.store->mover->move(c->up, &e) == ERR_OK) {
		if (*n != NULL)
			hooks->ops->moved(hooks, *n, &c->up->info, c->arena);
		return true;
	}
	log_warn("%s is not moved: %s; the next sweep will try again",
	    c->up->info.id, e.text);
	if (*n != NULL)
		hooks->ops->forget(hooks, *n);
	*n = NULL;
	return false;
}

static bool
tell(struct web_call *c, enum hook_point hook)
{
	struct hooks *hooks = c->srv->core.hooks;
	bool told = true;

	if (c->notices[hook] != NULL)
		told = hooks->ops->tell(hooks, c->notices[hook]);
	c->notices[hook] = NULL;
	return told;
}

static bool
remove_parts(struct web_call *c)
{
	struct err e;

	if ((c->pending & STORE_TO_REMOVE) == 0 ||
	    pending_remove_parts(c->srv->core.store, c->srv->core.locker,
		&c->up->info, c->arena, &e) == ERR_OK)
		return true;
	log_warn("parts of %s are not removed: %s; the next sweep will try "
		 "again",
	    c->up->info.id, e.text);
	return false;
}

/* What has come of it is struck out; the rest is for the sweep. */
static void
follow_up(struct web_call *c)
{
	const struct store_finisher *finisher = c->srv->core.store->finisher;
	unsigned done = STORE_TO_CONFIRM;
	struct err e;

	if (c->pending == 0)
		return;
	if (move(c)) {
		done |= STORE_TO_MOVE;
		if (tell(c, HOOK_POST_FINISH))
			done |= STORE_TO_TELL;
	}
	if (remove_parts(c))
		done |= STORE_TO_REMOVE;
	if (finisher != NULL && finisher->done(c->up, done, &e) != ERR_OK)
		log_warn("%s: %s", c->up->info.id, e.text);
	c->pending = 0;
}

void
tus_tell(struct web_call *c)
{
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++) {
		if (hook == HOOK_POST_FINISH)
			follow_up(c);
		(void)tell(c, hook);
	}
}
