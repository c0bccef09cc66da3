/*
 * lock.h - one writer per upload, over all processes and pools.
 *
 * A lock is released when its holder dies: a crashed worker must not leave an
 * upload locked.  If several processes ask for the lock of a dead holder,
 * exactly one gets it.  A holder that is stopped keeps its lock.
 *
 * A lock keeps requests apart.  A lock in a network service can be lost while
 * it is held: the host was cut off, or suspended, for longer than lock.session.
 * A suspended process notices that too late, so a store that several hosts
 * share must reject late writers itself; the lock makes sure that this hardly
 * ever happens.
 *
 * A lock belongs to the process that took it.  A child made by fork() must use
 * neither the lock nor the locker that its parent had opened, unless the locker
 * says that its locks are inherited.
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

/* A lock that is held.  Back ends embed this and add their own members. */
struct lock {
	struct locker *locker;
	/* Increases from holder to holder of the same id; 0: this locker has
	 * none.  For logs and names, never for safety. */
	uint64_t token;
};

/* The most processes of a host that wait for one upload. */
enum {
	LOCK_WAITERS = 4
};

enum lock_state {
	LOCK_HELD,
	/* Held, and another process asks for it. */
	LOCK_WANTED,
	/* The lock was lost, or may be: nothing may be written or acknowledged
	 * any more.  A lost lock stays lost. */
	LOCK_LOST
};

struct lock_holder {
	/* -1: unknown. */
	pid_t pid;
	/* "" on this host. */
	char host[64];
	/* The service does not answer. */
	bool is_unknown;
};

enum lock_how {
	/* Create what is needed to lock this id. */
	LOCK_CREATE,
	/* ERR_NOT_FOUND if the id was never locked, or was released for good
	 * since: then it is free.  A locker without traces cannot tell, and
	 * treats this as LOCK_CREATE. */
	LOCK_EXISTING,
	/* For a sweep: as LOCK_CREATE, but never ask the holder to release the
	 * lock, and leave no trace that did not exist before. */
	LOCK_QUIETLY,
	/* As LOCK_EXISTING, but never ask the holder. */
	LOCK_EXISTING_QUIETLY
};

struct locker_ops {
	/*
	 * Try to take the lock of an upload id, without waiting.  ERR_LOCKED if
	 * another process has it: the holder is then asked to release it, until
	 * a later try of the caller ends in anything else, until stop_asking()
	 * or shutdown(), or until the caller dies.  ERR_CROWDED: LOCK_WAITERS
	 * processes of this host wait for that id already, or this process
	 * waits for too many; the holder was not asked on behalf of the caller.
	 * ERR_UNAVAILABLE: the service that keeps the locks cannot be reached,
	 * so no lock can be had.  ERR_INVALID: not an id.
	 */
	MUST_CHECK enum err_code (*acquire)(struct locker *, const char *id,
	    enum lock_how, struct arena *, struct lock **, struct err *);
	void (*stop_asking)(struct locker *, const char *id);

	/* for_good: the upload is finished or gone and will not be locked
	 * again; a locker that leaves traces then removes this one. */
	void (*release)(struct lock *, bool for_good);

	/* The state of a lock that is held.  Cheap (about 1 us). */
	enum lock_state (*state)(struct lock *);

	/*
	 * For messages to an administrator: false if no process holds the lock,
	 * or if that is unknown.  The answer may already be out of date.
	 */
	bool (*holder)(struct locker *, const char *id, struct lock_holder *);

	/* Withdraws all that this process asks for.  Locks that it still holds
	 * are released when it ends. */
	void (*shutdown)(struct locker *);
};

/* A lock on its way from one process of a pool to another. */
struct lock_loan {
	/* Keeps it held as long as any copy of it is open; -1: no lock. */
	int fd;
	int slot;
	uint64_t token;
};

