/*
 * odd_test.c - the directory store: files that other programs may have put
 * there.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/fs.h"
#include "tests/store/file_kit.h"

/* --- what others may have put there -------------------------------------- */

static bool
plant_link(const char *path)
{
	return symlink(path_of("target"), path) == 0;
}

/* A link to a file of another user; needs privileges. */
static bool
plant_hard_link(const char *path)
{
	return chown(path_of("target"), 65534, 65534) == 0 &&
	    link(path_of("target"), path) == 0;
}

static bool
plant_fifo(const char *path)
{
	return mkfifo(path, 0666) == 0;
}

static bool
plant_directory(const char *path)
{
	return mkdir(path, 0777) == 0;
}

/* Needs privileges; without them there is nobody who could plant it. */
static bool
plant_device(const char *path)
{
	int fd;

	if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) == -1)
		return false;
	/* In a container it may be made, and not be opened: no trap. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		(void)unlink(path);
		return false;
	}
	return close(fd) == 0;
}

static bool
plant_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool is_bound;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	is_bound = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	(void)close(fd);
	return is_bound;
}

static void
odd_things_are_not_followed(void **state)
{
	static bool (*const plant[])(const char *) = { plant_link,
		plant_hard_link, plant_fifo, plant_directory, plant_device,
		plant_socket };
	static const char *const names[] = { ID, ID ".info" };
	struct upload *up;
	const char *target, *path;
	enum err_code rc;
	size_t i, n;

	(void)state;
	drop(make(ID, 5));
	target = get_text(ID ".info");
	for (n = 0; n < NITEMS(names); n++) {
		for (i = 0; i < NITEMS(plant); i++) {
			(void)unlink(path_of("target"));
			put_text("target", target);
			put_text(ID ".info", target);
			put_text(ID, "");
			path = path_of(names[n]);
			assert_int_equal(unlink(path), 0);
			if (!plant[i](path))
				continue;
			/* An endless wait is what this test is about. */
			(void)alarm(5);
			rc = place.ds->core->get_upload(
			    place.ds, ID, place.a, &up, &place.e);
			if (rc != ERR_CORRUPT)
				fail_msg("%s, %zu: %d", names[n], i, (int)rc);
			assert_int_not_equal(
			    place.ds->core->claim(up, &place.e), ERR_OK);
			drop(up);
			(void)alarm(0);
			assert_string_equal(get_text("target"), target);
			if (unlink(path) == -1)
				assert_int_equal(rmdir(path), 0);
		}
	}
}

/* As after "ln", "hardlink" or "cp -al" of the store. */
static void
second_names_of_an_upload_are_no_harm(void **state)
{
	struct upload *up;

	(void)state;
	drop(make(ID, 5));
	assert_int_equal(link(path_of(ID), path_of("a")), 0);
	assert_int_equal(link(path_of(ID ".info"), path_of("b")), 0);
	up = claim(ID);
	append(up, "hello");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	up = look(ID);
	assert_true(upload_is_finished(up));
	ok(place.ds->keeper->check(up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	ok(place.ds->terminater->terminate(up, &place.e));
	drop(up);
	assert_string_equal(get_text("a"), "hello");
}

/* Whether it was replaced cannot be seen from its number of names. */
static void
a_record_that_has_another_name_now_is_read_anew(void **state)
{
	struct upload *up, *other;

	(void)state;
	put_text(ID, "hel");
	put_text(ID ".info", "{\"ID\":\"" ID "\",\"Size\":5}");
	assert_int_equal(link(path_of(ID ".info"), path_of("b")), 0);
	up = look(ID);
	other = claim(ID);
	ok(place.ds->keeper->adopt(other, &place.e));
	append(other, "l");
	drop(other);
	ok(place.ds->core->claim(up, &place.e));
	append(up, "o");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	assert_int_equal(head_of(ID).offset, 5);
	assert_null(strstr(get_text("b"), "Boot"));
}

static void
nothing_is_created_through_what_is_there(void **state)
{
	struct file_info info = { .id = ID, .size = 5 };
	struct upload *up;

	(void)state;
	put_text("target", "x");
	assert_true(plant_link(path_of(ID)));
	is(ERR_EXISTS,
	    place.ds->core->new_upload(
		place.ds, &info, place.a, &up, &place.e));
	assert_int_equal(unlink(path_of(ID)), 0);
	assert_true(plant_link(path_of(ID ".info.new")));
	drop(make(ID, 5));
	assert_string_equal(get_text("target"), "x");
	assert_true(is_file(ID ".info"));
}

static void
a_store_that_everybody_may_write_to_is_refused(void **state)
{
	struct data_store *ds;

	(void)state;
	assert_int_equal(chmod(place.dir, 0777), 0);
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	assert_int_equal(chmod(place.dir, 0770), 0);
}

static void
no_name_but_an_id_reaches_the_directory(void **state)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b",
		"a.info", ".hidden", "\xc3\xa4" };
	struct upload *up;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		struct file_info info = { .id = bad[i], .size = 5 };

		is(ERR_INVALID,
		    place.ds->core->new_upload(
			place.ds, &info, place.a, &up, &place.e));
		assert_int_not_equal(place.ds->core->get_upload(place.ds,
					 bad[i], place.a, &up, &place.e),
		    ERR_OK);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(odd_things_are_not_followed),
		TEST(second_names_of_an_upload_are_no_harm),
		TEST(a_record_that_has_another_name_now_is_read_anew),
		TEST(nothing_is_created_through_what_is_there),
		TEST(a_store_that_everybody_may_write_to_is_refused),
		TEST(no_name_but_an_id_reaches_the_directory),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
