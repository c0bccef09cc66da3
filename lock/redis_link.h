/*
 * redis_link.h - a connection to Redis, by TCP or a unix socket, with TLS.
 */
#ifndef LOCK_REDIS_LINK_H
#define LOCK_REDIS_LINK_H

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "lock/engine.h"

struct redis_tls;

/* ac is NULL while there is none. */
struct redis_link {
	redisAsyncContext *ac;
	/* What hiredis waits for. */
	short events;
};

/* Of lock.tls; NULL without.  ERR_INVALID: the library has no TLS, or does not
 * like a file. */
MUST_CHECK enum err_code redis_tls_open(
    const struct conf_lock *, struct redis_tls **, struct err *);
void redis_tls_free(struct redis_tls *);

/* False, and said, if it cannot even be begun. */
bool redis_join(
    struct redis_link *, const char *host, struct redis_tls *, struct engine *);
/* All that was asked is told that there is no reply. */
void redis_hang_up(struct redis_link *);

/* For poll(), before and after. */
void redis_wait(const struct redis_link *, struct pollfd *);
void redis_work_on(struct redis_link *, const struct pollfd *);

#endif
