/*
 * template_test.c - whatever the values are, the path leads below its root.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/template.h"

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void
what_is_no_template_is_refused(void **state)
{
	static const char *const good[] = { "/srv/in/{id}", "/{id}",
		"/srv/{owner}/{year}/{month}/{day}/{id}-{filename}",
		"/srv/in/x{meta:a key}.bin", "/srv/.in/{id}",
		"/srv/{owner}/upload" };
	static const char *const bad[] = { "", "/", "in/{id}", "/srv/in",
		"/srv/{id", "/srv/{id/x}", "/srv/id}", "/srv/{}",
		"/srv/{nobody}", "/srv/{{id}}", "/srv/{meta:}", "/srv/{ID}",
		"/srv//{id}", "/srv/{id}/", "/srv/./{id}", "/srv/../{id}",
		"/srv/{id}/..", "/srv/.{id}", "/srv/{owner}/.{id}",
		"/srv/{id}/.x", "/srv/a\nb/{id}" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(good); i++)
		if (!template_is_valid(good[i]))
			fail_msg("%s is refused", good[i]);
	for (i = 0; i < NITEMS(bad); i++)
		if (template_is_valid(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

static void
the_root_ends_before_the_first_placeholder(void **state)
{
	static const struct {
		const char *text, *root, *rest;
	} rows[] = {
		{ "/srv/in/{id}", "/srv/in", "{id}" },
		{ "/srv/in/x-{id}/y", "/srv/in", "x-{id}/y" },
		{ "/{id}", "/", "{id}" },
		{ "/a/{owner}/b/{id}", "/a", "{owner}/b/{id}" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		assert_string_equal(
		    template_root(arena, rows[i].text), rows[i].root);
		assert_string_equal(template_rest(rows[i].text), rows[i].rest);
	}
}

struct value {
	const char *bytes;
	size_t len;
};

static const char *
filename_only(const void *arg, const char *name, size_t name_len, size_t *len)
{
	const struct value *v = arg;

	if (name_len == 2 && memcmp(name, "id", 2) == 0) {
		*len = 3;
		return "0d7";
	}
	*len = v->len;
	return v->bytes;
}

static const char *
fill(const char *rest, const char *bytes, size_t len)
{
	const struct value v = { bytes, len };
	const char *path = template_fill(arena, rest, filename_only, &v);

	if (!template_is_filled(path))
		fail_msg("%s is no place of its own", path);
	return path;
}

static void
hostile_names_become_harmless(void **state)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "photo.jpg", "photo.jpg" },
		{ "", "_" },
		{ ".", "_" },
		{ "..", "_." },
		{ "../../etc/passwd", "_._.._etc_passwd" },
		{ "/etc/passwd", "_etc_passwd" },
		{ ".bashrc", "_bashrc" },
		{ "a\nb\x7f\x01", "a_b__" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "caf\xe9", "caf_" },
		{ "\xc0\xae\xc0\xae", "____" },
		{ "\xed\xa0\x80", "___" },
		{ "c1\xc2\x85", "c1_" },
		/* invoice.<right to left>gpj.exe looks like a picture */
		{ "a\xe2\x80\xaegpj.exe", "a_gpj.exe" },
		{ "a\xe2\x80\x8e\xe2\x81\xa6\xe2\x81\xa9\xd8\x9c", "a____" },
		{ "a\xe2\x80\xa8\xe2\x80\xa9", "a__" },
		{ "\xe2\x80\x8d\xe2\x80\x93\xd8\x9b\xe2\x81\xa5",
		    "\xe2\x80\x8d\xe2\x80\x93\xd8\x9b\xe2\x81\xa5" },
		{ "{id}", "{id}" },
		{ "a b\\c", "a b\\c" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		assert_string_equal(
		    fill("{filename}", rows[i].name, strlen(rows[i].name)),
		    rows[i].want);
	assert_string_equal(fill("{filename}", "a\0b", 3), "a_b");
	assert_string_equal(fill("{filename}", NULL, 0), "_");
}

static void
values_stay_within_their_component(void **state)
{
	(void)state;
	assert_string_equal(
	    fill("{owner}/{id}-{filename}", "a/b", 3), "a_b/0d7-a_b");
	assert_string_equal(fill("x{meta:k}/y/{id}", "..", 2), "x../y/0d7");
	assert_string_equal(fill("{owner}{owner}/{id}", ".", 1), "_./0d7");
}

