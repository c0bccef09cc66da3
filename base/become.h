/*
 * become.h - work as another user than root.
 */
#ifndef BASE_BECOME_H
#define BASE_BECOME_H

#include <sys/types.h>

#include "base/conf.h"
#include "base/err.h"

/* The ids of pool.user and pool.group; -1 where the key is not set.
 * ERR_INVALID if there is no such user or group. */
MUST_CHECK enum err_code become_find(
    const struct conf *, uid_t *, gid_t *, struct err *);

/* If started as root, become pool.user and pool.group for good.  Otherwise do
 * nothing. */
MUST_CHECK enum err_code become_pool_user(const struct conf *, struct err *);

/*
 * The same for a program that works beside the pool: if pool.user is not set,
 * root becomes the owner of this directory; otherwise a lock file created by
 * root would lock the pool out of the upload.  ERR_SYSTEM, with the name, if
 * the directory does not exist; NULL means none.
 */
MUST_CHECK enum err_code become_owner_of(
    const char *name, const char *directory, const struct conf *, struct err *);

#endif
