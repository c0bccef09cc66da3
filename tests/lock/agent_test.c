/*
 * agent_test.c - the agent, with a lock service in memory that fails on
 * command.
 *
 * Two hosts: this process and a child, each with an agent of its own.  The
 * service is a table that all of them share, and does what it was told to do
 * wrong at its next call of one kind.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <inttypes.h>
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
#include "lock/agent.h"
#include "tests/lock/other.h"

enum {
	SESSION_MS = 4000,
	ROWS = 64
};

enum fault {
	NO_FAULT,
	/* It does not happen, and there is no answer. */
	NOT_DONE,
	/* It happens, and there is no answer. */
	ANSWER_LOST,
	/* It happens, and the answer comes when nobody waits any more. */
	ANSWER_LATE,
	FAULTS
};

/* The service. */
static struct world {
	_Atomic bool is_busy;
	struct engine_held rows[ROWS];
	uint64_t token;
	/* What goes wrong next, once. */
	_Atomic int fault;
	_Atomic int kind;
	/* Whose beats are not answered: of the host that this pid is. */
	_Atomic int deaf;
} * world;

/* Of an agent. */
static int host;

static struct engine_held *
find(const char *id)
{
	int i;

	for (i = 0; i < ROWS; i++)
		if (strcmp(world->rows[i].id, id) == 0)
			return &world->rows[i];
	return NULL;
}

static void
enter(void)
{
	while (atomic_exchange(&world->is_busy, true))
		;
}

/* The holder, if it is another. */
static const char *
take(const struct engine_held *held, uint64_t *token)
{
	static char holder[ENGINE_OWNER_SIZE];
	struct engine_held *row;

	enter();
	row = find(held->id);
	if (row == NULL && (row = find("")) != NULL)
		*row = *held;
	(void)snprintf(
	    holder, sizeof(holder), "%s", row != NULL ? row->owner : "full");
	*token = ++world->token;
	world->is_busy = false;
	return strcmp(holder, held->owner) == 0 ? NULL : holder;
}

static void
drop(const struct engine_held *held)
{
	struct engine_held *row;

	enter();
	row = find(held->id);
	if (row != NULL && strcmp(row->owner, held->owner) == 0)
		row->id[0] = '\0';
	world->is_busy = false;
}

static void
answer_beat(struct engine_request *q)
{
	const struct engine_held *row;
	size_t i;

	if (world->deaf == host) {
		engine_fail(q, "deaf");
		return;
	}
	for (i = 0; i < q->n; i++) {
		row = find(q->list[i]->id);
		if (row == NULL || strcmp(row->owner, q->list[i]->owner) != 0)
			q->engine->told(q->list[i]->id, ENGINE_LOST);
	}
	engine_finish(q, ERR_OK, 0, NULL);
}

static void
fake_send(struct engine *e, struct engine_request *q)
{
	const char *holder = NULL;
	uint64_t token = 0;
	int fault = NO_FAULT;

	(void)e;
	if (q->kind == ENGINE_BEAT) {
		answer_beat(q);
		return;
	}
	if ((int)q->kind == world->kind)
		fault = atomic_exchange(&world->fault, NO_FAULT);
	if (fault != NOT_DONE && q->kind == ENGINE_TAKE)
		holder = take(&q->held, &token);
	if (fault != NOT_DONE && q->kind == ENGINE_DROP)
		drop(&q->held);
	/* lock.reply passes: late() follows. */
	if (fault == ANSWER_LATE)
		return;
	if (fault != NO_FAULT) {
		q->is_last = true;
		engine_fail(q, "a fault");
	} else {
		engine_finish(
		    q, holder != NULL ? ERR_LOCKED : ERR_OK, token, holder);
	}
}

static void
fake_late(struct engine *e, struct engine_request *q)
{
	(void)e;
	engine_fail(q, "late");
}

static enum err_code
fake_open(struct engine *e, struct err *err)
{
	(void)e;
	(void)err;
	return ERR_OK;
}

static void
fake_close(struct engine *e)
{
	(void)e;
}

