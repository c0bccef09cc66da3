/*
 * contract.h - what lock.h promises, tested once for all back ends.
 */
#ifndef TESTS_LOCK_CONTRACT_H
#define TESTS_LOCK_CONTRACT_H

#include <stdint.h>

#include "lock/lock.h"

/*
 * How to open the locker under test.  Every call gives another locker on the
 * same set of locks, also after a fork.
 */
struct lock_maker {
	const char *name;
	struct locker *(*open)(void);
	/* How many locks each of the eight racers takes. */
	long rounds;
	/* How many of the racers that die with a lock in their hands. */
	int deaths;
	/* Ms until the death of a process is known; 0: it is known at once. */
	int64_t soon;
};

/* Runs the tests of the contract and returns how many failed. */
int lock_contract_run(const struct lock_maker *);

struct race_result {
	/* Times that two held the same lock. */
	long doubles;
	/* Calls that failed in a way they must not. */
	long errors;
	long acquired;
};

/*
 * Processes that take, release and retire a few locks as fast as they can,
 * until each of them had `rounds` locks, or, if until_double, until the first
 * time two hold the same one.
 */
struct race_result lock_race(
    const struct lock_maker *, int processes, long rounds, bool until_double);

/*
 * The same, but now and then a holder is killed, and another takes its place,
 * until so many have died, or, if until_double, until the first time that two
 * who are alive hold the same lock.
 */
struct race_result lock_death_race(
    const struct lock_maker *, int processes, int deaths, bool until_double);

#endif
