/*
 * repair_test.c - the directory store: what a reboot, a crash or tusd has left.
 */
#include "config.h"

#include <sys/stat.h>

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

/* --- repair ----------------------------------------------------------------
 */

static void
forge(const char *id, struct info_head head)
{
	char buf[INFO_WHOLE_HEAD];
	int fd = open(path_of(arena_printf(place.a, "%s.info", id)), O_RDWR);
	size_t len = info_write_head(buf, &head);

	assert_int_not_equal(fd, -1);
	assert_int_equal(pwrite(fd, buf, len, 0), len);
	(void)close(fd);
}

static void
after_another_boot_only_what_was_flushed_counts(void **state)
{
	struct info_head head;
	struct upload *up = make(ID, 11);

	(void)state;
	append(up, "hello wo");
	drop(up);
	head = head_of(ID);
	head.offset = 5;
	memcpy(head.boot, OTHER_BOOT, sizeof(head.boot));
	forge(ID, head);
	up = look(ID);
	assert_false(up->settled);
	drop(up);
	up = claim(ID);
	assert_int_equal(up->info.offset, 5);
	assert_string_equal(get_text(ID), "hello");
	head = head_of(ID);
	assert_string_equal(head.boot, BOOT);
	append(up, " world");
	drop(up);
	assert_string_equal(get_text(ID), "hello world");
}

static void
a_finish_without_its_bytes_is_undone(void **state)
{
	struct upload *up = make(ID, 5);

	(void)state;
	append(up, "hello");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	assert_int_equal(truncate(path_of(ID), 3), 0);
	up = look(ID);
	assert_false(upload_is_finished(up));
	assert_false(up->settled);
	ok(place.ds->core->claim(up, &place.e));
	assert_false(upload_is_finished(up));
	assert_int_equal(up->info.offset, 3);
	assert_int_equal(head_of(ID).finished, 0);
	append(up, "LO");
	drop(up);
	up = look(ID);
	assert_false(upload_is_finished(up));
	drop(up);
}

static void
more_bytes_than_announced_are_damage(void **state)
{
	struct upload *up = make(ID, 5);

	(void)state;
	append(up, "hel");
	drop(up);
	put_text(ID, "hello world");
	up = look(ID);
	assert_false(up->settled);
	is(ERR_CORRUPT, place.ds->core->claim(up, &place.e));
	is(ERR_CORRUPT, place.ds->keeper->check(up, &place.e));
	drop(up);
}

static void
an_offset_that_is_not_safe_is_not_settled(void **state)
{
	struct upload *up;

	(void)state;
	up = make(ID, 11);
	append(up, "hello");
	drop(up);
	up = look(ID);
	assert_true(up->settled);
	drop(up);
	place.ds->core->shutdown(place.ds);
	ok(conf_set(place.conf, "store.durability", "full", &place.e));
	ok(store_open(place.conf, &place.ds, &place.e));
	memcpy(files()->boot, BOOT, sizeof(files()->boot));
	up = look(ID);
	assert_false(up->settled);
	ok(place.ds->core->claim(up, &place.e));
	assert_false(up->settled);
	ok(place.ds->core->confirm(up, &place.e));
	assert_true(up->settled);
	assert_int_equal(head_of(ID).offset, 5);
	drop(up);
}

static void
what_was_settled_survives_a_reboot(void **state)
{
	static const struct variant *const variants[] = { &none, &data, &full };
	struct upload *up;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(variants); i++) {
		place_close(&place);
		open_with(variants[i]);
		up = make(ID, 11);
		append(up, "hello");
		ok(place.ds->keeper->settle(up, false, &place.e));
		drop(up);
		memcpy(files()->boot, OTHER_BOOT, sizeof(files()->boot));
		up = claim(ID);
		assert_int_equal(up->info.offset, 5);
		drop(up);
	}
}

/* tusd appends without moving our watermark, over a reboot. */
static void
what_is_adopted_counts_to_the_last_byte(void **state)
{
	struct upload *up = make(ID, 11);
	FILE *f;

	(void)state;
	append(up, "hello");
	drop(up);
	f = fopen(path_of(ID), "a");
	assert_non_null(f);
	assert_int_equal(fwrite(" wo", 1, 3, f), 3);
	(void)fclose(f);
	memcpy(files()->boot, OTHER_BOOT, sizeof(files()->boot));
	up = look(ID);
	ok(place.ds->keeper->adopt(up, &place.e));
	assert_int_equal(up->info.offset, 8);
	drop(up);
	up = claim(ID);
	assert_int_equal(up->info.offset, 8);
	append(up, "rld");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	assert_string_equal(get_text(ID), "hello world");
}

/* --- tusd ------------------------------------------------------------------
 */

/* As tusd 2 writes them: encoding/json, keys in the order of its struct. */
static void
put_tusd(const char *id, const char *size, const char *more, const char *bytes)
{
	put_text(arena_printf(place.a, "%s.info", id),
	    arena_printf(place.a,
		"{\"ID\":\"%s\",%s,\"Offset\":0,\"MetaData\":{\"filename\":"
		"\"w\\u00f6rld.txt\",\"empty\":\"\",\"bad,key\":\"x\"},%s,"
		"\"Storage\":{\"InfoPath\":\"/x/%s.info\",\"Path\":\"/x/%s\","
		"\"Type\":\"filestore\"}}",
		id, size, more, id, id));
	put_text(id, bytes);
}

