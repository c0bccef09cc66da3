/*
 * fields_test.c - digests, problem documents and file names, by example.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rufh/digest_field.h"
#include "rufh/disposition.h"
#include "rufh/problem.h"

#define SHA256_OF_NOTHING "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

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

/* "RUFH-82" */
static void
digests_are_what_we_can_verify(void **state)
{
	static const struct {
		const char *text;
		enum digest_parsed parsed;
		size_t count;
	} rows[] = {
		{ NULL, DIGEST_ABSENT, 0 },
		{ "", DIGEST_ABSENT, 0 },
		{ "md5=:AA==:, unixsum=5", DIGEST_ABSENT, 0 },
		{ "sha-256=:" SHA256_OF_NOTHING ":", DIGEST_VALID, 1 },
		{ "sha=:AA==:,sha-256=:" SHA256_OF_NOTHING ":", DIGEST_VALID,
		    1 },
		{ "sha-256=:AA==:, sha-256=:" SHA256_OF_NOTHING ":",
		    DIGEST_VALID, 1 },
		{ "sha-256=" SHA256_OF_NOTHING, DIGEST_MALFORMED, 0 },
		{ "sha-256", DIGEST_MALFORMED, 0 },
		{ "sha-256=\"x\"", DIGEST_MALFORMED, 0 },
		{ "SHA-256=:" SHA256_OF_NOTHING ":", DIGEST_MALFORMED, 0 },
		{ "sha-256=:AA==:", DIGEST_WRONG_SIZE, 1 },
		{ "sha-512=:AA==:, sha-256=:" SHA256_OF_NOTHING ":",
		    DIGEST_WRONG_SIZE, 1 },
		{ "sha-512=:AA==:, sha-256=::", DIGEST_WRONG_SIZE, 2 },
	};
	struct digest_field f;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		enum digest_parsed parsed =
		    digest_field_parse(*state, rows[i].text, &f);

		if (parsed != rows[i].parsed)
			fail_msg("\"%s\" is %d", rows[i].text, parsed);
		if (parsed != DIGEST_MALFORMED)
			assert_int_equal(f.count, rows[i].count);
	}
}

static void
a_digest_is_written_as_it_is_read(void **state)
{
	struct digest_field f;

	(void)digest_field_parse(*state, "sha-256=:" SHA256_OF_NOTHING ":", &f);
	assert_string_equal(f.values[0].algorithm, "sha256");
	assert_string_equal(digest_field_format(*state, f.values[0].name,
				f.values[0].bytes, f.values[0].len),
	    "sha-256=:" SHA256_OF_NOTHING ":");
}

/* "RUFH-84" */
static void
the_heaviest_digest_is_wanted(void **state)
{
	static const struct {
		const char *text, *name;
	} rows[] = {
		{ "sha-256=1, sha-512=3", "sha-512" },
		{ "sha-256=3, sha-512=3", "sha-256" },
		{ "sha-256=10, sha=9", "sha-256" },
		{ "md5=10", NULL },
		{ "sha-256=0", NULL },
		{ "sha-256=11", NULL },
		{ "sha-256", NULL },
		{ "sha-256=1,", NULL },
		{ NULL, NULL },
	};
	const struct digest_value *wanted;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		wanted = digest_field_wanted(*state, rows[i].text);
		if ((wanted == NULL) != (rows[i].name == NULL))
			fail_msg("\"%s\"", rows[i].text);
		if (wanted != NULL)
			assert_string_equal(wanted->name, rows[i].name);
	}
}

/* "RUFH-90", "RUFH-91" */
static void
a_problem_is_one_line_of_json(void **state)
{
	static const char *const algorithms[] = { "sha-256", "sha-512" };
	struct problem p = { .title = "no", .status = 404, .code = "ERR_X" };

	assert_string_equal(problem_format(*state, &p),
	    "{\"type\":\"about:blank\",\"title\":\"no\",\"status\":404,"
	    "\"code\":\"ERR_X\"}\n");
	p.type = PROBLEM_MISMATCHING_OFFSET;
	p.expected_offset = 100;
	p.provided_offset = 5;
	assert_string_equal(problem_format(*state, &p),
	    "{\"type\":\"https://iana.org/assignments/http-problem-types#"
	    "mismatching-upload-offset\",\"title\":\"no\",\"status\":404,"
	    "\"code\":\"ERR_X\",\"expected-offset\":100,"
	    "\"provided-offset\":5}\n");
	p.type = PROBLEM_DIGESTS_MISMATCH;
	p.header = "Content-Digest";
	p.algorithms = algorithms;
	p.count = 2;
	assert_string_equal(problem_format(*state, &p),
	    "{\"type\":\"https://iana.org/assignments/http-problem-types#"
	    "digest-mismatched-values\",\"title\":\"no\",\"status\":404,"
	    "\"code\":\"ERR_X\",\"mismatched_digests\":["
	    "{\"algorithm\":\"sha-256\",\"header\":\"Content-Digest\"},"
	    "{\"algorithm\":\"sha-512\",\"header\":\"Content-Digest\"}]}\n");
}

/* "RUFH-31" */
static void
a_name_comes_out_of_content_disposition(void **state)
{
	static const struct {
		const char *field, *name;
	} rows[] = {
		{ "attachment; filename=\"a b.txt\"", "a b.txt" },
		{ "inline;filename=plain.txt", "plain.txt" },
		{ "form-data; name=\"f\"; FileName=x", "x" },
		{ "attachment; filename=\"a\\\"b\\\\c\"", "a\"b\\c" },
		{ "attachment; filename=old; filename*=UTF-8''%e2%82%ac.txt",
		    "\xe2\x82\xac.txt" },
		{ "attachment; filename*=utf-8'de'%C3%BC; filename=u",
		    "\xc3\xbc" },
		{ "attachment; filename*=ISO-8859-1''%fc", "\xc3\xbc" },
		{ "attachment; filename*=ISO-8859-1''%fc; filename=a;",
		    "\xc3\xbc" },
		{ "attachment; filename=a; filename=b", "a" },
		{ "attachment; filename = \"a\" ; x=y", "a" },
		{ "attachment; filename*=UTF-16''%fc; filename=a", "a" },
		{ "attachment; filename*=UTF-8''%fc; filename=a", "a" },
		{ "attachment; filename*=UTF-8''%00; filename=a", "a" },
		{ "attachment; filename*=UTF-8%fc; filename=a", "a" },
		{ "attachment; filename=\"../../etc/passwd\"",
		    "../../etc/passwd" },
		{ "attachment; filename=\"\"", NULL },
		{ "attachment; filename=", NULL },
		{ "attachment; filename=\"a", NULL },
		{ "attachment; filename=\"a\\", NULL },
		{ "attachment; filename=a b", NULL },
		{ "attachment; filename=a/b", NULL },
		{ "attachment", NULL },
		{ "attachment;", NULL },
		{ "filename=\"a\"", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	const char *name;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		name = disposition_filename(*state, rows[i].field);
		if ((name == NULL) != (rows[i].name == NULL))
			fail_msg("\"%s\"", rows[i].field);
		if (name != NULL)
			assert_string_equal(name, rows[i].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_what_we_can_verify),
		cmocka_unit_test(a_digest_is_written_as_it_is_read),
		cmocka_unit_test(the_heaviest_digest_is_wanted),
		cmocka_unit_test(a_problem_is_one_line_of_json),
		cmocka_unit_test(a_name_comes_out_of_content_disposition),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
