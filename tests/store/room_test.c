/*
 * room_test.c - the directory store: min_free is kept while bytes come.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
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

#define MIB	 ((int64_t)1 << 20)
#define MIN_FREE (100 * MIB)

#define OTHER	 "00000000000000000000000000000002"
#define THIRD	 "00000000000000000000000000000003"

/* The free space beyond MIN_FREE, at each call; with a disk, its size, of which
 * these uploads take what they take. */
static int64_t beyond[8];
static int asked;
static bool has_disk;

/* What the file system says when it is to set something aside. */
static enum {
	SETS_ASIDE,
	REFUSES,
	PRETENDS
} answer;

/* The bytes that the file of an upload takes on the disk, but not what the file
 * system needs to find them, which is more where the disk is fragmented. */
static int64_t
taken_by(const char *id)
{
	struct stat st;

	if (stat(path_of(id), &st) == -1)
		return 0;
	return 512 * (int64_t)st.st_blocks / MIB * MIB;
}

/* 0: it does not tell. */
static fsblkcnt_t size_of_all = 1;

int
fstatvfs(int fd, struct statvfs *st)
{
	(void)fd;
	*st = (struct statvfs){
		.f_frsize = 1, .f_bsize = 1, .f_blocks = size_of_all
	};
	st->f_bavail = (fsblkcnt_t)(MIN_FREE + beyond[asked]);
	if (has_disk)
		st->f_bavail -= (fsblkcnt_t)(taken_by(ID) + taken_by(OTHER) +
		    taken_by(THIRD));
	if (asked + 1 < (int)NITEMS(beyond))
		asked++;
	return 0;
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
	assert_int_equal(mode, FALLOC_FL_KEEP_SIZE);
	if (answer == SETS_ASIDE)
		return (int)syscall(SYS_fallocate, fd, mode, at, len);
	errno = EOPNOTSUPP;
	return answer == PRETENDS ? 0 : -1;
}

static void
have(int64_t first, int64_t second, int64_t third)
{
	int64_t is[] = { first, second, third, third };
	size_t i;

	asked = 0;
	for (i = 0; i < NITEMS(beyond); i++)
		beyond[i] = is[i < 3 ? i : 3];
	files()->min_free = MIN_FREE;
}

/* 100 MiB, on which no upload may take what another one lacks. */
static void
have_disk(void)
{
	have(100 * MIB, 100 * MIB, 100 * MIB);
	has_disk = true;
	files()->overcommit = OVERCOMMIT_NEVER;
}

static int
forget_disk(void **state)
{
	has_disk = false;
	answer = SETS_ASIDE;
	return tear_down(state);
}

/* In slices; how many bytes were taken. */
static int64_t
write_until(struct upload *up, int64_t size, enum err_code want)
{
	static char buf[MIB];
	enum err_code rc = ERR_OK;
	int64_t i;

	for (i = 0; i < size && rc == ERR_OK; i += MIB)
		rc = place.ds->core->write(up, buf, sizeof(buf), &place.e);
	is(want, rc);
	return up->info.offset;
}

static void
bytes_that_come_stop_where_min_free_begins(void **state)
{
	struct upload *up;

	(void)state;
	drop(make(ID, 40 * MIB));
	up = claim(ID);
	have(100 * MIB, 5 * MIB, -1);
	ok(place.ds->core->write_begin(up, false, &place.e));
	/* At the beginning, 16 MiB later, and when these 5 are used up. */
	assert_int_equal(write_until(up, 40 * MIB, ERR_NO_SPACE), 21 * MIB);
	ok(place.ds->core->write_end(up, true, &place.e));
	assert_int_equal(up->info.offset, 21 * MIB);
	is(ERR_NO_SPACE, place.ds->core->write_begin(up, false, &place.e));
	drop(up);
}

/* Of an upload of so many MiB, or one that has to bring so many. */
static enum err_code
create(const char *id, int64_t size)
{
	struct file_info info = { .id = id, .size = size };
	struct upload *up;
	enum err_code rc =
	    place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e);

	if (rc == ERR_OK)
		place.ds->core->close(up);
	return rc;
}

