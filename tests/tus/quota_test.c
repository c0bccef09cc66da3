/*
 * quota_test.c - what an owner may have, in-process over the file store.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/base/temp.h"
#include "tests/tus/drive.h"

#define BODY_TYPE  "Content-Type: application/offset+octet-stream\n"
#define UNKNOWN_CL "Content-Length: -\n"
#define JOE	   "Owner: joe\n"
#define SUE	   "Owner: sue\n"
#define DEFER	   "Upload-Defer-Length: 1\n"

#define QUOTA	   "ERR_QUOTA_EXCEEDED"

static int
setup(void **state)
{
	static struct world w;

	(void)temp_enter(state);
	world_open_in(&w, 4, temp_folder());
	*state = &w;
	return 0;
}

/* Nothing is in the ledger that is not in the store. */
static int
teardown(void **state)
{
	struct world *w = *state;
	struct err e;
	int64_t n;

	assert_int_equal(
	    w->store->ledger->prune(w->store, NULL, true, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	world_close(w);
	return temp_leave(state);
}

static struct reply
post(struct world *w, const char *headers, const char *body)
{
	return world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = headers,
		.body = body });
}

static struct reply
patch(struct world *w, const char *path, const char *headers, const char *body)
{
	return world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = arena_printf(w->arena, BODY_TYPE JOE "%s", headers),
		.body = body });
}

static struct reply
ask(struct world *w, const char *method, const char *path)
{
	return world_ask(
	    w, (struct ask){ .method = method, .path = path, .headers = JOE });
}

static int64_t
offset(struct world *w, const char *path)
{
	struct reply r = ask(w, "HEAD", path);

	assert_int_equal(r.status, 200);
	return atoll(reply_header(&r, "Upload-Offset"));
}

static bool
is_deferred(struct world *w, const char *path)
{
	struct reply r = ask(w, "HEAD", path);

	return reply_header(&r, "Upload-Defer-Length") != NULL;
}

static void
assert_over_quota(struct reply r)
{
	assert_int_equal(r.status, 413);
	assert_string_equal(r.code, "ERR_QUOTA_EXCEEDED");
	assert_non_null(strstr(r.body, "remove some of your"));
	assert_int_equal(r.res->err->code, ERR_OK);
}

/* So many bytes of joe's are free, and not one more. */
static void
assert_free(struct world *w, long long bytes)
{
	struct reply r;

	assert_over_quota(post(w,
	    arena_printf(w->arena, JOE "Upload-Length: %lld\n", bytes + 1),
	    NULL));
	r = post(w, arena_printf(w->arena, JOE "Upload-Length: %lld\n", bytes),
	    NULL);
	assert_int_equal(r.status, 201);
	r = ask(w, "DELETE", reply_header(&r, "Location"));
	assert_int_equal(r.status, 204);
}

static void
an_owner_creates_no_more_than_the_quota(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.quota.uploads = 2;
	path = world_create(w, JOE "Upload-Length: 5");
	(void)world_create(w, JOE DEFER);
	assert_over_quota(post(w, JOE "Upload-Length: 5", NULL));
	assert_over_quota(post(w, JOE DEFER, NULL));
	assert_over_quota(post(w, JOE BODY_TYPE "Upload-Length: 5", "hello"));
	(void)world_create(w, SUE "Upload-Length: 5");
	assert_int_equal(ask(w, "DELETE", path).status, 204);
	(void)world_create(w, JOE "Upload-Length: 5");
	assert_over_quota(post(w, JOE "Upload-Length: 5", NULL));
}

static void
who_has_no_owner_has_no_quota(void **state)
{
	struct world *w = *state;
	int i;

	w->srv.core.quota = (struct store_quota){ 1, 1 };
	for (i = 0; i < 3; i++)
		(void)world_create(w, "Upload-Length: 5");
}

static void
announced_bytes_count_whether_they_came_or_not(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.quota.bytes = 10;
	path = world_create(w, JOE "Upload-Length: 6");
	assert_free(w, 4);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 0", "hello!").status, 204);
	assert_free(w, 4);
	(void)world_create(w, JOE "Upload-Length: 0");
	assert_free(w, 4);
}

static void
what_is_there_goes_on_when_the_quota_shrinks(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.quota = (struct store_quota){ 2, 100 };
	path = world_create(w, JOE "Upload-Length: 5");
	(void)world_create(w, JOE "Upload-Length: 5");
	w->srv.core.quota = (struct store_quota){ 1, 1 };
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 0", "hello").status, 204);
}

