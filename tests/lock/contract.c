/*
 * contract.c - what lock.h promises, tested once for all back ends.
 *
 * Everybody who locks here is a process of its own.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"
#include "tests/lock/agent.h"

enum {
	WAITERS_MAX = LOCK_WAITERS,
	AGENTS = WAITERS_MAX + 2
};

static const struct lock_maker *maker;

/* A fresh id for every test, and the agents that lock it. */
struct cast {
	char id[ID_MAX + 1];
	struct agent agents[AGENTS];
	struct locker *locker;
};

static int
set_up(void **state)
{
	struct cast *c = must_alloc(sizeof(*c));
	int i;

	id_new(c->id);
	for (i = 0; i < AGENTS; i++)
		agent_start(&c->agents[i], maker, c->id, 0, 0);
	c->locker = maker->open();
	*state = c;
	return 0;
}

static int
tear_down(void **state)
{
	struct cast *c = *state;
	int i;

	for (i = 0; i < AGENTS; i++)
		agent_kill(&c->agents[i]);
	c->locker->ops->shutdown(c->locker);
	free(c);
	return 0;
}

/* For the tests that ask for traces. */
static void
need_traces(const struct cast *c)
{
	if (c->locker->traces == NULL)
		skip();
}

static bool
is_known(struct cast *c)
{
	struct arena *arena = arena_new();
	bool known = locker_knows(c->locker, c->id, arena);

	arena_free(arena);
	return known;
}

/* By the time that its parent knows of a death, or soon after. */
static bool
is_unwanted_soon(struct agent *holder)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t end = clock_ms() + maker->soon;

	while (agent_do(holder, AGENT_WANTED) != 0) {
		if (clock_ms() >= end)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

static void
one_holder_at_a_time(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0], *b = &c->agents[1];

	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(b, AGENT_EXISTING), ERR_LOCKED);
	(void)agent_do(a, AGENT_RELEASE);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(a, AGENT_QUIETLY), ERR_LOCKED);
}

static void
the_holder_itself_cannot_lock_twice(void **state)
{
	struct cast *c = *state;
	struct arena *arena = arena_new();
	const struct locker_ops *ops = c->locker->ops;
	struct lock *first, *second;
	struct err e;

	assert_int_equal(
	    ops->acquire(c->locker, c->id, LOCK_CREATE, arena, &first, &e),
	    ERR_OK);
	assert_int_equal(
	    ops->acquire(c->locker, c->id, LOCK_CREATE, arena, &second, &e),
	    ERR_LOCKED);
	ops->stop_asking(c->locker, c->id);
	ops->release(first, false);
	arena_free(arena);
}

static void
a_quiet_lock_leaves_no_trace_of_its_own(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0];

	need_traces(c);
	assert_int_equal(agent_do(a, AGENT_QUIETLY), ERR_OK);
	assert_true(is_known(c));
	(void)agent_do(a, AGENT_RELEASE);
	assert_false(is_known(c));
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	(void)agent_do(a, AGENT_RELEASE);
	assert_int_equal(agent_do(a, AGENT_QUIETLY), ERR_OK);
	(void)agent_do(a, AGENT_RELEASE);
	assert_true(is_known(c));
	assert_int_equal(agent_do(a, AGENT_QUIETLY), ERR_OK);
	(void)agent_do(a, AGENT_RETIRE);
	assert_false(is_known(c));
}

static void
known_from_the_first_lock_until_retired(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0];

	need_traces(c);
	assert_false(is_known(c));
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_true(is_known(c));
	(void)agent_do(a, AGENT_RELEASE);
	assert_true(is_known(c));
	assert_int_equal(agent_do(a, AGENT_EXISTING), ERR_OK);
	(void)agent_do(a, AGENT_RETIRE);
	assert_false(is_known(c));
}

static void
asking_for_an_unknown_id_leaves_nothing(void **state)
{
	struct cast *c = *state;

	need_traces(c);
	assert_int_equal(
	    agent_do(&c->agents[0], AGENT_EXISTING), ERR_NOT_FOUND);
	assert_false(is_known(c));
}

static void
the_holder_is_known_to_the_administrator(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0], *b = &c->agents[1];
	const struct locker_ops *ops = c->locker->ops;
	struct lock_holder h;

	assert_false(ops->holder(c->locker, c->id, &h));
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_LOCKED);
	assert_true(ops->holder(c->locker, c->id, &h));
	assert_true(h.pid == a->pid || h.pid == -1);
	assert_string_equal(h.host, "");
	(void)agent_do(a, AGENT_RELEASE);
	assert_false(ops->holder(c->locker, c->id, &h));
}

