/*
 * conf_value_test.c - accepted values, includes, and the command line.
 */
#include "config.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/conf_key.h"
#include "tests/base/conf_kit.h"

/* --- Accepted values.  --- */

struct size_case {
	const char *text;
	int64_t bytes;
};

static void
sizes_are_binary(void **state)
{
	static const struct size_case cases[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "\"4096\"", 4096 },
		{ "\"1K\"", 1024 },
		{ "\"10M\"", 10485760 },
		{ "\"4G\"", 4294967296 },
		{ "\"1.5G\"", 1610612736 },
		{ "\"4194303T\"", 4194303LL << 40 },
		{ "2147483648", 2147483648 },
		{ "5000000000", 5000000000 },
		{ "5000000000L", 5000000000 },
		{ "0x7fffffff", 0x7fffffff },
		{ "0x80000000", 0x80000000 },
		{ "0xffffffff", 0xffffffff },
		{ "0xffffffffL", 0xffffffff },
		{ "0XffffffffLL", 0xffffffff },
		{ "0x3fffffffffffffff", 0x3fffffffffffffff },
		{ "4611686018427387903", 0x3fffffffffffffff },
		{ "0100", 100 },
		{ "089", 89 },
		{ "00", 0 },
		{ "0x12A05F200", 5000000000 },
	};
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++) {
		(void)snprintf(
		    text, sizeof(text), "max_size = %s;", cases[i].text);
		must_read(text);
		assert_int_equal(conf_int(conf, "max_size"), cases[i].bytes);
	}
}

static void
durations_are_kept_in_milliseconds(void **state)
{
	static const struct size_case cases[] = {
		{ "0", 0 },
		{ "0.0", 0 },
		{ "30", 30000 },
		{ "1.25", 1250 },
		{ "1e3", 1000000 },
		{ "\"30\"", 30000 },
		{ "\"1250ms\"", 1250 },
		{ "\"30s\"", 30000 },
		{ "\"1.5s\"", 1500 },
		{ "\"5m\"", 300000 },
		{ "\"0.5m\"", 30000 },
		{ "\"12h\"", 43200000 },
		{ "\"7d\"", 604800000 },
	};
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++) {
		(void)snprintf(text, sizeof(text), "expiration:{after=%s;};",
		    cases[i].text);
		must_read(text);
		assert_int_equal(
		    conf_ms(conf, "expiration.after"), cases[i].bytes);
	}
}

static void
strings_lists_and_modes_come_as_written(void **state)
{
	(void)state;
	must_read("location = \"https://up.example.org/a\";\n"
		  "cors: { origins = ( \"https://a.example\", \"null\" ); };\n"
		  "hooks: { events = [ \"pre-finish\" ]; "
		  "dir = \"/srv/in/\" \"hooks\"; };\n"
		  "pool: { mode = \"666\"; };\n"
		  "log: { target = \"./t.log\"; };\n"
		  "download: { sendfile = \"x-accel\"; "
		  "sendfile_root = \"/tus-store\"; };");
	assert_string_equal(
	    conf_str(conf, "location"), "https://up.example.org/a");
	assert_string_equal(
	    conf_item(conf, "cors.origins", 0), "https://a.example");
	assert_string_equal(conf_item(conf, "cors.origins", 1), "null");
	assert_null(conf_item(conf, "cors.origins", 2));
	assert_string_equal(conf_item(conf, "hooks.events", 0), "pre-finish");
	assert_null(conf_item(conf, "hooks.events", 1));
	assert_int_equal(conf_int(conf, "pool.mode"), 0666);
	assert_string_equal(conf_str(conf, "hooks.dir"), "/srv/in/hooks");
}

/* A number that only looks like one must not grow a letter. */
static void
strings_and_comments_are_left_alone(void **state)
{
	(void)state;
	must_read("# 5000000000 \" \n"
		  "// 99999999999999999999 \"\n"
		  "/* 5000000000 \" \n @include \"nope\" */\n"
		  "store: { path = \"/x/5000000000 # \\\" // /* \"; };\r\n"
		  "hooks: { secret = \"a\n@include \\\"nope\\\"\"; };\n"
		  "lock: { path = \"/\\\"5000000000\"; };");
	assert_string_equal(conf_str(conf, "lock.path"), "/\"5000000000");
	assert_string_equal(
	    conf_str(conf, "store.path"), "/x/5000000000 # \" // /* ");
	assert_string_equal(
	    conf_str(conf, "hooks.secret"), "a\n@include \"nope\"");
}