static int
fake_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	(void)e;
	(void)fds;
	(void)timeout_ms;
	return 0;
}

static void
fake_work(struct engine *e, const struct pollfd *fds, int n)
{
	(void)e;
	(void)fds;
	(void)n;
}

static const struct engine_ops fake = {
	.size = sizeof(struct engine),
	.open = fake_open,
	.close = fake_close,
	.prepare = fake_prepare,
	.work = fake_work,
	.send = fake_send,
	.late = fake_late,
};

/* --- A host. --- */

static struct conf *conf;
static struct locker *locker;
static struct arena *arena;
static struct lock *held;

static void
set(const char *key, const char *value)
{
	struct err e;

	if (conf_set(conf, key, value, &e) != ERR_OK)
		abort();
}

static void
begin_host(int number)
{
	struct err e;

	host = number;
	conf = conf_new();
	set("lock.type", "fake");
	set("lock.hosts", "fake:1");
	set("lock.session", "4s");
	set("lock.reply", "1s");
	set("pool.sandbox", "false");
	arena = arena_new();
	if (agent_begin(&fake, conf, &e) != ERR_OK ||
	    agent_open("fake", conf, &locker, &e) != ERR_OK)
		abort();
}

static int
do_one(char what)
{
	static const char id[] = "one";
	struct err e;

	switch (what) {
	case 't':
		return (int)locker->ops->acquire(
		    locker, id, LOCK_QUIETLY, arena, &held, &e);
	case 's':
		return (int)locker->ops->state(held);
	case 'r':
		locker->ops->release(held, true);
		return 0;
	default:
		return -1;
	}
}

static struct locker *
begin_other(void)
{
	begin_host(2);
	return locker;
}

static int
other(char what)
{
	if (what == 't')
		return other_take("one");
	if (what == 's')
		return other_state();
	other_release();
	return 0;
}

static void
nap(int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&ts, NULL);
}

/* Until it says what is wanted; false: not within so many ms. */
static bool
says(int (*ask)(char), char what, int wanted, int64_t ms)
{
	int64_t end = clock_ms() + ms;

	while (ask(what) != wanted) {
		if (clock_ms() >= end)
			return false;
		nap(10);
	}
	return true;
}

/* --- Tests. --- */

/* Whatever goes wrong, and whatever the caller was told: while one holds it the
 * other does not, and soon it is free. */
static void
one_holder_after_each_fault_of_each_call(void **state)
{
	static const enum engine_kind kinds[] = { ENGINE_TAKE, ENGINE_DROP };
	int i, rc;
	size_t k;

	(void)state;
	for (k = 0; k < NITEMS(kinds); k++)
		for (i = NO_FAULT; i < FAULTS; i++) {
			world->kind = (int)kinds[k];
			world->fault = i;
			rc = do_one('t');
			if (kinds[k] == ENGINE_DROP || i == NO_FAULT)
				assert_int_equal(rc, ERR_OK);
			else
				assert_int_equal(rc, ERR_UNAVAILABLE);
			if (rc == ERR_OK) {
				assert_int_equal(other('t'), ERR_LOCKED);
				assert_int_equal(do_one('s'), LOCK_HELD);
				(void)do_one('r');
			}
			/* In doubt it is dropped until that is certain. */
			assert_true(says(other, 't', ERR_OK, 3000));
			assert_int_equal(do_one('t'), ERR_LOCKED);
			(void)other('r');
			assert_true(says(do_one, 't', ERR_OK, 3000));
			(void)do_one('r');
		}
}

/* The deadline counts from the sending of the last beat that was answered. */
static void
a_host_without_answers_stops_before_another_may_begin(void **state)
{
	int64_t began;

	(void)state;
	assert_true(says(do_one, 't', ERR_OK, 3000));
	world->deaf = 1;
	began = clock_ms();
	assert_true(says(do_one, 's', LOCK_LOST, 2 * SESSION_MS));
	assert_true(clock_ms() - began < SESSION_MS);
	world->deaf = 0;
	(void)do_one('r');
	assert_true(says(do_one, 't', ERR_OK, 3000));
	(void)do_one('r');
}

