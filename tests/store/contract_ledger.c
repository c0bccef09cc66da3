/*
 * contract_ledger.c - what every store must do that counts what an owner has.
 */
#include "config.h"

#include <sys/types.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/id.h"
#include "tests/store/contract_kit.h"

#define PROCESSES   8
#define CREATIONS   1000

#define QUOTA(u, b) (&(struct store_quota){ .uploads = (u), .bytes = (b) })

static struct file_info
info_of(const char *owner, const char *id, int64_t size)
{
	return (struct file_info){ .owner = owner,
		.id = id,
		.size = size < 0 ? 0 : size,
		.size_deferred = size < 0 };
}

/* As a creation does it, however long others take; size -1 is deferred. */
static enum err_code
create(struct place *p, const char *owner, const char *id, int64_t size,
    const struct store_quota *quota)
{
	struct file_info info = info_of(owner, id, size);
	struct store_entry *entry;
	struct upload *up;
	enum err_code rc;
	int tries = 0;

	do
		rc = p->ds->ledger->enter(
		    p->ds, &info, info.size, quota, p->a, &entry, &p->e);
	while (rc == ERR_UNAVAILABLE && tries++ < 60);
	if (rc != ERR_OK)
		return rc;
	rc = p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e);
	p->ds->ledger->entered(entry, rc == ERR_OK);
	if (rc == ERR_OK)
		p->ds->core->close(up);
	return rc;
}

static void
remove_upload(struct place *p, const char *id)
{
	struct upload *up = claim(p, id);

	ok(p, p->ds->terminater->terminate(up, &p->e));
	p->ds->core->close(up);
}

static bool
is_right(struct place *p, const char *id)
{
	struct upload *up;
	bool right;

	ok(p, p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e));
	ok(p, p->ds->ledger->is_right(up, &right, &p->e));
	p->ds->core->close(up);
	return right;
}

static int64_t
prune(struct place *p, bool only_count)
{
	int64_t n = -1;

	ok(p, p->ds->ledger->prune(p->ds, NULL, only_count, &n, &p->e));
	return n;
}

/* A process that enters an upload and makes none; it dies when told to, or
 * with us. */
static pid_t
begin_elsewhere(struct place *p, const char *owner, const char *id)
{
	struct file_info info = info_of(owner, id, 5);
	struct store_entry *entry;
	int ready[2], alive[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(alive), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (p->ds->ledger->enter(p->ds, &info, 5, QUOTA(100, 1000),
			p->a, &entry, &p->e) != ERR_OK ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		(void)close(alive[1]);
		_exit(read(alive[0], &byte, 1) == 1);
	}
	(void)close(alive[0]);
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	return pid;
}

static void
end_elsewhere(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
an_owner_has_no_more_uploads_than_allowed(void **state)
{
	struct place *p = *state;

	ok(p, create(p, "joe", "1", 5, QUOTA(2, 0)));
	ok(p, create(p, "joe", "2", -1, QUOTA(2, 0)));
	is(p, ERR_QUOTA, create(p, "joe", "3", 0, QUOTA(2, 0)));
	ok(p, create(p, "sue", "4", 5, QUOTA(2, 0)));
	ok(p, create(p, "joe", "5", 5, QUOTA(3, 0)));
	is(p, ERR_QUOTA, create(p, "joe", "6", 5, QUOTA(1, 0)));
}

static void
an_owner_has_no_more_bytes_than_allowed(void **state)
{
	struct place *p = *state;

	ok(p, create(p, "joe", "1", 6, QUOTA(0, 10)));
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(0, 10)));
	ok(p, create(p, "joe", "3", 4, QUOTA(0, 10)));
	is(p, ERR_QUOTA, create(p, "joe", "4", 1, QUOTA(0, 10)));
	ok(p, create(p, "joe", "5", 0, QUOTA(0, 10)));
	ok(p, create(p, "sue", "6", 10, QUOTA(0, 10)));
	is(p, ERR_QUOTA, create(p, "sam", "7", INT64_MAX, QUOTA(0, 10)));
	ok(p, create(p, "sam", "8", INT64_MAX, QUOTA(0, INT64_MAX)));
	is(p, ERR_QUOTA, create(p, "sam", "9", 1, QUOTA(0, INT64_MAX)));
}