/* --- @include. --- */

static void
an_include_starts_at_the_file_that_says_it(void **state)
{
	(void)state;
	assert_int_equal(mkdir("conf.d", 0700), 0);
	temp_write("main.conf",
	    "max_size = 1;\n"
	    " @include \"conf.d/a.conf\" # local\n"
	    "cors:{max_age = 3;};\n");
	temp_write("conf.d/a.conf", "@include \"b\\.conf\"\nbase_path=\"/x\";");
	temp_write("conf.d/b.conf", "max_metadata = 2;");
	if (conf_read(conf, "main.conf", &err) != ERR_OK)
		fail_msg("%s", err.text);
	assert_int_equal(conf_int(conf, "max_size"), 1);
	assert_int_equal(conf_int(conf, "max_metadata"), 2);
	assert_string_equal(conf_str(conf, "base_path"), "/x");
	assert_int_equal(conf_int(conf, "cors.max_age"), 3);
}

static void
an_absolute_include_is_taken_as_it_is(void **state)
{
	char cwd[1024], text[1100];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	temp_write("a.conf", "max_size = 7;");
	(void)snprintf(text, sizeof(text), "@include \"%s/a.conf\"\n", cwd);
	temp_write("m.conf", text);
	if (conf_read(conf, "./m.conf", &err) != ERR_OK)
		fail_msg("%s", err.text);
	assert_int_equal(conf_int(conf, "max_size"), 7);
}

struct include_case {
	const char *main;
	const char *included;
	const char *message;
};

