/*
 * id_test.c - an id is a capability, and never a path.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/compat.h"
#include "base/id.h"

static void
a_new_id_is_32_lower_case_digits(void **state)
{
	char id[ID_MAX + 1];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		id_new(id);
		assert_int_equal(strlen(id), 32);
		assert_int_equal(strspn(id, "0123456789abcdef"), 32);
		assert_true(id_is_valid(id));
		assert_true(id_is_ours(id));
		/* Version 4: random, not made of time and address. */
		assert_int_equal(id[12], '4');
	}
}

/* 122 free bits: each of the other digits takes every value. */
static void
new_ids_differ_everywhere(void **state)
{
	static const char digits[] = "0123456789abcdef";
	char id[ID_MAX + 1];
	unsigned seen[32] = { 0 };
	size_t i, n;

	(void)state;
	for (n = 0; n < 2000; n++) {
		id_new(id);
		for (i = 0; i < 32; i++)
			seen[i] |= 1U << (strchr(digits, id[i]) - digits);
	}
	for (i = 0; i < 32; i++)
		if (i != 12 && i != 16)
			assert_int_equal(seen[i], 0xffff);
	assert_int_equal(seen[16], 0x0f00);
}

static void
only_letters_digits_dash_and_underscore_are_valid(void **state)
{
	char id[2] = "";
	int c;

	(void)state;
	for (c = 1; c < 256; c++) {
		id[0] = (char)c;
		assert_int_equal(id_is_valid(id),
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			(c >= 'A' && c <= 'Z') || c == '-' || c == '_');
	}
}

static void
no_path_and_no_side_file_is_valid(void **state)
{
	static const char *const cases[] = { "", ".", "..", "../x", "/", "a/b",
		".hidden", "a.info", "a.lock", "a.info.new", "%2e%2e", "a\n",
		"\na", " a", "a ", "\xc3\xa9", "a\x80" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++)
		if (id_is_valid(cases[i]))
			fail_msg("valid: \"%s\"", cases[i]);
}

static void
the_length_is_1_to_64(void **state)
{
	char id[5001];

	(void)state;
	memset(id, 'a', sizeof(id));
	id[5000] = '\0';
	assert_false(id_is_valid(id));
	id[65] = '\0';
	assert_false(id_is_valid(id));
	id[64] = '\0';
	assert_true(id_is_valid(id));
	id[1] = '\0';
	assert_true(id_is_valid(id));
}

static void
ours_is_told_from_others(void **state)
{
	static const char *const cases[] = { "",
		"0d7e18102c1a4896f45a1fc9a11d181",
		"0d7e18102c1a4896f45a1fc9a11d18155",
		"0D7E18102C1A4896F45A1FC9A11D1815",
		"0d7e18102c1a4896f45a1fc9a11d181g",
		"0d7e18102c1a4896f45a1fc9a11d1815.info" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++)
		assert_false(id_is_ours(cases[i]));
	assert_true(id_is_ours("0d7e18102c1a4896f45a1fc9a11d1815"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_id_is_32_lower_case_digits),
		cmocka_unit_test(new_ids_differ_everywhere),
		cmocka_unit_test(
		    only_letters_digits_dash_and_underscore_are_valid),
		cmocka_unit_test(no_path_and_no_side_file_is_valid),
		cmocka_unit_test(the_length_is_1_to_64),
		cmocka_unit_test(ours_is_told_from_others),
	};

	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