static void
an_owner_may_have_any_name(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "../x", "a/b", ".", "lock",
		"\xff\n" };
	const char *id;
	size_t i;

	for (i = 0; i < NITEMS(names); i++) {
		id = arena_printf(p->a, "%zu", i);
		ok(p, create(p, names[i], id, 5, QUOTA(1, 0)));
		is(p, ERR_QUOTA, create(p, names[i], "again", 5, QUOTA(1, 0)));
		assert_true(is_right(p, id));
	}
}

static void
what_is_removed_gives_its_room_back(void **state)
{
	struct place *p = *state;
	struct upload *up;

	ok(p, create(p, "joe", "1", 10, QUOTA(1, 10)));
	is(p, ERR_QUOTA, create(p, "joe", "2", 10, QUOTA(1, 10)));
	remove_upload(p, "1");
	assert_int_equal(prune(p, true), 0);
	ok(p, create(p, "joe", "2", -1, QUOTA(1, 10)));
	up = claim(p, "2");
	append(p, up, "hello");
	p->ds->core->close(up);
	remove_upload(p, "2");
	assert_int_equal(prune(p, true), 0);
	ok(p, create(p, "joe", "3", 10, QUOTA(1, 10)));
	up = claim(p, "3");
	ok(p, p->ds->ledger->release(up, &p->e));
	ok(p, p->ds->ledger->release(up, &p->e));
	p->ds->core->close(up);
	ok(p, create(p, "joe", "4", 10, QUOTA(1, 10)));
}

static void
what_was_not_made_gives_its_room_back(void **state)
{
	struct place *p = *state;
	struct file_info info = info_of("joe", "1", 5);
	struct store_entry *entry;

	ok(p,
	    p->ds->ledger->enter(
		p->ds, &info, 5, QUOTA(1, 0), p->a, &entry, &p->e));
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(1, 0)));
	p->ds->ledger->entered(entry, false);
	assert_int_equal(prune(p, true), 0);
	ok(p, create(p, "joe", "2", 5, QUOTA(1, 0)));
}

static void
what_is_being_made_elsewhere_counts_until_its_maker_dies(void **state)
{
	struct place *p = *state;
	pid_t pid = begin_elsewhere(p, "joe", "1");

	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(1, 0)));
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(0, 9)));
	assert_int_equal(prune(p, false), 0);
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(1, 0)));
	is(p, ERR_EXISTS, create(p, "joe", "1", 5, QUOTA(9, 0)));
	end_elsewhere(pid);
	ok(p, create(p, "joe", "2", 5, QUOTA(1, 0)));
	end_elsewhere(begin_elsewhere(p, "joe", "3"));
	ok(p, create(p, "joe", "3", 7, QUOTA(2, 12)));
	assert_true(is_right(p, "3"));
}

static void
an_id_is_entered_once(void **state)
{
	struct place *p = *state;

	ok(p, create(p, "joe", "1", 5, QUOTA(9, 0)));
	is(p, ERR_EXISTS, create(p, "joe", "1", 5, QUOTA(9, 0)));
	is(p, ERR_EXISTS, create(p, "joe", "1", 7, QUOTA(9, 0)));
	is(p, ERR_EXISTS, create(p, "sue", "1", 5, QUOTA(9, 0)));
	assert_true(is_right(p, "1"));
	ok(p, create(p, "sue", "2", 5, QUOTA(1, 0)));
}

