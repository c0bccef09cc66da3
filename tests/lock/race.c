/*
 * race.c - many processes, few locks: never two holders.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lock/contract.h"

enum {
	IDS = 3,
	PROCESSES_MAX = 16
};

/* What all processes see. */
struct ring {
	atomic_int holder[IDS];
	atomic_long doubles, errors, acquired;
	atomic_bool stop;
};

struct racer {
	struct ring *shared;
	struct locker *locker;
	struct arena *arena;
	uint32_t random;
	int number;
};

static const char *const ids[IDS] = { "race-a", "race-b", "race-c" };

static uint32_t
next_random(struct racer *r, uint32_t below)
{
	r->random = r->random * 1664525u + 1013904223u;
	return (r->random >> 16) % below;
}

static void
hold(struct racer *r, struct lock *lock, unsigned which)
{
	atomic_int *holder = &r->shared->holder[which];
	int nobody = 0;

	if (!atomic_compare_exchange_strong(holder, &nobody, r->number))
		atomic_fetch_add(&r->shared->doubles, 1);
	if (next_random(r, 4) == 0)
		(void)sched_yield();
	(void)r->locker->ops->wanted(lock);
	nobody = r->number;
	(void)atomic_compare_exchange_strong(holder, &nobody, 0);
	if (next_random(r, 2) == 0)
		r->locker->ops->release(lock, true);
	else
		r->locker->ops->release(lock, false);
}

/* One try, with all the ways there are; true if we had the lock. */
static bool
try_once(struct racer *r)
{
	static const enum lock_how hows[] = { LOCK_CREATE, LOCK_EXISTING,
		LOCK_EXISTING_QUIETLY, LOCK_QUIETLY, LOCK_CREATE };
	unsigned which = next_random(r, IDS);
	enum lock_how how = hows[next_random(r, NITEMS(hows))];
	struct lock *lock;
	struct err e;

	switch (r->locker->ops->acquire(
	    r->locker, ids[which], how, r->arena, &lock, &e)) {
	case ERR_OK:
		hold(r, lock, which);
		return true;
	case ERR_LOCKED:
		if (next_random(r, 4) == 0)
			r->locker->ops->stop_asking(r->locker, ids[which]);
		(void)sched_yield();
		return false;
	case ERR_UNAVAILABLE:
	case ERR_NOT_FOUND:
		return false;
	default:
		(void)fprintf(stderr, "race: %s\n", e.text);
		atomic_fetch_add(&r->shared->errors, 1);
		return false;
	}
}

static void
race(const struct lock_maker *maker, struct ring *shared, int number,
    long rounds, bool until_double)
{
	struct racer r = { .shared = shared,
		.locker = maker->open(),
		.arena = arena_new(),
		.random = (uint32_t)number * 7919u,
		.number = number };

	while (rounds > 0 && !atomic_load(&shared->stop)) {
		if (try_once(&r)) {
			rounds--;
			atomic_fetch_add(&shared->acquired, 1);
		}
		arena_reset(r.arena);
		if (atomic_load(&shared->errors) > 10 ||
		    (until_double && atomic_load(&shared->doubles) > 0))
			atomic_store(&shared->stop, true);
	}
	r.locker->ops->shutdown(r.locker);
	arena_free(r.arena);
}

struct race_result
lock_race(const struct lock_maker *maker, int processes, long rounds,
    bool until_double)
{
	struct ring *shared = mmap(NULL, sizeof(*shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct race_result result = { .errors = -1 };
	pid_t pids[PROCESSES_MAX];
	int i, status, failed = 0;

	if (shared == MAP_FAILED || processes > PROCESSES_MAX)
		return result;
	for (i = 0; i < processes; i++) {
		if ((pids[i] = fork()) != 0)
			continue;
		race(maker, shared, i + 1, rounds, until_double);
		_exit(0);
	}
	for (i = 0; i < processes; i++)
		if (pids[i] == -1 || waitpid(pids[i], &status, 0) == -1 ||
		    status != 0)
			failed++;
	result.doubles = atomic_load(&shared->doubles);
	result.errors = atomic_load(&shared->errors) + failed;
	result.acquired = atomic_load(&shared->acquired);
	(void)munmap(shared, sizeof(*shared));
	return result;
}
