/*
 * agent.h - the lock agent: one process that holds one session with a lock
 * service for all processes of a pool.
 *
 * A process has one connection to the agent, and one request on it at a time.
 * The end of the connection gives up all that the process had.
 */
#ifndef LOCK_AGENT_H
#define LOCK_AGENT_H

#include <stdatomic.h>

#include "base/arena.h"
#include "lock/engine.h"
#include "lock/lock.h"

enum {
	/* Locks that a host holds at a time. */
	AGENT_SLOTS = 8192,
	/* The deadline lies so many ms before the service may give a lock to
	 * another. */
	AGENT_MARGIN = 500,
	/* Of a sentence, with the NUL. */
	AGENT_TEXT = 192
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
	/* Of AGENT_TAKE: may the holder be asked? */
	bool may_ask;
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

/* In the memory of all; only the agent writes to it. */
struct agent_slot {
	_Atomic bool is_wanted, is_lost;
	/* For the agent that comes after a dead one. */
	_Atomic bool is_used;
	struct engine_held held;
};

struct agent_board {
	/* Ms of CLOCK_BOOTTIME until which all that is held is held for sure.
	 */
	_Atomic int64_t valid_until;
	/* For people. */
	_Atomic uint64_t held, lost, errors, calls[LOCK_CALL_LIMITS + 1], us;
	_Atomic bool is_claimed, is_refused;
	char refusal[AGENT_TEXT];
	struct agent_slot slots[AGENT_SLOTS];
};

/* Ms that go on while the machine sleeps. */
int64_t agent_clock(void);

/* A call to the service is over, after so many ns. */
void agent_count(struct agent_board *, bool was_answered, int64_t ns);
/* Why no lock can be had before somebody mends it; "" takes that back. */
void agent_refuse(struct agent_board *, const char *why);

/* The first message on a connection has the descriptor of the board; -1: it
 * did not come. */
bool agent_send_board(int fd, int board_fd);
int agent_receive_board(int fd);

/*
 * The process itself, in agentd.c: serves everybody who connects to the socket,
 * and gives each connection the board, until SIGUSR2: then it gives up what is
 * held, and leaves.  After SIGHUP it opens its log again.
 */
_Noreturn void agent_serve(const struct engine_ops *, const struct conf *,
    int listen_fd, int board_fd);

/* For struct locker_class: the locker of whoever talks to an agent.  It
 * connects when it is first asked for a lock. */
MUST_CHECK enum err_code agent_open(
    const char *name, const struct conf *, struct locker **, struct err *);

/* See locker_try_host(). */
MUST_CHECK enum err_code agent_try_host(const struct engine_ops *,
    const struct conf *, const char *host, struct lock_trial *, struct err *);

/* For struct locker_class: see locker_start() and what follows it. */
MUST_CHECK enum err_code agent_begin(
    const struct engine_ops *, const struct conf *, struct err *);
MUST_CHECK enum err_code agent_begin_for_all(const struct engine_ops *,
    const struct conf *, int listen_fd, struct err *);
void agent_know_store(const char *id);
void agent_confine(void (*confine)(const struct conf *));
void agent_needs(const struct conf *, need_ear *, void *arg);
bool agent_reap(pid_t);
void agent_look(void);
void agent_follow_log(void);
void agent_end(void);

#endif