static void
an_upload_grows_as_far_as_there_is_room(void **state)
{
	struct place *p = *state;
	const struct store_ledger *ledger = p->ds->ledger;
	struct upload *up;
	int64_t got = -1;

	ok(p, create(p, "joe", "1", -1, QUOTA(0, 100)));
	ok(p, create(p, "joe", "2", 40, QUOTA(0, 100)));
	up = claim(p, "1");
	is(p, ERR_QUOTA,
	    ledger->resize(up, QUOTA(0, 100), 61, 90, &got, &p->e));
	assert_int_equal(got, -1);
	ok(p, ledger->resize(up, QUOTA(1, 100), 10, 12, &got, &p->e));
	assert_int_equal(got, 12);
	is(p, ERR_QUOTA, create(p, "joe", "3", 49, QUOTA(0, 100)));
	/* Half of what is left beyond 20. */
	ok(p, ledger->resize(up, QUOTA(0, 100), 20, 1000, &got, &p->e));
	assert_int_equal(got, 40);
	ok(p, ledger->resize(up, QUOTA(0, 100), 60, 60, &got, &p->e));
	is(p, ERR_QUOTA, create(p, "joe", "3", 1, QUOTA(0, 100)));
	ok(p, ledger->resize(up, NULL, 5, 5, &got, &p->e));
	ok(p, create(p, "joe", "3", 55, QUOTA(0, 100)));
	p->ds->core->close(up);
	assert_false(is_right(p, "1"));
	remove_upload(p, "1");
	ok(p, create(p, "joe", "4", 5, QUOTA(0, 100)));
}

static void
growth_strikes_out_the_dead_as_well(void **state)
{
	struct place *p = *state;
	struct upload *up;
	int64_t got = -1;

	ok(p, create(p, "joe", "1", -1, QUOTA(0, 8)));
	end_elsewhere(begin_elsewhere(p, "joe", "2"));
	up = claim(p, "1");
	ok(p, p->ds->ledger->resize(up, QUOTA(0, 8), 8, 8, &got, &p->e));
	p->ds->core->close(up);
}

static void
what_is_missing_is_seen_and_can_be_entered(void **state)
{
	struct place *p = *state;
	struct file_info info = info_of("joe", "1", -1);
	struct upload *up;
	int64_t size = 5;

	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	append(p, up, "hello");
	p->ds->core->close(up);
	assert_false(is_right(p, "1"));
	up = claim(p, "1");
	ok(p, p->ds->ledger->resize(up, NULL, size, size, &size, &p->e));
	p->ds->core->close(up);
	assert_true(is_right(p, "1"));
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(1, 0)));
	is(p, ERR_QUOTA, create(p, "joe", "2", 5, QUOTA(0, 9)));
	info = info_of(NULL, "3", 5);
	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	p->ds->core->close(up);
	assert_true(is_right(p, "3"));
}

static void
the_sweep_strikes_out_the_dead_alone(void **state)
{
	struct place *p = *state;
	pid_t alive;

	assert_int_equal(prune(p, false), 0);
	ok(p, create(p, "joe", "1", 5, QUOTA(9, 0)));
	alive = begin_elsewhere(p, "joe", "2");
	end_elsewhere(begin_elsewhere(p, "joe", "3"));
	end_elsewhere(begin_elsewhere(p, "sue", "4"));
	assert_int_equal(prune(p, true), 3);
	assert_int_equal(prune(p, false), 2);
	assert_int_equal(prune(p, false), 0);
	is(p, ERR_QUOTA, create(p, "joe", "5", 5, QUOTA(2, 0)));
	assert_true(is_right(p, "1"));
	ok(p, create(p, "sue", "6", 5, QUOTA(1, 0)));
	end_elsewhere(alive);
	assert_int_equal(prune(p, false), 1);
}

