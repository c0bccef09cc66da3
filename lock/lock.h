/*
 * lock.h - one writer per upload, over all processes and pools.
 *
 * A lock dies with its holder: a crashed worker must not leave an upload
 * locked.  Of several processes that ask for the lock of a dead holder, one
 * gets it.  A holder that is stopped keeps it.
 *
 * A lock keeps requests apart.  Over a network it can be lost while it is
 * held: the host was cut off, or slept, for longer than lock.session.  A
 * process that was asleep learns it too late, so a store that several hosts
 * share must refuse a late writer by itself; the lock is there so that this
 * hardly ever happens.
 *
 * A lock belongs to the process that took it.  A child made by fork() has no
 * part in it, and in no locker that was opened before, unless the locker says
 * that its locks are inherited.
 */
#ifndef LOCK_LOCK_H
#define LOCK_LOCK_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/need.h"

struct locker;
struct engine_ops;

/* A held lock.  Back ends embed this and add their own. */
struct lock {
	struct locker *locker;
	/* Grows from holder to holder of the same id; 0: this locker has none.
	 * For logs and names, never for safety. */
	uint64_t token;
};

/* How many processes of a host wait for one upload, at most. */
enum {
	LOCK_WAITERS = 4
};

enum lock_state {
	LOCK_HELD,
	/* Held, and another process asks for it. */
	LOCK_WANTED,
	/* It has been lost, or may be by now: nothing may be written or
	 * acknowledged any more.  Once lost, lost for ever. */
	LOCK_LOST
};

struct lock_holder {
	/* -1: unknown. */
	pid_t pid;
	/* "" on this host. */
	char host[64];
};

enum lock_how {
	/* Make what is needed to lock this id. */
	LOCK_CREATE,
	/* ERR_NOT_FOUND if it was never locked, or was released for good since:
	 * then it is free.  A locker without traces cannot tell, and takes it
	 * as LOCK_CREATE. */
	LOCK_EXISTING,
	/* As LOCK_CREATE, but never ask the holder, and leave no trace that was
	 * not there before: for a sweep. */
	LOCK_QUIETLY,
	/* As LOCK_EXISTING, but never ask the holder. */
	LOCK_EXISTING_QUIETLY
};

struct locker_ops {
	/*
	 * Try to take the lock of an upload id, without waiting.  ERR_LOCKED if
	 * another has it: the holder has been asked to hurry, and keeps being
	 * asked until a try of the caller ends in anything else, until
	 * stop_asking() or shutdown(), or until the caller dies.  ERR_CROWDED:
	 * LOCK_WAITERS processes of this host ask for that id already, or this
	 * process asks for too many; the holder has not been asked for us.
	 * ERR_UNAVAILABLE: the service that keeps the locks cannot be asked,
	 * and no lock can be had.  ERR_INVALID: not an id.
	 */
	MUST_CHECK enum err_code (*acquire)(struct locker *, const char *id,
	    enum lock_how, struct arena *, struct lock **, struct err *);
	void (*stop_asking)(struct locker *, const char *id);

	/* for_good: the upload is finished or gone, and nobody will lock it
	 * again; a locker that leaves traces leaves none then. */
	void (*release)(struct lock *, bool for_good);

	/* Of a lock that is held.  Cheap (about 1 us). */
	enum lock_state (*state)(struct lock *);

	/*
	 * For an administrator's eyes: false if nobody holds the lock.  Takes
	 * no lock and is true only of some moment.
	 */
	bool (*holder)(struct locker *, const char *id, struct lock_holder *);

	/* Gives up all that this process asks for.  Locks that it still holds
	 * are released by its death. */
	void (*shutdown)(struct locker *);
};

/* Of a locker whose locks leave a trace until they are released for good. */
struct locker_traces {
	/*
	 * Walk the ids whose locks have left a trace, for the sweep, which
	 * takes and releases for good what nobody needs any more; from *cursor
	 * NULL, *id is NULL after the last, and then, or after an error, the
	 * cursor is gone.  In no order; what comes or goes meanwhile may or may
	 * not be seen.
	 */
	MUST_CHECK enum err_code (*walk_next)(struct locker *, void **cursor,
	    struct arena *, const char **id, struct err *);
};

enum {
	LOCK_CALL_LIMITS = 8
};

/* In us, rising: how long calls to a service take. */
extern const int64_t lock_call_limits[LOCK_CALL_LIMITS];

