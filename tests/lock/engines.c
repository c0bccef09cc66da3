/*
 * engines.c - the contract, and what is lost on the way, through the agent
 * and a lock service of our own.
 *
 * Linked once for each: the name of the program, TYPE_test, says which. Skipped
 * where the service is not installed.
 */
#include "config.h"

#include <openssl/evp.h>
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
#include "tests/lock/other.h"
#include "tests/lock/proxy.h"
#include "tests/lock/service.h"

enum {
	SKIPPED = 77,
	SESSION_MS = 4000,
	REPLY_MS = 2000,
	/* By then what was in doubt is settled. */
	SETTLED_MS = PROXY_LATE_MS + 2000
};

static struct conf *conf;
static char type[16];

static void
nap(int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&ts, NULL);
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

/* As etcd has it in base64, without the end that depends on what follows. */
static const char *
coded(const char *id)
{
	static char text[128];
	char key[64];
	int n = snprintf(key, sizeof(key), "/tus/l/%s", id);

	n -= n % 3;
	(void)EVP_EncodeBlock(
	    (unsigned char *)text, (const unsigned char *)key, n);
	return text;
}

static void
start_service(void)
{
	if (!service_start())
		abort();
}

/* --- The tests. --- */

struct cast {
	struct locker *l;
	struct arena *a;
	struct lock *lock, *next;
};

static int
set_up(void **state)
{
	struct cast *c = must_alloc(sizeof(*c));

	*c = (struct cast){ .l = open_locker(), .a = arena_new() };
	*state = c;
	/* What the test before has done to the service is over. */
	return take_within(c->l, "first", c->a, &c->lock, 20000) != ERR_OK ||
	    (c->l->ops->release(c->lock, true), false);
}

static int
tear_down(void **state)
{
	struct cast *c = *state;

	c->l->ops->shutdown(c->l);
	arena_free(c->a);
	free(c);
	return 0;
}

/* What the service has not is lost to the holder. */
static void
a_lock_that_the_service_forgot_is_lost(void **state)
{
	struct cast *c = *state;
	int i;

	assert_int_equal(take(c->l, "forgot", c->a, &c->lock), ERR_OK);
	assert_int_equal(c->l->ops->state(c->lock), LOCK_HELD);
	service_stop(SIGKILL);
	service_forget();
	start_service();
	for (i = 0; i < 300 && c->l->ops->state(c->lock) != LOCK_LOST; i++)
		nap(50);
	assert_int_equal(c->l->ops->state(c->lock), LOCK_LOST);
	c->l->ops->release(c->lock, true);
	assert_int_equal(
	    take_within(c->l, "forgot", c->a, &c->next, 10000), ERR_OK);
	assert_int_equal(c->l->ops->state(c->next), LOCK_HELD);
	c->l->ops->release(c->next, true);
}

/* The deadline counts from the sending of the last beat that was answered. */
static void
a_stopped_engine_costs_the_lock_before_the_session_ends(void **state)
{
	struct cast *c = *state;
	int64_t began;

	assert_int_equal(take(c->l, "stopped", c->a, &c->lock), ERR_OK);
	service_signal(SIGSTOP);
	began = clock_ms();
	while (c->l->ops->state(c->lock) != LOCK_LOST &&
	    clock_ms() - began < 2 * SESSION_MS)
		nap(5);
	service_signal(SIGCONT);
	assert_true(clock_ms() - began < SESSION_MS);
	assert_int_equal(c->l->ops->state(c->lock), LOCK_LOST);
	assert_int_equal(
	    take_within(c->l, "free", c->a, &c->next, 10000), ERR_OK);
	/* Once lost, lost for ever, though the engine is back. */
	assert_int_equal(c->l->ops->state(c->lock), LOCK_LOST);
	c->l->ops->release(c->next, true);
	c->l->ops->release(c->lock, true);
}

static void
without_an_engine_nobody_gets_a_lock(void **state)
{
	struct cast *c = *state;
	int64_t began;

	service_stop(SIGKILL);
	began = clock_ms();
	assert_int_equal(take(c->l, "nobody", c->a, &c->lock), ERR_UNAVAILABLE);
	assert_true(clock_ms() - began < 2 * REPLY_MS + 1000);
	start_service();
	assert_int_equal(
	    take_within(c->l, "nobody", c->a, &c->lock, 10000), ERR_OK);
	c->l->ops->release(c->lock, true);
}

