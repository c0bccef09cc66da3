/*
 * handle.c - open and lock an upload outside of a request, and do its pending
 * work.
 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "core/handle.h"

/* Milliseconds between two tries. */
#define RETRY_MS 10

enum err_code
handle_open(struct handle *h, struct data_store *store, const char *id,
    struct arena *a, struct err *e)
{
	enum err_code rc;

	*h = (struct handle){ .store = store };
	rc = store->core->get_upload(store, id, a, &h->up, e);
	return rc == ERR_CORRUPT ? ERR_OK : rc;
}

enum err_code
handle_lock_id(struct locker *locker, const char *id, enum lock_how how,
    int64_t wait_ms, struct arena *a, struct lock **lock, struct err *e)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	int64_t end = wait_ms > 0 ? clock_ms() + wait_ms : 0;
	enum err_code rc;

	for (;;) {
		rc = locker->ops->acquire(locker, id, how, a, lock, e);
		if (rc != ERR_LOCKED || wait_ms <= 0 || clock_ms() >= end)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (rc == ERR_LOCKED && (how == LOCK_CREATE || how == LOCK_EXISTING))
		locker->ops->stop_asking(locker, id);
	if (rc != ERR_OK)
		*lock = NULL;
	return rc;
}

enum err_code
handle_lock(struct handle *h, struct locker *locker, enum lock_how how,
    int64_t wait_ms, struct arena *a, struct err *e)
{
	enum err_code rc;

	if (locker == NULL)
		return ERR_OK;
	rc = handle_lock_id(
	    locker, h->up->info.id, how, wait_ms, a, &h->lock, e);
	if (rc != ERR_OK)
		handle_close(h);
	return rc;
}

enum err_code
handle_guard(struct handle *h, struct locker *locker, struct err *e)
{
	const struct store_guard *guard = h->store->guard;
	enum err_code rc;

	if (guard == NULL)
		return ERR_OK;
	rc = guard->raise(h->up, e);
	h->is_guarded = rc == ERR_OK;
	if (rc == ERR_CONFLICT)
		return ERR_OK;
	if (rc == ERR_OK && locker->traces != NULL &&
	    locker->traces->has(locker, h->up->info.id))
		rc = err_set(e, ERR_LOCKED, "%s is locked", h->up->info.id);
	if (rc != ERR_OK)
		handle_close(h);
	return rc;
}

void
handle_close(struct handle *h)
{
	h->store->core->close(h->up);
	if (h->lock != NULL)
		h->lock->locker->ops->release(h->lock, h->is_over);
	*h = (struct handle){ .store = h->store };
}

/* --- Work that is pending for a finished upload.  --- */

unsigned
pending_for(
    struct data_store *store, struct hooks *hooks, const struct file_info *info)
{
	unsigned pending = 0;

	if (hooks != NULL && hooks->ops->wants(hooks, HOOK_POST_FINISH))
		pending |= STORE_TO_TELL;
	if (store->mover != NULL && store->mover->wants(store, info))
		pending |= STORE_TO_MOVE;
	return pending;
}

static bool
is_same_owner(const struct file_info *a, const struct file_info *b)
{
	if (a->owner == NULL || b->owner == NULL)
		return a->owner == b->owner;
	return strcmp(a->owner, b->owner) == 0;
}

/* The part may be gone, and its id another upload's by now. */
static enum err_code
remove_claimed(struct data_store *store, struct upload *part,
    const struct file_info *whole, struct err *e)
{
	enum err_code rc = store->core->claim(part, e);

	if (rc != ERR_OK)
		return rc;
	if (!part->info.is_partial || !upload_is_finished(part) ||
	    !is_same_owner(&part->info, whole))
		return err_set(
		    e, ERR_CONFLICT, "%s: is no part any more", part->info.id);
	return store->terminater->terminate(part, e);
}

static enum err_code
remove_part(struct data_store *store, struct locker *locker, const char *id,
    const struct file_info *whole, struct arena *a, struct err *e)
{
	struct handle part;
	enum err_code rc;

	rc = handle_open(&part, store, id, a, e);
	if (rc == ERR_OK)
		rc = handle_lock(&part, locker, LOCK_QUIETLY, 0, a, e);
	if (rc != ERR_OK)
		return rc;
	rc = remove_claimed(store, part.up, whole, e);
	part.is_over = rc == ERR_OK || rc == ERR_NOT_FOUND;
	handle_close(&part);
	return rc;
}

enum err_code
pending_remove_parts(struct data_store *store, struct locker *locker,
    const struct file_info *whole, struct arena *a, struct err *e)
{
	const char *const *id = whole->parts;
	enum err_code rc, all = ERR_OK;
	struct err one;

	for (; id != NULL && *id != NULL; id++) {
		rc = remove_part(store, locker, *id, whole, a, &one);
		if (rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_CONFLICT)
			continue;
		*e = one;
		all = rc;
	}
	return all;
}

/*
 * --- An upload whose time is over. ---
 *
 * After a kill in between, the next sweep removes the upload and notes an event
 * of its own, so that hooks are told at least once, and then twice under
 * different event ids.
 */

static struct hook_notice *
note(struct hooks *hooks, const struct upload *up, struct arena *a)
{
	const struct hook_event event = { HOOK_POST_EXPIRE, &up->info, NULL };

	if (hooks == NULL || !hooks->ops->wants(hooks, HOOK_POST_EXPIRE))
		return NULL;
	return hooks->ops->note(hooks, &event, a);
}

enum err_code
expire_upload(struct upload *up, struct data_store *store, struct hooks *hooks,
    struct arena *a, int64_t *failing, struct err *e)
{
	struct hook_notice *n = note(hooks, up, a);
	enum err_code rc = store->terminater->terminate(up, e);
	int64_t began = clock_ms();

	if (n == NULL)
		return rc;
	if (rc != ERR_OK)
		hooks->ops->withdraw(hooks, n);
	else if (*failing >= hooks->patience)
		hooks->ops->forget(hooks, n);
	else if (!hooks->ops->tell(hooks, n))
		*failing += clock_ms() - began;
	return rc;
}