/* What an administrator may know of a service that keeps the locks. */
struct lock_figures {
	/* What is held is held for sure for so many ms; 0: there is no
	 * session. */
	int64_t session_ms;
	/* Of this host: how many are held; and since the agent was started, how
	 * many were lost, calls without an answer, and calls by the limit that
	 * they kept, the last by none, and their time in us. */
	uint64_t held, lost, errors, calls[LOCK_CALL_LIMITS + 1], us;
	/* It is known that no other store has the prefix. */
	bool is_claimed;
	/* Why no lock can be had before somebody mends it; "" it can. */
	char refusal[192];
};

/* Of a locker behind which there is a service. */
struct locker_service {
	/* False: there is no agent. */
	bool (*figures)(struct locker *, struct lock_figures *);
};

/* An open locker.  Back ends embed this and add their own. */
struct locker {
	const char *name;
	const struct locker_ops *ops;
	/* NULL: no service. */
	const struct locker_service *service;
	/* After ERR_LOCKED of acquire(): the host of the holder; "" this one,
	 * or not known. */
	char held_by[64];
	/* NULL: its locks leave no trace. */
	const struct locker_traces *traces;
	/* After a fork() the child has the locks of the parent as well, and
	 * each is free when both have released it. */
	bool is_inherited;
	/* A lock may become LOCK_LOST. */
	bool can_lose;
};

/* What a back end exports: const struct locker_class locker_NAME. */
struct locker_class {
	/* As in  lock: { type = "flock"; }  in the configuration. */
	const char *name;

	/* Only the process that opened it first, and those that it forked, can
	 * reach its locks: no other may use the store. */
	bool is_for_one_pool;

	/* The lock service that an agent asks for all; open is NULL then, and
	 * see locker_start().  NULL: there is no agent. */
	const struct engine_ops *engine;

	/* What it needs of the system, as the configuration is; NULL if it
	 * needs nothing. */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	MUST_CHECK enum err_code (*open)(
	    const struct conf *, struct locker **, struct err *);
};

/*
 * Open the locker that lock.type names.  lock.path "" is store.path.  After a
 * fork every process opens its own.  ERR_INVALID: it is not built in, or a
 * table of it has a hole.
 */
MUST_CHECK enum err_code locker_open(
    const struct conf *, struct locker **, struct err *);

/* What the locker that lock.type names needs. */
void locker_needs(const struct conf *, need_ear *, void *arg);

/*
 * Some lockers need a process beside those that lock: the agent.  The master
 * of a pool, or whoever is alone, starts it before the locker is opened and
 * before it forks, and hands on which of its children has died: true if it was
 * the agent, and another has been started.  Without an agent these do nothing,
 * nor if lock.agent says where one is that somebody else has started.
 */
MUST_CHECK enum err_code locker_start(const struct conf *, struct err *);
bool locker_reap(pid_t);
/* The same for a process that does not hear of its children. */
void locker_look(void);
/* After the log was rotated. */
void locker_follow_log(void);
/* What is held still is lost and, a second later, free. */
void locker_stop(void);

/* The id of the store, for ever: two stores with one lock.prefix are refused.
 * Before either; "" asks for nothing. */
void locker_know_store(const char *id);

/*
 * In place of locker_start(): be the one that starts the agent, for those who
 * find it at lock.agent.  listen_fd: a socket of packets that listens there.
 * ERR_INVALID: lock.type needs no agent.
 */
MUST_CHECK enum err_code locker_serve(
    const struct conf *, int listen_fd, struct err *);

/* What the agent does first of all, before either: it gives away what it will
 * not need, see locker_agent_needs(). */
void locker_confine_agent(void (*confine)(const struct conf *));
void locker_agent_needs(const struct conf *, need_ear *, void *arg);

/* What one of lock.hosts did: how long it took to take and to drop a lock, in
 * us; else why not, "" if nobody said. */
struct lock_trial {
	enum err_code rc;
	int64_t take_us, drop_us, session_ms;
	char text[160];
};

/* Try the n-th of lock.hosts, and no other.  ERR_NOT_FOUND after the last. */
MUST_CHECK enum err_code locker_try_host(
    const struct conf *, size_t n, struct lock_trial *, struct err *);

/* Does lock.type name a locker that is?  For store_hold(). */
bool locker_is_for_one_pool(const struct conf *);

/* Does it name one whose locks can be lost, for a service keeps them? */
bool locker_is_far(const struct conf *);

/* Is there a trace of its lock, held or not?  Takes it for a moment, and asks
 * nobody to let go.  False if the locker leaves no traces. */
bool locker_knows(struct locker *, const char *id, struct arena *);

/* ERR_INVALID: a table of it has a hole. */
MUST_CHECK enum err_code locker_check(const struct locker *, struct err *);

/* The names of the back ends built in, NULL after the last. */
const char *locker_name(size_t n);

#endif
