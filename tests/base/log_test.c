/*
 * log_test.c - one event is one line, whatever is in it.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <regex.h>
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
#include <jansson.h>

#include "base/log.h"
#include "tests/base/temp.h"

#define TEXT_HEAD                                                              \
	"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"      \
	"\\.[0-9]{3}Z "

static char *taken;

static void
open_log(const char *level, const char *format, const char *target)
{
	struct conf *conf = conf_new();
	struct err e;

	assert_int_equal(conf_set(conf, "log.level", level, &e), ERR_OK);
	assert_int_equal(conf_set(conf, "log.format", format, &e), ERR_OK);
	assert_int_equal(conf_set(conf, "log.target", target, &e), ERR_OK);
	if (log_open(conf, &e) != ERR_OK)
		fail_msg("%s", e.text);
	conf_free(conf);
}

static int
tear_down(void **state)
{
	free(taken);
	taken = NULL;
	open_log("info", "text", "stderr");
	return temp_leave(state);
}

/* Take the content of the log and empty it; valid until the next call. */
static const char *
take(const char *name)
{
	free(taken);
	taken = temp_read(name);
	assert_int_equal(truncate(name, 0), 0);
	return taken;
}

static const char *
take_log(void)
{
	return take("log");
}

/* The part of a text line behind "TIME LEVEL [PID] ". */
static const char *
take_message(void)
{
	const char *line = strstr(take_log(), "] ");

	assert_non_null(line);
	return line + 2;
}

static void
must_match(const char *text, const char *pattern)
{
	regex_t r;

	assert_int_equal(regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&r, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
	regfree(&r);
}

/* --- Text. --- */

static void
a_text_line_has_time_level_pid_and_message(void **state)
{
	char pattern[200];

	(void)state;
	open_log("info", "text", "./log");
	log_info("hello %d", 5);
	(void)snprintf(pattern, sizeof(pattern),
	    TEXT_HEAD "info \\[%ld\\] hello 5\n$", (long)getpid());
	must_match(take_log(), pattern);
	log_info("unknown key \"a\\b\"");
	assert_string_equal(take_message(), "unknown key \"a\\\\b\"\n");
	log_error("x");
	must_match(take_log(), TEXT_HEAD "error \\[");
	log_warn("x");
	must_match(take_log(), TEXT_HEAD "warn \\[");
}

static void
the_time_is_now_in_utc_wherever_we_are(void **state)
{
	struct tm tm;
	time_t logged;
	const char *line;

	(void)state;
	assert_int_equal(setenv("TZ", "XYZ-5:30", 1), 0);
	tzset();
	open_log("info", "text", "./log");
	log_info("x");
	line = take_log();
	memset(&tm, 0, sizeof(tm));
	assert_int_equal(
	    sscanf(line, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon,
		&tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec),
	    6);
	assert_int_equal(unsetenv("TZ"), 0);
	assert_int_equal(setenv("TZ", "UTC0", 1), 0);
	tzset();
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	logged = mktime(&tm);
	/* time() goes by the tick, and may be one behind. */
	assert_true(logged >= time(NULL) - 5 && logged <= time(NULL) + 1);
}

static void
fields_follow_and_are_quoted_when_they_must_be(void **state)
{
	const struct log_field f[] = {
		{ "id", "abc-1_2", 0 },
		{ "n", NULL, -42 },
		{ NULL, "left out", 0 },
		{ "max", NULL, INT64_MAX },
		{ "blank", "a b", 0 },
		{ "quote", "a\"b", 0 },
		{ "equal", "a=b", 0 },
		{ "back", "a\\b", 0 },
		{ "empty", "", 0 },
	};

	(void)state;
	open_log("info", "text", "./log");
	log_event(LOG_LEVEL_INFO, "done", f, NITEMS(f));
	assert_string_equal(take_message(),
	    "done id=abc-1_2 n=-42 max=9223372036854775807 blank=\"a b\" "
	    "quote=\"a\\\"b\" equal=\"a=b\" back=\"a\\\\b\" empty=\"\"\n");
}

static void
nobody_can_forge_a_text_line(void **state)
{
	const struct log_field f = { "f", "a\nb\r\t\x1b[0m\x7f\xc3\xa9\xff",
		0 };

	(void)state;
	open_log("info", "text", "./log");
	log_event(LOG_LEVEL_INFO, "m\n2026 \x01", &f, 1);
	assert_string_equal(take_message(),
	    "m\\x0a2026 \\x01 "
	    "f=a\\x0ab\\x0d\\x09\\x1b[0m\\x7f\\xc3\\xa9\\xff\n");
}

/* --- JSON. --- */

static json_t *
parse_json(const char *line)
{
	json_error_t e;
	json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &e);

	if (j == NULL)
		fail_msg("%s in %s", e.text, line);
	assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
	return j;
}