static void
a_length_has_to_fit_into_what_is_free(void **state)
{
	(void)state;
	have(100 * MIB, 100 * MIB, 100 * MIB);
	files()->overcommit = OVERCOMMIT_EACH;
	is(ERR_NO_SPACE, create(ID, 100 * MIB + 1));
	is(ERR_NO_SPACE, create(ID, INT64_MAX));
	ok(create(ID, 100 * MIB));
	ok(create(OTHER, 100 * MIB));
	files()->overcommit = OVERCOMMIT_ALWAYS;
	ok(create(THIRD, INT64_MAX));
	files()->min_free = 0;
	files()->overcommit = OVERCOMMIT_EACH;
	is(ERR_NO_SPACE, create(ID, 2 * 100 * MIB + 1));
}

/* As FUSE does, and CephFS before its first report. */
static void
a_file_system_that_tells_no_size_is_not_full(void **state)
{
	(void)state;
	have(-MIN_FREE, -MIN_FREE, -MIN_FREE);
	is(ERR_NO_SPACE, create(ID, 1));
	size_of_all = 0;
	ok(create(ID, 1000 * MIB));
	size_of_all = 1;
}

static void
begin_chunk(struct upload *up, bool on_probation)
{
	ok(place.ds->core->claim(up, &place.e));
	ok(place.ds->core->write_begin(up, on_probation, &place.e));
}

static void
all_lengths_together_have_to_fit_if_that_is_asked(void **state)
{
	struct upload *up;

	(void)state;
	have_disk();
	ok(create(ID, 60 * MIB));
	is(ERR_NO_SPACE, create(OTHER, 40 * MIB + 1));
	assert_false(is_file(OTHER));
	ok(create(OTHER, 40 * MIB));
	is(ERR_NO_SPACE, create(THIRD, 1));
	/* Its bytes take what was set aside, whatever else fills the disk. */
	have(50 * MIB, 50 * MIB, 50 * MIB);
	up = look(ID);
	begin_chunk(up, false);
	assert_int_equal(write_until(up, 40 * MIB, ERR_OK), 40 * MIB);
	ok(place.ds->core->write_end(up, true, &place.e));
	assert_int_equal(asked, 0);
	assert_int_equal(taken_by(ID), 60 * MIB);
	drop(up);
}

/* No two of them at the same time are both let in. */
static void
what_was_set_aside_while_it_was_looked_for_is_not_free(void **state)
{
	(void)state;
	have_disk();
	have(100 * MIB, 40 * MIB, 40 * MIB);
	is(ERR_NO_SPACE, create(ID, 60 * MIB));
	assert_false(is_file(ID));
}

static void
what_is_cut_is_set_aside_again(void **state)
{
	struct upload *up;

	(void)state;
	have_disk();
	ok(create(ID, 60 * MIB));
	up = look(ID);
	begin_chunk(up, true);
	(void)write_until(up, 8 * MIB, ERR_OK);
	ok(place.ds->core->write_end(up, false, &place.e));
	assert_int_equal(up->info.offset, 0);
	drop(up);
	assert_int_equal(taken_by(ID), 60 * MIB);
	is(ERR_NO_SPACE, create(OTHER, 40 * MIB + 1));
}

static void
a_length_takes_its_room_when_it_is_declared(void **state)
{
	struct upload *up = make(ID, -1);

	(void)state;
	have_disk();
	/* Declared with bytes that are refused: it is not declared. */
	begin_chunk(up, true);
	ok(place.ds->length_declarer->declare_length(up, 60 * MIB, &place.e));
	assert_int_equal(taken_by(ID), 60 * MIB);
	(void)write_until(up, 8 * MIB, ERR_OK);
	ok(place.ds->core->write_end(up, false, &place.e));
	assert_int_equal(taken_by(ID), 0);
	ok(place.ds->length_declarer->declare_length(up, 60 * MIB, &place.e));
	is(ERR_NO_SPACE, create(OTHER, 40 * MIB + 1));
	drop(up);
}

/* They are from before this was asked. */
static void
an_older_upload_takes_its_room_when_bytes_come(void **state)
{
	struct upload *up = make(ID, 60 * MIB);

	(void)state;
	have_disk();
	assert_int_equal(taken_by(ID), 0);
	begin_chunk(up, false);
	assert_int_equal(taken_by(ID), 60 * MIB);
	ok(place.ds->core->write_end(up, true, &place.e));
	drop(up);
}

/* A file system that cannot set space aside, and one that only says that it
 * did: the records of all uploads tell. */
