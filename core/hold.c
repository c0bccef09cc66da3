/*
 * hold.c - an upload that is open and locked, where it is no request that wants
 * it.
 */
#include "config.h"

#include <time.h>

#include "base/clock.h"
#include "core/hold.h"

/* Milliseconds between two tries. */
#define RETRY_MS 10

enum err_code
hold_open(struct hold *h, struct data_store *store, const char *id,
    struct arena *a, struct err *e)
{
	enum err_code rc;

	*h = (struct hold){ .store = store };
	rc = store->core->get_upload(store, id, a, &h->up, e);
	return rc == ERR_CORRUPT ? ERR_OK : rc;
}

enum err_code
hold_id(struct locker *locker, const char *id, enum lock_how how,
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
hold_lock(struct hold *h, struct locker *locker, enum lock_how how,
    int64_t wait_ms, struct arena *a, struct err *e)
{
	enum err_code rc;

	if (locker == NULL)
		return ERR_OK;
	rc = hold_id(locker, h->up->info.id, how, wait_ms, a, &h->lock, e);
	if (rc != ERR_OK)
		hold_release(h);
	return rc;
}

void
hold_release(struct hold *h)
{
	h->store->core->close(h->up);
	if (h->lock != NULL)
		h->lock->locker->ops->release(h->lock, h->is_over);
	*h = (struct hold){ .store = h->store };
}
