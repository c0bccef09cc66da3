/*
 * half_move_test.c - the directory store: the traces of a move that was
 * interrupted.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/store/move_kit.h"

/* --- traces of a process that died ---------------------------------------- */

static void
leave_note(const char *id, const char *path, uint64_t inode)
{
	put_text(in(place.dir, arena_printf(place.a, "%s.moved", id)),
	    arena_printf(place.a, "tusfcgi moved 1\n%s\n%s\n%llu 1 2\n", root,
		path, (unsigned long long)inode));
}

static uint64_t
inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static void
a_note_of_a_move_is_no_move(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	place.ds->core->close(up);
	put_text(in(root, "b"), "other");
	leave_note(ID, "b", 0);
	up = claimed(ID);
	assert_int_equal(up->info.moved, 0);
	assert_true(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	read_all(ID, "hello");
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_string_equal(text_of(in(root, "b")), "other");
}

static void
half_a_copy_is_removed(void **state)
{
	const char *copy = "." ID ".tusfcgi";

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, copy), "hel");
	leave_note(ID, "a", 0);
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "a")), "hello");
	assert_int_equal(count_files(), 1);
}

static void
a_copy_that_arrived_is_believed(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "hello");
	leave_note(ID, "a", inode_of(in(root, "a")));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_false(is_there(in(place.dir, ID)));
	assert_int_equal(count_files(), 1);
}

/* As it is on FAT: the number that the copy had is not known. */
static void
a_copy_without_a_lasting_number_is_believed_by_its_time(void **state)
{
	struct stat st;

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "hello");
	assert_int_equal(stat(in(root, "a"), &st), 0);
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n%s\na\n0 %lld%09ld 1 2 0\n",
		root, (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_int_equal(count_files(), 1);
}

/* Where nothing else keeps the name free; see fs_name_reserved(). */
static void
an_empty_file_that_kept_the_name_is_given_back(void **state)
{
	int reserved;

	(void)state;
	for (reserved = 1; reserved >= 0; reserved--) {
		place.ds->core->close(
		    finished(reserved ? ID : ID_2, "a", "hello"));
		put_text(in(root, "b"), "");
		put_text(in(place.dir,
			     arena_printf(
				 place.a, "%s.moved", reserved ? ID : ID_2)),
		    arena_printf(place.a,
			"tusfcgi moved 2\n%s\nb\n1 1 1 2 %d\n", root,
			reserved));
		move(claimed(reserved ? ID : ID_2));
		/* If it is not ours for sure it stays. */
		assert_int_equal(is_there(in(root, "b")), !reserved);
	}
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_string_equal(path_of(ID_2), in(root, "a-1"));
}

static gid_t
other_group(void)
{
	return geteuid() == 0 ? 65534 : getegid();
}

/* As a file that is made there, or copied there, would have. */
static void
a_rename_takes_the_group_of_a_directory_that_gives_it(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(chown(root, (uid_t)-1, other_group()), 0);
	move(finished(ID, "plain", "hello"));
	assert_int_equal(stat(in(root, "plain"), &st), 0);
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(chmod(root, 02770), 0);
	move(finished(ID_2, "given", "hello"));
	assert_int_equal(stat(in(root, "given"), &st), 0);
	assert_int_equal(st.st_gid, other_group());
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(count_files(), 2);
}

/* The number of an inode is given again, and files may be alike. */
static void
another_file_in_its_place_is_no_copy(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "HELLO");
	leave_note(ID, "a", inode_of(in(root, "a")));
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "a")), "HELLO");
	assert_string_equal(path_of(ID), in(root, "a-1"));
	/* A file with the bytes of the copy may belong to another program
	 * too. */
	place.ds->core->close(finished(ID_2, "a", "hello"));
	put_text(in(root, "b"), "hello");
	leave_note(ID_2, "b", inode_of(root));
	move(claimed(ID_2));
	assert_string_equal(path_of(ID_2), in(root, "a-2"));
}

static void
to_terminate_half_a_move_leaves_nothing_of_it(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	put_text(in(root, "." ID ".tusfcgi"), "hel");
	put_text(in(root, "a"), "other");
	leave_note(ID, "a", 0);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	assert_int_equal(count_files(), 1);
	assert_string_equal(text_of(in(root, "a")), "other");
	assert_false(is_there(in(place.dir, ID ".moved")));
}