/* Also to one that did not look meanwhile. */
static void
what_was_lost_stays_lost_when_the_service_is_back(void **state)
{
	(void)state;
	assert_true(says(do_one, 't', ERR_OK, 3000));
	world->deaf = 1;
	nap(SESSION_MS);
	world->deaf = 0;
	/* A session again: another id can be had. */
	nap(1000);
	assert_int_equal(do_one('s'), LOCK_LOST);
	(void)do_one('r');
	assert_true(says(other, 't', ERR_OK, 3000));
	(void)other('r');
}

static void
what_a_dead_process_held_is_free_at_once(void **state)
{
	pid_t pid;
	int64_t began;

	(void)state;
	if ((pid = fork()) == 0) {
		locker = NULL;
		if (agent_open("fake", conf, &locker, &(struct err){ 0 }) !=
			ERR_OK ||
		    do_one('t') != ERR_OK)
			_exit(1);
		for (;;)
			(void)pause();
	}
	began = clock_ms();
	while (find("one") == NULL && clock_ms() - began < 3000)
		nap(10);
	assert_non_null(find("one"));
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	began = clock_ms();
	assert_true(says(other, 't', ERR_OK, SESSION_MS));
	assert_true(clock_ms() - began < SESSION_MS / 2);
	(void)other('r');
}

/* A descriptor of the board that this process has; -1: none. */
static int
find_board(void)
{
	char path[64], name[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 64; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		if (n > 0 && memmem(name, (size_t)n, "tusfcgi-locks", 13))
			return fd;
	}
	return -1;
}

/* Is there memory of the board that can be written to, or made so? */
static bool
maps_the_board_for_writing(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	uintptr_t from, to;
	char text[512], rights[5];
	bool is_writable = false;

	while (fgets(text, sizeof(text), f) != NULL)
		if (strstr(text, "tusfcgi-locks") != NULL &&
		    sscanf(text, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to,
			rights) == 3)
			is_writable = is_writable || rights[1] == 'w' ||
			    mprotect((void *)from, to - from,
				PROT_READ | PROT_WRITE) == 0;
	(void)fclose(f);
	return is_writable;
}

static bool
can_write(int fd)
{
	const int64_t never = INT64_MAX;
	void *p = mmap(NULL, sizeof(struct agent_board), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	return p != MAP_FAILED || ftruncate(fd, 0) == 0 ||
	    pwrite(fd, &never, sizeof(never), 0) == (ssize_t)sizeof(never);
}

/* What a process that holds a lock can do to the board: 0 nothing. */
static int
forge(void)
{
	char path[64];
	int fd = find_board(), again;

	if (fd == -1)
		return 2;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (can_write(fd))
		return 3;
	if (again != -1 && can_write(again))
		return 4;
	return maps_the_board_for_writing() ? 5 : 0;
}

/* A worker that was taken over would move the deadline on. */
static void
only_the_agent_can_write_to_the_board(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if ((pid = fork()) == 0) {
		locker = NULL;
		if (agent_open("fake", conf, &locker, &(struct err){ 0 }) !=
			ERR_OK ||
		    !says(do_one, 't', ERR_OK, 3000))
			_exit(1);
		_exit(forge());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_holder_after_each_fault_of_each_call),
		cmocka_unit_test(what_a_dead_process_held_is_free_at_once),
		cmocka_unit_test(only_the_agent_can_write_to_the_board),
		cmocka_unit_test(
		    a_host_without_answers_stops_before_another_may_begin),
		cmocka_unit_test(
		    what_was_lost_stays_lost_when_the_service_is_back),
	};
	int failed;

	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED)
		return 1;
	other_start(begin_other);
	begin_host(1);
	(void)says(do_one, 't', ERR_OK, 5000);
	(void)do_one('r');
	(void)says(other, 't', ERR_OK, 5000);
	(void)other('r');
	failed = cmocka_run_group_tests_name("agent", tests, NULL, NULL);
	other_stop();
	locker->ops->shutdown(locker);
	agent_end();
	conf_free(conf);
	arena_free(arena);
	return failed != 0;
}
