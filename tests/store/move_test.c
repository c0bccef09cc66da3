/*
 * move_test.c - the directory store: where finished uploads go.
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

/* --- in the good case ----------------------------------------------------- */

static void
a_finished_upload_goes_where_the_template_says(void **state)
{
	struct upload *up;
	char day[16];
	time_t now = clock_now();
	struct tm tm;

	(void)state;
	open_with("{owner}/{year}-{month}-{day}/{id}-{filename}-{meta:x}");
	up = finished(ID, "a/b.txt", "hello");
	assert_true(gmtime_r(&now, &tm) != NULL);
	assert_int_equal(strftime(day, sizeof(day), "%Y-%m-%d", &tm), 10);
	move(up);
	assert_string_equal(path_of(ID),
	    arena_printf(place.a, "%s/_/%s/" ID "-a_b.txt-_", root, day));
	assert_string_equal(text_of(path_of(ID)), "hello");
	assert_false(is_there(in(place.dir, ID)));
	read_all(ID, "hello");
}

static void
the_root_is_not_made(void **state)
{
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/missing/{id}", root), &place.e));
	is(ERR_SYSTEM, store_open(place.conf, &ds, &place.e));
	assert_non_null(strstr(place.e.text, "finish.move_to: "));
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", place.dir), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	assert_int_equal(chmod(root, 0777), 0);
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
}

static void
no_name_leads_from_the_root_into_the_store(void **state)
{
	const char *up = "uploads", *hidden = ".uploads";
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "store.path", in(root, up), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	assert_non_null(strstr(place.e.text, "lead into store.path"));
	ok(conf_set(place.conf, "finish.move_to", "/{id}", &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	/* A longer name is another name, and no template makes hidden ones. */
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	ok(conf_set(place.conf, "store.path",
	    arena_printf(place.a, "%s-2", root), &place.e));
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
	place_remove(place.conf->store.path);
	ok(conf_set(place.conf, "store.path", in(root, hidden), &place.e));
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
}

static void
nor_to_locks_or_hooks(void **state)
{
	static const char *const keys[] = { "lock.path", "hooks.dir" };
	const char *dir;
	struct data_store *ds;
	size_t i;

	(void)state;
	dir = arena_strdup(place.a, in(root, "own"));
	assert_int_equal(mkdir(dir, 0700), 0);
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	for (i = 0; i < NITEMS(keys); i++) {
		ok(conf_set(place.conf, keys[i], dir, &place.e));
		is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
		assert_non_null(strstr(place.e.text, keys[i]));
		ok(conf_set(place.conf, keys[i], root, &place.e));
		is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
		ok(conf_set(place.conf, keys[i], "", &place.e));
	}
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
}

static void
directories_below_are_made_with_the_mode_of_the_store(void **state)
{
	struct stat st;

	(void)state;
	ok(conf_set(place.conf, "store.dir_mode", "2750", &place.e));
	open_with("{filename}/x/{id}");
	move(finished(ID, "joe", "hello"));
	assert_int_equal(stat(in(root, "joe/x"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 02750);
	assert_int_equal(stat(in(root, "joe"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 02750);
}

static void
a_store_that_cannot_move_is_refused(void **state)
{
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "store.type", "memory", &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	ok(conf_set(place.conf, "store.type", "file", &place.e));
}

static void
a_name_that_is_taken_gets_a_number(void **state)
{
	(void)state;
	put_text(in(root, "a.txt"), "somebody's");
	assert_int_equal(symlink("nowhere", in(root, "a-1.txt")), 0);
	assert_int_equal(mkdir(in(root, "a-2.txt"), 0700), 0);
	move(finished(ID, "a.txt", "hello"));
	move(finished(ID_2, "a.txt", "hello"));
	assert_string_equal(path_of(ID), in(root, "a-3.txt"));
	assert_string_equal(path_of(ID_2), in(root, "a-4.txt"));
	assert_string_equal(text_of(in(root, "a.txt")), "somebody's");
	assert_int_equal(count_files(), 5);
}

static void
no_link_is_followed_on_the_way(void **state)
{
	struct upload *up;

	(void)state;
	open_with("{filename}/{id}");
	assert_int_equal(symlink("/", in(root, "joe")), 0);
	up = finished(ID, "joe", "hello");
	is(ERR_CORRUPT, place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(place.dir, ID)), "hello");
	assert_false(is_there(in(place.dir, ID ".moved")));
	up = claimed(ID);
	assert_int_equal(up->info.moved, 0);
	assert_false(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	/* And when it is put right, it goes. */
	assert_int_equal(unlink(in(root, "joe")), 0);
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "joe/" ID)), "hello");
}

static void
what_pre_create_chose_comes_before_the_template(void **state)
{
	struct file_info info = { .id = ID, .size = 0 };
	struct upload *up;

	(void)state;
	is(ERR_INVALID,
	    place.ds->mover->choose(
		place.ds, "/etc/x", place.a, &info.move_to, &place.e));
	assert_int_equal(symlink("/", in(root, "link")), 0);
	is(ERR_CORRUPT,
	    place.ds->mover->choose(
		place.ds, "link/x", place.a, &info.move_to, &place.e));
	ok(place.ds->mover->choose(
	    place.ds, in(root, "joe/x"), place.a, &info.move_to, &place.e));
	assert_string_equal(info.move_to, "joe/x");
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	place.ds->core->close(up);
	assert_non_null(
	    strstr(text_of(in(place.dir, ID ".info")), "\"MoveTo\":\"joe/x\""));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "joe/x"));
}

static void
a_forged_place_in_a_record_leads_nowhere(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	up->info.move_to = "../../etc/x";
	is(ERR_CORRUPT, place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(place.dir, ID)), "hello");
}

