/*
 * gate.h - a locker for tests: lock/memory.c behind a gate.
 *
 * The gate counts the locks, and a test can have it refuse them or report
 * another state.  Without that it is a real locker, which keeps two holders
 * apart.
 */
#ifndef TESTS_TUS_GATE_H
#define TESTS_TUS_GATE_H

#include "lock/lock.h"

/* Each function may be NULL. */
struct gate {
	/* Called before a lock is taken; an error is returned in its place. */
	enum err_code (*refuse)(enum lock_how, struct err *);
	/* Called after a lock was taken, and before it is released. */
	void (*taken)(void);
	void (*released)(bool for_good);
	/* The state of every lock, instead of the true one. */
	enum lock_state (*state)(void);

	/* Locks that are held, were released for good, and are waited for. */
	int held, retired, asking;
};

extern struct gate gate;

/* The locker, with an open gate; the program ends if there is none. */
struct locker *gate_open(void);

#endif
