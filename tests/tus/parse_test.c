/*
 * parse_test.c - the grammar of the headers, by example.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/digest.h"
#include "tus/parse.h"
#include "web/web.h"

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

static void
numbers_are_plain_digits(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} rows[] = { { "0", 0 }, { "050", 50 }, { " 5\t", 5 },
		{ "9223372036854775807", INT64_MAX },
		{ "9223372036854775808", -1 }, { "9999999999999999999", -1 },
		{ "00000000000000000001", -1 }, { "", -1 }, { " ", -1 },
		{ "-5", -1 }, { "+5", -1 }, { "5.0", -1 }, { "0x5", -1 },
		{ "5, 5", -1 }, { "5,6", -1 }, { "1e3", -1 }, { "5a", -1 },
		{ NULL, -1 } };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		int64_t n = -1;
		bool ok = web_parse_int64(rows[i].text, &n);

		if (ok != (rows[i].value >= 0) || n != rows[i].value)
			fail_msg("\"%s\"", rows[i].text);
	}
}

/* Pairs as "key=value;" with the values cut at their first NUL. */
static const char *
show(struct arena *a, const struct pair *p)
{
	const char *s = "";

	for (; p != NULL; p = p->next)
		s = arena_printf(a, "%s%s=%s;", s, p->key, p->value);
	return s;
}

static void
metadata_is_keys_with_base64(void **state)
{
	static const struct {
		const char *text;
		enum web_parsed parsed;
		const char *pairs;
	} rows[] = {
		{ "filename d29ybGQ=,is_confidential", WEB_VALID,
		    "filename=world;is_confidential=;" },
		{ "a ,b Yg==", WEB_VALID, "a=;b=b;" },
		{ "a YQ==, b Yg==", WEB_VALID, "a=a;b=b;" },
		{ "a YQ==,", WEB_VALID, "a=a;" },
		{ ",,a YQ==\t,", WEB_VALID, "a=a;" },
		{ "A YQ==,a Yg==", WEB_VALID, "A=a;a=b;" },
		{ "", WEB_ABSENT, "" },
		{ " \t", WEB_ABSENT, "" },
		{ ",", WEB_ABSENT, "" },
		{ NULL, WEB_ABSENT, "" },
		{ "a YQ== aa", WEB_MALFORMED, "" },
		{ "a !!!", WEB_MALFORMED, "" },
		{ "a YQ", WEB_MALFORMED, "" },
		{ "a Y-_=", WEB_MALFORMED, "" },
		{ "a Y=Q=", WEB_MALFORMED, "" },
		{ "a ====", WEB_MALFORMED, "" },
		{ "a YQ==,a Yg==", WEB_MALFORMED, "" },
		{ "\xc3\xa4 YQ==", WEB_MALFORMED, "" },
		{ "a\x01 YQ==", WEB_MALFORMED, "" },
		{ "a\x7f", WEB_MALFORMED, "" },
	};
	const struct pair *pairs;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		enum web_parsed parsed =
		    web_parse_metadata(*state, rows[i].text, &pairs);

		if (parsed != rows[i].parsed)
			fail_msg("\"%s\" is %d", rows[i].text, parsed);
		assert_string_equal(show(*state, pairs), rows[i].pairs);
	}
}

static const char *
keys(struct arena *a, unsigned n, const char *last)
{
	char *text = arena_alloc(a, n * 8 + strlen(last) + 1), *end = text;
	unsigned i;

	for (i = 0; i < n; i++)
		end += sprintf(end, "k%u,", i);
	(void)strcpy(end, last);
	return text;
}

static void
as_many_keys_as_anybody_needs(void **state)
{
	struct arena *a = *state;
	const struct pair *p;

	assert_int_equal(
	    web_parse_metadata(a, keys(a, 256, ""), &p), WEB_VALID);
	assert_string_equal(p->next->key, "k1");
	assert_int_equal(
	    web_parse_metadata(a, keys(a, 255, "k7"), &p), WEB_MALFORMED);
	assert_int_equal(
	    web_parse_metadata(a, keys(a, 255, ", ,x,,"), &p), WEB_VALID);
	assert_int_equal(
	    web_parse_metadata(a, keys(a, 256, "x"), &p), WEB_TOO_MANY);
	/* What else is wrong comes too late to be seen. */
	assert_int_equal(
	    web_parse_metadata(a, keys(a, 100000, "!"), &p), WEB_TOO_MANY);
}

static void
decoded_values_may_hold_any_byte(void **state)
{
	const struct pair *p;

	assert_int_equal(
	    web_parse_metadata(*state, "k AP8NCg==", &p), WEB_VALID);
	assert_int_equal(p->value_len, 4);
	assert_memory_equal(p->value, "\0\xff\r\n", 5);
}

