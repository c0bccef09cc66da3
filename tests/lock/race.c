/*
 * race.c - many processes, few locks: never two holders.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lock/contract.h"

enum {
	IDS = 3,
	PROCESSES_MAX = 16,
	/* Of all the racers that ever run, with those that took the place of
	 * the dead. */
	NUMBERS_MAX = 4096,
	/* One of so many holders dies. */
	DEATH_RATE = 8
};

/* What all processes see. */
struct ring {
	/* The number of the racer that holds it, 0: nobody. */
	atomic_int holder[IDS];
	/* It holds a lock and does nothing more but die. */
	atomic_bool is_dying[NUMBERS_MAX];
	atomic_long doubles, errors, acquired;
	atomic_bool stop;
	bool until_double, may_die;
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

/* With the lock.  Another holder must be gone, or dead. */
static void
sign(struct racer *r, atomic_int *holder)
{
	int before = atomic_exchange(holder, r->number);

	if (before != 0 && !atomic_load(&r->shared->is_dying[before]))
		atomic_fetch_add(&r->shared->doubles, 1);
}

static void
hold(struct racer *r, struct lock *lock, unsigned which)
{
	atomic_int *holder = &r->shared->holder[which];
	int mine = r->number;

	sign(r, holder);
	atomic_fetch_add(&r->shared->acquired, 1);
	if (next_random(r, 4) == 0)
		(void)sched_yield();
	(void)r->locker->ops->state(lock);
	if (r->shared->may_die && next_random(r, DEATH_RATE) == 0) {
		atomic_store(&r->shared->is_dying[r->number], true);
		(void)raise(SIGKILL);
	}
	/* It is another's by now if two held it: that is counted already. */
	(void)atomic_compare_exchange_strong(holder, &mine, 0);
	r->locker->ops->release(lock, next_random(r, 2) == 0);
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
	case ERR_CROWDED:
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
    long rounds)
{
	struct racer r = { .shared = shared,
		.locker = maker->open(),
		.arena = arena_new(),
		.random = (uint32_t)number * 7919u,
		.number = number };

	while (rounds > 0 && !atomic_load(&shared->stop)) {
		if (try_once(&r))
			rounds--;
		arena_reset(r.arena);
		if (atomic_load(&shared->errors) > 10 ||
		    (shared->until_double && atomic_load(&shared->doubles) > 0))
			atomic_store(&shared->stop, true);
	}
	r.locker->ops->shutdown(r.locker);
	arena_free(r.arena);
}

static bool
start(const struct lock_maker *maker, struct ring *shared, int number,
    long rounds)
{
	pid_t pid = number < NUMBERS_MAX ? fork() : -1;

	if (pid == 0) {
		race(maker, shared, number, rounds);
		_exit(0);
	}
	return pid != -1;
}

/* The status of the next that ends. */
static int
wait_for_one(void)
{
	int status;
	pid_t pid;

	do
		pid = wait(&status);
	while (pid == -1 && errno == EINTR);
	return pid != -1 ? status : -1;
}

static bool
was_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Its caller may have other children, so they are counted. */
static struct race_result
run(const struct lock_maker *maker, struct ring *shared, int processes,
    long rounds, int deaths)
{
	struct race_result result = { .errors = -1 };
	int number, status, running = 0;
	long failed = 0;

	for (number = 1; number <= processes; number++)
		running += start(maker, shared, number, rounds);
	failed += processes - running;
	for (; running > 0; running--) {
		status = wait_for_one();
		if (!shared->may_die || !was_killed(status)) {
			failed += status != 0;
			continue;
		}
		if (--deaths <= 0)
			atomic_store(&shared->stop, true);
		if (!atomic_load(&shared->stop))
			running += start(maker, shared, number++, rounds);
	}
	result.doubles = atomic_load(&shared->doubles);
	result.errors = atomic_load(&shared->errors) + failed;
	result.acquired = atomic_load(&shared->acquired);
	(void)munmap(shared, sizeof(*shared));
	return result;
}

static struct ring *
new_ring(bool until_double, bool may_die)
{
	struct ring *shared = mmap(NULL, sizeof(*shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return NULL;
	shared->until_double = until_double;
	shared->may_die = may_die;
	return shared;
}

struct race_result
lock_race(const struct lock_maker *maker, int processes, long rounds,
    bool until_double)
{
	struct ring *shared = new_ring(until_double, false);

	if (shared == NULL || processes > PROCESSES_MAX)
		return (struct race_result){ .errors = -1 };
	return run(maker, shared, processes, rounds, 0);
}

struct race_result
lock_death_race(const struct lock_maker *maker, int processes, int deaths,
    bool until_double)
{
	struct ring *shared = new_ring(until_double, true);

	if (shared == NULL || processes > PROCESSES_MAX)
		return (struct race_result){ .errors = -1 };
	return run(maker, shared, processes, INT64_MAX, deaths);
}