static void
an_idle_connection_that_died_costs_nothing(void **state)
{
	struct cast *c = *state;
	int i;

	for (i = 0; i < 5; i++) {
		proxy_hang_up();
		assert_int_equal(take(c->l, "idle", c->a, &c->lock), ERR_OK);
		c->l->ops->release(c->lock, true);
	}
}

/* It had happened: the second try finds its own first one. */
static void
a_lost_answer_is_not_a_no(void **state)
{
	struct cast *c = *state;

	proxy_plan(PROXY_LOSE_ANSWER, "lostanswer", coded("lostanswer"));
	assert_int_equal(take(c->l, "lostanswer", c->a, &c->lock), ERR_OK);
	assert_true(proxy_has_failed());
	assert_int_equal(c->l->ops->state(c->lock), LOCK_HELD);
	c->l->ops->release(c->lock, true);
	assert_int_equal(
	    take_within(c->l, "lostanswer", c->a, &c->lock, 1000), ERR_OK);
	c->l->ops->release(c->lock, true);
}

static void
a_lost_answer_to_a_release_frees_the_lock(void **state)
{
	struct cast *c = *state;

	assert_int_equal(take(c->l, "lostdrop", c->a, &c->lock), ERR_OK);
	proxy_plan(PROXY_LOSE_ANSWER, "lostdrop", coded("lostdrop"));
	c->l->ops->release(c->lock, true);
	assert_int_equal(
	    take_within(c->l, "lostdrop", c->a, &c->lock, 2000), ERR_OK);
	assert_true(proxy_has_failed());
	c->l->ops->release(c->lock, true);
}

/* It is in doubt, and dropped until that is certain. */
static void
a_late_answer_leaves_no_lock_behind(void **state)
{
	struct cast *c = *state;
	enum err_code rc;

	proxy_plan(PROXY_LATE_ANSWER, "lateanswer", coded("lateanswer"));
	rc = take(c->l, "lateanswer", c->a, &c->lock);
	assert_true(proxy_has_failed());
	assert_int_equal(rc, ERR_UNAVAILABLE);
	assert_int_equal(
	    take_within(c->l, "lateanswer", c->a, &c->lock, SETTLED_MS),
	    ERR_OK);
	c->l->ops->release(c->lock, true);
}

/* It comes about when it has been given up, and nobody knows of it. */
static void
a_late_request_keeps_nobody_out(void **state)
{
	struct cast *c = *state;
	int64_t end = clock_ms() + SETTLED_MS;

	proxy_plan(PROXY_LATE_REQUEST, "laterequest", coded("laterequest"));
	(void)!take_within(c->l, "laterequest", c->a, &c->lock, 0);
	assert_true(proxy_has_failed());
	while (clock_ms() < end) {
		if (take(c->l, "laterequest", c->a, &c->lock) == ERR_OK)
			c->l->ops->release(c->lock, true);
		nap(20);
	}
	assert_int_equal(
	    take_within(c->l, "laterequest", c->a, &c->lock, 500), ERR_OK);
	assert_int_equal(c->l->ops->state(c->lock), LOCK_HELD);
	c->l->ops->release(c->lock, true);
}

/* It arrives when another has the lock by now, which stays his.  Only another
 * host can tell: here the agent knows who has it. */
static void
a_late_release_frees_nothing_of_another(void **state)
{
	struct cast *c = *state;
	int64_t end = clock_ms() + SETTLED_MS;

	assert_int_equal(take(c->l, "laterelease", c->a, &c->lock), ERR_OK);
	proxy_plan(PROXY_LATE_REQUEST, "laterelease", coded("laterelease"));
	c->l->ops->release(c->lock, true);
	assert_true(proxy_has_failed());
	assert_int_equal(
	    take_within(c->l, "laterelease", c->a, &c->next, 2000), ERR_OK);
	while (clock_ms() < end)
		nap(20);
	assert_int_equal(c->l->ops->state(c->next), LOCK_HELD);
	assert_int_equal(other_take("laterelease"), ERR_LOCKED);
	c->l->ops->release(c->next, true);
}