/* How often, and that nothing else is seen. */
static int
times_in_walk(struct locker *locker, const char *id)
{
	struct arena *arena = arena_new();
	void *cursor = NULL;
	const char *seen;
	struct err e;
	int n = 0;

	do {
		assert_int_equal(locker->traces->walk_next(
				     locker, &cursor, arena, &seen, &e),
		    ERR_OK);
		if (seen != NULL) {
			assert_true(locker_knows(locker, seen, arena));
			n += strcmp(seen, id) == 0;
		}
	} while (seen != NULL);
	assert_null(cursor);
	arena_free(arena);
	return n;
}

static void
a_walk_sees_what_is_known_once(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0];

	need_traces(c);
	assert_int_equal(times_in_walk(c->locker, c->id), 0);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(times_in_walk(c->locker, c->id), 1);
	(void)agent_do(a, AGENT_RELEASE);
	assert_int_equal(times_in_walk(c->locker, c->id), 1);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	(void)agent_do(a, AGENT_RETIRE);
	assert_int_equal(times_in_walk(c->locker, c->id), 0);
}

static void
what_is_no_id_is_refused(void **state)
{
	char too_long[ID_MAX + 2] = "";
	const char *const wrong[] = { "", ".", "..", "../x", "a/b", "a.lock",
		"a b", "\xc3\xa4", too_long };
	struct cast *c = *state;
	struct arena *arena = arena_new();
	struct lock *lock;
	struct err e;
	size_t i;

	(void)memset(too_long, 'a', ID_MAX + 1);
	for (i = 0; i < NITEMS(wrong); i++) {
		assert_int_equal(c->locker->ops->acquire(c->locker, wrong[i],
				     LOCK_CREATE, arena, &lock, &e),
		    ERR_INVALID);
		assert_false(locker_knows(c->locker, wrong[i], arena));
	}
	arena_free(arena);
}

static void
the_holder_learns_that_it_is_wanted(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *waiter = &c->agents[1];

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 0);
	assert_int_equal(agent_do(waiter, AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 1);
	(void)agent_do(waiter, AGENT_STOP_ASKING);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 0);
	assert_int_equal(agent_do(waiter, AGENT_EXISTING), ERR_LOCKED);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 1);
}

static void
a_quiet_try_asks_nobody(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *sweeper = &c->agents[1];

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(sweeper, AGENT_QUIETLY), ERR_LOCKED);
	assert_int_equal(is_known(c), c->locker->traces != NULL);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 0);
	(void)agent_do(holder, AGENT_RELEASE);
	assert_int_equal(agent_do(sweeper, AGENT_QUIETLY), ERR_OK);
}

static void
a_question_never_hits_the_next_holder(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0], *b = &c->agents[1];

	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_LOCKED);
	(void)agent_do(a, AGENT_RELEASE);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_WANTED), 0);
	(void)agent_do(b, AGENT_RELEASE);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(a, AGENT_WANTED), 0);
}

static void
a_fifth_waiter_is_refused_at_once(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *waiter = &c->agents[1];
	struct agent *fifth = &c->agents[1 + WAITERS_MAX];
	int i;

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	for (i = 0; i < WAITERS_MAX; i++)
		assert_int_equal(
		    agent_do(&waiter[i], AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(fifth, AGENT_CREATE), ERR_CROWDED);
	for (i = 0; i < WAITERS_MAX; i++)
		assert_int_equal(
		    agent_do(&waiter[i], AGENT_CREATE), ERR_LOCKED);

	(void)agent_do(&waiter[2], AGENT_STOP_ASKING);
	assert_int_equal(agent_do(fifth, AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(&waiter[2], AGENT_CREATE), ERR_CROWDED);

	(void)agent_do(holder, AGENT_RELEASE);
	assert_int_equal(agent_do(fifth, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(fifth, AGENT_WANTED), 1);
}

/* The lock that the waiter asks for is not the lock of that id any more. */
static void
whoever_waits_survives_a_retired_lock(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0], *b = &c->agents[1];

	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_LOCKED);
	(void)agent_do(a, AGENT_RETIRE);
	assert_int_equal(agent_do(b, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_WANTED), 0);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_LOCKED);
}

static void
a_lock_that_is_not_found_is_not_asked_for_any_more(void **state)
{
	struct cast *c = *state;
	struct agent *a = &c->agents[0], *b = &c->agents[1];

	need_traces(c);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(b, AGENT_EXISTING), ERR_LOCKED);
	(void)agent_do(a, AGENT_RETIRE);
	assert_int_equal(agent_do(b, AGENT_EXISTING), ERR_NOT_FOUND);
	assert_int_equal(agent_do(a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(a, AGENT_WANTED), 0);
}

