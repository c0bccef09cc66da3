/*
 * board.h - memory that the processes of a pool share.
 *
 * It holds a slot per worker with the worker's state, the permits for
 * requests that take long, and the number of idle workers.  No process ever
 * waits for another to change the board.  A worker may be killed at any
 * instruction; the master then clears its slot (board_wipe).
 */
#ifndef FCGI_BOARD_H
#define FCGI_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/metrics.h"
#include "fcgi/note.h"
#include "fcgi/work.h"

/* The most processes there can be at a time, old and new ones together. */
#define BOARD_SLOTS 8192

enum worker_state {
	/* The slot has no worker. */
	WORKER_ABSENT,
	/* Forked, not ready yet. */
	WORKER_STARTING,
	WORKER_IDLE,
	/* Handling a request. */
	WORKER_BUSY,
	/* Receiving a body, or sending a long one.  This takes as long as the
	 * client wants, and the worker has a permit meanwhile. */
	WORKER_RECEIVING,
	WORKER_STATE_MAX
};

/* Each in a cache line of its own. */
struct board_slot {
	_Alignas(64) _Atomic int state;
	/* Since when, by clock_ms(), it has had a request that was parked; 0:
	 * it has none. */
	_Atomic int64_t turn;
	/* It is about to send one to the parking process. */
	_Atomic bool is_giving;
	/* How many requests it has begun, modulo UINT_MAX + 1. */
	_Atomic unsigned begun;
};

/* What the parking process and the workers know of each other. */
struct board_parking {
	/* 0: there is none. */
	_Atomic int pid;
	/* How many requests it keeps, and how many more it takes: 0 if only
	 * those that it had before, -1 if none. */
	_Atomic int parked, room;
	/* More is ready than workers have turns: one that ends its turn wakes
	 * it. */
	_Atomic bool is_waiting;
	/* How many requests workers have got from it. */
	_Atomic unsigned taken;
	/* When it was last awake, by clock_ms(). */
	_Atomic int64_t beat;
};

struct board {
	/* How many workers may do at the same time what can take long. */
	_Atomic int permits;

	/* How often the configuration was read again and the log reopened. */
	_Atomic unsigned reloads;

	/* With fewer idle workers than this, a worker wakes the master. */
	_Atomic int min_spare;

	/* The pool has as many workers as it may have. */
	_Atomic bool is_full;

	/* The number of idle workers.  Only a hint: the master corrects it
	 * whenever it counts. */
	_Alignas(64) _Atomic int idle;

	/* A worker wrote into the pipe and the master has not yet read it. */
	_Atomic bool is_woken;
	int wake_fd;

	/* A bit for each slot: returning a permit twice, or for a worker that
	 * died, does no harm. */
	_Alignas(64) _Atomic uint64_t permitted[BOARD_SLOTS / 64];

	/* No slot from here on was ever used. */
	_Alignas(64) _Atomic size_t used;

	_Alignas(64) struct board_parking parking;

	_Alignas(64) struct metrics metrics;

	struct board_slot slots[BOARD_SLOTS];

	/* Written only where the status page or the slow log is on. */
	struct work_past past;
	struct work_slot work[BOARD_SLOTS];
	struct work_shelf shelf;
};

/* NULL if there is no memory.  Shared with all processes forked later. */
struct board *board_new(void);

/* Record the state of a worker. */
void board_set(struct board *, size_t slot, enum worker_state);

/*
 * A worker that may be busy for long needs a permit, so that some workers never
 * are.  Take one, unless the worker has it already; false: all are taken.
 * Return it: the worker is WORKER_BUSY afterwards.
 */
bool board_take_permit(struct board *, size_t slot);
bool board_has_permit(const struct board *, size_t slot);
void board_return_permit(struct board *, size_t slot);

/* Has a request that does not receive a body a permit?  Then one may soon be
 * left. */
bool board_may_free(const struct board *);

/* Is another worker idle, or may one be forked?  Otherwise no request should
 * wait for a permit: short requests would wait behind it. */
bool board_may_wait(const struct board *);

/* Are fewer workers idle than are to be kept ready?  Then the master forks
 * some, unless a body gives its worker back. */
bool board_is_short(const struct board *);

/*
 * A worker that gets a request from the parking process has it for a turn,
 * until it is done with it or gives it back.  How many have one that began
 * since then, by clock_ms()?  End it: false if it is over already.
 */
void board_begin_turn(struct board *, size_t slot);
bool board_end_turn(struct board *, size_t slot);
int board_count_turns(const struct board *, int64_t since);

/* A worker sets it before it looks whether the parking process has room, and
 * clears it when it has sent the request.  Does any worker do that now? */
void board_set_giving(struct board *, size_t slot, bool it_is);
bool board_is_giving(const struct board *);

/* For the master: clear the slot of a worker that has ended. */
void board_wipe(struct board *, size_t slot);

/* Count the workers in each state. */
void board_count(const struct board *, int count[WORKER_STATE_MAX]);

/* How fast requests are begun, as of the last look. */
struct board_pace {
	unsigned begun;
	int64_t at;
};

/* Look, at clock_ms(): do workers that are busy with short requests have one
 * for at most 1 ms on the average since the last look?  Then a connection that
 * waits is soon taken, and more workers would only take turns with them. */
bool board_is_brisk(const struct board *, struct board_pace *, int64_t now);

#endif
