/*
 * redis_link.h - a connection to Redis, by TCP or a unix socket, with TLS.
 *
 * Nothing is taken for granted of the other end: replies come in the order of
 * the requests, and what was not asked for, has no end or is no reply ends the
 * connection.  hiredis has a loop of its own for that, which aborts the program
 * instead.
 */
#ifndef LOCK_REDIS_LINK_H
#define LOCK_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "lock/engine.h"

struct redis_tls;
struct redis_wait;

/* reply NULL: there is none, and why says why not.  The callee does not own
 * it. */
typedef void redis_heard(void *arg, const redisReply *reply, const char *why);

struct redis_link {
	/* NULL: there is no connection. */
	redisContext *c;
	bool is_tls;
	/* The callers that wait, the oldest first. */
	struct redis_wait *first, **end;
	/* Gets the replies to no request; NULL: there must be none. */
	redis_heard *unasked;
	void *arg;
	/* How often was read since a reply was whole. */
	unsigned reads;
};

/* Of lock.tls; NULL without.  ERR_INVALID: the library has no TLS, or does not
 * like a file. */
MUST_CHECK enum err_code redis_tls_open(
    const struct conf_lock *, struct redis_tls **, struct err *);
void redis_tls_free(struct redis_tls *);

/* Begin to connect; false, after logging why, if that fails at once. */
bool redis_join(
    struct redis_link *, const char *host, struct redis_tls *, struct engine *);
/* All callers that wait are told that there is no reply. */
void redis_hang_up(struct redis_link *, const char *why);

/* Send a command, in the words of redisFormatCommand().  The link must be
 * joined. */
void redis_ask(
    struct redis_link *, redis_heard *, void *arg, const char *format, ...);

/* For poll(), before and after. */
void redis_wait(struct redis_link *, struct pollfd *, int *timeout_ms);
void redis_work_on(struct redis_link *, const struct pollfd *);

#endif
