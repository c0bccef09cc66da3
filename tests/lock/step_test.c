/*
 * step_test.c - a process that locks in memory is killed at any instruction.
 *
 * A victim asks for a lock that is held, takes one that is free and one whose
 * holder is dead, and is led there step by step by ptrace(2).  After so many
 * steps it is killed; then others must find all locks as they should be.  Takes
 * a sample of the steps, so that it takes seconds; with TUSFCGI_STEPS=1 in the
 * environment it takes every step, for minutes.
 */
#include "config.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock/lock.h"

#define HELD "step-held"
#define FREE "step-free"
#define DEAD "step-dead"

enum {
	/* Of each phase. */
	SAMPLES = 24,
	SKIPPED = 77
};

static struct conf *conf;
static struct locker *holder;
static struct arena *arena;
static long failures;

static enum err_code
take(struct locker *l, const char *id, struct lock **lock)
{
	struct err e;

	return l->ops->acquire(l, id, LOCK_CREATE, arena, lock, &e);
}

static struct locker *
open_locker(void)
{
	struct locker *l;
	struct err e;

	if (locker_open(conf, &l, &e) != ERR_OK)
		abort();
	return l;
}

/* What a victim does, in phases; it is led through one of them. */
static struct locker *mine;
static struct lock *lock_of_mine;

static void
begin(void)
{
	mine = open_locker();
}

static void
ask(void)
{
	(void)take(mine, HELD, &lock_of_mine);
}

static void
take_free(void)
{
	if (take(mine, FREE, &lock_of_mine) != ERR_OK)
		_exit(1);
}

static void
take_from_the_dead(void)
{
	if (take(mine, DEAD, &lock_of_mine) != ERR_OK)
		_exit(1);
}

static void
let_go(void)
{
	(void)mine->ops->state(lock_of_mine);
	mine->ops->release(lock_of_mine, true);
}

static void
stop_asking(void)
{
	mine->ops->stop_asking(mine, HELD);
}

static void
end(void)
{
	mine->ops->shutdown(mine);
}

static void (*const phases[])(void) = { begin, ask, take_free, let_go,
	take_from_the_dead, let_go, stop_asking, ask, end };

static void
play_victim(size_t led)
{
	size_t i;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
		_exit(SKIPPED);
	for (i = 0; i < NITEMS(phases); i++) {
		if (i == led)
			(void)raise(SIGSTOP);
		phases[i]();
		if (i == led)
			(void)raise(SIGSTOP);
	}
	_exit(0);
}

/* A process that dies with its lock, and as one that waits for another. */
static void
leave_a_dead_holder(void)
{
	pid_t pid = fork();
	struct lock *lock;
	struct locker *l;

	if (pid == 0) {
		l = open_locker();
		(void)take(l, DEAD, &lock);
		(void)take(l, HELD, &lock);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static int
wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			abort();
	return status;
}

static bool
is_stopped_by(int status, int sig)
{
	return WIFSTOPPED(status) && WSTOPSIG(status) == sig;
}

/* How many steps it made before the phase ended; -1: it cannot be led. */
static long
lead(size_t phase, long steps)
{
	pid_t pid = fork();
	int status;
	long n = 0;

	if (pid == 0)
		play_victim(phase);
	status = wait_for(pid);
	if (!is_stopped_by(status, SIGSTOP))
		return -1;
	for (; n < steps; n++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == -1)
			return -1;
		status = wait_for(pid);
		if (!is_stopped_by(status, SIGTRAP))
			break;
	}
	(void)kill(pid, SIGKILL);
	while (WIFSTOPPED(status))
		status = wait_for(pid);
	return n;
}

static void
expect(bool is_so, const char *what, size_t phase, long step)
{
	if (is_so)
		return;
	failures++;
	(void)printf(
	    "killed in phase %zu after step %ld: %s\n", phase, step, what);
}

static void
look(struct lock *held, size_t phase, long step)
{
	struct locker *l = open_locker();
	struct lock *lock;

	expect(holder->ops->state(held) == LOCK_HELD, "the dead still ask",
	    phase, step);
	expect(take(l, HELD, &lock) == ERR_LOCKED, "the holder is robbed",
	    phase, step);
	expect(holder->ops->state(held) == LOCK_WANTED, "nobody hears us",
	    phase, step);
	l->ops->stop_asking(l, HELD);
	if (take(l, FREE, &lock) == ERR_OK)
		l->ops->release(lock, true);
	else
		expect(false, "what was free stays locked", phase, step);
	if (take(l, DEAD, &lock) == ERR_OK)
		l->ops->release(lock, true);
	else
		expect(false, "what the dead had stays locked", phase, step);
	l->ops->shutdown(l);
	arena_reset(arena);
}

/* The lock that is held all the time is not in the arena that is emptied. */
static long
visit(size_t phase, long steps)
{
	struct arena *own = arena_new();
	struct lock *held;
	struct err e;
	long n;

	if (holder->ops->acquire(holder, HELD, LOCK_CREATE, own, &held, &e) !=
	    ERR_OK)
		abort();
	leave_a_dead_holder();
	n = lead(phase, steps);
	if (n >= 0)
		look(held, phase, steps);
	holder->ops->release(held, true);
	arena_free(own);
	return n;
}

int
main(void)
{
	bool is_deep = getenv("TUSFCGI_STEPS") != NULL;
	long all, step, cases = 0, total = 0;
	size_t phase;
	struct err e;

	conf = conf_new();
	if (conf_set(conf, "lock.type", "memory", &e) != ERR_OK)
		return 1;
	holder = open_locker();
	arena = arena_new();
	for (phase = 0; phase < NITEMS(phases) && failures < 10; phase++) {
		if ((all = visit(phase, INT32_MAX)) < 0)
			return SKIPPED;
		total += all;
		for (step = 0; step < all && failures < 10; cases++) {
			(void)visit(phase, step);
			step += is_deep ? 1 : 1 + all / SAMPLES;
		}
	}
	(void)printf("%ld steps, killed after %ld of them, %ld failures\n",
	    total, cases, failures);
	holder->ops->shutdown(holder);
	arena_free(arena);
	conf_free(conf);
	return failures > 0;
}
