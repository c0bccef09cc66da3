/*
 * expire.h - remove an upload whose time is over, and tell hooks of it.
 */
#ifndef CORE_EXPIRE_H
#define CORE_EXPIRE_H

#include "base/err.h"
#include "store/store.h"
#include "core/hooks.h"

/*
 * The upload is claimed.  What is to be told is written down before the upload
 * goes, and told afterwards unless hooks have failed for too long by now:
 * *failing, in milliseconds, grows by what is lost on one that fails.  hooks
 * may be NULL.
 */
MUST_CHECK enum err_code expire_upload(struct upload *, struct data_store *,
    struct hooks *, struct arena *, int64_t *failing, struct err *);

#endif
