/*
 * become.h - work as another user than root.
 */
#ifndef BASE_BECOME_H
#define BASE_BECOME_H

#include <sys/types.h>

#include "base/conf.h"
#include "base/err.h"

/* The ids of pool.user and pool.group; -1 where nothing is set.  ERR_INVALID if
 * there is no such user or group. */
MUST_CHECK enum err_code become_find(
    const struct conf *, uid_t *, gid_t *, struct err *);

/* Started as root: become them, for good.  Else there is nothing to do. */
MUST_CHECK enum err_code become_pool_user(const struct conf *, struct err *);

/*
 * Likewise, for a program that works beside the pool: where pool.user is not
 * set, root becomes the owner of this directory.  Else a lock file that root
 * made would shut the pool out of the upload.  ERR_SYSTEM if there is no such
 * directory; NULL is none to look at.
 */
MUST_CHECK enum err_code become_owner_of(
    const char *directory, const struct conf *, struct err *);

#endif