/* Of a locker whose locks can change their process. */
struct locker_lender {
	/*
	 * The lock goes to whichever process gets a copy of the descriptor.
	 * lend() changes nothing yet; parted() ends the part that this process
	 * has in it, once the copy is on its way, and the struct lock with it.
	 */
	void (*lend)(struct lock *, struct lock_loan *);
	void (*parted)(struct lock *);

	/* The descriptor is the locker's from here on, whatever happens.
	 * ERR_CONFLICT: it is not the lock of this id any more. */
	MUST_CHECK enum err_code (*adopt)(struct locker *, const char *id,
	    const struct lock_loan *, struct arena *, struct lock **,
	    struct err *);

	/* Is it asked for, or lost?  For a process that opens no locker. */
	bool (*is_wanted)(const struct lock_loan *);
};

/* For a locker whose locks leave a trace until they are released for good. */
struct locker_traces {
	/*
	 * Iterate over the ids whose locks have left a trace, for the sweep,
	 * which locks each and releases it for good if it is not needed any
	 * more.  Start with *cursor NULL; *id is NULL after the last one.
	 * Then, and after an error, the cursor is gone.  The order is
	 * undefined; ids that appear or disappear meanwhile may be missed.
	 */
	MUST_CHECK enum err_code (*walk_next)(struct locker *, void **cursor,
	    struct arena *, const char **id, struct err *);

	/* True if there is a trace of the id, or if that cannot be known.  A
	 * process that had the lock before this call, and still has it, has
	 * left one. */
	bool (*has)(struct locker *, const char *id);
};

enum {
	LOCK_CALL_LIMITS = 8,
	LOCK_NOTES = 4,
	/* Of a sentence for an administrator. */
	LOCK_TEXT = 256
};

/* In us, rising: how long calls to a service take. */
extern const int64_t lock_call_limits[LOCK_CALL_LIMITS];

/* What an administrator may know of a service that keeps the locks. */
struct lock_figures {
	/* Held locks are held for certain for so many ms; 0: there is no
	 * session. */
	int64_t session_ms;
	/* Of this host: how many are held; and since the agent was started, how
	 * many were lost, calls without an answer, and calls by the limit that
	 * they kept, the last by none, and their time in us. */
	uint64_t held, lost, errors, calls[LOCK_CALL_LIMITS + 1], us;
	/* It is known that no other store has the prefix. */
	bool is_claimed;
	/* Why no lock can be had until an administrator acts; "": locks can be
	 * had. */
	char refusal[LOCK_TEXT];
};

/* Of a locker behind which there is a service. */
struct locker_service {
	/* False: there is no agent. */
	bool (*figures)(struct locker *, struct lock_figures *);
};

/* An open locker.  Back ends embed this and add their own members. */
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
	/* NULL: its locks stay in the process that took them. */
	const struct locker_lender *lender;
	/* After a fork() the child shares the locks of the parent, and each is
	 * free when both have released it. */
	bool is_inherited;
	/* A lock may become LOCK_LOST. */
	bool can_lose;
};

/* Exported by each back end as const struct locker_class locker_NAME. */
struct locker_class {
	/* The name in the configuration: lock: { type = "flock"; } */
	const char *name;

	/* Only the process that opened it first, and those that it forked, can
	 * reach its locks: no other process may use the store. */
	bool is_for_one_pool;

	/* Its locks are files in lock.path or, if that is not set, in the
	 * directory of the uploads. */
	bool has_files;

	/* As in the locker; NULL: see there.  Of an engine it is the agent's.
	 */
	const struct locker_lender *lender;

	/* The lock service that an agent uses for all processes; then open is
	 * NULL, and see locker_start().  NULL: there is no agent. */
	const struct engine_ops *engine;

	/* Do the keys contradict each other, above all with store.shared?
	 * ERR_INVALID says which; NULL if none can. */
	MUST_CHECK enum err_code (*check_keys)(
	    const struct conf *, struct err *);

	/* Reports what the locker needs with this configuration; NULL if
	 * nothing. */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	MUST_CHECK enum err_code (*open)(
	    const struct conf *, struct locker **, struct err *);
};

