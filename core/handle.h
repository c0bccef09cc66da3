/*
 * handle.h - open and lock an upload outside of a request.
 *
 * The sweep, tusctl and the removal of the parts of a final upload open it,
 * lock it, then call claim() of the store, which reads again what may have
 * changed. A request does the same step by step, since it never blocks: see
 * task.h.
 */
#ifndef CORE_HANDLE_H
#define CORE_HANDLE_H

#include "core/hooks.h"
#include "lock/lock.h"
#include "store/store.h"

struct handle {
	struct data_store *store;
	struct upload *up;
	/* NULL: not locked; is_guarded: but by the guard of the store. */
	struct lock *lock;
	bool is_guarded;
	/* The caller sets it if the upload will never be locked again. */
	bool is_over;
};

/* Open an upload, also a damaged one; it is not locked yet.  On an error there
 * is nothing to release. */
MUST_CHECK enum err_code handle_open(struct handle *, struct data_store *,
    const char *id, struct arena *, struct err *);

/* Lock what is open, as handle_lock_id() does; nothing to do where the locker
 * is NULL.  On an error it was released. */
MUST_CHECK enum err_code handle_lock(struct handle *, struct locker *,
    enum lock_how, int64_t wait_ms, struct arena *, struct err *);

/*
 * For a removal, of what is open and cannot be locked because a full disk has
 * no room for a lock, so that no process holds one: keep out the processes that
 * need none, where the store has guards.  ERR_LOCKED: one of them is at work,
 * or there is a lock by now.  On an error it was released.
 */
MUST_CHECK enum err_code handle_guard(
    struct handle *, struct locker *, struct err *);

/* Close it and give the lock back, if there is one. */
void handle_close(struct handle *);

/*
 * Lock an id, whether or not there is an upload of it; *lock is NULL on an
 * error.  Tried again for wait_ms milliseconds while another process has it:
 * how decides whether the holder is asked to give way.
 */
MUST_CHECK enum err_code handle_lock_id(struct locker *, const char *id,
    enum lock_how, int64_t wait_ms, struct arena *, struct lock **,
    struct err *);

/*
 * Work that is pending for a finished upload: it is written into the record
 * together with the finish, and cleared when it is done; the request that
 * finished the upload does it under the upload's lock, or else a sweep.
 */

/* Of STORE_TO_DO, for an upload like this; hooks may be NULL. */
unsigned pending_for(
    struct data_store *, struct hooks *, const struct file_info *);

/*
 * Remove the parts of a final upload, whose lock the caller holds.  An error
 * if one of them is still there; locker may be NULL.
 */
MUST_CHECK enum err_code pending_remove_parts(struct data_store *,
    struct locker *, const struct file_info *, struct arena *, struct err *);

/*
 * Remove an upload whose time is over, and tell hooks of it.  The upload is
 * claimed.  The event is written to the spool before the upload is removed, and
 * delivered afterwards, unless hooks have failed for too long by now: *failing,
 * in milliseconds, grows by the time that a failing one took.  hooks may be
 * NULL.
 */
MUST_CHECK enum err_code expire_upload(struct upload *, struct data_store *,
    struct hooks *, struct arena *, int64_t *failing, struct err *);

#endif