static void
the_size_limit_is_told_first(void **state)
{
	struct world *w = *state;
	const char *path;
	struct reply r;

	w->srv.core.quota.bytes = 5;
	w->srv.core.max_size = 6;
	r = post(w, JOE "Upload-Length: 7", NULL);
	assert_string_equal(r.code, "ERR_MAX_SIZE_EXCEEDED");
	assert_over_quota(post(w, JOE "Upload-Length: 6", NULL));
	path = world_create(w, JOE DEFER);
	r = patch(w, path, "Upload-Offset: 0\nUpload-Length: 7", "1234567");
	assert_string_equal(r.code, "ERR_MAX_SIZE_EXCEEDED");
	r = patch(w, path, "Upload-Offset: 0", "1234567");
	assert_string_equal(r.code, "ERR_MAX_SIZE_EXCEEDED");
	assert_over_quota(patch(w, path,
	    "Upload-Offset: 0\nUpload-Length: 6\nUpload-Checksum: sha1",
	    "123456"));
}

static void
a_creation_that_fails_gives_its_room_back(void **state)
{
	struct world *w = *state;
	struct reply r;

	w->srv.core.quota = (struct store_quota){ 1, 10 };
	r = post(w,
	    JOE BODY_TYPE "Upload-Length: 5\nUpload-Checksum: sha1 "
			  "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
	    "hello");
	assert_int_equal(r.status, 460);
	r = post(w, JOE BODY_TYPE UNKNOWN_CL "Upload-Length: 5", "hello!");
	assert_int_equal(r.status, 413);
	r = post(w, JOE BODY_TYPE UNKNOWN_CL "Upload-Length: 5", "hello");
	assert_int_equal(r.status, 201);
	assert_over_quota(post(w, JOE DEFER, NULL));
}

static void
always_this(char id[ID_MAX + 1])
{
	(void)strcpy(id, "this");
}

static void
an_id_that_somebody_else_has_is_not_entered(void **state)
{
	struct world *w = *state;

	w->srv.core.quota.uploads = 1;
	w->srv.core.new_id = always_this;
	(void)world_create(w, SUE "Upload-Length: 5");
	assert_int_equal(post(w, JOE "Upload-Length: 5", NULL).status, 500);
	w->srv.core.new_id = id_new;
	(void)world_create(w, JOE "Upload-Length: 5");
}

static void
a_body_that_is_announced_is_refused_before_it_comes(void **state)
{
	struct world *w = *state;
	const char *path;
	struct reply r;

	w->srv.core.quota.bytes = 10;
	path = world_create(w, JOE DEFER);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 0", "hello").status, 204);
	r = patch(w, path, "Upload-Offset: 5", "world!");
	assert_over_quota(r);
	assert_int_equal(r.res->outcome.received, 0);
	assert_int_equal(offset(w, path), 5);
	assert_free(w, 5);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 5", "world").status, 204);
	assert_free(w, 0);
	assert_over_quota(post(w, JOE BODY_TYPE DEFER, "1"));
}

static void
a_body_of_unknown_length_is_taken_back_when_room_runs_out(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.quota.bytes = 30;
	path = world_create(w, JOE DEFER);
	assert_int_equal(
	    patch(w, path, UNKNOWN_CL "Upload-Offset: 0", "hello").status, 204);
	assert_free(w, 25);
	assert_over_quota(patch(w, path, UNKNOWN_CL "Upload-Offset: 5",
	    "12345678901234567890123456"));
	assert_int_equal(offset(w, path), 5);
	assert_free(w, 25);
	assert_int_equal(patch(w, path, UNKNOWN_CL "Upload-Offset: 5",
			     "1234567890123456789012345")
			     .status,
	    204);
	assert_int_equal(offset(w, path), 30);
	assert_free(w, 0);
	assert_int_equal(ask(w, "DELETE", path).status, 204);
	assert_free(w, 30);
}

static void
a_client_that_leaves_keeps_no_more_than_what_came(void **state)
{
	struct world *w = *state;
	const char *path;
	struct reply r;

	w->srv.core.quota.bytes = 100;
	path = world_create(w, JOE DEFER);
	r = world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE JOE "Content-Length: 90\nUpload-Offset: 0",
		.body = "hello",
		.end = END_CLIENT_GONE });
	assert_int_equal(r.status, 400);
	assert_int_equal(offset(w, path), 5);
	assert_free(w, 95);
	r = world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE JOE UNKNOWN_CL "Upload-Offset: 5",
		.body = "hello",
		.end = END_CLIENT_GONE });
	assert_int_equal(offset(w, path), 10);
	assert_free(w, 90);
}

