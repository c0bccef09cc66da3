/*
 * open.c - an upload and its lock, from looking to letting go.
 */
#include "config.h"

#include <string.h>

#include "tus/call.h"
#include "core/clock_note.h"

/* A client forgets what is said to be gone: by a clock that is not to be
 * believed, or was not when the date was made, nothing is. */
bool
tus_is_expired(const struct web_call *c)
{
	int64_t expires = c->up->info.expires, now = c->srv->core.now();

	return expires != 0 && expires < now && !upload_is_finished(c->up) &&
	    (clock_was_set(expires) || !clock_was_set(now)) &&
	    !clock_is_wrong(c->srv->core.store);
}

/* A PATCH may take longer than an upload has time, and renews it at its end. */
bool
tus_is_over(const struct web_call *c)
{
	return tus_is_expired(c) &&
	    (!c->srv->core.expire_sliding || c->srv->core.locker == NULL);
}

/* Other people's uploads do not exist. */
static bool
is_visible(const struct web_call *c)
{
	const char *mine = c->req->owner, *theirs = c->up->info.owner;

	if (theirs == NULL)
		return !c->srv->core.owner_required;
	return mine != NULL && strcmp(mine, theirs) == 0;
}

/* A record that cannot be read does not say whose it is. */
static bool
may_have_owner(const struct web_call *c)
{
	return c->srv->core.has_owners || c->srv->core.owner_required ||
	    c->req->owner != NULL;
}

bool
tus_clear(struct web_call *c, const char *id)
{
	const struct data_store *store = c->srv->core.store;
	struct err e;

	return store->terminater != NULL &&
	    store->terminater->clear(c->srv->core.store, id, false, &e) ==
	    ERR_OK;
}

/*
 * Is there no upload of this id, but what a creation or a deletion that died
 * has left of one?  Then it was locked once, which no stranger's file was; and
 * as it does not say whose it is, nobody may remove it where uploads have
 * owners.
 */
static bool
clear_rest(struct web_call *c)
{
	struct locker *locker = c->srv->core.locker;
	enum err_code rc;
	struct err e;

	if (c->method != TUS_DELETE || may_have_owner(c) || locker == NULL ||
	    locker->traces == NULL)
		return false;
	rc = locker->ops->acquire(
	    locker, c->id, LOCK_EXISTING_QUIETLY, c->arena, &c->lock, &e);
	if (rc != ERR_OK)
		return false;
	c->is_over = tus_clear(c, c->id);
	return c->is_over;
}

/*
 * A record that looks damaged without the lock may be half written, by a
 * process that has stood still for longer than the store is patient.  With the
 * lock it is whole, or damaged.  The holder is not asked to give way.
 */
static enum err_code
look_with_lock(struct web_call *c)
{
	struct data_store *store = c->srv->core.store;
	struct locker *locker = c->srv->core.locker;
	struct lock *lock;
	struct err e;
	enum err_code rc;

	if (locker == NULL)
		return ERR_CORRUPT;
	rc = locker->ops->acquire(
	    locker, c->id, LOCK_EXISTING_QUIETLY, c->arena, &lock, &e);
	if (rc != ERR_OK)
		return rc == ERR_LOCKED ? rc : ERR_CORRUPT;
	store->core->close(c->up);
	c->up = NULL;
	rc = store->core->get_upload(
	    store, c->id, c->arena, &c->up, &c->res.err);
	locker->ops->release(lock, false);
	return rc;
}

bool
tus_look(struct web_call *c)
{
	const struct store_core *core = c->srv->core.store->core;
	struct err *e = &c->res.err;
	enum err_code rc;

	rc = core->get_upload(c->srv->core.store, c->id, c->arena, &c->up, e);
	if (rc == ERR_CORRUPT && c->method != TUS_DELETE)
		rc = look_with_lock(c);
	if (rc == ERR_LOCKED) {
		e->code = ERR_OK;
		(void)tus_refuse(c, TUS_LOCKED);
		return false;
	}
	if (rc == ERR_NOT_FOUND) {
		/* A 404 is nothing to log. */
		e->code = ERR_OK;
		(void)(clear_rest(c) ? tus_done(c, 204) :
				       tus_refuse(c, TUS_NOT_FOUND));
		return false;
	}
	/* What is damaged can still be removed, by whom it may concern. */
	if (rc == ERR_CORRUPT && c->method == TUS_DELETE && !may_have_owner(c))
		return true;
	if (rc != ERR_OK) {
		(void)tus_fail(c);
		return false;
	}
	if (!is_visible(c)) {
		(void)tus_refuse(c, TUS_NOT_FOUND);
		return false;
	}
	return true;
}

/*
 * The holder may be done with the upload and move it or tell of it now, which
 * can take longer than we wait.  A finished upload needs no lock, so look next
 * time.
 */
static void
look_again(struct web_call *c)
{
	if (tus_sequel(c, &c->up->info) == 0)
		return;
	c->srv->core.store->core->close(c->up);
	c->up = NULL;
}