/* --- afterwards ----------------------------------------------------------- */

static void
a_file_that_is_not_as_it_was_is_not_served(void **state)
{
	struct upload *up;
	struct stream *s;

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	/* Other names of it are no concern of ours. */
	assert_int_equal(link(in(root, "a"), in(root, "b")), 0);
	read_all(ID, "hello");
	put_text(in(root, "a"), "hello again");
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(unlink(in(root, "a")), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(symlink("b", in(root, "a")), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(unlink(in(root, "a")), 0);
	assert_int_equal(mkdir(in(root, "a"), 0700), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

/* GET-12: another program's file, which by chance has the name and the size. */
static void
another_file_of_the_name_and_size_is_not_served(void **state)
{
	struct upload *up;
	struct stream *s;
	struct stat st;
	const char *path = arena_strdup(place.a, in(root, "a"));

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(rename(path, in(root, "b")), 0);
	put_text(path, "other");
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	/* Even if it is of the same time: it is not that file. */
	set_time(path, &st, 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	/* The same file, written to since. */
	assert_int_equal(rename(in(root, "b"), path), 0);
	read_all(ID, "hello");
	set_time(path, &st, 1);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

/* Where the file system numbers files anew the time has to do. */
static void
a_file_without_a_lasting_number_is_known_by_its_time(void **state)
{
	struct upload *up;
	struct stream *s;
	struct stat st;

	(void)state;
	move(finished(ID, "a", "hello"));
	assert_int_equal(stat(in(root, "a"), &st), 0);
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n%s\na\n0 %lld%09ld 1 2 0\n",
		root, (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec));
	assert_int_equal(unlink(in(root, "a")), 0);
	put_text(in(root, "a"), "hello");
	set_time(in(root, "a"), &st, 0);
	read_all(ID, "hello");
	set_time(in(root, "a"), &st, 1000);
	up = claimed(ID);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

static void
a_note_of_the_release_before_is_read_as_it_was(void **state)
{
	(void)state;
	move(finished(ID, "a", "hello"));
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 1\n%s\na\n0 1 2\n", root));
	read_all(ID, "hello");
	put_text(in(root, "a"), "other");
	read_all(ID, "other");
}

static void
a_place_below_another_root_is_not_read(void **state)
{
	struct upload *up;
	struct stream *s;
	const char *note;

	(void)state;
	move(finished(ID, "a", "hello"));
	note = text_of(in(place.dir, ID ".moved"));
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n/etc\na%s",
		strrchr(strstr(note, "\na\n"), 'a') + 1));
	up = claimed(ID);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

static void
to_terminate_it_leaves_the_file_alone(void **state)
{
	struct upload *up;

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(root, "a")), "hello");
	assert_false(is_there(in(place.dir, ID ".info")));
	assert_false(is_there(in(place.dir, ID ".moved")));
}

static void
the_record_says_when_it_may_go(void **state)
{
	struct upload *up;

	(void)state;
	ok(conf_set(place.conf, "finish.keep_record", "1h", &place.e));
	open_with("{filename}");
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	assert_int_equal(up->info.forget - up->info.moved, 3600);
	place.ds->core->close(up);
}

/* --- another file system -------------------------------------------------- */

static void
on_another_file_system_a_copy_is_made(void **state)
{
	struct stat st;

	(void)state;
	if (!has_elsewhere())
		skip();
	put_text(in(root, "a.txt"), "somebody's");
	move(finished(ID, "a.txt", "hello"));
	assert_string_equal(path_of(ID), in(root, "a-1.txt"));
	assert_string_equal(text_of(in(root, "a-1.txt")), "hello");
	assert_int_equal(stat(in(root, "a-1.txt"), &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_false(is_there(in(place.dir, ID)));
	assert_int_equal(count_files(), 2);
	read_all(ID, "hello");
}

static void
a_copy_that_does_not_fit_leaves_all_as_it_was(void **state)
{
	struct file_info info = {
		.id = ID, .size = (int64_t)1 << 43, .metadata = NULL
	};
	struct upload *up;
	int fd;

	(void)state;
	if (!has_elsewhere())
		skip();
	/* Nothing but a hole. */
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	fd = open(in(place.dir, ID), O_WRONLY);
	if (ftruncate(fd, (off_t)info.size) == -1) {
		(void)close(fd);
		place.ds->core->close(up);
		skip();
	}
	(void)close(fd);
	ok(place.ds->core->claim(up, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	is(ERR_NO_SPACE, place.ds->mover->move(up, &place.e));
	assert_int_equal(count_files(), 0);
	assert_false(is_there(in(place.dir, ID ".moved")));
	assert_true(is_there(in(place.dir, ID)));
	place.ds->core->close(up);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_finished_upload_goes_where_the_template_says),
		TEST(the_root_is_not_made),
		TEST(no_name_leads_from_the_root_into_the_store),
		TEST(nor_to_locks_or_hooks),
		TEST(directories_below_are_made_with_the_mode_of_the_store),
		TEST(a_store_that_cannot_move_is_refused),
		TEST(a_name_that_is_taken_gets_a_number),
		TEST(no_link_is_followed_on_the_way),
		TEST(what_pre_create_chose_comes_before_the_template),
		TEST(a_forged_place_in_a_record_leads_nowhere),
		TEST(a_file_that_is_not_as_it_was_is_not_served),
		TEST(another_file_of_the_name_and_size_is_not_served),
		TEST(a_file_without_a_lasting_number_is_known_by_its_time),
		TEST(a_note_of_the_release_before_is_read_as_it_was),
		TEST(a_place_below_another_root_is_not_read),
		TEST(to_terminate_it_leaves_the_file_alone),
		TEST(the_record_says_when_it_may_go),
		FAR(on_another_file_system_a_copy_is_made),
		FAR(a_copy_that_does_not_fit_leaves_all_as_it_was),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