static enum err_code
look(const char *id)
{
	struct upload *up = NULL;
	enum err_code rc =
	    place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e);

	if (up != NULL)
		place.ds->core->close(up);
	return rc;
}

static void
to_terminate_needs_nothing_but_the_store(void **state)
{
	const char *copy = in(root, "." ID ".tusfcgi");
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	/* Not to be removed, like all on a file system that is read-only. */
	assert_int_equal(mkdir(copy, 0700), 0);
	leave_note(ID, "a", 0);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	is(ERR_NOT_FOUND, look(ID));
	assert_false(is_there(in(place.dir, ID ".moved")));
	assert_int_equal(rmdir(copy), 0);
}

static void
half_a_move_is_over_when_nothing_is_moved_any_more(void **state)
{
	struct upload *up;

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	leave_note(ID, "a", 0);
	ok(conf_set(place.conf, "finish.move_to", "", &place.e));
	place.ds->core->shutdown(place.ds);
	ok(store_open(place.conf, &place.ds, &place.e));
	up = claimed(ID);
	assert_true(place.ds->mover->is_pending(up));
	ok(place.ds->mover->move(up, &place.e));
	assert_false(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	read_all(ID, "hello");
	assert_string_equal(path_of(ID), in(place.dir, ID));
}

static void
a_note_without_a_place_is_none(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(place.dir, ID ".moved"), "");
	ok(look(ID));
	move(claimed(ID));
	put_text(in(place.dir, ID ".moved"), "");
	is(ERR_NOT_FOUND, look(ID));
	put_text(in(place.dir, ID ".moved"), "garbage\n");
	is(ERR_CORRUPT, look(ID));
	leave_note(ID, "../x", 0);
	is(ERR_CORRUPT, look(ID));
	leave_note(ID, "x", 0);
	ok(look(ID));
}

static void
an_unfinished_upload_without_bytes_was_not_moved(void **state)
{
	struct file_info info = { .id = ID, .size = 5 };
	struct upload *up;

	(void)state;
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	place.ds->core->close(up);
	assert_int_equal(unlink(in(place.dir, ID)), 0);
	leave_note(ID, "a", 0);
	is(ERR_NOT_FOUND, look(ID));
}

static void
leftovers_of_moves_are_known(void **state)
{
	static const char *const names[] = { ID_2 ".moved", ID ".moved.new",
		"00000000000000000000000000000003.moved" };
	struct store_leftover l;
	void *cursor = NULL;
	size_t i, n = 0;

	(void)state;
	move(finished(ID, "a", "hello"));
	place.ds->core->close(finished(ID_2, "a", "hello"));
	for (i = 0; i < NITEMS(names); i++)
		put_text(in(place.dir, names[i]), "");
	for (;;) {
		ok(place.ds->keeper->leftover_next(
		    place.ds, &cursor, NULL, place.a, &l, &place.e));
		if (l.name == NULL)
			break;
		for (i = 0; i < NITEMS(names); i++)
			if (strcmp(l.name, names[i]) == 0)
				n++;
		assert_true(l.removable);
		ok(place.ds->keeper->leftover_remove(place.ds, &l, &place.e));
	}
	assert_int_equal(n, 3);
	ok(look(ID));
	ok(look(ID_2));
	assert_true(is_there(in(place.dir, ID ".moved")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_note_of_a_move_is_no_move),
		TEST(half_a_copy_is_removed),
		TEST(a_copy_that_arrived_is_believed),
		TEST(a_copy_without_a_lasting_number_is_believed_by_its_time),
		TEST(an_empty_file_that_kept_the_name_is_given_back),
		TEST(a_rename_takes_the_group_of_a_directory_that_gives_it),
		FAR(a_rename_takes_the_group_of_a_directory_that_gives_it),
		TEST(another_file_in_its_place_is_no_copy),
		TEST(to_terminate_half_a_move_leaves_nothing_of_it),
		TEST(to_terminate_needs_nothing_but_the_store),
		TEST(half_a_move_is_over_when_nothing_is_moved_any_more),
		TEST(a_note_without_a_place_is_none),
		TEST(an_unfinished_upload_without_bytes_was_not_moved),
		TEST(leftovers_of_moves_are_known),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
