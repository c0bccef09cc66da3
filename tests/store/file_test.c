/*
 * file_test.c - the directory store: the files on disk.
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

/* --- the layout ---------------------------------------------------------- */

/* The record that FORMAT shows, with the paths of this test; in FORMAT each of
 * its lines is indented. */
static const char *
get_documented(void)
{
	const char *top = getenv("srcdir") != NULL ? getenv("srcdir") : ".";
	const char *shown = "", *rest;
	char line[200];
	FILE *f =
	    fopen(arena_printf(place.a, "%s/store/file/FORMAT", top), "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (*shown == '\0' && strncmp(line, "    {", 5) != 0)
			continue;
		if (*line == '\0')
			break;
		rest = strstr(line, "/srv/uploads");
		shown = rest == NULL ?
		    arena_printf(place.a, "%s%s", shown, line + 4) :
		    arena_printf(place.a, "%s%.*s%s%s", shown,
			(int)(rest - line) - 4, line + 4, place.dir,
			rest + strlen("/srv/uploads"));
	}
	(void)fclose(f);
	return shown;
}

static void
the_record_is_as_documented_to_the_byte(void **state)
{
	struct pair name = { NULL, "filename", "world.txt", 9 };
	struct file_info info = { .id = ID,
		.size = 11,
		.metadata = &name,
		.metadata_raw = "filename d29ybGQudHh0",
		.created = 1795377600,
		.expires = 1795982400 };
	struct upload *up;
	struct stat st;

	(void)state;
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	drop(up);
	assert_string_equal(get_text(ID ".info"), get_documented());
	assert_int_equal(stat(path_of(ID), &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_false(is_file(ID ".info.new"));
}

static void
nothing_behind_the_head_ever_changes(void **state)
{
	struct upload *up = make(ID, -1);
	const char *before = get_text(ID ".info"), *after;

	(void)state;
	append(up, "hello");
	ok(place.ds->length_declarer->declare_length(up, 11, &place.e));
	ok(place.ds->expirer->set_expiry(up, 1999999999, &place.e));
	append(up, " world");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	after = get_text(ID ".info");
	assert_string_equal(before + INFO_WHOLE_HEAD, after + INFO_WHOLE_HEAD);
	assert_non_null(strstr(after,
	    "\"Offset\":                  11,"
	    "\"Size\":                  11,"
	    "\"SizeIsDeferred\":false,"));
	assert_string_equal(get_text(ID), "hello world");
}

static void
records_that_are_too_long_are_refused(void **state)
{
	char *raw = arena_alloc(place.a, INFO_MAX);
	struct file_info info = { .id = ID, .size = 1, .metadata_raw = raw };
	struct upload *up;

	(void)state;
	memset(raw, 'a', INFO_MAX - 1);
	is(ERR_INVALID,
	    place.ds->core->new_upload(
		place.ds, &info, place.a, &up, &place.e));
	assert_false(is_file(ID));
	assert_false(is_file(ID ".info"));
	assert_false(is_file(ID ".info.new"));
}

static char *
random_string(size_t max, size_t *len)
{
	size_t i, n = (size_t)rand() % max;
	char *s = arena_alloc(place.a, n + 1);

	for (i = 0; i < n; i++)
		s[i] = (char)(rand() % 4 == 0 ? rand() % 256 : 'a');
	*len = n;
	return s;
}

static char *
random_text(void)
{
	size_t i, len;
	char *s = random_string(60, &len);

	for (i = 0; i < len; i++)
		if (s[i] == '\0')
			s[i] = '\xc3';
	return s;
}

static void
a_record_says_again_what_it_was_told(void **state)
{
	struct pair value = { NULL, "key", NULL, 0 };
	struct info_record in = { .head = { .hold = -1 } }, out;
	const char *text;
	size_t len;
	int i;

	(void)state;
	info_set_up();
	srand(1);
	memcpy(in.head.boot, BOOT, sizeof(in.head.boot));
	for (i = 0; i < 2000; i++) {
		value.value = random_string(40, &value.value_len);
		in.info = (struct file_info){ .id = ID,
			.metadata = &value,
			.metadata_raw = random_text(),
			.concat_raw = random_text(),
			.owner = arena_printf(place.a, "o%s", random_text()) };
		in.head.size = rand();
		in.head.offset = in.head.size / 2;
		in.head.expires = i % 2 == 0 ? INT64_MAX : 0;
		ok(info_format(&in, place.a, &text, &len, &place.e));
		ok(info_parse(arena_memdup(place.a, text, len), len, ID,
		    place.a, &out, &place.e));
		assert_false(out.foreign);
		assert_true(file_same_head(&in.head, &out.head));
		assert_string_equal(
		    out.info.metadata_raw, in.info.metadata_raw);
		assert_string_equal(out.info.concat_raw, in.info.concat_raw);
		assert_string_equal(out.info.owner, in.info.owner);
		assert_int_equal(out.info.metadata->value_len, value.value_len);
		assert_memory_equal(
		    out.info.metadata->value, value.value, value.value_len);
	}
}

/* --- what is damaged -------------------------------------------------------
 */

static const char *
nested(int depth)
{
	char *s = arena_alloc(place.a, (size_t)depth * 2 + 1);

	memset(s, '[', (size_t)depth);
	memset(s + depth, ']', (size_t)depth);
	return s;
}

static void
damaged_records_are_said_to_be_and_can_be_removed(void **state)
{
	const char *good,
	    *const bad[] = {
		    "null",
		    "[]",
		    "{}",
		    "7",
		    "{\"ID\":\"" ID "\"}",
		    "{\"ID\":\"" ID "\",\"Size\":-1}",
		    "{\"ID\":\"" ID "\",\"Size\":1e400}",
		    "{\"ID\":\"" ID "\",\"Size\":1.5}",
		    "{\"ID\":\"" ID "\",\"Size\":\"5\"}",
		    "{\"ID\":\"" ID "\",\"Size\":99999999999999999999}",
		    "{\"ID\":\"" OTHER_ID "\",\"Size\":5}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"Size\":6}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"MetaData\":[]}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"MetaData\":{\"a\":1}}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"IsFinal\":\"no\"}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"PartialUploads\":[1]}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"Owner\":\"\\ud800\"}",
		    "{\"ID\":\"" ID "\",\"Size\":5,\"Owner\":\"a\\u0000b\"}",
		    "\xff\xfe",
		    nested(10000),
		    nested(40000),
	    };
	struct upload *up;
	size_t i;

	(void)state;
	drop(make(ID, 5));
	good = get_text(ID ".info");
	for (i = 0; i < NITEMS(bad) + 3; i++) {
		if (i < NITEMS(bad))
			put_text(ID ".info", bad[i]);
		else if (i == NITEMS(bad))
			put_file(ID ".info", good, 300);
		else if (i == NITEMS(bad) + 1)
			put_file(ID ".info", good + 1, strlen(good) - 1);
		else
			put_text(ID ".info",
			    arena_printf(place.a,
				"{\"Offset\":%20d,\"Size\":%s", 6,
				strstr(good, "\"Size\":") + 7));
		up = NULL;
		if (place.ds->core->get_upload(
			place.ds, ID, place.a, &up, &place.e) != ERR_CORRUPT)
			fail_msg("not damaged: %zu", i);
		assert_non_null(up);
		assert_string_equal(up->info.id, ID);
		is(ERR_CORRUPT, place.ds->core->claim(up, &place.e));
		is(ERR_CORRUPT, place.ds->keeper->check(up, &place.e));
		ok(place.ds->terminater->terminate(up, &place.e));
		drop(up);
		assert_false(is_file(ID));
		assert_false(is_file(ID ".info"));
		put_text(ID, "");
	}
}

static void
a_megabyte_of_record_is_damaged(void **state)
{
	char *text = arena_alloc(place.a, 1 << 20);
	struct upload *up = NULL;

	(void)state;
	memset(text, ' ', 1 << 20);
	text[0] = '{';
	put_file(ID ".info", text, 1 << 20);
	put_text(ID, "");
	is(ERR_CORRUPT,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	drop(up);
}

static void
half_an_upload_is_none(void **state)
{
	struct upload *up;

	(void)state;
	drop(make(ID, 5));
	put_file(ID ".info", "", 0);
	is(ERR_NOT_FOUND,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	put_file(ID ".info", "\0\0\0\0\0", 5);
	is(ERR_NOT_FOUND,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	assert_int_equal(unlink(path_of(ID ".info")), 0);
	is(ERR_NOT_FOUND,
	    place.ds->core->get_upload(place.ds, ID, place.a, &up, &place.e));
	drop(make(OTHER_ID, 5));
	assert_int_equal(unlink(path_of(OTHER_ID)), 0);
	is(ERR_NOT_FOUND,
	    place.ds->core->get_upload(
		place.ds, OTHER_ID, place.a, &up, &place.e));
}

/* --- room ------------------------------------------------------------------
 */

static void
offsets_beyond_4_gib_are_exact(void **state)
{
	const int64_t far = ((int64_t)5 << 30) + 1;
	struct upload *up = make(ID, far + 5);
	struct stream *s;
	char buf[8];

	(void)state;
	drop(up);
	assert_int_equal(truncate(path_of(ID), far), 0);
	up = claim(ID);
	assert_int_equal(up->info.offset, far);
	append(up, "hello");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	assert_int_equal(head_of(ID).offset, far + 5);
	ok(place.ds->reader->open(up, far, place.a, &s, &place.e));
	assert_int_equal(place.ds->reader->read(s, buf, 8, &place.e), 5);
	assert_memory_equal(buf, "hello", 5);
	place.ds->reader->close(s);
	drop(up);
}

static void
what_must_stay_free_stays_free(void **state)
{
	struct file_info info = { .id = OTHER_ID, .size = 5 };
	struct upload *up;

	(void)state;
	drop(make(ID, 5));
	up = claim(ID);
	files()->min_free = INT64_MAX / 2;
	is(ERR_NO_SPACE, place.ds->core->write_begin(up, false, &place.e));
	drop(up);
	is(ERR_NO_SPACE,
	    place.ds->core->new_upload(
		place.ds, &info, place.a, &up, &place.e));
	assert_false(is_file(OTHER_ID));
	up = claim(ID);
	ok(place.ds->terminater->terminate(up, &place.e));
	drop(up);
}

/* A file that may not grow: what fitted counts, and the rest can follow. */
static void
a_full_disk_keeps_what_fitted(void **state)
{
	struct file_info info = { .id = ID, .size = 20000 };
	char buf[20000];
	struct upload *up;

	(void)state;
	if (access("/dev/full", F_OK) == -1)
		skip();
	memset(buf, 'x', sizeof(buf));
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	ok(place.ds->core->write_begin(up, false, &place.e));
	ok(place.ds->core->write(up, buf, 6000, &place.e));
	(void)close(file_upload_of(up)->data_fd);
	file_upload_of(up)->data_fd = open("/dev/full", O_RDWR);
	is(ERR_NO_SPACE, place.ds->core->write(up, buf, 6000, &place.e));
	assert_int_equal(up->info.offset, 6000);
	ok(place.ds->core->write_end(up, true, &place.e));
	drop(up);
	up = claim(ID);
	assert_int_equal(up->info.offset, 6000);
	drop(up);
}

/* --- order -----------------------------------------------------------------
 */

struct found {
	const char *name;
	bool removable;
};

static size_t
leftovers(struct store_leftover list[], size_t max)
{
	void *cursor = NULL;
	size_t n = 0;

	do {
		assert_true(n < max);
		ok(place.ds->keeper->leftover_next(
		    place.ds, &cursor, NULL, place.a, &list[n], &place.e));
		n += list[n].name != NULL;
	} while (cursor != NULL);
	return n;
}

static void
leftovers_are_told_from_uploads_and_strangers(void **state)
{
	static const struct found want[] = {
		{ OTHER_ID, true },
		{ "00000000000000000000000000000003.info", false },
		{ "00000000000000000000000000000007.info", true },
		{ "00000000000000000000000000000004.info.new", true },
		{ "00000000000000000000000000000005.info", true },
		{ "00000000000000000000000000000005", true },
		{ "00000000000000000000000000000006.stop", true },
		{ "README", false },
		{ "notes.txt", false },
		{ ".hidden", false },
	};
	struct store_leftover list[20];
	struct upload *up;
	size_t i, j, n;

	(void)state;
	drop(make(ID, 5));
	put_text(ID ".lock", "");
	ok(place.ds->expirer->write_note(place.ds, "a note", &place.e));
	for (i = 0; i < NITEMS(want); i++)
		put_text(want[i].name, "x");
	assert_int_equal(
	    unlink(path_of("00000000000000000000000000000007.info")), 0);
	drop(make("00000000000000000000000000000007", 5));
	assert_int_equal(
	    unlink(path_of("00000000000000000000000000000007")), 0);
	put_text("00000000000000000000000000000005", "x");
	put_file("00000000000000000000000000000005.info", "", 0);
	n = leftovers(list, NITEMS(list));
	assert_int_equal(n, NITEMS(want));
	for (i = 0; i < n; i++) {
		for (j = 0; j < NITEMS(want); j++)
			if (strcmp(want[j].name, list[i].name) == 0)
				break;
		if (j == NITEMS(want))
			fail_msg("%s is no leftover", list[i].name);
		assert_int_equal(list[i].removable, want[j].removable);
		is(list[i].removable ? ERR_OK : ERR_CONFLICT,
		    place.ds->keeper->leftover_remove(
			place.ds, &list[i], &place.e));
		assert_int_equal(is_file(list[i].name), !list[i].removable);
	}
	up = look(ID);
	drop(up);
}

static void
an_upload_in_the_making_is_not_swept(void **state)
{
	struct store_leftover l = { .name = ID, .id = ID, .removable = true };
	struct upload *up = make(ID, 5);

	(void)state;
	assert_int_equal(unlink(path_of(ID ".info")), 0);
	is(ERR_LOCKED,
	    place.ds->keeper->leftover_remove(place.ds, &l, &place.e));
	assert_true(is_file(ID));
	drop(up);
	ok(place.ds->keeper->leftover_remove(place.ds, &l, &place.e));
	assert_false(is_file(ID));
}

static void
a_leftover_that_became_an_upload_is_not_removed(void **state)
{
	struct store_leftover l = { .name = ID, .id = ID, .removable = true };

	(void)state;
	drop(make(ID, 5));
	is(ERR_CONFLICT,
	    place.ds->keeper->leftover_remove(place.ds, &l, &place.e));
	assert_true(is_file(ID));
}

/* As the first builds of 0.1.0 wrote it. */
static void
make_record_old(const char *id)
{
	const char *name = arena_printf(place.a, "%s.info", id);
	const char *text = get_text(name);

	put_text(name,
	    arena_printf(
		place.a, "%.*s%s", INFO_HEAD, text, text + INFO_WHOLE_HEAD));
}

static void
an_old_record_gets_its_notes_when_it_is_finished(void **state)
{
	struct upload *up = make(ID, 11);

	(void)state;
	append(up, "hello");
	drop(up);
	make_record_old(ID);
	up = claim(ID);
	append(up, " world");
	assert_false(head_of(ID).has_pending);
	ok(place.ds->finisher->finish(up, STORE_TO_TELL, &place.e));
	assert_int_equal(up->info.pending, STORE_TO_TELL);
	ok(place.ds->finisher->done(up, STORE_TO_TELL, &place.e));
	drop(up);
	up = look(ID);
	assert_true(upload_is_finished(up) && up->settled);
	assert_true(head_of(ID).has_pending);
	assert_int_equal(up->info.pending, 0);
	assert_false(up->info.is_marked_by_lock);
	drop(up);
}

/* Whether its last flush succeeded, or its lock is a note, it does not say. */
static void
an_old_record_that_is_finished_is_left_as_it_is(void **state)
{
	struct upload *up = make(ID, 5);
	const char *before;

	(void)state;
	append(up, "hello");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	make_record_old(ID);
	before = get_text(ID ".info");
	up = look(ID);
	assert_true(upload_is_finished(up) && up->info.is_marked_by_lock);
	assert_false(up->settled);
	ok(place.ds->core->confirm(up, &place.e));
	drop(up);
	up = claim(ID);
	ok(place.ds->finisher->done(up, STORE_TO_DO, &place.e));
	drop(up);
	assert_string_equal(get_text(ID ".info"), before);
}

static void
a_note_is_kept(void **state)
{
	char buf[32];

	(void)state;
	ok(place.ds->expirer->read_note(place.ds, buf, 32, &place.e));
	assert_string_equal(buf, "");
	ok(place.ds->expirer->write_note(place.ds, "first", &place.e));
	ok(place.ds->expirer->write_note(place.ds, "second", &place.e));
	ok(place.ds->expirer->read_note(place.ds, buf, 32, &place.e));
	assert_string_equal(buf, "second");
	ok(place.ds->expirer->read_note(place.ds, buf, 4, &place.e));
	assert_string_equal(buf, "sec");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_record_is_as_documented_to_the_byte),
		TEST(nothing_behind_the_head_ever_changes),
		TEST(records_that_are_too_long_are_refused),
		TEST(a_record_says_again_what_it_was_told),
		TEST(damaged_records_are_said_to_be_and_can_be_removed),
		TEST(a_megabyte_of_record_is_damaged),
		TEST(half_an_upload_is_none),
		TEST(offsets_beyond_4_gib_are_exact),
		TEST(what_must_stay_free_stays_free),
		TEST(a_full_disk_keeps_what_fitted),
		TEST(leftovers_are_told_from_uploads_and_strangers),
		TEST(an_upload_in_the_making_is_not_swept),
		TEST(a_leftover_that_became_an_upload_is_not_removed),
		TEST(an_old_record_gets_its_notes_when_it_is_finished),
		TEST(an_old_record_that_is_finished_is_left_as_it_is),
		TEST(a_note_is_kept),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