/* ERR_INVALID: the locker that lock.type names cannot work with these keys, or
 * it is_for_one_pool and the store is shared. */
MUST_CHECK enum err_code locker_check_keys(const struct conf *, struct err *);

/*
 * Open the locker that lock.type names.  lock.path "" means store.path.  After
 * a fork every process opens its own.  ERR_INVALID: it is not built in, a
 * table of it has a hole, or locker_check_keys() refuses.
 */
MUST_CHECK enum err_code locker_open(
    const struct conf *, struct locker **, struct err *);

/* Report what the locker that lock.type names needs. */
void locker_needs(const struct conf *, need_ear *, void *arg);

/* The directory of the lock files, or NULL if there are none; it belongs to the
 * configuration. */
const char *locker_home(const struct conf *);

/*
 * Some lockers need an agent, a process beside those that lock.  The master of
 * a pool, or a process without one, starts it before the locker is opened and
 * before it forks.  It passes the pid and the status of each child that died to
 * locker_reap(), which returns true if that was the agent, after starting
 * another.  For lockers without an agent, and if lock.agent names one that
 * another program starts, these functions do nothing.
 */
MUST_CHECK enum err_code locker_start(const struct conf *, struct err *);
bool locker_reap(pid_t, int status);
/* The same check for a process that is not told of its children's deaths. */
void locker_look(void);
/* To be called after the log was rotated. */
void locker_follow_log(void);
/* Stop the agent.  Locks that are still held are lost, and free a second
 * later. */
void locker_stop(void);

/* The id of the store, for ever: two stores with one lock.prefix are refused.
 * Before either; "" asks for nothing.  A guest is a program that ends soon, and
 * leaves the prefix to the pools. */
void locker_know_store(const char *id, bool is_guest);

/*
 * Instead of locker_start(): run the agent for the programs that find it at
 * lock.agent.  listen_fd: a listening socket of packets.  ERR_INVALID:
 * lock.type needs no agent.
 */
MUST_CHECK enum err_code locker_serve(
    const struct conf *, int listen_fd, struct err *);

/* A function that the agent calls first in its process, to give up the rights
 * that it does not need; see locker_agent_needs(). */
void locker_confine_agent(void (*confine)(const struct conf *));
void locker_agent_needs(const struct conf *, need_ear *, void *arg);

/* What one of lock.hosts did: how long it took to take and to drop a lock, in
 * us; else why not, "" if that is not known. */
struct lock_trial {
	enum err_code rc;
	/* It answers and refuses us. */
	bool is_refusal;
	int64_t take_us, drop_us, session_ms;
	/* Of the service's settings, and whether they must be changed; "" after
	 * the last. */
	struct {
		bool is_bad;
		char text[LOCK_TEXT];
	} notes[LOCK_NOTES];
	char text[LOCK_TEXT];
};

/* Try the n-th of lock.hosts, and no other.  ERR_NOT_FOUND after the last. */
MUST_CHECK enum err_code locker_try_host(
    const struct conf *, size_t n, struct lock_trial *, struct err *);

/* Is the locker that lock.type names for one pool only?  For store_attach(). */
bool locker_is_for_one_pool(const struct conf *);

/* Has the locker that lock.type names files of its own? */
bool locker_has_files(const struct conf *);

/* Can locks of the locker that lock.type names be lost, because a service keeps
 * them? */
bool locker_is_far(const struct conf *);

/* The lender of the locker that lock.type names, without a locker; NULL if its
 * locks cannot change their process. */
const struct locker_lender *locker_lender_of(const struct conf *);

/* Does the id's lock have a trace, held or not?  Takes the lock for a moment,
 * and asks no holder to release it.  False if the locker leaves no traces. */
bool locker_knows(struct locker *, const char *id, struct arena *);

/* ERR_INVALID: a table of the locker has a hole. */
MUST_CHECK enum err_code locker_check(const struct locker *, struct err *);

/* The names of the back ends built in, NULL after the last. */
const char *locker_name(size_t n);

#endif
