/*
 * sf_test.c - structured fields, by example.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rufh/sf.h"

static int
setup(void **state)
{
	*state = arena_new();
	return 0;
}

static int
teardown(void **state)
{
	arena_free(*state);
	return 0;
}

/* "RUFH-10", "RUFH-12", "RUFH-13", "RUFH-14" */
static void
integers_have_up_to_fifteen_digits(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} rows[] = {
		{ "0", 0 },
		{ "5", 5 },
		{ "050", 50 },
		{ "000000000000005", 5 },
		{ "999999999999999", SF_INTEGER_MAX },
		{ "-0", 0 },
		{ " 5 ", 5 },
		{ "\t5\t", 5 },
		{ "5;a=1;b=\"x\";c=?0", 5 },
		{ "5;a=tok/en*:", 5 },
		{ "5;a=@1;b=%\"x\"", 5 },
		{ "5;  a", 5 },
		{ "5;a=1.5;*b=:AA==:", 5 },
		{ "+5", -1 },
		{ "5.0", -1 },
		{ "0x5", -1 },
		{ "\"5\"", -1 },
		{ "5e0", -1 },
		{ "5 5", -1 },
		{ "5, 5", -1 },
		{ "1000000000000000", -1 },
		{ "0000000000000005", -1 },
		{ "?1", -1 },
		{ ":NQ==:", -1 },
		{ "", -1 },
		{ " ", -1 },
		{ "-", -1 },
		{ "--5", -1 },
		{ "-1", -1 },
		{ "@5", -1 },
		{ "5;", -1 },
		{ "5;A", -1 },
		{ "5;a=", -1 },
		{ "5 ;a", -1 },
		{ "5;a=\"x", -1 },
		{ "5;1a", -1 },
		{ "(5)", -1 },
		{ NULL, -1 },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		int64_t n = -1;
		bool ok = sf_parse_integer(*state, rows[i].text, &n);

		if (ok != (rows[i].value >= 0) || n != rows[i].value)
			fail_msg("\"%s\"", rows[i].text);
	}
}

/* "RUFH-11", "RUFH-12", "RUFH-13" */
static void
booleans_are_a_question_mark_and_a_digit(void **state)
{
	static const struct {
		const char *text;
		int value;
	} rows[] = {
		{ "?0", 0 },
		{ "?1", 1 },
		{ " ?1 ", 1 },
		{ "\t?1", 1 },
		{ "?1;a", 1 },
		{ "?1; a=:AA==:", 1 },
		{ "?0;a=1;a=2", 0 },
		{ "true", -1 },
		{ "1", -1 },
		{ "?2", -1 },
		{ "?", -1 },
		{ "\"?1\"", -1 },
		{ "?1 x", -1 },
		{ "?10", -1 },
		{ "? 1", -1 },
		{ "?T", -1 },
		{ "?1, ?1", -1 },
		{ "?1,", -1 },
		{ "?1;", -1 },
		{ "?1;A", -1 },
		{ "?1;a=", -1 },
		{ "?1 ;a", -1 },
		{ "", -1 },
		{ NULL, -1 },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		bool b = false;
		bool ok = sf_parse_boolean(*state, rows[i].text, &b);

		if (ok != (rows[i].value >= 0) || (ok && b != !!rows[i].value))
			fail_msg("\"%s\"", rows[i].text);
	}
}

/* type -1: no item.  bytes NULL: they are not looked at. */
static const struct {
	const char *text;
	int type;
	const char *bytes;
} items[] = {
	{ "1.5", SF_DECIMAL, NULL },
	{ "-123456789012.125", SF_DECIMAL, NULL },
	{ "\"a b\"", SF_STRING, "a b" },
	{ "\"\"", SF_STRING, "" },
	{ "\"\\\"\\\\\"", SF_STRING, "\"\\" },
	{ "a", SF_TOKEN, "a" },
	{ "*foo/b:a~r", SF_TOKEN, "*foo/b:a~r" },
	{ ":aGVsbG8=:", SF_BYTES, "hello" },
	{ ":aGVsbG8:", SF_BYTES, "hello" },
	{ ":aGVsbG9=:", SF_BYTES, "hello" },
	{ ":aGVsbG8h:", SF_BYTES, "hello!" },
	{ "::", SF_BYTES, "" },
	{ "@1659578233", SF_DATE, NULL },
	{ "@-1", SF_DATE, NULL },
	{ "%\"%c3%bc\"", SF_DISPLAY_STRING, "\xc3\xbc" },
	{ "%\"a%25\"", SF_DISPLAY_STRING, "a%" },
	{ "1.", -1, NULL },
	{ "1.5000", -1, NULL },
	{ "1234567890123.1", -1, NULL },
	{ ".5", -1, NULL },
	{ "\"a", -1, NULL },
	{ "\"a\\b\"", -1, NULL },
	{ "\"a\x7f\"", -1, NULL },
	{ "\"a\tb\"", -1, NULL },
	{ "\"a\\", -1, NULL },
	{ "'a'", -1, NULL },
	{ ":a:", -1, NULL },
	{ ":aGVs", -1, NULL },
	{ ":aG=Vs:", -1, NULL },
	{ ":aGVsbG8==:", -1, NULL },
	{ ":aGVs====:", -1, NULL },
	{ ":aGV_bG8=:", -1, NULL },
	{ ":aGVs bG8=:", -1, NULL },
	{ "@1.5", -1, NULL },
	{ "@", -1, NULL },
	{ "%\"%C3%BC\"", -1, NULL },
	{ "%\"%c3\"", -1, NULL },
	{ "%\"%c\"", -1, NULL },
	{ "%\"\xc3\xbc\"", -1, NULL },
	{ "%a", -1, NULL },
	{ "%\"", -1, NULL },
	{ "(a b)", -1, NULL },
	{ "a=1", -1, NULL },
};

