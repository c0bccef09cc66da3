/*
 * clock_test.c - what time it is, and how HTTP writes it.
 */
#include "config.h"

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
#include "base/compat.h"
#include "base/id.h"

static void
now_is_the_time_of_day(void **state)
{
	int64_t before = time(NULL);
	int64_t now = clock_now();

	(void)state;
	assert_true(now >= before && now <= before + 2);
}

static void
milliseconds_only_grow_and_at_the_right_pace(void **state)
{
	const struct timespec pause = { 0, 20000000 };
	struct timespec ts;
	int64_t start = clock_ms(), last = start, now;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		now = clock_ms();
		assert_true(now >= last);
		last = now;
	}
	start = clock_ms();
	assert_int_equal(nanosleep(&pause, NULL), 0);
	now = clock_ms();
	assert_true(now - start >= 19 && now - start <= 5000);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	assert_true(ts.tv_sec >= now / 1000 && ts.tv_sec - now / 1000 <= 5);
}

static void
boot_was_some_time_ago(void **state)
{
	(void)state;
	assert_true(clock_boottime() > 0);
	assert_true(clock_boottime() >= clock_ms() / 1000 - 1);
	assert_true(clock_boottime() < clock_now());
}

static void
dates_are_written_as_http_wants_them(void **state)
{
	static const struct {
		int64_t when;
		const char *date;
	} cases[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 1767225600, "Thu, 01 Jan 2026 00:00:00 GMT" },
		{ 4102444799, "Thu, 31 Dec 2099 23:59:59 GMT" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ 253402300800, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ -1, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ INT64_MIN, "Thu, 01 Jan 1970 00:00:00 GMT" },
	};
	char buf[CLOCK_HTTP_DATE_MAX];
	size_t i;

	(void)state;
	assert_int_equal(setenv("TZ", "XYZ-5:30", 1), 0);
	tzset();
	for (i = 0; i < NITEMS(cases); i++) {
		clock_http_date(cases[i].when, buf);
		assert_string_equal(buf, cases[i].date);
	}
}

static void
the_boot_id_is_36_characters_and_stays(void **state)
{
	char id[CLOCK_BOOT_ID_LEN + 1], again[CLOCK_BOOT_ID_LEN + 1];
	char fresh[CLOCK_BOOT_ID_LEN + 1];

	(void)state;
	if (access("/proc/sys/kernel/random/boot_id", R_OK) == -1) {
		assert_false(clock_boot_id(id));
		return;
	}
	assert_true(clock_boot_id(id));
	assert_int_equal(strlen(id), CLOCK_BOOT_ID_LEN);
	assert_true(id_is_valid(id));
	assert_true(clock_boot_id(again));
	assert_true(clock_new_boot_id(fresh));
	assert_int_equal(strlen(fresh), CLOCK_BOOT_ID_LEN);
	assert_string_not_equal(fresh, id);
	assert_string_equal(id, again);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(now_is_the_time_of_day),
		cmocka_unit_test(milliseconds_only_grow_and_at_the_right_pace),
		cmocka_unit_test(boot_was_some_time_ago),
		cmocka_unit_test(dates_are_written_as_http_wants_them),
		cmocka_unit_test(the_boot_id_is_36_characters_and_stays),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