static void
what_all_others_lack_is_counted_elsewhere(void **state)
{
	struct upload *up;

	(void)state;
	have_disk();
	answer = REFUSES;
	ok(create(ID, 60 * MIB));
	is(ERR_NO_SPACE, create(OTHER, 40 * MIB + 1));
	assert_false(is_file(OTHER));
	answer = PRETENDS;
	is(ERR_NO_SPACE, create(OTHER, 40 * MIB + 1));
	ok(create(OTHER, 40 * MIB));
	is(ERR_NO_SPACE, create(THIRD, 1));
	/* Bytes that came lack no more, but they took their room. */
	up = look(ID);
	begin_chunk(up, false);
	assert_int_equal(write_until(up, 8 * MIB, ERR_OK), 8 * MIB);
	ok(place.ds->core->write_end(up, true, &place.e));
	drop(up);
	is(ERR_NO_SPACE, create(THIRD, 1));
}

static void
a_little_is_not_asked_for_twice(void **state)
{
	struct upload *up;

	(void)state;
	drop(make(ID, 40 * MIB));
	up = claim(ID);
	have(100 * MIB, -1, -1);
	ok(place.ds->core->write_begin(up, false, &place.e));
	assert_int_equal(write_until(up, 1 * MIB, ERR_OK), MIB);
	ok(place.ds->core->write_end(up, true, &place.e));
	assert_int_equal(asked, 1);
	drop(up);
}

static void
a_concatenation_stops_there_and_leaves_nothing(void **state)
{
	static const char *const parts[] = { OTHER_ID, NULL };
	struct file_info info = {
		.id = ID, .size = 40 * MIB, .is_final = true, .parts = parts
	};
	struct upload *up = make(OTHER_ID, 40 * MIB);

	(void)state;
	ok(place.ds->core->write_begin(up, false, &place.e));
	(void)write_until(up, 40 * MIB, ERR_OK);
	ok(place.ds->core->write_end(up, true, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	have(100 * MIB, 100 * MIB, 10 * MIB);
	is(ERR_NO_SPACE,
	    place.ds->concater->concat(
		place.ds, &info, place.a, &up, &place.e));
	assert_int_equal(asked, 3);
	assert_false(is_file(ID));
	assert_false(is_file(ID ".info"));
	have(100 * MIB, 100 * MIB, 100 * MIB);
	ok(place.ds->concater->concat(place.ds, &info, place.a, &up, &place.e));
	drop(up);
}

/* Nor for what is written to at once when it was made. */
static void
a_creation_asks_once(void **state)
{
	struct upload *up;

	(void)state;
	have(100 * MIB, -1, -1);
	files()->overcommit = OVERCOMMIT_EACH;
	up = make(ID, 40 * MIB);
	ok(place.ds->core->write_begin(up, false, &place.e));
	assert_int_equal(write_until(up, 1 * MIB, ERR_OK), MIB);
	assert_int_equal(asked, 1);
	ok(place.ds->core->write_end(up, true, &place.e));
	drop(up);
}

/* As a move to another file system copies. */
static void
a_copy_stops_there(void **state)
{
	struct file_bytes b = { .len = 40 * MIB, .min_free = MIN_FREE };
	struct stat st;

	(void)state;
	put_text("from", "");
	put_text("to", "");
	b.from = open(path_of("from"), O_RDWR);
	b.to = open(path_of("to"), O_RDWR);
	assert_int_equal(ftruncate(b.from, 40 * MIB), 0);
	have(100 * MIB, 10 * MIB, 10 * MIB);
	is(ERR_NO_SPACE, file_copy(&b, place.a, &place.e));
	assert_int_equal(fstat(b.to, &st), 0);
	assert_true(st.st_size <= 16 * MIB);
	(void)close(b.from);
	(void)close(b.to);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, forget_disk)
	const struct CMUnitTest tests[] = {
		TEST(bytes_that_come_stop_where_min_free_begins),
		TEST(a_length_has_to_fit_into_what_is_free),
		TEST(a_file_system_that_tells_no_size_is_not_full),
		TEST(all_lengths_together_have_to_fit_if_that_is_asked),
		TEST(what_was_set_aside_while_it_was_looked_for_is_not_free),
		TEST(what_is_cut_is_set_aside_again),
		TEST(a_length_takes_its_room_when_it_is_declared),
		TEST(an_older_upload_takes_its_room_when_bytes_come),
		TEST(what_all_others_lack_is_counted_elsewhere),
		TEST(a_little_is_not_asked_for_twice),
		TEST(a_creation_asks_once),
		TEST(a_concatenation_stops_there_and_leaves_nothing),
		TEST(a_copy_stops_there),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
