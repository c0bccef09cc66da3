/*
 * doubt_test.c - the directory store: a flush that failed is not retried into
 * success.
 *
 * The kernel reports it once: the next flush of the same pages succeeds.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/file_kit.h"

/* So many calls from now on fail. */
static int bad_flushes, bad_cuts;

int
fdatasync(int fd)
{
	if (bad_flushes > 0) {
		bad_flushes--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int
ftruncate(int fd, off_t size)
{
	if (bad_cuts > 0) {
		bad_cuts--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

static void
reopen_with(const char *durability)
{
	place.ds->core->shutdown(place.ds);
	ok(conf_set(place.conf, "store.durability", durability, &place.e));
	ok(store_open(place.conf, &place.ds, &place.e));
	memcpy(files()->boot, BOOT, sizeof(files()->boot));
}

/* Five bytes that are flushed, and six that cannot be. */
static void
fail_to_keep(int flushes, int cuts)
{
	struct upload *up;

	reopen_with("full");
	up = make(ID, 20);
	append(up, "hello");
	bad_flushes = flushes;
	bad_cuts = cuts;
	ok(place.ds->core->write_begin(up, false, &place.e));
	ok(place.ds->core->write(up, " world", 6, &place.e));
	is(ERR_SYSTEM, place.ds->core->write_end(up, true, &place.e));
	assert_int_equal(up->info.offset, 5);
	assert_int_equal(bad_flushes, 0);
	assert_int_equal(bad_cuts, 0);
	drop(up);
}

/* What HEAD says. */
static void
expect_offset(int64_t offset)
{
	struct upload *up = claim(ID);

	ok(place.ds->core->confirm(up, &place.e));
	assert_true(up->settled);
	assert_int_equal(up->info.offset, offset);
	drop(up);
	assert_int_equal(head_of(ID).offset, offset);
	assert_string_equal(head_of(ID).boot, BOOT);
}

static void
bytes_that_could_not_be_flushed_do_not_count(void **state)
{
	(void)state;
	fail_to_keep(1, 0);
	expect_offset(5);
}

static void
nor_do_they_if_the_record_could_not_be_flushed_either(void **state)
{
	struct upload *up;

	(void)state;
	fail_to_keep(2, 0);
	up = look(ID);
	assert_false(up->settled);
	assert_int_equal(up->info.offset, 5);
	drop(up);
	expect_offset(5);
	assert_string_equal(get_text(ID), "hello");
}

static void
nor_in_a_mode_that_acknowledges_more(void **state)
{
	(void)state;
	fail_to_keep(2, 0);
	reopen_with("data");
	expect_offset(5);
}

static void
an_upload_that_cannot_be_cut_stays_unanswered(void **state)
{
	struct upload *up;

	(void)state;
	fail_to_keep(1, 1);
	bad_cuts = 1;
	up = look(ID);
	is(ERR_SYSTEM, place.ds->core->claim(up, &place.e));
	drop(up);
	assert_string_equal(head_of(ID).boot, INFO_DOUBT);
	expect_offset(5);
	assert_string_equal(get_text(ID), "hello");
}

static void
bytes_from_durability_none_count_once_they_were_flushed(void **state)
{
	struct upload *up;

	(void)state;
	reopen_with("none");
	up = make(ID, 20);
	append(up, "hello");
	drop(up);
	reopen_with("full");
	up = claim(ID);
	bad_flushes = 1;
	is(ERR_SYSTEM, place.ds->core->confirm(up, &place.e));
	drop(up);
	expect_offset(0);
}

static void
bytes_of_tusd_count_once_they_were_flushed(void **state)
{
	struct upload *up;

	(void)state;
	put_text(ID ".info",
	    "{\"ID\":\"" ID "\",\"Size\":11,\"SizeIsDeferred\":false,"
	    "\"Offset\":0,\"MetaData\":{},\"IsPartial\":false,"
	    "\"IsFinal\":false,\"PartialUploads\":null}");
	put_text(ID, "hello");
	up = look(ID);
	bad_flushes = 1;
	is(ERR_SYSTEM, place.ds->keeper->adopt(up, &place.e));
	drop(up);
	expect_offset(0);
}

static void
what_settle_could_not_flush_does_not_count(void **state)
{
	struct upload *up;

	(void)state;
	reopen_with("none");
	up = make(ID, 20);
	append(up, "hello");
	bad_flushes = 1;
	is(ERR_SYSTEM, place.ds->keeper->settle(up, false, &place.e));
	drop(up);
	up = claim(ID);
	ok(place.ds->keeper->settle(up, false, &place.e));
	assert_int_equal(up->info.offset, 0);
	drop(up);
}

/* A later flush is a real one only if the page is dirty. */
static void
a_finish_that_could_not_be_flushed_is_written_anew(void **state)
{
	static const struct timespec long_ago[2] = { { 1, 0 }, { 1, 0 } };
	struct upload *up = make(ID, 5);
	struct stat st;

	(void)state;
	append(up, "hello");
	ok(place.ds->finisher->finish(up, STORE_TO_TELL, &place.e));
	drop(up);
	assert_int_equal(
	    utimensat(AT_FDCWD, path_of(ID ".info"), long_ago, 0), 0);
	up = look(ID);
	bad_flushes = 1;
	is(ERR_SYSTEM, place.ds->core->confirm(up, &place.e));
	assert_int_equal(stat(path_of(ID ".info"), &st), 0);
	assert_true(st.st_mtime > 1);
	ok(place.ds->core->confirm(up, &place.e));
	assert_true(upload_is_finished(up));
	drop(up);
}

/* Its writer may have been killed before it was flushed. */
static void
full_durability_flushes_a_head_that_it_found(void **state)
{
	struct upload *up;

	(void)state;
	reopen_with("full");
	up = make(ID, 20);
	append(up, "hello");
	drop(up);
	up = claim(ID);
	bad_flushes = 1;
	is(ERR_SYSTEM, place.ds->core->confirm(up, &place.e));
	drop(up);
	expect_offset(5);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(bytes_that_could_not_be_flushed_do_not_count),
		TEST(nor_do_they_if_the_record_could_not_be_flushed_either),
		TEST(nor_in_a_mode_that_acknowledges_more),
		TEST(an_upload_that_cannot_be_cut_stays_unanswered),
		TEST(bytes_from_durability_none_count_once_they_were_flushed),
		TEST(bytes_of_tusd_count_once_they_were_flushed),
		TEST(what_settle_could_not_flush_does_not_count),
		TEST(a_finish_that_could_not_be_flushed_is_written_anew),
		TEST(full_durability_flushes_a_head_that_it_found),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