/* The value of {filename} and {owner} is "f.txt". */
static const char *
of_a_folder(const void *arg, const char *name, size_t name_len, size_t *len)
{
	bool is_path = name_len > 5 && memcmp(name, "meta:", 5) == 0;

	if (is_path)
		return filename_only(arg, name, name_len, len);
	*len = 5;
	return "f.txt";
}

static const char *
fill_folder(const char *rest, const char *bytes)
{
	const struct value v = { bytes, bytes != NULL ? strlen(bytes) : 0 };
	const char *path = template_fill(arena, rest, of_a_folder, &v);

	if (!template_is_filled(path))
		fail_msg("%s is no place of its own", path);
	return path;
}

static void
a_relative_path_keeps_its_folders_and_nothing_else(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{ "photos/2024/a.jpg", "photos/2024/a.jpg" },
		{ "/photos/a.jpg", "photos/a.jpg" },
		{ "//photos//a.jpg/", "photos/a.jpg" },
		{ "../../etc/passwd", "_./_./etc/passwd" },
		{ "a/../../b", "a/_./_./b" },
		{ "./a/.ssh/id", "_/a/_ssh/id" },
		{ "a\n/b\x7f/\xc0\xae/c", "a_/b_/__/c" },
		{ NULL, "f.txt" },
		{ "", "f.txt" },
		{ "/", "f.txt" },
		{ "//", "f.txt" },
		{ "null", "f.txt" },
		{ "/f.txt", "f.txt" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		assert_string_equal(
		    fill_folder("{meta:relativePath}", rows[i].value),
		    rows[i].want);
	assert_string_equal(
	    fill_folder("{owner}/x-{meta:relativePath}-y/z", "a/b"),
	    "f.txt/x-a/b-y/z");
	assert_string_equal(fill_folder("{meta:relativepath}", "a/b"), "a_b");
	assert_string_equal(fill_folder("{meta:folder}", "a/b"), "a_b");
	assert_string_equal(fill("{meta:relativePath}", "a/\0/b", 5), "a/_/b");
	assert_string_equal(fill("{meta:relativePath}", "x", 1), "x");
}

static void
a_relative_path_has_an_end(void **state)
{
	char path[9001];
	const char *filled, *slash;
	size_t i, n = 0;

	(void)state;
	for (i = 0; i < 4000; i++)
		path[i] = i % 2 == 0 ? 'a' : '/';
	path[4000] = '\0';
	filled = fill_folder("{meta:relativePath}", path);
	for (slash = filled; (slash = strchr(slash, '/')) != NULL; slash++)
		n++;
	assert_int_equal(n, 32);
	assert_int_equal(strlen(filled), 64 + 255);
	/* Each name is cut by itself, and the path as a whole is bounded. */
	memset(path, 'x', 9000);
	for (i = 300; i < 9000; i += 300)
		path[i] = '/';
	path[9000] = '\0';
	filled = fill_folder("{meta:relativePath}", path);
	assert_int_equal(strcspn(filled, "/"), TEMPLATE_NAME_MAX);
	assert_int_equal(strlen(filled), 8 * (TEMPLATE_NAME_MAX + 1) - 1);
}

static void
a_long_name_keeps_its_extension(void **state)
{
	char name[400];
	const char *path;

	(void)state;
	memset(name, 'x', 399);
	memcpy(name + 394, ".jpeg", 6);
	path = fill("{filename}", name, strlen(name));
	assert_int_equal(strlen(path), TEMPLATE_NAME_MAX);
	assert_string_equal(path + 250, ".jpeg");
	/* An extension of that length is none. */
	name[10] = '.';
	memset(name + 11, 'y', 388);
	name[399] = '\0';
	assert_int_equal(strlen(fill("{filename}", name, 399)), 255);
}

static const struct template_names any = { TEMPLATE_NAME_MAX, false };
static const struct template_names windows = { TEMPLATE_NAME_MAX, true };

static void
no_character_is_cut_in_two(void **state)
{
	char name[301];
	const char *path;
	size_t i;

	(void)state;
	for (i = 0; i < 300; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	path = fill("{filename}", name, 300);
	assert_int_equal(strlen(path), 255);
	path = fill("a{filename}", name, 300);
	assert_int_equal(strlen(path), 253);
	path = template_number(arena, path, 7, &any);
	assert_int_equal(strlen(path), 255);
	assert_string_equal(path + 253, "-7");
	path = template_number(arena, path, 123, &any);
	assert_true(strlen(path) <= 255 && template_is_filled(path));
}

static void
a_number_goes_before_the_extension(void **state)
{
	(void)state;
	assert_string_equal(
	    template_number(arena, "a.txt", 1, &any), "a-1.txt");
	assert_string_equal(template_number(arena, "a", 12, &any), "a-12");
	assert_string_equal(
	    template_number(arena, "a.tar.gz", 2, &any), "a.tar-2.gz");
	assert_string_equal(template_number(arena, "_x", 3, &any), "_x-3");
}

static void
names_are_made_such_as_windows_takes(void **state)
{
	static const struct {
		const char *name, *want;
	} names[] = {
		{ "Meeting 10:30.mp4", "Meeting 10_30.mp4" },
		{ "what?.txt", "what_.txt" },
		{ "a<b>c\"d|e*f\\g", "a_b_c_d_e_f_g" },
		{ "CON", "_CON" },
		{ "con.txt", "_con.txt" },
		{ "nul .tar.gz", "_nul .tar.gz" },
		{ "Com1", "_Com1" },
		{ "LPT9.x", "_LPT9.x" },
		{ "COM\xc2\xb9", "_COM\xc2\xb9" },
		{ "conin$", "_conin$" },
		{ "x.", "x_" },
		{ "x. .", "x___" },
		{ "x ", "x_" },
		{ "a./b /c", "a_/b_/c" },
		{ "joe:/CON/x", "joe_/_CON/x" },
		/* And these it takes as they are. */
		{ "CONSOLE", "CONSOLE" },
		{ "COM10", "COM10" },
		{ "COM", "COM" },
		{ "aux-1.txt", "aux-1.txt" },
		{ "\xc3\xa9 \xe6\x97\xa5.mp4", "\xc3\xa9 \xe6\x97\xa5.mp4" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		assert_string_equal(
		    template_suit(arena, names[i].name, &windows),
		    names[i].want);
		assert_string_equal(
		    template_suit(arena, names[i].name, &any), names[i].name);
		assert_true(template_is_filled(names[i].want));
	}
}

static void
names_are_cut_to_what_is_taken(void **state)
{
	struct template_names names = { 143, false };
	char name[256], *path;

	(void)state;
	memset(name, 'x', 255);
	memcpy(name + 251, ".mp4", 5);
	path = template_suit(arena, name, &names);
	assert_int_equal(strlen(path), 143);
	assert_string_equal(path + 138, "x.mp4");
	path = template_number(arena, path, 12, &names);
	assert_int_equal(strlen(path), 143);
	assert_string_equal(path + 135, "x-12.mp4");
	/* What the end is after that may not stay, either. */
	memset(name, 'x', 255);
	name[255] = '\0';
	name[142] = ' ';
	names.is_windows = true;
	path = template_suit(arena, name, &names);
	assert_int_equal(strlen(path), 143);
	assert_string_equal(path + 140, "xx_");
}

static void
a_path_from_elsewhere_is_judged(void **state)
{
	static const char *const bad[] = { "", "/", "/a", "a/", "a//b", ".",
		"..", "a/../b", "../a", "a/.", ".a", "a/.b", "a\nb", "a\xff" };
	char name[300];
	size_t i;

	(void)state;
	assert_true(template_is_filled("a"));
	assert_true(template_is_filled("a/b c/d.e"));
	for (i = 0; i < NITEMS(bad); i++)
		if (template_is_filled(bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
	memset(name, 'x', 256);
	name[256] = '\0';
	assert_false(template_is_filled(name));
	name[255] = '\0';
	assert_true(template_is_filled(name));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_template_is_refused),
		TEST(the_root_ends_before_the_first_placeholder),
		TEST(hostile_names_become_harmless),
		TEST(values_stay_within_their_component),
		TEST(a_relative_path_keeps_its_folders_and_nothing_else),
		TEST(a_relative_path_has_an_end),
		TEST(a_long_name_keeps_its_extension),
		TEST(no_character_is_cut_in_two),
		TEST(a_number_goes_before_the_extension),
		TEST(names_are_made_such_as_windows_takes),
		TEST(names_are_cut_to_what_is_taken),
		TEST(a_path_from_elsewhere_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
