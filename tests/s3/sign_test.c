/*
 * sign_test.c - the signer against the examples that AWS publishes.
 */
#include "config.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "store/s3/sign.h"

#define HOST  "examplebucket.s3.amazonaws.com"
#define STAMP "20130524T000000Z"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct s3_keys keys = { "AKIAIOSFODNN7EXAMPLE",
	"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL };

/* Friday, 24 May 2013, midnight. */
#define WHEN 1369353600

struct example {
	const char *method, *key;
	struct s3_field query[2];
	size_t n_query;
	struct s3_field headers[3];
	size_t n_headers;
	const char *payload;
	const char *signature;
};

static const struct example examples[] = {
	{ "GET", "/test.txt", { { NULL, NULL } }, 0,
	    { { "range", "bytes=0-9" } }, 1, EMPTY,
	    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb4"
	    "1" },
	{ "PUT", "/test$file.text", { { NULL, NULL } }, 0,
	    { { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
		{ "date", "Fri, 24 May 2013 00:00:00 GMT" } },
	    2,
	    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108b"
	    "d" },
	{ "GET", "/", { { "lifecycle", "" } }, 1, { { NULL, NULL } }, 0, EMPTY,
	    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a013678354"
	    "3" },
	{ "GET", "/", { { "prefix", "J" }, { "max-keys", "2" } }, 2,
	    { { NULL, NULL } }, 0, EMPTY,
	    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f"
	    "7" },
};

static bool
comes_out(struct arena *a, struct s3_signer *signer, const struct example *x,
    int64_t when)
{
	struct s3_field headers[6] = { { "x-amz-date", signer->stamp },
		{ "host", HOST }, { "x-amz-content-sha256", x->payload } };
	struct s3_signed r = { .method = x->method,
		.path = s3_encode_path(a, x->key),
		.query = s3_query(a, x->query, x->n_query),
		.headers = headers,
		.n_headers = 3 + x->n_headers,
		.payload = x->payload };
	const char *got;

	memcpy(headers + 3, x->headers, x->n_headers * sizeof(headers[0]));
	s3_set_time(signer, when);
	got = s3_authorization(a, signer, &r);
	return strcmp(strstr(got, "Signature=") + 10, x->signature) == 0;
}

static void
the_published_examples_come_out(void **state)
{
	struct arena *a = arena_new();
	struct s3_signer signer = { .keys = &keys, .region = "us-east-1" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(examples); i++)
		assert_true(comes_out(a, &signer, &examples[i], WHEN));
	assert_string_equal(signer.stamp, STAMP);
	arena_free(a);
}

/* The key of a day is that of this day and of this secret. */
static void
another_day_has_another_key(void **state)
{
	struct arena *a = arena_new();
	struct s3_keys mine = { keys.access, "another", NULL };
	struct s3_signer signer = { .keys = &mine, .region = "us-east-1" };
	size_t i;

	(void)state;
	assert_false(comes_out(a, &signer, &examples[0], WHEN));
	mine = keys;
	signer.day[0] = '\0';
	for (i = 0; i < NITEMS(examples); i++) {
		assert_false(comes_out(a, &signer, &examples[i], WHEN + 86400));
		assert_true(comes_out(a, &signer, &examples[i], WHEN));
	}
	arena_free(a);
}

static void
a_url_can_be_signed_for_anybody(void **state)
{
	struct arena *a = arena_new();
	struct s3_signer signer = { .keys = &keys, .region = "us-east-1" };
	struct s3_field host = { "host", HOST };
	struct s3_signed r = { .method = "GET",
		.path = "/test.txt",
		.headers = &host,
		.n_headers = 1 };
	const char *got;

	(void)state;
	s3_set_time(&signer, WHEN);
	got = s3_presigned_query(a, &signer, &r, NULL, 0, 86400);
	assert_string_equal(strstr(got, "X-Amz-Signature=") + 16,
	    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	arena_free(a);
}

static void
what_is_no_letter_is_encoded(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_string_equal(
	    s3_encode(a, "a/b c+d%~\xc3\xa9"), "a%2Fb%20c%2Bd%25~%C3%A9");
	assert_string_equal(s3_encode_path(a, "a/b c"), "a/b%20c");
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_examples_come_out),
		cmocka_unit_test(another_day_has_another_key),
		cmocka_unit_test(a_url_can_be_signed_for_anybody),
		cmocka_unit_test(what_is_no_letter_is_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
