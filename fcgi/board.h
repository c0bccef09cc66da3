/*
 * board.h - what the processes of a pool know of each other.
 *
 * One piece of shared memory: a line per worker that says what it does, the
 * places for those who receive a body, and how many are idle.  Nothing in it
 * is ever waited for, and a worker may be killed at any instruction: what it
 * left on the board, the master wipes off when it buries it.
 */
#ifndef FCGI_BOARD_H
#define FCGI_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/metrics.h"
#include "fcgi/work.h"

/* The most processes there can be at a time, old and new ones together. */
#define BOARD_SLOTS 8192

enum worker_state {
	/* Nobody is here. */
	WORKER_ABSENT,
	/* Forked, not ready yet. */
	WORKER_STARTING,
	WORKER_IDLE,
	/* Handling a request. */
	WORKER_BUSY,
	/* Receiving a body, or sending a long one: for as long as the client
	 * takes, and holding a place for that. */
	WORKER_RECEIVING,
	WORKER_STATE_MAX
};

/* Each in a cache line of its own. */
struct board_slot {
	_Alignas(64) _Atomic int state;
};

struct board {
	/* How many may do at a time what can take long. */
	_Atomic int places;

	/* How often the configuration was read again, and the log opened. */
	_Atomic unsigned reloads;

	/* Below this many idle ones a worker wakes the master. */
	_Atomic int min_spare;

	/* There are as many workers as there may be. */
	_Atomic bool is_full;

	/* A hint: the master sets it right whenever it counts. */
	_Alignas(64) _Atomic int idle;

	/* A worker wrote into the pipe and the master has not looked. */
	_Atomic bool is_woken;
	int wake_fd;

	/* A bit for each slot, so that giving up a place twice, or for one
	 * who died, does no harm. */
	_Alignas(64) _Atomic uint64_t placed[BOARD_SLOTS / 64];

	/* No slot from here on was ever used. */
	_Alignas(64) _Atomic size_t used;

	_Alignas(64) struct metrics metrics;

	struct board_slot slots[BOARD_SLOTS];

	/* Written only for the status page and the slow log. */
	struct work_past past;
	struct work_slot work[BOARD_SLOTS];
};

/* NULL if there is no memory.  Shared with all processes forked later. */
struct board *board_new(void);

/* A worker says what it does. */
void board_set(struct board *, size_t slot, enum worker_state);

/* Take a place for what can take long, and give it back.  No place: false. */
bool board_claim(struct board *, size_t slot);
void board_unclaim(struct board *, size_t slot);

/* Is a place held for something else than a body?  Then it may soon be free. */
bool board_may_free(const struct board *);

/* Is another worker ready, or may one be forked?  Else nobody should wait
 * without a place: a short request would wait as well. */
bool board_may_wait(const struct board *);

/* The master, for one who is no more. */
void board_wipe(struct board *, size_t slot);

/* How many are in each state. */
void board_count(const struct board *, int count[WORKER_STATE_MAX]);

#endif
