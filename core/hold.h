/*
 * hold.h - an upload that is open and locked, where it is no request that wants
 * it.
 *
 * The sweep, tusctl and the removal of the parts of a final upload open it,
 * lock it, then call claim() of the store, which reads again what may have
 * changed. A request does the same step by step, since it never blocks: see
 * task.h.
 */
#ifndef CORE_HOLD_H
#define CORE_HOLD_H

#include "lock/lock.h"
#include "store/store.h"

struct hold {
	struct data_store *store;
	struct upload *up;
	/* NULL: not locked. */
	struct lock *lock;
	/* The caller sets it if the upload will never be locked again. */
	bool is_over;
};

/* Open an upload, be it damaged; it is not locked yet.  On an error there is
 * nothing to release. */
MUST_CHECK enum err_code hold_open(struct hold *, struct data_store *,
    const char *id, struct arena *, struct err *);

/* Lock what is open, as hold_id() does; nothing to do where the locker is NULL.
 * On an error it was released. */
MUST_CHECK enum err_code hold_lock(struct hold *, struct locker *,
    enum lock_how, int64_t wait_ms, struct arena *, struct err *);

/* Close it and give the lock back, if there is one. */
void hold_release(struct hold *);

/*
 * Lock an id, whether or not there is an upload of it; *lock is NULL on an
 * error.  Tried again for wait_ms milliseconds while another has it: what how
 * says decides whether the holder is asked to give way.
 */
MUST_CHECK enum err_code hold_id(struct locker *, const char *id, enum lock_how,
    int64_t wait_ms, struct arena *, struct lock **, struct err *);

#endif