/* Some of them are removed again, and the sweep is at work as well. */
static int
race(struct place *p, int number)
{
	struct upload *up;
	int64_t n;
	char id[33];
	int i, won = 0;

	for (i = 0; i < CREATIONS / PROCESSES; i++) {
		enum err_code rc;

		(void)snprintf(id, sizeof(id), "%d-%d", number, i);
		rc = create(p, "joe", id, 3, QUOTA(100, 0));
		won += rc == ERR_OK;
		if (rc != ERR_OK && rc != ERR_QUOTA)
			return 255;
		if (rc == ERR_OK && i % 10 == 3) {
			if (p->ds->core->get_upload(
				p->ds, id, p->a, &up, &p->e) != ERR_OK ||
			    p->ds->core->claim(up, &p->e) != ERR_OK ||
			    p->ds->terminater->terminate(up, &p->e) != ERR_OK)
				return 255;
			p->ds->core->close(up);
			won--;
		}
		if (i % 50 == 0 &&
		    p->ds->ledger->prune(p->ds, NULL, false, &n, &p->e) !=
			ERR_OK)
			return 255;
	}
	return won;
}

/* Every sweep may find that nothing is left, and begin anew. */
static int
come_and_go(struct place *p, int number)
{
	struct upload *up;
	int64_t n;
	char id[33];
	int i;

	for (i = 0; i < 30; i++) {
		(void)snprintf(id, sizeof(id), "%d-%d", number, i);
		if (create(p, "joe", id, 3, QUOTA(100, 0)) != ERR_OK ||
		    p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e) !=
			ERR_OK ||
		    p->ds->core->claim(up, &p->e) != ERR_OK ||
		    p->ds->terminater->terminate(up, &p->e) != ERR_OK ||
		    p->ds->ledger->prune(p->ds, NULL, false, &n, &p->e) !=
			ERR_OK)
			return 255;
		p->ds->core->close(up);
	}
	return 0;
}

/* The sum of what these processes say; 255 is none of it. */
static int
at_once(struct place *p, int (*job)(struct place *, int number))
{
	pid_t pids[PROCESSES];
	int i, status, sum = 0;

	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_int_not_equal(pids[i], -1);
		if (pids[i] == 0)
			_exit(job(p, i));
	}
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), 255);
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static void
a_page_that_is_swept_away_takes_no_upload_along(void **state)
{
	struct place *p = *state;

	assert_int_equal(at_once(p, come_and_go), 0);
	assert_int_equal(prune(p, true), 0);
}

static void
a_limit_holds_however_many_processes_try(void **state)
{
	struct place *p = *state;

	assert_int_equal(at_once(p, race), 100);
	assert_int_equal(prune(p, true), 0);
	is(p, ERR_QUOTA, create(p, "joe", "more", 3, QUOTA(100, 0)));
	ok(p, create(p, "joe", "more", 3, QUOTA(101, 303)));
}

int
contract_run_ledger(const struct variant *v)
{
	static const struct promise all[] = {
		PROMISE(an_owner_has_no_more_uploads_than_allowed, CAN_LEDGER),
		PROMISE(an_owner_has_no_more_bytes_than_allowed, CAN_LEDGER),
		PROMISE(an_owner_may_have_any_name, CAN_LEDGER),
		PROMISE(what_is_removed_gives_its_room_back,
		    CAN_LEDGER | CAN_TERMINATE),
		PROMISE(what_was_not_made_gives_its_room_back, CAN_LEDGER),
		PROMISE(
		    what_is_being_made_elsewhere_counts_until_its_maker_dies,
		    CAN_LEDGER),
		PROMISE(an_id_is_entered_once, CAN_LEDGER),
		PROMISE(an_upload_grows_as_far_as_there_is_room,
		    CAN_LEDGER | CAN_TERMINATE),
		PROMISE(growth_strikes_out_the_dead_as_well, CAN_LEDGER),
		PROMISE(what_is_missing_is_seen_and_can_be_entered, CAN_LEDGER),
		PROMISE(the_sweep_strikes_out_the_dead_alone, CAN_LEDGER),
		PROMISE(a_page_that_is_swept_away_takes_no_upload_along,
		    CAN_LEDGER | CAN_TERMINATE),
		PROMISE(a_limit_holds_however_many_processes_try,
		    CAN_LEDGER | CAN_TERMINATE),
	};

	return contract_check(v, all, NITEMS(all));
}