static void
a_shutdown_ends_the_asking(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0];
	struct locker *other = maker->open();
	struct arena *arena = arena_new();
	struct lock *lock;
	struct err e;

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	assert_int_equal(
	    other->ops->acquire(other, c->id, LOCK_CREATE, arena, &lock, &e),
	    ERR_LOCKED);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 1);
	other->ops->shutdown(other);
	assert_true(is_unwanted_soon(holder));
	arena_free(arena);
}

static void
a_table_with_a_hole_is_refused(void **state)
{
	struct cast *c = *state;
	struct locker_ops ops = *c->locker->ops;
	struct locker_traces traces = { .walk_next = NULL };
	struct locker locker = *c->locker;
	struct err e;

	assert_int_equal(locker_check(&locker, &e), ERR_OK);
	locker.traces = &traces;
	assert_int_equal(locker_check(&locker, &e), ERR_INVALID);
	locker.traces = NULL;
	assert_int_equal(locker_check(&locker, &e), ERR_OK);
	ops.stop_asking = NULL;
	locker.ops = &ops;
	assert_int_equal(locker_check(&locker, &e), ERR_INVALID);
}

static void
a_dead_holder_leaves_the_lock_free(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *next = &c->agents[1];

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(next, AGENT_CREATE), ERR_LOCKED);
	agent_kill(holder);
	assert_int_equal(
	    agent_lock_within(next, AGENT_CREATE, maker->soon), ERR_OK);
	agent_start(holder, maker, c->id, 0, 0);
}

static void
a_dead_waiter_leaves_no_question(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *waiter = &c->agents[1];
	int i;

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	for (i = 0; i < 2 * WAITERS_MAX; i++) {
		assert_int_equal(agent_do(waiter, AGENT_CREATE), ERR_LOCKED);
		assert_int_equal(agent_do(holder, AGENT_WANTED), 1);
		agent_kill(waiter);
		assert_true(is_unwanted_soon(holder));
		agent_start(waiter, maker, c->id, 0, 0);
	}
}

static void
a_stopped_holder_is_never_robbed(void **state)
{
	struct cast *c = *state;
	struct agent *holder = &c->agents[0], *waiter = &c->agents[1];

	assert_int_equal(agent_do(holder, AGENT_CREATE), ERR_OK);
	agent_freeze(holder);
	assert_int_equal(
	    agent_lock_within(waiter, AGENT_CREATE, 300), ERR_LOCKED);
	agent_thaw(holder);
	assert_int_equal(agent_do(holder, AGENT_WANTED), 1);
	(void)agent_do(holder, AGENT_RELEASE);
	assert_int_equal(agent_do(waiter, AGENT_CREATE), ERR_OK);
}

static void
one_process_may_wait_for_several_ids(void **state)
{
	enum {
		N = 3
	};
	struct cast *c = *state;
	const struct locker_ops *ops = c->locker->ops;
	struct locker *other = maker->open();
	struct arena *arena = arena_new();
	struct lock *held[N], *got;
	char ids[N][ID_MAX + 1];
	struct err e;
	int i;

	for (i = 0; i < N; i++) {
		id_new(ids[i]);
		assert_int_equal(ops->acquire(c->locker, ids[i], LOCK_CREATE,
				     arena, &held[i], &e),
		    ERR_OK);
		assert_int_equal(
		    ops->acquire(other, ids[i], LOCK_CREATE, arena, &got, &e),
		    ERR_LOCKED);
	}
	ops->release(held[1], false);
	assert_int_equal(
	    ops->acquire(other, ids[1], LOCK_CREATE, arena, &got, &e), ERR_OK);
	assert_int_equal(ops->state(held[0]), LOCK_WANTED);
	assert_int_equal(ops->state(got), LOCK_HELD);
	assert_int_equal(ops->state(held[2]), LOCK_WANTED);
	ops->release(got, true);
	ops->shutdown(other);
	ops->release(held[0], true);
	ops->release(held[2], true);
	arena_free(arena);
}

/* Lent by one locker; the copy of its descriptor is all that is left. */
static struct lock_loan
lend(struct cast *c, struct arena *arena)
{
	const struct locker_lender *lender = c->locker->lender;
	struct lock_loan loan;
	struct lock *lock;
	struct err e;

	assert_int_equal(c->locker->ops->acquire(
			     c->locker, c->id, LOCK_CREATE, arena, &lock, &e),
	    ERR_OK);
	lender->lend(lock, &loan);
	loan.fd = dup(loan.fd);
	assert_true(loan.fd >= 0);
	lender->parted(lock);
	return loan;
}