static void
a_held_lock_outlives_its_session(void **state)
{
	struct cast *c = *state;
	int64_t end = clock_ms() + 2 * SESSION_MS;

	assert_int_equal(take(c->l, "outlives", c->a, &c->lock), ERR_OK);
	while (clock_ms() < end) {
		assert_int_equal(other_take("outlives"), ERR_LOCKED);
		nap(20);
	}
	assert_int_equal(c->l->ops->state(c->lock), LOCK_HELD);
	c->l->ops->release(c->lock, true);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(
	    a_late_release_frees_nothing_of_another, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_held_lock_outlives_its_session, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    an_idle_connection_that_died_costs_nothing, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_lost_answer_is_not_a_no, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_lost_answer_to_a_release_frees_the_lock, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_late_answer_leaves_no_lock_behind, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_late_request_keeps_nobody_out, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_lock_that_the_service_forgot_is_lost, set_up, tear_down),
	cmocka_unit_test_setup_teardown(
	    a_stopped_engine_costs_the_lock_before_the_session_ends, set_up,
	    tear_down),
	cmocka_unit_test_setup_teardown(
	    without_an_engine_nobody_gets_a_lock, set_up, tear_down),
};

/* --- Planted bugs: TYPE-BUG, and the test that must find it. --- */

static const struct {
	const char *program, *test;
} planted[] = {
	{ "redis-no-second-try", "a_lost_answer_is_not_a_no" },
	{ "redis-not-renewed", "a_held_lock_outlives_its_session" },
	{ "redis-bare-del", "a_late_release_frees_nothing_of_another" },
	{ "etcd-no-orphans", "a_late_request_keeps_nobody_out" },
	{ "etcd-not-renewed", "a_held_lock_outlives_its_session" },
	{ "etcd-bare-delete", "a_late_release_frees_nothing_of_another" },
	{ "zookeeper-no-first-try", "a_lost_answer_is_not_a_no" },
};

/* NULL: no bug was planted. */
static const char *
test_for(const char *program)
{
	const char *name = strrchr(program, '/');
	size_t i;

	name = name != NULL ? name + 1 : program;
	for (i = 0; i < NITEMS(planted); i++)
		if (strcmp(planted[i].program, name) == 0)
			return planted[i].test;
	return NULL;
}

/* --- The service, and the agent. --- */

static bool
start_locker(int port)
{
	char hosts[32];
	struct err e;

	(void)snprintf(hosts, sizeof(hosts), "127.0.0.1:%d", port);
	conf = conf_new();
	set("lock.type", type);
	set("lock.hosts", hosts);
	set("lock.session", "4s");
	set("lock.reply", "2s");
	if (locker_start(conf, &e) == ERR_OK)
		return true;
	(void)fprintf(stderr, "%s\n", e.text);
	return false;
}

/* Its network loses nothing. */
static struct locker *
begin_other(void)
{
	if (!start_locker(service_port()))
		abort();
	return open_locker();
}

static bool
begin(const char *program)
{
	const char *name = strrchr(program, '/');

	(void)sscanf(name != NULL ? name + 1 : program, "%15[a-z]", type);
	if (!service_make(type)) {
		printf("skipped: %s is not installed\n", type);
		exit(SKIPPED);
	}
	start_service();
	other_start(begin_other);
	return start_locker(proxy_start(service_port()));
}

/* Both have a session. */
static int
wait_for_hosts(void)
{
	int64_t end = clock_ms() + 20000;
	struct cast *first;
	int rc;

	while ((rc = other_take("first")) != ERR_OK && clock_ms() < end)
		nap(20);
	if (rc == ERR_OK)
		other_release();
	if (rc != ERR_OK || set_up((void **)&first) != 0)
		return 1;
	return tear_down((void **)&first);
}

static int
run(const char *only)
{
	const struct lock_maker maker = { type, open_locker, 300, 30, 1000 };
	int failed;

	if (wait_for_hosts() != 0)
		return 1;
	if (only != NULL)
		cmocka_set_test_filter(only);
	failed = only != NULL ? 0 : lock_contract_run(&maker);
	return failed +
	    cmocka_run_group_tests_name("what is lost", tests, NULL, NULL);
}

int
main(int argc, char **argv)
{
	int failed = 1;

	(void)argc;
	if (begin(argv[0]))
		failed = run(test_for(argv[0]));
	other_stop();
	locker_stop();
	proxy_stop();
	service_stop(SIGTERM);
	service_remove();
	conf_free(conf);
	return failed != 0;
}