#define ORDINARY "\"IsPartial\":false,\"IsFinal\":false,\"PartialUploads\":null"

static void
an_upload_of_tusd_is_resumed_in_place(void **state)
{
	struct upload *up, *other;

	(void)state;
	put_tusd(ID, "\"Size\":11,\"SizeIsDeferred\":false", ORDINARY, "hello");
	up = look(ID);
	assert_int_equal(up->info.size, 11);
	assert_int_equal(up->info.offset, 5);
	assert_true(up->settled);
	assert_string_equal(
	    up->info.metadata_raw, "filename d8O2cmxkLnR4dA==,empty");
	assert_string_equal(up->info.metadata->value, "w\xc3\xb6rld.txt");
	assert_int_not_equal(up->info.created, 0);
	other = look(ID);
	ok(place.ds->core->claim(up, &place.e));
	append(up, " wo");
	assert_int_equal(head_of(ID).size, 11);
	assert_string_equal(head_of(ID).boot, BOOT);
	drop(up);
	/* A handle that had the old record open finds the new one. */
	ok(place.ds->core->claim(other, &place.e));
	assert_int_equal(other->info.offset, 8);
	append(other, "rld");
	ok(place.ds->finisher->finish(other, 0, &place.e));
	drop(other);
	up = look(ID);
	assert_true(upload_is_finished(up));
	assert_string_equal(
	    up->info.metadata_raw, "filename d8O2cmxkLnR4dA==,empty");
	drop(up);
	assert_string_equal(get_text(ID), "hello world");
	assert_false(is_file(ID ".info.new"));
}

static void
a_finished_upload_of_tusd_is_finished(void **state)
{
	const char *before;
	struct upload *up;

	(void)state;
	put_tusd(ID, "\"Size\":5,\"SizeIsDeferred\":false", ORDINARY, "hello");
	before = get_text(ID ".info");
	up = look(ID);
	assert_true(upload_is_finished(up));
	assert_true(up->settled);
	ok(place.ds->core->confirm(up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	assert_true(upload_is_finished(up));
	drop(up);
	assert_string_equal(get_text(ID ".info"), before);
}

static void
a_deferred_upload_of_tusd_learns_its_length(void **state)
{
	struct upload *up;

	(void)state;
	put_tusd(ID, "\"Size\":0,\"SizeIsDeferred\":true", ORDINARY, "hello");
	up = claim(ID);
	assert_true(up->info.size_deferred);
	assert_int_equal(up->info.offset, 5);
	ok(place.ds->length_declarer->declare_length(up, 5, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	up = look(ID);
	assert_true(upload_is_finished(up));
	drop(up);
}

static void
parts_and_finals_of_tusd_are_known_as_such(void **state)
{
	static const char *const parts[] = { OTHER_ID, OTHER_ID, NULL };
	struct file_info info = {
		.id = "final", .size = 10, .is_final = true, .parts = parts
	};
	struct upload *up;

	(void)state;
	put_tusd(OTHER_ID, "\"Size\":5,\"SizeIsDeferred\":false",
	    "\"IsPartial\":true,\"IsFinal\":false,\"PartialUploads\":null",
	    "hello");
	put_tusd(ID, "\"Size\":5,\"SizeIsDeferred\":false",
	    "\"IsPartial\":false,\"IsFinal\":true,\"PartialUploads\":"
	    "[\"" OTHER_ID "\"]",
	    "hello");
	up = look(ID);
	assert_true(up->info.is_final);
	assert_string_equal(up->info.parts[0], OTHER_ID);
	drop(up);
	up = look(OTHER_ID);
	assert_true(up->info.is_partial);
	drop(up);
	ok(place.ds->concater->concat(place.ds, &info, place.a, &up, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	assert_string_equal(get_text("final"), "hellohello");
}

/* What tusd leaves of our record when it declares a length. */
static void
a_record_that_lost_its_head_is_foreign(void **state)
{
	struct upload *up = make(ID, 11);
	const char *text;

	(void)state;
	append(up, "hello");
	drop(up);
	text = get_text(ID ".info");
	put_text(ID ".info", arena_printf(place.a, " %s", text));
	up = claim(ID);
	assert_int_equal(up->info.offset, 5);
	append(up, " world");
	ok(place.ds->finisher->finish(up, 0, &place.e));
	drop(up);
	assert_int_equal(head_of(ID).offset, 11);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(after_another_boot_only_what_was_flushed_counts),
		TEST(a_finish_without_its_bytes_is_undone),
		TEST(more_bytes_than_announced_are_damage),
		TEST(an_offset_that_is_not_safe_is_not_settled),
		TEST(what_was_settled_survives_a_reboot),
		TEST(what_is_adopted_counts_to_the_last_byte),
		TEST(an_upload_of_tusd_is_resumed_in_place),
		TEST(a_finished_upload_of_tusd_is_finished),
		TEST(a_deferred_upload_of_tusd_learns_its_length),
		TEST(parts_and_finals_of_tusd_are_known_as_such),
		TEST(a_record_that_lost_its_head_is_foreign),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