static void
a_lent_lock_goes_to_another_process(void **state)
{
	struct cast *c = *state;
	struct arena *arena = arena_new();
	struct locker *other = maker->open();
	struct lock_holder holder;
	struct lock_loan loan;
	struct lock *lock;
	struct err e;

	/* Nobody lends to another host. */
	if (c->locker->lender == NULL || getenv("TUSFCGI_LOCK_TWIN") != NULL) {
		other->ops->shutdown(other);
		arena_free(arena);
		skip();
	}
	loan = lend(c, arena);
	assert_int_equal(agent_do(&c->agents[0], AGENT_QUIETLY), ERR_LOCKED);
	assert_true(other->ops->holder(other, c->id, &holder));
	assert_false(c->locker->lender->is_wanted(&loan));
	assert_int_equal(agent_do(&c->agents[0], AGENT_CREATE), ERR_LOCKED);
	assert_true(c->locker->lender->is_wanted(&loan));
	assert_int_equal(
	    other->lender->adopt(other, c->id, &loan, arena, &lock, &e),
	    ERR_OK);
	assert_int_equal(other->ops->state(lock), LOCK_WANTED);
	other->ops->release(lock, false);
	assert_int_equal(agent_do(&c->agents[0], AGENT_CREATE), ERR_OK);
	other->ops->shutdown(other);
	arena_free(arena);
}

static void
a_lent_lock_dies_with_the_last_that_has_it(void **state)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct cast *c = *state;
	struct arena *arena = arena_new();
	int64_t end = clock_ms() + maker->soon;
	struct lock_loan loan;

	if (c->locker->lender == NULL) {
		arena_free(arena);
		skip();
	}
	loan = lend(c, arena);
	assert_int_equal(agent_do(&c->agents[0], AGENT_QUIETLY), ERR_LOCKED);
	(void)close(loan.fd);
	while (agent_do(&c->agents[0], AGENT_QUIETLY) != ERR_OK) {
		assert_true(clock_ms() < end);
		(void)nanosleep(&pause, NULL);
	}
	arena_free(arena);
}

static void
a_loan_of_another_id_is_refused(void **state)
{
	struct cast *c = *state;
	struct arena *arena = arena_new();
	struct lock_loan loan;
	struct lock *lock;
	struct err e;

	/* A lock of an agent has no name of its own. */
	if (c->locker->lender == NULL || c->locker->can_lose) {
		arena_free(arena);
		skip();
	}
	loan = lend(c, arena);
	assert_int_not_equal(c->locker->lender->adopt(
				 c->locker, "another", &loan, arena, &lock, &e),
	    ERR_OK);
	assert_int_equal(agent_do(&c->agents[0], AGENT_QUIETLY), ERR_OK);
	arena_free(arena);
}

static void
two_never_hold_the_same_lock(void **state)
{
	struct race_result r = lock_race(maker, 8, maker->rounds, false);

	(void)state;
	assert_int_equal(r.doubles, 0);
	assert_int_equal(r.errors, 0);
	assert_int_equal(r.acquired, 8 * maker->rounds);
}

static void
two_never_take_the_lock_of_a_dead_holder(void **state)
{
	struct race_result r = lock_death_race(maker, 8, maker->deaths, false);

	(void)state;
	assert_int_equal(r.doubles, 0);
	assert_int_equal(r.errors, 0);
	assert_true(r.acquired >= maker->deaths);
}

int
lock_contract_run(const struct lock_maker *m)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ONE(one_holder_at_a_time),
		ONE(the_holder_itself_cannot_lock_twice),
		ONE(a_quiet_lock_leaves_no_trace_of_its_own),
		ONE(known_from_the_first_lock_until_retired),
		ONE(asking_for_an_unknown_id_leaves_nothing),
		ONE(the_holder_is_known_to_the_administrator),
		ONE(a_walk_sees_what_is_known_once),
		ONE(what_is_no_id_is_refused),
		ONE(the_holder_learns_that_it_is_wanted),
		ONE(a_quiet_try_asks_nobody),
		ONE(a_question_never_hits_the_next_holder),
		ONE(a_fifth_waiter_is_refused_at_once),
		ONE(whoever_waits_survives_a_retired_lock),
		ONE(a_dead_holder_leaves_the_lock_free),
		ONE(a_dead_waiter_leaves_no_question),
		ONE(a_stopped_holder_is_never_robbed),
		ONE(one_process_may_wait_for_several_ids),
		ONE(a_shutdown_ends_the_asking),
		ONE(a_lock_that_is_not_found_is_not_asked_for_any_more),
		ONE(a_table_with_a_hole_is_refused),
		ONE(a_lent_lock_goes_to_another_process),
		ONE(a_lent_lock_dies_with_the_last_that_has_it),
		ONE(a_loan_of_another_id_is_refused),
		cmocka_unit_test(two_never_hold_the_same_lock),
		cmocka_unit_test(two_never_take_the_lock_of_a_dead_holder),
	};
#undef ONE

	maker = m;
	return cmocka_run_group_tests_name(m->name, tests, NULL, NULL);
}