static void
concat_is_partial_or_final_with_references(void **state)
{
	static const struct {
		const char *text;
		enum web_parsed parsed;
		size_t nrefs;
	} rows[] = {
		{ "partial", WEB_VALID, 0 },
		{ " partial ", WEB_VALID, 0 },
		{ "final;/files/a /files/b", WEB_VALID, 2 },
		{ "final; /files/a   /files/b ", WEB_VALID, 2 },
		{ NULL, WEB_ABSENT, 0 },
		{ "test", WEB_MALFORMED, 0 },
		{ "", WEB_MALFORMED, 0 },
		{ "final", WEB_MALFORMED, 0 },
		{ "final;", WEB_MALFORMED, 0 },
		{ "final; ", WEB_MALFORMED, 0 },
		{ "partial;x", WEB_MALFORMED, 0 },
		{ "Final;/files/a", WEB_MALFORMED, 0 },
		{ "final;/files/a\t/files/b\t", WEB_VALID, 2 },
		{ "final;http://a\x01/files/a", WEB_MALFORMED, 0 },
		{ "final;http://a\x7f/files/a", WEB_MALFORMED, 0 },
		{ "final;http://\xff/files/a", WEB_VALID, 1 },
	};
	struct tus_concat concat;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		enum web_parsed parsed =
		    tus_parse_concat(*state, rows[i].text, &concat);

		if (parsed != rows[i].parsed)
			fail_msg("\"%s\" is %d", rows[i].text, parsed);
		if (parsed == WEB_VALID)
			assert_int_equal(concat.nrefs, rows[i].nrefs);
	}
}

static void
too_many_references_are_refused(void **state)
{
	struct tus_concat concat;
	char *text = arena_alloc(*state, 6 + 2 * (TUS_PARTS_MAX + 1) + 1);
	size_t i;

	strcpy(text, "final;");
	for (i = 0; i < TUS_PARTS_MAX; i++)
		strcat(text, "a ");
	assert_int_equal(tus_parse_concat(*state, text, &concat), WEB_VALID);
	assert_int_equal(concat.nrefs, TUS_PARTS_MAX);
	strcat(text, "a ");
	assert_int_equal(
	    tus_parse_concat(*state, text, &concat), WEB_MALFORMED);
}

static void
references_name_our_uploads_only(void **state)
{
	static const struct {
		const char *ref;
		const char *base;
		const char *id;
	} rows[] = {
		{ "/files/abc", "/files", "abc" },
		{ "/files/abc/", "/files", "abc" },
		{ "http://h:80/files/abc", "/files", "abc" },
		{ "https://other/files/abc", "/files", "abc" },
		{ "abc", "/files", "abc" },
		{ "files/abc", "/files", "abc" },
		{ "/a/b/abc", "/a/b", "abc" },
		{ "b/abc", "/a/b", "abc" },
		{ "/abc", "", "abc" },
		{ "http://h/abc", "", "abc" },
		{ "/other/abc", "/files", NULL },
		{ "/filesabc", "/files", NULL },
		{ "/files/../../etc/passwd", "/files", NULL },
		{ "/files/%61bc", "/files", "abc" },
		{ "http://h/%66iles/%61b%63/", "/files", "abc" },
		{ "/files/%2561bc", "/files", NULL },
		{ "/files%2Fabc", "/files", NULL },
		{ "/files/abc%2F", "/files", NULL },
		{ "/files/%2e%2e/abc", "/files", NULL },
		{ "/files/abc?x=1", "/files", "abc" },
		{ "/files/abc/?/files/def", "/files", "abc" },
		{ "abc#x", "/files", "abc" },
		{ "/files?/abc", "/files", NULL },
		{ "http://h?/files/abc", "/files", NULL },
		{ "http://h#/files/abc", "/files", NULL },
		{ "/files/abc//", "/files", NULL },
		{ "//h/other/abc", "/files", NULL },
		{ "//h", "/files", NULL },
		{ "/x//files/abc", "/files", NULL },
		{ "x//files/abc", "/files", NULL },
		{ "http:/files/abc", "/files", NULL },
		{ "/files//h/files/abc", "/files", NULL },
		{ "/files/a.info", "/files", NULL },
		{ "/files/", "/files", NULL },
		{ "/files", "/files", NULL },
		{ "http://h", "/files", NULL },
		{ "http:///files/abc", "/files", "abc" },
		{ "//h/files/abc", "/files", "abc" },
		{ "", "/files", NULL },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		const char *id =
		    web_parse_reference(*state, rows[i].ref, rows[i].base);

		if ((id == NULL) != (rows[i].id == NULL) ||
		    (id != NULL && strcmp(id, rows[i].id) != 0))
			fail_msg("\"%s\" names %s", rows[i].ref, id);
	}
}