static void
items_are_of_eight_types(void **state)
{
	struct sf_item item;
	size_t i;

	for (i = 0; i < NITEMS(items); i++) {
		bool ok = sf_parse_item(*state, items[i].text, &item);

		if (ok != (items[i].type >= 0) ||
		    (ok && (int)item.type != items[i].type))
			fail_msg("\"%s\"", items[i].text);
		if (!ok || items[i].bytes == NULL)
			continue;
		assert_int_equal(item.len, strlen(items[i].bytes));
		assert_string_equal(item.bytes, items[i].bytes);
	}
}

static void
bytes_may_be_any(void **state)
{
	struct sf_item item;

	assert_true(sf_parse_item(*state, ":AP8NCg==:", &item));
	assert_int_equal(item.len, 4);
	assert_memory_equal(item.bytes, "\0\xff\r\n", 5);
}

static const char *
show(struct arena *a, const struct sf_member *m)
{
	const char *s = "";

	for (; m != NULL; m = m->next)
		s = arena_printf(a, "%s%s=%d:%d:%s;", s, m->key,
		    (int)m->value.type, (int)m->value.number,
		    m->value.bytes != NULL ? m->value.bytes : "");
	return s;
}

static void
dictionaries_are_keys_with_values(void **state)
{
	static const struct {
		const char *text, *members;
	} rows[] = {
		{ "a=1, b=2", "a=0:1:;b=0:2:;" },
		{ "a=1,b=2", "a=0:1:;b=0:2:;" },
		{ "a=1\t ,\t b", "a=0:1:;b=5:1:;" },
		{ "a=?0;x=1, b;y, c=\"s\"", "a=5:0:;b=5:1:;c=2:0:s;" },
		{ "a=1, b=2, a=x", "a=3:0:x;b=0:2:;" },
		{ "a=(1 \"b\";c  d);e, *f-._1=:AA==:", "a=8:0:;*f-._1=4:0:;" },
		{ "a=()", "a=8:0:;" },
		{ "", "" },
		{ "  ", "" },
		{ NULL, "" },
		{ "a=1,", NULL },
		{ ",a=1", NULL },
		{ "a=1,,b=1", NULL },
		{ "a=1 b=2", NULL },
		{ "a=", NULL },
		{ "a =1", NULL },
		{ "a= 1", NULL },
		{ "A=1", NULL },
		{ "1=1", NULL },
		{ "a=(1", NULL },
		{ "a=(1,2)", NULL },
		{ "a=(1(2))", NULL },
		{ "a=(1\t2)", NULL },
		{ "a;", NULL },
	};
	const struct sf_member *m;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		bool ok = sf_parse_dictionary(*state, rows[i].text, &m);

		if (ok != (rows[i].members != NULL))
			fail_msg("\"%s\"", rows[i].text);
		assert_string_equal(show(*state, m), ok ? rows[i].members : "");
	}
}

static void
a_dictionary_has_its_bounds(void **state)
{
	const struct sf_member *m;
	char text[SF_MEMBERS_MAX * 8 + 16], *end = text;
	int i;

	for (i = 0; i < SF_MEMBERS_MAX; i++)
		end += sprintf(end, "%sk%d", i > 0 ? "," : "", i);
	assert_true(sf_parse_dictionary(*state, text, &m));
	(void)strcpy(end, ",k0=2");
	assert_true(sf_parse_dictionary(*state, text, &m));
	assert_int_equal(m->value.number, 2);
	(void)strcpy(end, ",x");
	assert_false(sf_parse_dictionary(*state, text, &m));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_have_up_to_fifteen_digits),
		cmocka_unit_test(booleans_are_a_question_mark_and_a_digit),
		cmocka_unit_test(items_are_of_eight_types),
		cmocka_unit_test(bytes_may_be_any),
		cmocka_unit_test(dictionaries_are_keys_with_values),
		cmocka_unit_test(a_dictionary_has_its_bounds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
