/*
 * agent.h - the lock agent: one process that holds one session with a lock
 * service for all processes of a pool.
 *
 * Each process has one connection to the agent, with at most one request at a
 * time.  When the connection ends, the agent releases all that the process had.
 */
#ifndef LOCK_AGENT_H
#define LOCK_AGENT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "lock/engine.h"
#include "lock/lock.h"

enum {
	/* The most locks that a host holds at a time. */
	AGENT_SLOTS = 8192,
	/* The deadline is this many ms before the service may give a lock to
	 * another host. */
	AGENT_MARGIN = 500
};

enum agent_op {
	/* First, if there is one: the id of the store, in the place of that of
	 * an upload. */
	AGENT_HELLO,
	AGENT_TAKE,
	AGENT_UNASK,
	AGENT_RELEASE,
	AGENT_HOLDER
};

struct agent_request {
	enum agent_op op;
	/* For AGENT_TAKE: may the holder be asked to release the lock? */
	uint8_t may_ask;
	int slot;
	char id[ID_MAX + 1];
};

struct agent_answer {
	enum err_code rc;
	int slot;
	uint64_t token;
	/* Also of ERR_LOCKED: the host. */
	struct lock_holder holder;
	char text[96];
};

/* A lock, in memory shared by all; only the agent writes to it. */
struct agent_slot {
	_Atomic bool is_wanted, is_lost;
	/* For an agent that replaces a dead one. */
	_Atomic bool is_used;
	struct engine_held held;
};

struct agent_board {
	/* Until this time (ms of CLOCK_BOOTTIME) all held locks are held for
	 * certain. */
	_Atomic int64_t valid_until;
	/* For people. */
	_Atomic uint64_t held, lost, errors, calls[LOCK_CALL_LIMITS + 1], us;
	_Atomic bool is_claimed, is_refused;
	char refusal[LOCK_TEXT];
	/* No agent has used a slot from here on: to read them takes memory. */
	_Atomic int slots_top;
	struct agent_slot slots[AGENT_SLOTS];
};

/* Milliseconds of a clock that goes on during suspend. */
int64_t agent_clock(void);

/* The limits of the agent's own process. */
void agent_limit(void);

/* A call to the service is over, after so many ns. */
void agent_count(struct agent_board *, bool was_answered, int64_t ns);
/* Why no lock can be had until an administrator acts; "" withdraws that. */
void agent_refuse(struct agent_board *, const char *why);

/* Is the id of a message one?  A worker that was taken over must not name keys
 * of the service. */
bool agent_is_sound(const struct agent_request *);

/* Send and receive the descriptor of the board, with the first message on a
 * connection; -1: it did not come. */
bool agent_send_board(int fd, int board_fd);
int agent_receive_board(int fd);

/*
 * The main function of the agent, in agentd.c: serve all connections to the
 * socket and give each the descriptor of the board, which none but the agent
 * can write to, until SIGUSR2; then release all locks and exit.  On SIGHUP the
 * log is reopened.
 */
_Noreturn void agent_serve(const struct engine_ops *, const struct conf *,
    int listen_fd, int board_fd, struct agent_board *);

/* For struct locker_class: a locker that uses an agent.  It connects when it is
 * first used. */
MUST_CHECK enum err_code agent_open(
    const char *name, const struct conf *, struct locker **, struct err *);

/* See locker_try_host(). */
MUST_CHECK enum err_code agent_try_host(const struct engine_ops *,
    const struct conf *, const char *host, struct lock_trial *, struct err *);

/* At the start, one host after the other until one takes a lock.  A host that
 * answers and refuses us ends the start; one that does not answer may come
 * later. */
MUST_CHECK enum err_code agent_try_hosts(
    const struct engine_ops *, const struct conf *, struct err *);

/* The keys that the agent reads, in a new configuration of the caller's, which
 * a reload of the other one does not change. */
MUST_CHECK enum err_code agent_copy_conf(
    const struct conf *, struct conf **copy, struct err *);

/* Its lender. */
extern const struct locker_lender agent_lender;

/* For struct locker_class: see locker_start() and the functions after it. */
MUST_CHECK enum err_code agent_begin(
    const struct engine_ops *, const struct conf *, struct err *);
MUST_CHECK enum err_code agent_begin_for_all(const struct engine_ops *,
    const struct conf *, int listen_fd, struct err *);
void agent_know_store(const char *id, bool is_guest);
void agent_confine(void (*confine)(const struct conf *));
void agent_needs(const struct conf *, need_ear *, void *arg);
bool agent_reap(pid_t, int status);
void agent_look(void);
void agent_follow_log(void);
void agent_end(void);

#endif