static const char *
member(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	assert_non_null(text);
	return text;
}

static void
a_json_line_is_an_object(void **state)
{
	const struct log_field f[] = {
		{ "id", "abc", 0 },
		{ "n", NULL, INT64_MIN },
		{ NULL, NULL, 0 },
	};
	json_t *j;

	(void)state;
	open_log("info", "json", "./log");
	log_event(LOG_LEVEL_WARN, "done", f, NITEMS(f));
	j = parse_json(take_log());
	must_match(member(j, "time"), "^20[0-9-]{8}T[0-9:]{8}[.][0-9]{3}Z$");
	assert_string_equal(member(j, "level"), "warn");
	assert_string_equal(member(j, "msg"), "done");
	assert_string_equal(member(j, "id"), "abc");
	assert_int_equal(
	    json_integer_value(json_object_get(j, "pid")), getpid());
	assert_int_equal(
	    json_integer_value(json_object_get(j, "n")), INT64_MIN);
	assert_int_equal(json_object_size(j), 6);
	json_decref(j);
}

/* JSON text that one value becomes. */
struct escape {
	const char *text;
	const char *json;
};

static void
json_is_plain_ascii_whatever_comes(void **state)
{
	static const struct escape cases[] = {
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\r\t\x01\x7f", "\"\\u000a\\u000d\\u0009\\u0001\\u007f\"" },
		/* Well-formed: two, three, four bytes, and the extremes. */
		{ "\xc3\xa9", "\"\\u00e9\"" },
		{ "\xc2\x80", "\"\\u0080\"" },
		{ "\xe2\x80\xae", "\"\\u202e\"" },
		{ "\xef\xbf\xbf", "\"\\uffff\"" },
		{ "\xf0\x9f\x98\x80", "\"\\ud83d\\ude00\"" },
		{ "\xf0\x90\x80\x80", "\"\\ud800\\udc00\"" },
		{ "\xf4\x8f\xbf\xbf", "\"\\udbff\\udfff\"" },
		/* Not: lone, cut short, overlong, surrogate, too large. */
		{ "\x80", "\"\\u0080\"" },
		{ "\xff", "\"\\u00ff\"" },
		{ "\xc3", "\"\\u00c3\"" },
		{ "\xc3(", "\"\\u00c3(\"" },
		{ "\xe2\x80", "\"\\u00e2\\u0080\"" },
		{ "\xc0\xaf", "\"\\u00c0\\u00af\"" },
		{ "\xe0\x80\xaf", "\"\\u00e0\\u0080\\u00af\"" },
		{ "\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"" },
		{ "\xf0\x80\x80\xaf", "\"\\u00f0\\u0080\\u0080\\u00af\"" },
		{ "\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"" },
		{ "\xf5\x80\x80\x80", "\"\\u00f5\\u0080\\u0080\\u0080\"" },
	};
	struct log_field f = { "f", NULL, 0 };
	const char *line, *value;
	size_t i;

	(void)state;
	open_log("info", "json", "./log");
	for (i = 0; i < NITEMS(cases); i++) {
		f.text = cases[i].text;
		log_event(LOG_LEVEL_INFO, "x", &f, 1);
		line = take_log();
		value = strstr(line, ",\"f\":");
		assert_non_null(value);
		value += 5;
		if (strncmp(value, cases[i].json, strlen(cases[i].json)) != 0 ||
		    strcmp(value + strlen(cases[i].json), "}\n") != 0)
			fail_msg(
			    "case %zu: %s, not %s", i, value, cases[i].json);
	}
}

/* --- Bounds. --- */

static void
fill(char *buf, size_t size, char c)
{
	memset(buf, c, size - 1);
	buf[size - 1] = '\0';
}

static void
a_long_value_is_cut_at_the_bound(void **state)
{
	char value[LOG_VALUE_MAX + 2];
	const struct log_field f = { "f", value, 0 };
	const char *text;

	(void)state;
	open_log("info", "text", "./log");
	fill(value, sizeof(value) - 1, 'x');
	log_event(LOG_LEVEL_INFO, "m", &f, 1);
	text = strchr(take_message(), '=');
	assert_non_null(text);
	assert_int_equal(strlen(text), 1 + LOG_VALUE_MAX + 1);
	fill(value, sizeof(value), 'x');
	log_event(LOG_LEVEL_INFO, "m", &f, 1);
	text = strchr(take_message(), '=');
	assert_non_null(text);
	assert_string_equal(text + 1 + LOG_VALUE_MAX, "...\n");
}

static void
a_long_message_is_cut_at_the_bound(void **state)
{
	char value[2 * LOG_VALUE_MAX];

	(void)state;
	open_log("info", "text", "./log");
	fill(value, sizeof(value), 'x');
	log_info("%s", value);
	assert_string_equal(take_message() + LOG_VALUE_MAX, "...\n");
}

/*
 * With every length of a first value, so that the end of the line falls on
 * every place of what comes last.
 */
static void
a_full_line_is_still_a_line(void **state)
{
	static const char *const format[] = { "text", "json" };
	char big[LOG_VALUE_MAX + 10], small[LOG_VALUE_MAX + 10];
	struct log_field f[] = {
		{ "a", small, 0 },
		{ "b", big, 0 },
		{ "c", big, 0 },
		{ "d", NULL, 1 },
		{ "e", "a b", 0 },
		{ "a-key-of-a-length-that-nobody-would-ever-choose-to-type",
		    big, 0 },
	};
	const char *line;
	size_t i, n;

	(void)state;
	fill(big, sizeof(big), '\n');
	for (i = 0; i < NITEMS(format); i++)
		for (n = 1; n < 400; n++) {
			open_log("info", format[i], "./log");
			fill(small, n, '"');
			log_event(LOG_LEVEL_INFO, "m", f, NITEMS(f));
			line = take_log();
			if (i == 1)
				json_decref(parse_json(line));
			assert_true(strlen(line) <= LOG_LINE_MAX);
			assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
			assert_non_null(strstr(line, "..."));
		}
}

/* --- Levels. --- */

static void
only_wanted_levels_are_written(void **state)
{
	(void)state;
	open_log("warn", "text", "./log");
	log_debug("x");
	log_info("x");
	log_event(LOG_LEVEL_INFO, "x", NULL, 0);
	assert_string_equal(take_log(), "");
	assert_false(log_wants(LOG_LEVEL_INFO));
	assert_true(log_wants(LOG_LEVEL_WARN));
	log_warn("x");
	assert_string_not_equal(take_log(), "");
	open_log("error", "text", "./log");
	log_warn("x");
	assert_string_equal(take_log(), "");
	open_log("debug", "text", "./log");
	log_debug("x");
	must_match(take_log(), TEXT_HEAD "debug \\[");
}

/* Last of all: there is no way back. */
static void
verbose_lets_everything_through(void **state)
{
	(void)state;
	open_log("error", "text", "./log");
	log_verbose();
	log_debug("x");
	must_match(take_log(), TEXT_HEAD "debug \\[");
}

/* --- Targets. --- */

static void
a_log_file_is_appended_to_and_not_for_everybody(void **state)
{
	struct stat st;

	(void)state;
	(void)umask(0);
	temp_write("there", "first\n");
	open_log("info", "text", "./there");
	log_info("second");
	must_match(take("there"), "^first\n.*second\n$");
	open_log("info", "text", "./new");
	assert_int_equal(stat("new", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void
opening_again_follows_a_rotation(void **state)
{
	(void)state;
	open_log("info", "text", "./log");
	log_info("one");
	assert_int_equal(rename("log", "log.1"), 0);
	log_info("two");
	open_log("info", "text", "./log");
	log_info("three");
	must_match(take_message(), "^three\n$");
	must_match(take("log.1"), "one\n.*two\n$");
}

static void
a_log_that_cannot_be_opened_leaves_the_old_one(void **state)
{
	struct conf *conf = conf_new();
	struct err e;

	(void)state;
	open_log("info", "json", "./log");
	assert_int_equal(
	    conf_set(conf, "log.target", "./none/log", &e), ERR_OK);
	assert_int_equal(log_open(conf, &e), ERR_SYSTEM);
	assert_string_equal(
	    e.text, "open log ./none/log: No such file or directory");
	log_info("still here");
	must_match(take_log(), "^\\{.*still here");
	conf_free(conf);
}

static void
lines_go_to_stderr_by_default(void **state)
{
	int saved = dup(STDERR_FILENO);
	int fd = open("log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_not_equal(saved, -1);
	assert_int_not_equal(fd, -1);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	log_info("to stderr");
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(saved), 0);
	assert_string_equal(take_message(), "to stderr\n");
}

/* There may be nobody to read it; it must neither fail nor reach stderr. */
static void
syslog_takes_lines_in_both_formats(void **state)
{
	(void)state;
	open_log("error", "text", "syslog");
	log_error("a test of tusfcgi's log, to be ignored");
	open_log("error", "json", "syslog");
	log_error("a test of tusfcgi's log, to be ignored");
}

static void
logging_leaves_errno_alone(void **state)
{
	(void)state;
	open_log("info", "text", "/dev/full");
	errno = EDOM;
	log_info("x");
	assert_int_equal(errno, EDOM);
}

static char heard[LOG_LINE_MAX];
static size_t n_heard;

static void
hear(enum log_level level, const char *text, size_t len)
{
	(void)snprintf(
	    heard, sizeof(heard), "%d %.*s", (int)level, (int)len, text);
	n_heard++;
}

static void
a_listener_hears_of_what_is_wrong_and_of_nothing_else(void **state)
{
	const struct log_field fields[] = { { "err", "no \"room\"", 0 },
		{ "ms", NULL, 12 } };

	(void)state;
	open_log("debug", "json", "./log");
	/* What another test could not write is told of now. */
	log_info("so far");
	n_heard = 0;
	log_listen(hear);
	log_info("all is well");
	log_debug("so it is");
	assert_int_equal(n_heard, 0);
	log_event(LOG_LEVEL_ERROR, "request", fields, NITEMS(fields));
	assert_string_equal(heard, "0 request err=\"no \\\"room\\\"\" ms=12");
	log_warn("beware of %s", "\x1b[2J");
	assert_string_equal(heard, "1 beware of \\x1b[2J");
	assert_int_equal(n_heard, 2);
	log_listen(NULL);
	log_warn("nobody hears");
	assert_int_equal(n_heard, 2);
	assert_non_null(strstr(take_log(), "\"msg\":\"request\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_enter, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(lines_go_to_stderr_by_default),
		TEST(a_text_line_has_time_level_pid_and_message),
		TEST(the_time_is_now_in_utc_wherever_we_are),
		TEST(fields_follow_and_are_quoted_when_they_must_be),
		TEST(nobody_can_forge_a_text_line),
		TEST(a_json_line_is_an_object),
		TEST(json_is_plain_ascii_whatever_comes),
		TEST(a_long_value_is_cut_at_the_bound),
		TEST(a_long_message_is_cut_at_the_bound),
		TEST(a_full_line_is_still_a_line),
		TEST(only_wanted_levels_are_written),
		TEST(a_log_file_is_appended_to_and_not_for_everybody),
		TEST(opening_again_follows_a_rotation),
		TEST(a_log_that_cannot_be_opened_leaves_the_old_one),
		TEST(syslog_takes_lines_in_both_formats),
		TEST(logging_leaves_errno_alone),
		TEST(a_listener_hears_of_what_is_wrong_and_of_nothing_else),
		TEST(verbose_lets_everything_through),
	};

	(void)setlocale(LC_ALL, "");
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
