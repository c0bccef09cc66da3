/*
 * guard_test.c - the directory store: a lock on the record itself, and who may
 * use it.
 */
#include "config.h"

#include <sys/file.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/file/guard.h"
#include "tests/store/file_kit.h"

static int
set_up_guard(void **state)
{
	(void)set_up(state);
	place.ds->guard = &file_guard;
	return 0;
}

static struct upload *
guarded(const char *id)
{
	struct upload *up = look(id);

	ok(place.ds->guard->raise(up, &place.e));
	return up;
}

static void
one_process_has_it(void **state)
{
	struct upload *one, *other;

	(void)state;
	drop(make(ID, 10));
	one = guarded(ID);
	other = look(ID);
	is(ERR_LOCKED, place.ds->guard->raise(other, &place.e));
	is(ERR_LOCKED, place.ds->core->claim(other, &place.e));
	ok(place.ds->core->claim(one, &place.e));
	append(one, "hello");
	is(ERR_LOCKED, place.ds->core->claim(other, &place.e));
	drop(one);
	ok(place.ds->core->claim(other, &place.e));
	assert_int_equal(other->info.offset, 5);
	drop(other);
}

static void
it_can_be_lowered(void **state)
{
	struct upload *one, *other;

	(void)state;
	drop(make(ID, 10));
	one = guarded(ID);
	other = look(ID);
	place.ds->guard->lower(one);
	ok(place.ds->core->claim(other, &place.e));
	drop(other);
	drop(one);
}

static void
it_does_not_guard_a_record_that_was_replaced(void **state)
{
	struct upload *one, *other;

	(void)state;
	drop(make(ID, 10));
	one = guarded(ID);
	put_text("new", get_text(ID ".info"));
	assert_int_equal(rename(path_of("new"), path_of(ID ".info")), 0);
	is(ERR_LOCKED, place.ds->core->claim(one, &place.e));
	other = guarded(ID);
	ok(place.ds->core->claim(other, &place.e));
	/* Nor does the one of the old record hold up who has the lock. */
	is(ERR_LOCKED, place.ds->core->claim(one, &place.e));
	drop(other);
	ok(place.ds->core->claim(one, &place.e));
	drop(one);
}

static void
a_record_that_will_be_replaced_has_none(void **state)
{
	struct upload *up;

	(void)state;
	put_text(ID, "");
	put_text(ID ".info", "{\"ID\":\"" ID "\",\"Size\":10}");
	up = look(ID);
	is(ERR_CONFLICT, place.ds->guard->raise(up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	drop(up);
	put_text(ID ".info", "{\"ID\":");
	is(ERR_CORRUPT,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	is(ERR_CONFLICT, place.ds->guard->raise(up, &place.e));
	drop(up);
}

/* What looks damaged may be half written. */
static void
a_record_is_not_judged_before_its_guard(void **state)
{
	struct upload *up;
	int fd;

	(void)state;
	drop(make(ID, 10));
	put_text(ID ".info", "{\"ID\":");
	is(ERR_CORRUPT,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	fd = open(path_of(ID ".info"), O_RDWR | O_CLOEXEC);
	assert_int_equal(file_lock_byte(fd, F_WRLCK), 0);
	is(ERR_LOCKED, place.ds->core->claim(up, &place.e));
	(void)close(fd);
	is(ERR_CORRUPT, place.ds->core->claim(up, &place.e));
	drop(up);
}

/* Who may read a record can lock it as well, but keeps nobody from it. */
static void
a_reader_holds_up_nobody(void **state)
{
	struct upload *up;
	struct flock all = { .l_type = F_RDLCK };
	int fd;

	(void)state;
	drop(make(ID, 10));
	fd = open(path_of(ID ".info"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	up = look(ID);
	is(ERR_CONFLICT, place.ds->guard->raise(up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	drop(up);
	(void)close(fd);
}

/* --- The note of the store says whether all look at guards. --- */

/* As a process beside us that has written this note, or agreed with it. */
static int
hold_note(const char *method)
{
	char *text = must_strdup(get_text(".store")), *at;
	int fd;

	at = strstr(text, "\"flock+\"");
	assert_non_null(at);
	put_text(".store",
	    arena_printf(place.a, "%.*s\"%s\"%s", (int)(at - text), text,
		method, at + strlen("\"flock+\"")));
	free(text);
	fd = open(path_of(".store"), O_RDWR | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	return fd;
}

static enum err_code
join(enum store_use use)
{
	enum err_code rc;

	place.ds->core->shutdown(place.ds);
	rc = store_attach(place.conf, use, false, &place.e);
	ok(store_open(place.conf, &place.ds, &place.e));
	return rc;
}

static void
leave(void)
{
	store_detach(place.conf);
}

static void
expect_guards(enum store_use use, bool has)
{
	ok(join(use));
	assert_int_equal(place.ds->guard != NULL, has);
	leave();
}

static void
a_pool_that_is_alone_says_so(void **state)
{
	(void)state;
	assert_null(place.ds->guard);
	expect_guards(STORE_SERVED, true);
	assert_non_null(strstr(get_text(".store"), "\"Method\":\"flock+\""));
	expect_guards(STORE_KEPT, true);
}

static void
beside_one_that_does_not_look_there_are_none(void **state)
{
	int fd;

	(void)state;
	expect_guards(STORE_SERVED, true);
	fd = hold_note("flock");
	expect_guards(STORE_SERVED, false);
	expect_guards(STORE_KEPT, false);
	assert_non_null(strstr(get_text(".store"), "\"Method\":\"flock\""));
	(void)close(fd);
	expect_guards(STORE_SERVED, true);
}

static void
beside_one_that_looks_there_are_some(void **state)
{
	int fd;

	(void)state;
	expect_guards(STORE_SERVED, true);
	fd = hold_note("flock+");
	expect_guards(STORE_SERVED, true);
	/* This is what a release sees that knows of no guards. */
	(void)close(fd);
	fd = hold_note("flock*");
	is(ERR_CONFLICT, join(STORE_SERVED));
	assert_non_null(strstr(place.e.text, "(flock*), not in"));
	(void)close(fd);
}

int
main(void)
{
#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, set_up_guard, tear_down)
#define NOTE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_process_has_it),
		TEST(it_can_be_lowered),
		TEST(it_does_not_guard_a_record_that_was_replaced),
		TEST(a_record_that_will_be_replaced_has_none),
		TEST(a_record_is_not_judged_before_its_guard),
		TEST(a_reader_holds_up_nobody),
		NOTE(a_pool_that_is_alone_says_so),
		NOTE(beside_one_that_does_not_look_there_are_none),
		NOTE(beside_one_that_looks_there_are_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