static void
checksum_is_algorithm_and_base64(void **state)
{
	static const struct {
		const char *text;
		enum web_parsed parsed;
	} rows[] = {
		{ "sha1 YQ==", WEB_VALID },
		{ "x-y YQ==", WEB_VALID },
		{ NULL, WEB_ABSENT },
		{ "", WEB_MALFORMED },
		{ "sha1", WEB_MALFORMED },
		{ "sha1 ", WEB_MALFORMED },
		{ "sha1  YQ==", WEB_MALFORMED },
		{ "sha1 !!!!", WEB_MALFORMED },
		{ "sha1 a b", WEB_MALFORMED },
		{ "SHA1 YQ==", WEB_MALFORMED },
	};
	struct sum sum;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++)
		if (tus_parse_sum(*state, rows[i].text, &sum) != rows[i].parsed)
			fail_msg("\"%s\"", rows[i].text);
}

static void
every_algorithm_knows_its_test_vector(void **state)
{
	/* Of "123456789". */
	static const struct {
		const char *algorithm;
		const char *base64;
	} rows[] = {
		{ "sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=" },
		{ "sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=" },
		{ "md5", "JfnnlDI7RTiF9RgfG2JNCw==" },
		{ "crc32", "y/Q5Jg==" },
		{ "crc32c", "4waSgw==" },
	};
	struct sum sum = { 0 };
	struct digest *d;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		sum.digest = web_parse_base64(
		    *state, rows[i].base64, strlen(rows[i].base64), &sum.len);
		assert_non_null(sum.digest);
		d = digest_new(*state, rows[i].algorithm);
		digest_update(d, "1234", 4);
		digest_update(d, "56789", 5);
		if (!digest_end(d, &sum))
			fail_msg("%s", rows[i].algorithm);
		d = digest_new(*state, rows[i].algorithm);
		digest_update(d, "123456780", 9);
		assert_false(digest_end(d, &sum));
	}
	assert_null(digest_new(*state, "sha3"));
}

static void
one_range_or_all_of_it(void **state)
{
	static const struct {
		const char *text;
		int64_t size;
		enum web_range range;
		int64_t first, last;
	} rows[] = {
		{ "bytes=0-0", 10, WEB_RANGE_PART, 0, 0 },
		{ "bytes=2-", 10, WEB_RANGE_PART, 2, 9 },
		{ "bytes=2-100", 10, WEB_RANGE_PART, 2, 9 },
		{ "bytes=-3", 10, WEB_RANGE_PART, 7, 9 },
		{ "bytes=-30", 10, WEB_RANGE_PART, 0, 9 },
		{ "bytes=-99999999999999999999", 10, WEB_RANGE_PART, 0, 9 },
		{ "bytes=10-", 10, WEB_RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-0", 10, WEB_RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=0-", 0, WEB_RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-1", 0, WEB_RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=99999999999999999999-", 10, WEB_RANGE_UNSATISFIABLE, 0,
		    0 },
		{ "bytes=3-2", 10, WEB_RANGE_WHOLE, 0, 0 },
		{ "bytes=0-1,3-4", 10, WEB_RANGE_WHOLE, 0, 0 },
		{ "bytes=-", 10, WEB_RANGE_WHOLE, 0, 0 },
		{ "bytes=a-b", 10, WEB_RANGE_WHOLE, 0, 0 },
		{ "items=0-1", 10, WEB_RANGE_WHOLE, 0, 0 },
		{ NULL, 10, WEB_RANGE_WHOLE, 0, 0 },
	};
	int64_t first, last;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		enum web_range range =
		    web_parse_range(rows[i].text, rows[i].size, &first, &last);

		if (range != rows[i].range ||
		    (range == WEB_RANGE_PART &&
			(first != rows[i].first || last != rows[i].last)))
			fail_msg("\"%s\"", rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_plain_digits),
		cmocka_unit_test(metadata_is_keys_with_base64),
		cmocka_unit_test(as_many_keys_as_anybody_needs),
		cmocka_unit_test(decoded_values_may_hold_any_byte),
		cmocka_unit_test(concat_is_partial_or_final_with_references),
		cmocka_unit_test(too_many_references_are_refused),
		cmocka_unit_test(references_name_our_uploads_only),
		cmocka_unit_test(checksum_is_algorithm_and_base64),
		cmocka_unit_test(every_algorithm_knows_its_test_vector),
		cmocka_unit_test(one_range_or_all_of_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
