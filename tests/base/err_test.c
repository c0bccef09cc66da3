/*
 * err_test.c - what went wrong is told once and fits.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
the_code_is_returned_and_kept(void **state)
{
	struct err e = { ERR_OK, 5, "old" };

	(void)state;
	assert_int_equal(
	    err_set(&e, ERR_CORRUPT, "%s: %d", "x", 7), ERR_CORRUPT);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_int_equal(e.sys, 0);
	assert_string_equal(e.text, "x: 7");
}

static void
errno_says_which_code_it_is(void **state)
{
	static const struct {
		int sys;
		enum err_code code;
	} cases[] = {
		{ ENOSPC, ERR_NO_SPACE },
		{ EDQUOT, ERR_NO_SPACE },
		{ EFBIG, ERR_NO_SPACE },
		{ EMFILE, ERR_UNAVAILABLE },
		{ ENFILE, ERR_UNAVAILABLE },
		{ ENOMEM, ERR_UNAVAILABLE },
		{ EIO, ERR_SYSTEM },
		{ ENOENT, ERR_SYSTEM },
	};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(cases); i++) {
		errno = cases[i].sys;
		assert_int_equal(err_sys(&e, "x"), cases[i].code);
		assert_int_equal(e.code, cases[i].code);
		assert_int_equal(e.sys, cases[i].sys);
	}
}

static void
the_system_adds_its_reason(void **state)
{
	struct err e;

	(void)state;
	errno = ENOENT;
	(void)err_sys(&e, "open %s", "f");
	assert_string_equal(e.text, "open f: No such file or directory");
}

static void
a_long_text_is_cut_not_spilled(void **state)
{
	struct {
		struct err e;
		char guard[8];
	} s = { { ERR_OK, 0, "" }, "guarded" };

	(void)state;
	(void)err_set(&s.e, ERR_INVALID, "%01000d", 1);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	errno = EIO;
	(void)err_sys(&s.e, "%01000d", 1);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	assert_string_equal(s.guard, "guarded");
}

/* The name may be cut; why it failed is what one reads the log for. */
static void
a_long_name_does_not_hide_the_reason(void **state)
{
	struct err e;

	(void)state;
	errno = EIO;
	(void)err_sys(&e, "open %01000d", 1);
	assert_non_null(strstr(e.text, ": Input/output error"));
}

static void
what_it_belongs_to_is_put_in_front(void **state)
{
	struct err e;

	(void)state;
	errno = ENOSPC;
	(void)err_sys(&e, "open f");
	assert_int_equal(err_within(&e, "part %d", 7), ERR_NO_SPACE);
	assert_string_equal(e.text, "part 7: open f: No space left on device");
	assert_int_equal(e.sys, ENOSPC);
	errno = EIO;
	(void)err_sys(&e, "open %01000d", 1);
	(void)err_within(&e, "part 7");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "part 7: ...00", 13);
	assert_non_null(strstr(e.text, "0: Input/output error"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_code_is_returned_and_kept),
		cmocka_unit_test(errno_says_which_code_it_is),
		cmocka_unit_test(the_system_adds_its_reason),
		cmocka_unit_test(a_long_text_is_cut_not_spilled),
		cmocka_unit_test(a_long_name_does_not_hide_the_reason),
		cmocka_unit_test(what_it_belongs_to_is_put_in_front),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