enum err_code
tus_lock_new(struct web_call *c, const char *id)
{
	struct locker *locker = c->srv->core.locker;
	enum err_code rc;

	if (locker == NULL || c->lock != NULL)
		return ERR_OK;
	rc = locker->ops->acquire(
	    locker, id, LOCK_CREATE, c->arena, &c->lock, &c->res.err);
	if (rc == ERR_LOCKED)
		locker->ops->stop_asking(locker, id);
	/* Others ask for it as well: that is the same to us. */
	return rc == ERR_CROWDED ? ERR_LOCKED : rc;
}

void
tus_unlock(struct web_call *c)
{
	if (c->lock != NULL)
		c->lock->locker->ops->release(c->lock, c->is_over);
	c->lock = NULL;
}

static enum step
acquire(struct web_call *c, enum lock_how how)
{
	struct locker *locker = c->srv->core.locker;
	struct err *e = &c->res.err;
	enum err_code rc;

	rc = locker->ops->acquire(locker, c->id, how, c->arena, &c->lock, e);
	c->asked = rc == ERR_LOCKED;
	if (rc == ERR_LOCKED) {
		c->res.outcome.waited = true;
		e->code = ERR_OK;
		look_again(c);
		return STEP_WAIT;
	}
	if (rc == ERR_CROWDED) {
		e->code = ERR_OK;
		return tus_refuse(c, TUS_LOCKED);
	}
	/* Where there is no room for a lock nobody has it, and who makes room
	 * must not need any. */
	if ((rc == ERR_NOT_FOUND && how == LOCK_EXISTING) ||
	    (rc == ERR_NO_SPACE && c->method == TUS_DELETE)) {
		e->code = ERR_OK;
		return STEP_RECEIVE;
	}
	if (rc == ERR_UNAVAILABLE)
		return tus_refuse(c, TUS_LOCK_UNAVAILABLE);
	if (rc != ERR_OK)
		return tus_fail(c);
	c->locked_at = c->srv->core.now_ms();
	return STEP_RECEIVE;
}

/*
 * Somebody died between the last byte and the finish.  What pre-finish has to
 * say is meant for who sends the last byte, so HEAD asks the client for it
 * once more; and DELETE finishes nothing.
 */
static bool
finish_late(struct web_call *c)
{
	const struct store_finisher *finisher = c->srv->core.store->finisher;

	if (c->method == TUS_DELETE)
		return true;
	if (c->method != TUS_HEAD || finisher == NULL ||
	    c->up->info.size == 0 || !tus_wants(c, HOOK_PRE_FINISH))
		return tus_finish(c);
	if (finisher->refuse(c->up, &c->res.err) == ERR_OK)
		return true;
	(void)tus_fail(c);
	return false;
}

enum step
tus_claim(struct web_call *c, enum lock_how how)
{
	struct err *e = &c->res.err;
	enum step step;
	enum err_code rc;

	if (c->srv->core.locker != NULL && c->lock == NULL) {
		step = acquire(c, how);
		if (step != STEP_RECEIVE)
			return step;
		/* Repair is for those who have the lock. */
		if (c->lock == NULL)
			return STEP_RECEIVE;
	}
	rc = c->srv->core.store->core->claim(c->up, e);
	if (rc == ERR_NOT_FOUND) {
		/* Terminated while we waited. */
		e->code = ERR_OK;
		c->is_over = true;
		return tus_refuse(c, TUS_NOT_FOUND);
	}
	if (rc == ERR_CORRUPT && c->method == TUS_DELETE) {
		e->code = ERR_OK;
		return STEP_RECEIVE;
	}
	if (rc != ERR_OK)
		return tus_fail(c);
	/* Finished while we waited; of an old one the lock is a note. */
	if (upload_is_finished(c->up))
		c->is_over = !c->up->info.is_marked_by_lock;
	else if (upload_is_whole(c->up) && !finish_late(c))
		return STEP_DONE;
	return STEP_RECEIVE;
}

bool
tus_finish(struct web_call *c)
{
	const struct store_finisher *finisher = c->srv->core.store->finisher;
	unsigned pending = tus_sequel(c, &c->up->info);

	if (!tus_pre_finish(c))
		return false;
	if (finisher != NULL &&
	    finisher->finish(c->up, pending, &c->res.err) != ERR_OK) {
		if (c->method == TUS_POST) {
			tus_uncreate(c);
			(void)tus_fail_creation(c, c->res.err.code);
		} else {
			(void)tus_fail(c);
		}
		return false;
	}
	c->res.outcome.finished = true;
	c->is_over = true;
	return true;
}

void
tus_let_go(struct web_call *c)
{
	struct locker *locker = c->srv->core.locker;

	if (c->digest != NULL)
		(void)digest_end(c->digest, NULL);
	c->digest = NULL;
	tus_shrink(c);
	tus_entered(c, c->up != NULL);
	if (c->asked)
		locker->ops->stop_asking(locker, c->id);
	c->asked = false;
	if (c->pending != 0)
		return;
	if (c->up != NULL)
		c->srv->core.store->core->close(c->up);
	c->up = NULL;
	tus_unlock(c);
}
