/*
 * pending.h - what is still to be done for an upload that is finished.
 *
 * It is written into the record together with the finish, and struck out when
 * it is done; the request that finished the upload does it under the upload's
 * lock, or else a sweep.
 */
#ifndef CORE_PENDING_H
#define CORE_PENDING_H

#include <stdbool.h>

#include "base/arena.h"
#include "lock/lock.h"
#include "store/store.h"
#include "core/hooks.h"

/* Of STORE_TO_DO, for an upload like this; hooks may be NULL. */
unsigned pending_for(
    struct data_store *, struct hooks *, const struct file_info *);

/*
 * Remove the parts of a final upload, whose lock the caller holds.  An error
 * if one of them is still there; locker may be NULL.
 */
MUST_CHECK enum err_code pending_remove_parts(struct data_store *,
    struct locker *, const struct file_info *, struct arena *, struct err *);

#endif