static void
mistakes_around_includes_have_the_right_line(void **state)
{
	static const struct include_case cases[] = {
		{ "\n@include \"i.conf\"\n", "\n\nx = 1;",
		    "i.conf:3: unknown" },
		{ "\n@include \"i.conf\"\n\nx = 1;", "\n\n\n",
		    "m.conf:4: unknown" },
		{ "\n@include \"i.conf\"\n", "\nmax_size = = 1;",
		    "i.conf:2: syntax" },
		{ "\n@include \"i.conf\"\nmax_size = = 1;", "\n\n\n\n\n",
		    "m.conf:3: syntax" },
		{ "@include \"i.conf\" x = 1;", "max_size=1;",
		    "m.conf:1: unknown" },
		{ "store: {\n@include \"i.conf\"\npth=\"\";};", "min_free=1;",
		    "m.conf:3: unknown key \"store.pth\"" },
		{ "max_size = 1;\n\n@include \"i.conf\"", "\nmax_size=2;",
		    "i.conf:2: duplicate" },
		{ "@include \"i.conf\"\npool:{max_workers=1;};",
		    "\npool:{reserve=1;};", "m.conf:2: duplicate" },
		{ "pool:{max_workers=1;\n@include \"i.conf\"\n};",
		    "\nreserve=1;", "i.conf:2: pool.reserve must be" },
		{ "\n@include \"i.conf\"", "\n@include \"i.conf\"",
		    "i.conf:2: includes nest too deeply" },
		{ "\n@include \"none.conf\"", "",
		    "m.conf:2: cannot include none.conf: No such file" },
		{ "\n@include \".\"", "",
		    "m.conf:2: cannot include .: Is a directory" },
		{ "\n@include", "", "m.conf:2: write @include \"FILE\"" },
		{ "\n@include i.conf", "", "m.conf:2: write @include" },
		{ "\n@include \"i.conf\n\"", "", "m.conf:2: write @include" },
		{ "\n@include \"i.conf\\\"", "", "m.conf:2: write @include" },
		{ "\n@include \"i.conf\"", "\"",
		    "i.conf:1: this string is never closed" },
		{ "store: {\n@include \"i.conf\"\n", "\n\nmin_free=1;\n\n",
		    "m.conf:2: syntax error at the end of the file" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++) {
		temp_write("m.conf", cases[i].main);
		temp_write("i.conf", cases[i].included);
		conf_free(conf);
		conf = conf_new();
		if (conf_read(conf, "m.conf", &err) != ERR_INVALID)
			fail_msg("accepted: %s", cases[i].main);
		if (strncmp(err.text, cases[i].message,
			strlen(cases[i].message)) != 0)
			fail_msg("said \"%s\", not \"%s\"", err.text,
			    cases[i].message);
	}
}

/* A file that includes itself twice would be read 2^10 times. */
static void
includes_that_multiply_are_stopped(void **state)
{
	char text[2048] = "";
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		strcat(text, "@include \"t.conf\"\n");
	assert_int_equal(read_text(text), ERR_INVALID);
}

/* --- The command line. --- */

static void
text_is_set_by_the_same_rules(void **state)
{
	(void)state;
	assert_int_equal(conf_set(conf, "max_size", "10M", &err), ERR_OK);
	assert_int_equal(conf_int(conf, "max_size"), 10485760);
	assert_int_equal(conf_set(conf, "lock.timeout", "5m", &err), ERR_OK);
	assert_int_equal(conf_ms(conf, "lock.timeout"), 300000);
	assert_int_equal(
	    conf_set(conf, "metrics.enabled", "true", &err), ERR_OK);
	assert_true(conf_bool(conf, "metrics.enabled"));
	assert_int_equal(conf_set(conf, "pool.mode", "0600", &err), ERR_OK);
	assert_int_equal(conf_int(conf, "pool.mode"), 0600);
	assert_int_equal(
	    conf_set(conf, "hooks.events", " pre-create ,post-finish", &err),
	    ERR_OK);
	assert_string_equal(conf_item(conf, "hooks.events", 0), "pre-create");
	assert_string_equal(conf_item(conf, "hooks.events", 1), "post-finish");
	assert_null(conf_item(conf, "hooks.events", 2));
	assert_int_equal(conf_set(conf, "hooks.events", "", &err), ERR_OK);
	assert_null(conf_item(conf, "hooks.events", 0));
}

static void
wrong_text_is_refused_and_named(void **state)
{
	(void)state;
	assert_int_equal(
	    conf_set(conf, "pool.max_worker", "1", &err), ERR_INVALID);
	assert_string_equal(err.text,
	    "unknown key \"pool.max_worker\"; did you mean "
	    "\"pool.max_workers\"?");
	assert_int_equal(
	    conf_set(conf, "pool.max_workers", "0", &err), ERR_INVALID);
	assert_string_equal(err.text,
	    "pool.max_workers cannot be 0: expected a whole number from 1 to "
	    "4096");
	assert_int_equal(
	    conf_set(conf, "hooks.events", "pre-create,,", &err), ERR_INVALID);
	assert_int_equal(
	    conf_set(conf, "metrics.enabled", "yes", &err), ERR_INVALID);
	assert_false(conf_key_is_set(conf, "metrics.enabled"));
}

static void
a_long_unknown_name_is_survived(void **state)
{
	char name[1000];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(conf_set(conf, name, "1", &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "did you mean"));
}

static void
defaults_make_way_for_a_small_pool(void **state)
{
	(void)state;
	must_read("pool: { max_workers = 8; };");
	assert_int_equal(conf_int(conf, "pool.min_spare"), 4);
	assert_int_equal(conf_int(conf, "pool.reserve"), 2);
	assert_int_equal(conf_set(conf, "pool.max_workers", "1", &err), ERR_OK);
	assert_int_equal(conf_int(conf, "pool.min_spare"), 1);
	assert_int_equal(conf_int(conf, "pool.reserve"), 0);
	assert_int_equal(conf_check(conf, &err), ERR_OK);
	assert_int_equal(
	    conf_set(conf, "pool.max_workers", "100", &err), ERR_OK);
	assert_int_equal(conf_int(conf, "pool.min_spare"), 4);
	assert_int_equal(conf_int(conf, "pool.reserve"), 4);
}

static void
what_was_set_is_checked_not_changed(void **state)
{
	(void)state;
	must_read("pool: { min_spare = 8; };");
	assert_int_equal(conf_set(conf, "pool.max_workers", "4", &err), ERR_OK);
	assert_int_equal(conf_int(conf, "pool.min_spare"), 8);
	assert_int_equal(conf_check(conf, &err), ERR_INVALID);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(sizes_are_binary),
		TEST(durations_are_kept_in_milliseconds),
		TEST(strings_lists_and_modes_come_as_written),
		TEST(strings_and_comments_are_left_alone),
		TEST(an_include_starts_at_the_file_that_says_it),
		TEST(an_absolute_include_is_taken_as_it_is),
		TEST(mistakes_around_includes_have_the_right_line),
		TEST(includes_that_multiply_are_stopped),
		TEST(text_is_set_by_the_same_rules),
		TEST(wrong_text_is_refused_and_named),
		TEST(a_long_unknown_name_is_survived),
		TEST(defaults_make_way_for_a_small_pool),
		TEST(what_was_set_is_checked_not_changed),
	};

	return cmocka_run_group_tests_name("conf values", tests, NULL, NULL);
}
