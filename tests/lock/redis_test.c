/*
 * redis_test.c - the contract through the agent and a Redis of our own.
 *
 * Skipped where redis-server is not installed.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/lock/agent.h"

enum {
	SKIPPED = 77,
	SESSION_MS = 4000
};

static char folder[] = "/tmp/tusredisXXXXXX";
static char path[64];
static struct conf *conf;
static pid_t server;

static void
nap(int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&ts, NULL);
}

static void
start_server(void)
{
	int i;

	server = fork();
	if (server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(1);
		(void)execlp("redis-server", "redis-server", "--port", "0",
		    "--unixsocket", path, "--save", "", "--dir", folder, NULL);
		_exit(SKIPPED);
	}
	for (i = 0; i < 500 && access(path, F_OK) == -1; i++) {
		if (waitpid(server, NULL, WNOHANG) == server)
			exit(SKIPPED);
		nap(10);
	}
}

static void
stop_server(int sig)
{
	(void)kill(server, sig);
	(void)waitpid(server, NULL, 0);
	(void)unlink(path);
}

static struct locker *
open_locker(void)
{
	struct locker *l;
	struct err e;

	if (locker_open(conf, &l, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		abort();
	}
	return l;
}

static void
set(const char *key, const char *value)
{
	struct err e;

	if (conf_set(conf, key, value, &e) == ERR_OK)
		return;
	(void)fprintf(stderr, "%s\n", e.text);
	abort();
}

static enum err_code
take(struct locker *l, const char *id, struct arena *a, struct lock **lock)
{
	struct err e;

	return l->ops->acquire(l, id, LOCK_CREATE, a, lock, &e);
}

static enum err_code
take_within(struct locker *l, const char *id, struct arena *a,
    struct lock **lock, int64_t ms)
{
	int64_t end = clock_ms() + ms;
	enum err_code rc;

	while ((rc = take(l, id, a, lock)) != ERR_OK && clock_ms() < end)
		nap(5);
	return rc;
}

/* Redis without persistence forgets: what it has not is lost to the holder. */
static void
a_lock_that_redis_forgot_is_lost(void **state)
{
	struct locker *l = open_locker();
	struct arena *a = arena_new();
	struct lock *lock, *next;
	int i;

	(void)state;
	assert_int_equal(take_within(l, "forgot", a, &lock, 5000), ERR_OK);
	assert_int_equal(l->ops->state(lock), LOCK_HELD);
	stop_server(SIGKILL);
	start_server();
	for (i = 0; i < 100 && l->ops->state(lock) == LOCK_HELD; i++)
		nap(50);
	assert_int_equal(l->ops->state(lock), LOCK_LOST);
	l->ops->release(lock, true);
	/* An idle connection is dead now, and another is tried. */
	assert_int_equal(take_within(l, "forgot", a, &next, 2000), ERR_OK);
	assert_int_equal(l->ops->state(next), LOCK_HELD);
	l->ops->release(next, true);
	l->ops->shutdown(l);
	arena_free(a);
}

/* The deadline counts from the sending of the last beat that was answered. */
static void
a_stopped_engine_costs_the_lock_before_the_session_ends(void **state)
{
	struct locker *l = open_locker(), *other = open_locker();
	struct arena *a = arena_new();
	struct lock *lock, *next;
	int64_t began;

	(void)state;
	assert_int_equal(take_within(l, "stopped", a, &lock, 5000), ERR_OK);
	(void)kill(server, SIGSTOP);
	began = clock_ms();
	while (l->ops->state(lock) != LOCK_LOST &&
	    clock_ms() - began < 2 * SESSION_MS)
		nap(5);
	(void)kill(server, SIGCONT);
	assert_true(clock_ms() - began < SESSION_MS);
	assert_int_equal(l->ops->state(lock), LOCK_LOST);
	assert_int_equal(take_within(other, "free", a, &next, 3000), ERR_OK);
	/* Once lost, lost for ever, though the engine is back. */
	assert_int_equal(l->ops->state(lock), LOCK_LOST);
	other->ops->release(next, true);
	l->ops->release(lock, true);
	l->ops->shutdown(l);
	other->ops->shutdown(other);
	arena_free(a);
}

static void
without_an_engine_nobody_gets_a_lock(void **state)
{
	struct locker *l = open_locker();
	struct arena *a = arena_new();
	struct lock *lock;
	int64_t began;

	(void)state;
	assert_int_equal(take_within(l, "before", a, &lock, 5000), ERR_OK);
	l->ops->release(lock, true);
	stop_server(SIGKILL);
	began = clock_ms();
	assert_int_equal(take(l, "nobody", a, &lock), ERR_UNAVAILABLE);
	assert_true(clock_ms() - began < 5000);
	start_server();
	assert_int_equal(take_within(l, "nobody", a, &lock, 3000), ERR_OK);
	l->ops->release(lock, true);
	l->ops->shutdown(l);
	arena_free(a);
}

int
main(void)
{
	static const struct lock_maker maker = { "redis", open_locker, 300, 30,
		1000 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_that_redis_forgot_is_lost),
		cmocka_unit_test(
		    a_stopped_engine_costs_the_lock_before_the_session_ends),
		cmocka_unit_test(without_an_engine_nobody_gets_a_lock),
	};
	struct locker *first;
	struct arena *a;
	struct lock *lock;
	struct err e;
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/sock", folder);
	start_server();
	conf = conf_new();
	set("lock.type", "redis");
	set("lock.hosts", path);
	set("lock.session", "4s");
	set("lock.reply", "1s");
	if (locker_start(conf, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	a = arena_new();
	first = open_locker();
	failed = take_within(first, "first", a, &lock, 5000) != ERR_OK;
	if (!failed)
		first->ops->release(lock, true);
	first->ops->shutdown(first);
	arena_free(a);
	failed += lock_contract_run(&maker);
	failed += cmocka_run_group_tests_name("redis", tests, NULL, NULL);
	locker_stop();
	stop_server(SIGTERM);
	(void)rmdir(folder);
	conf_free(conf);
	return failed != 0;
}