static void
a_deferred_creation_with_a_body_counts_what_came(void **state)
{
	struct world *w = *state;
	struct reply r;

	w->srv.core.quota.bytes = 20;
	assert_over_quota(
	    post(w, JOE BODY_TYPE DEFER UNKNOWN_CL, "123456789012345678901"));
	assert_free(w, 20);
	r = post(w, JOE BODY_TYPE DEFER, "123456789012345678901");
	assert_over_quota(r);
	assert_int_equal(r.res->outcome.received, 0);
	r = post(w, JOE BODY_TYPE DEFER UNKNOWN_CL, "hello");
	assert_int_equal(r.status, 201);
	assert_free(w, 15);
	r = post(w, JOE BODY_TYPE DEFER, "hello");
	assert_int_equal(r.status, 201);
	assert_free(w, 10);
}

static void
a_length_that_is_declared_is_reserved(void **state)
{
	struct world *w = *state;
	const char *path;
	struct reply r;

	w->srv.core.quota.bytes = 20;
	path = world_create(w, JOE DEFER);
	assert_over_quota(
	    patch(w, path, "Upload-Offset: 0\nUpload-Length: 21", "hello"));
	assert_true(is_deferred(w, path));
	assert_int_equal(offset(w, path), 0);
	assert_free(w, 20);
	r = patch(w, path,
	    "Upload-Offset: 0\nUpload-Length: 15\n"
	    "Upload-Checksum: sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
	    "hello");
	assert_int_equal(r.status, 460);
	assert_true(is_deferred(w, path));
	assert_free(w, 20);
	r = patch(w, path, "Upload-Offset: 0\nUpload-Length: 15", "hello");
	assert_int_equal(r.status, 204);
	assert_free(w, 5);
	r = patch(w, path, "Upload-Offset: 5", "1234567890");
	assert_int_equal(r.status, 204);
	assert_free(w, 5);
}

static void
a_concatenation_needs_room_for_its_parts_and_the_whole(void **state)
{
	struct world *w = *state;
	const char *a, *b, *final;

	w->srv.core.quota = (struct store_quota){ 3, 19 };
	w->srv.core.concat_removes_parts = true;
	a = world_create(w, JOE "Upload-Concat: partial\nUpload-Length: 5");
	b = world_create(w, JOE "Upload-Concat: partial\nUpload-Length: 5");
	assert_int_equal(patch(w, a, "Upload-Offset: 0", "hello").status, 204);
	assert_int_equal(patch(w, b, "Upload-Offset: 0", "world").status, 204);
	final = arena_printf(w->arena, JOE "Upload-Concat: final;%s %s", a, b);
	assert_over_quota(post(w, final, NULL));
	assert_free(w, 9);
	w->srv.core.quota.bytes = 20;
	w->srv.core.quota.uploads = 2;
	assert_over_quota(post(w, final, NULL));
	w->srv.core.quota.uploads = 3;
	assert_int_equal(post(w, final, NULL).status, 201);
	assert_free(w, 10);
	(void)world_create(w, JOE "Upload-Length: 0");
	(void)world_create(w, JOE "Upload-Length: 0");
	assert_over_quota(post(w, JOE "Upload-Length: 0", NULL));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest all[] = {
		TEST(an_owner_creates_no_more_than_the_quota),
		TEST(who_has_no_owner_has_no_quota),
		TEST(announced_bytes_count_whether_they_came_or_not),
		TEST(what_is_there_goes_on_when_the_quota_shrinks),
		TEST(the_size_limit_is_told_first),
		TEST(a_creation_that_fails_gives_its_room_back),
		TEST(an_id_that_somebody_else_has_is_not_entered),
		TEST(a_body_that_is_announced_is_refused_before_it_comes),
		TEST(a_body_of_unknown_length_is_taken_back_when_room_runs_out),
		TEST(a_client_that_leaves_keeps_no_more_than_what_came),
		TEST(a_deferred_creation_with_a_body_counts_what_came),
		TEST(a_length_that_is_declared_is_reserved),
		TEST(a_concatenation_needs_room_for_its_parts_and_the_whole),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
