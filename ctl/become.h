/*
 * become.h - work as the user whose files they are.
 */
#ifndef CTL_BECOME_H
#define CTL_BECOME_H

#include "base/conf.h"
#include "base/err.h"

/*
 * As root, become pool.user and pool.group; if these are not set, the owner of
 * the directory store.path.  Else a lock file that root made would shut the
 * pool out of the upload.  Nobody else becomes anybody.  ERR_INVALID if the
 * configuration names nobody, ERR_SYSTEM if there is no such directory.
 */
MUST_CHECK enum err_code become_pool_user(const struct conf *, struct err *);

#endif
