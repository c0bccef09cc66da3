/*
 * core_test.c - uploads, in-process over the memory store.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "tests/tus/gate.h"
#include "tests/tus/slices.h"

static void
bytes_arrive_in_order_and_the_last_one_finishes(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 11");
	struct reply r;

	assert_int_equal(world_offset(w, path), 0);
	r = world_patch(w, path, "Upload-Offset: 0", "hello ");
	assert_int_equal(r.status, 204);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "6");
	assert_null(r.body);
	assert_false(r.res->outcome.finished);
	assert_int_equal(world_get(w, path, "").status, 404);
	r = world_patch(w, path, UNKNOWN_CL "Upload-Offset: 6", "world");
	assert_int_equal(r.status, 204);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "11");
	assert_true(r.res->outcome.finished);
	assert_content(w, path, "hello world");
	/* PATCH-12: the client lost the answer and asks again. */
	r = world_patch(w, path, "Upload-Offset: 11", "");
	assert_int_equal(r.status, 204);
	assert_false(r.res->outcome.finished);
	r = world_patch(w, path, UNKNOWN_CL "Upload-Offset: 11", "");
	assert_int_equal(r.status, 204);
}

static void
early_end_keeps_what_came(void **state)
{
	static const struct {
		enum body_end end;
		const char *headers;
		int status;
	} rows[] = {
		{ END_CLIENT_GONE, "", 400 },
		{ END_COMPLETE, "Content-Length: 10\n", 400 },
		{ END_TIMED_OUT, "Content-Length: 10\n", 423 },
		{ END_SHUTDOWN, "Content-Length: 10\n", 503 },
		{ END_CLIENT_GONE, UNKNOWN_CL, 400 },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		const char *path = world_create(w, "Upload-Length: 11");
		struct reply r = world_ask(w,
		    (struct ask){ .method = "PATCH",
			.path = path,
			.headers = arena_printf(w->arena,
			    BODY_TYPE "Content-Length: 10\n"
				      "Upload-Offset: 0\n%s",
			    rows[i].headers),
			.body = "hello",
			.end = rows[i].end });

		assert_int_equal(r.status, rows[i].status);
		assert_int_equal(world_offset(w, path), 5);
	}
}

static void
early_end_drops_what_was_not_verified(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 11");
	struct reply r = world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE "Content-Length: 10\nUpload-Offset: 0\n"
				     "Upload-Checksum: crc32 AAAAAA==",
		.body = "hello",
		.end = END_CLIENT_GONE });

	assert_int_equal(r.status, 400);
	assert_int_equal(world_offset(w, path), 0);
}

static void
early_end_of_a_creation_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct reply r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = BODY_TYPE "Content-Length: 10\nUpload-Length: 10",
		.body = "hello",
		.end = END_CLIENT_GONE });

	assert_int_equal(r.status, 400);
	assert_false(r.res->outcome.created);
	assert_int_equal(world_count_uploads(w), 0);
}

static void
body_beyond_content_length_is_ignored(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 11");

	assert_int_equal(
	    world_patch(w, path, "Content-Length: 5\nUpload-Offset: 0",
		"hello, and more")
		.status,
	    204);
	assert_int_equal(world_offset(w, path), 5);
}

static void
matching_checksum_counts(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 9");

	assert_int_equal(
	    world_patch(w, path,
		"Upload-Offset: 0\nUpload-Checksum: crc32 y/Q5Jg==",
		"123456789")
		.status,
	    204);
	assert_content(w, path, "123456789");
	/* CKSUM-11: that of nothing is verified as well. */
	path = world_create(w, "Upload-Length: 9");
	assert_int_equal(
	    world_patch(w, path,
		"Upload-Offset: 0\nUpload-Checksum: crc32 AAAAAA==", "")
		.status,
	    204);
	assert_int_equal(
	    world_patch(w, path,
		"Upload-Offset: 0\nUpload-Checksum: crc32 AAAAAQ==", "")
		.status,
	    460);
}

static void
creation_may_bring_the_first_bytes(void **state)
{
	struct world *w = *state;
	struct reply r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files/",
		.headers = BODY_TYPE UNKNOWN_CL "Upload-Length: 11",
		.body = "hello" });
	const char *path;

	assert_int_equal(r.status, 201);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "5");
	path = reply_header(&r, "Location");
	assert_int_equal(world_offset(w, path), 5);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 5", " world").status, 204);
	assert_content(w, path, "hello world");
	path = world_create(w, "Upload-Length: 0");
	assert_content(w, path, "");
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 0", "").status, 204);
}

static void
length_may_come_later(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Defer-Length: 1");
	struct reply r;

	r = world_patch(w, path, "Upload-Offset: 0", "hello ");
	assert_int_equal(r.status, 204);
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_string_equal(reply_header(&r, "Upload-Defer-Length"), "1");
	assert_null(reply_header(&r, "Upload-Length"));
	/* DEFER-09, DEFER-13: what fails declares nothing. */
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 6\nUpload-Length: 5", "")
		.status,
	    400);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 6\nUpload-Length: 8", "world")
		.status,
	    413);
	assert_int_equal(
	    world_patch(w, path,
		UNKNOWN_CL "Upload-Offset: 6\nUpload-Length: 8", "world")
		.status,
	    413);
	assert_int_equal(world_patch(w, path,
			     "Upload-Offset: 6\nUpload-Length: 11\n"
			     "Upload-Checksum: crc32 AAAAAA==",
			     "world")
			     .status,
	    460);
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_string_equal(reply_header(&r, "Upload-Offset"), "6");
	assert_string_equal(reply_header(&r, "Upload-Defer-Length"), "1");
	r = world_patch(w, path, "Upload-Offset: 6\nUpload-Length: 11", "wor");
	assert_int_equal(r.status, 204);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 9\nUpload-Length: 12", "ld")
		.status,
	    400);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 9\nUpload-Length: 11", "ld")
		.status,
	    204);
	assert_content(w, path, "hello world");
	path = world_create(w, "Upload-Defer-Length: 1");
	r = world_patch(w, path, "Upload-Offset: 0\nUpload-Length: 0", "");
	assert_int_equal(r.status, 204);
	assert_true(r.res->outcome.finished);
}

static void
max_size_holds_for_every_way_in(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.max_size = 8;
	assert_int_equal(world_ask(w,
			     (struct ask){ .method = "POST",
				 .path = "/files",
				 .headers = "Upload-Length: 9" })
			     .status,
	    413);
	(void)world_create(w, "Upload-Length: 8");
	path = world_create(w, "Upload-Defer-Length: 1");
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 0", "123456789").status, 413);
	assert_int_equal(
	    world_patch(w, path, UNKNOWN_CL "Upload-Offset: 0", "123456789")
		.status,
	    413);
	assert_int_equal(world_offset(w, path), 0);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 0\nUpload-Length: 9", "")
		.status,
	    413);
	assert_int_equal(
	    world_patch(w, path, UNKNOWN_CL "Upload-Offset: 0", "12345678")
		.status,
	    204);
}

static void
head_tells_what_creation_said(void **state)
{
	static const char metadata[] = "filename d29ybGQ=, b,c Yg==";
	struct world *w = *state;
	const char *path = world_create(w,
	    arena_printf(w->arena,
		"Upload-Length: 3\nUpload-Concat: partial\n"
		"Upload-Metadata:  %s ",
		metadata));
	struct reply r =
	    world_ask(w, (struct ask){ .method = "HEAD", .path = path });

	assert_int_equal(r.status, 200);
	assert_string_equal(reply_header(&r, "Upload-Metadata"), metadata);
	assert_string_equal(reply_header(&r, "Upload-Concat"), "partial");
	assert_string_equal(reply_header(&r, "Upload-Length"), "3");
	assert_string_equal(reply_header(&r, "Cache-Control"), "no-store");
	assert_true(r.res->bodiless);
}

static void
final_upload_is_its_parts_in_order(void **state)
{
	struct world *w = *state;
	const char *a =
	    world_create_whole(w, "Upload-Concat: partial\n", "abc");
	const char *b = world_create_whole(w, "Upload-Concat: partial\n", "de");
	const char *plain = world_create_whole(w, "", "plain");
	const char *raw =
	    arena_printf(w->arena, "final;%s http://other%s  %s", b, a, b);
	const char *path;
	struct reply r;

	path = world_create(w,
	    arena_printf(
		w->arena, "Upload-Concat: %s\nUpload-Metadata: a YQ==", raw));
	assert_content(w, path, "deabcde");
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_string_equal(reply_header(&r, "Upload-Concat"), raw);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "7");
	assert_string_equal(reply_header(&r, "Upload-Metadata"), "a YQ==");
	/* CONCAT-08, even an empty one. */
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 7", "").status, 403);
	/* CONCAT-11, CONCAT-13 */
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = arena_printf(w->arena, "Upload-Concat: final;%s",
		    world_create(
			w, "Upload-Length: 1\nUpload-Concat: partial")) });
	assert_string_equal(r.code, "ERR_UPLOAD_NOT_FINISHED");
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = arena_printf(
		    w->arena, "Upload-Concat: final;%s %s", a, plain) });
	assert_string_equal(r.code, "ERR_INVALID_CONCAT");
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers =
		    arena_printf(w->arena, "Upload-Concat: final;%s", path) });
	assert_string_equal(r.code, "ERR_INVALID_CONCAT");
	/* CONCAT-16 */
	w->srv.core.max_size = 4;
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = arena_printf(
		    w->arena, "Upload-Concat: final;%s %s", a, b) });
	assert_int_equal(r.status, 413);
}

static void
parts_are_removed_where_configured(void **state)
{
	struct world *w = *state;
	const char *a =
	    world_create_whole(w, "Upload-Concat: partial\n", "abc");
	const char *path;

	w->srv.core.concat_removes_parts = true;
	path = world_create(
	    w, arena_printf(w->arena, "Upload-Concat: final;%s %s", a, a));
	assert_content(w, path, "abcabc");
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "HEAD", .path = a }).status,
	    404);
}

static void
expiry_slides_with_each_accepted_patch(void **state)
{
	struct world *w = *state;
	const char *path;
	struct reply r;

	w->srv.core.expire_after = 100;
	path = world_create(w, "Upload-Length: 3");
	world_time += 60;
	r = world_patch(w, path, "Upload-Offset: 0", "a");
	assert_string_equal(reply_header(&r, "Upload-Expires"),
	    "Tue, 14 Nov 2023 22:16:00 GMT");
	(void)world_patch(w, path, "Upload-Offset: 2", "x");
	world_time += 60;
	assert_int_equal(world_offset(w, path), 1);
	world_time += 60;
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_int_equal(r.status, 410);
	assert_int_equal(
	    world_patch(w, path, "Upload-Offset: 1", "b").status, 410);
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "DELETE", .path = path })
		.status,
	    204);
	w->srv.core.expire_sliding = false;
	path = world_create(w, "Upload-Length: 3");
	world_time += 60;
	r = world_patch(w, path, "Upload-Offset: 0", "a");
	assert_string_equal(reply_header(&r, "Upload-Expires"),
	    "Tue, 14 Nov 2023 22:18:00 GMT");
	r = world_patch(w, path, "Upload-Offset: 1", "bc");
	assert_null(reply_header(&r, "Upload-Expires"));
	world_time += 1000;
	assert_content(w, path, "abc");
}

static void
terminated_uploads_are_gone(void **state)
{
	struct world *w = *state;
	const char *path = world_create_whole(w, "", "abc");
	struct ask ask = { .method = "DELETE", .path = path };

	w->srv.core.allow_terminate_finished = false;
	assert_int_equal(world_ask(w, ask).status, 403);
	w->srv.core.allow_terminate_finished = true;
	assert_int_equal(world_ask(w, ask).status, 204);
	assert_int_equal(world_ask(w, ask).status, 404);
	assert_int_equal(world_get(w, path, "").status, 404);
}

/* Remove one capability; method, Allow and extension vanish together. */
static void
check_without(struct world *w, const char *extension, const char *method,
    const char *without)
{
	const char *path = world_create(w, "Upload-Length: 3");
	struct reply r =
	    world_ask(w, (struct ask){ .method = "OPTIONS", .path = "/files" });
	const char *list = reply_header(&r, "Tus-Extension");

	assert_int_equal(r.status, 200);
	/* The plainest extensions need nothing but a store. */
	assert_non_null(list);
	if (extension != NULL &&
	    (strstr(list, extension) != NULL) != (without == NULL))
		fail_msg("%s without %s", list, without);
	r = world_ask(w, (struct ask){ .method = "PUT", .path = path });
	if (method == NULL)
		return;
	list = reply_header(&r, "Allow");
	if ((strstr(list, method) != NULL) != (without == NULL))
		fail_msg("Allow: %s without %s", list, without);
	r = world_ask(w, (struct ask){ .method = method, .path = path });
	if ((r.status == 405) != (without != NULL))
		fail_msg("%s answers %d without %s", method, r.status, without);
}

static void
what_a_store_lacks_is_not_offered(void **state)
{
	struct world *w = *state;
	struct data_store *s = w->store;
	struct data_store all = *s;

	w->srv.core.expire_after = 100;
	check_without(w, "termination", "DELETE", NULL);
	s->terminater = NULL;
	check_without(w, "termination", "DELETE", "terminater");
	*s = all;
	check_without(w, NULL, "GET", NULL);
	s->reader = NULL;
	check_without(w, NULL, "GET", "reader");
	*s = all;
	check_without(w, "concatenation", NULL, NULL);
	s->concater = NULL;
	check_without(w, "concatenation", NULL, "concater");
	assert_int_equal(
	    world_ask(w,
		(struct ask){ .method = "POST",
		    .path = "/files",
		    .headers = "Upload-Length: 1\nUpload-Concat: partial" })
		.status,
	    400);
	*s = all;
	check_without(w, "creation-defer-length", NULL, NULL);
	s->length_declarer = NULL;
	check_without(w, "creation-defer-length", NULL, "length_declarer");
	assert_int_equal(world_ask(w,
			     (struct ask){ .method = "POST",
				 .path = "/files",
				 .headers = "Upload-Defer-Length: 1" })
			     .status,
	    400);
	*s = all;
	check_without(w, "expiration", NULL, NULL);
	s->expirer = NULL;
	check_without(w, "expiration", NULL, "expirer");
	*s = all;
	w->srv.core.allow_checksum = false;
	check_without(w, "checksum", NULL, "checksums");
	*s = all;
	s->finisher = NULL;
	assert_content(w, world_create_whole(w, "", "abc"), "abc");
	*s = all;
}

/* Bytes that came since the store was ready, and how often it was not. */
static int64_t paced_at;
static int busy;

static enum err_code
pace(struct upload *up, struct wait *wait, struct err *e)
{
	if (busy < 0)
		return err_set(e, ERR_UNAVAILABLE, "the bucket is gone");
	if (up->info.offset != paced_at) {
		/* Nothing was handed over before it was ready. */
		assert_int_equal(busy, 0);
		busy = 2;
	}
	paced_at = up->info.offset;
	if (busy > 0) {
		busy--;
		wait->ms = 1;
	}
	return ERR_OK;
}

static void
a_busy_store_is_waited_for(void **state)
{
	static const struct store_pacer pacer = { pace };
	struct world *w = *state;
	struct data_store *s = w->store;
	const char *path;

	busy = 0;
	paced_at = 0;
	s->pacer = &pacer;
	assert_content(w, world_create_whole(w, "", "abcdefgh"), "abcdefgh");
	/* After each slice. */
	assert_int_equal(w->waits, (8 + (int)w->slice - 1) / (int)w->slice);
	/* One that fails is as a write that fails: what came is kept. */
	path = world_create(w, "Upload-Length: 8");
	busy = -1;
	assert_int_equal(world_ask(w,
			     (struct ask){ .method = "PATCH",
				 .path = path,
				 .headers = BODY_TYPE "Upload-Offset: 0",
				 .body = "abcdefgh" })
			     .status,
	    503);
	assert_in_range(world_offset(w, path), 1, 8);
	s->pacer = NULL;
}

static const struct store_core *eager;
static int locks;

static void
count_lock(void)
{
	locks++;
}

/* As a locker whose locks leave a trace. */
static enum err_code
refuse_unless_known(enum lock_how how, struct err *e)
{
	if (how == LOCK_EXISTING && locks == 0)
		return err_set(e, ERR_NOT_FOUND, "never locked");
	return ERR_OK;
}

/* As a store for which it costs much to know how far an upload is. */
static enum err_code
find_lazily(struct data_store *s, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc = eager->get_upload(s, id, a, up, e);

	if (rc == ERR_OK && !upload_is_finished(*up)) {
		(*up)->info.offset = -1;
		(*up)->settled = false;
	}
	return rc;
}

/* As a store whose record does not say yet that an upload is finished. */
static enum err_code
find_behind(struct data_store *s, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc = eager->get_upload(s, id, a, up, e);

	if (rc == ERR_OK) {
		(*up)->info.finished = 0;
		(*up)->info.offset = -1;
		(*up)->settled = false;
	}
	return rc;
}

static int
append_to(
    struct world *w, const char *path, const char *offset, const char *text)
{
	return world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = offset,
		.body = text })
	    .status;
}

/* Without the lock if the upload was never locked, else with it. */
static void
an_offset_that_is_not_known_is_looked_for(void **state)
{
	struct world *w = *state;
	struct data_store *s = w->store;
	struct store_core lazy;
	const char *path;

	eager = s->core;
	lazy = *eager;
	lazy.find_upload = find_lazily;
	s->core = &lazy;
	w->srv.core.locker = gate_open();
	gate.taken = count_lock;
	gate.refuse = refuse_unless_known;
	path = world_create(w, "Upload-Length: 8");
	locks = 0;
	assert_int_equal(world_offset(w, path), 0);
	assert_int_equal(locks, 0);
	assert_int_equal(
	    append_to(w, path, BODY_TYPE "Upload-Offset: 0", "abcd"), 204);
	assert_int_equal(locks, 1);
	assert_int_equal(world_offset(w, path), 4);
	assert_int_equal(locks, 2);
	assert_int_equal(
	    append_to(w, path, BODY_TYPE "Upload-Offset: 4", "efgh"), 204);
	assert_int_equal(world_offset(w, path), 8);
	assert_content(w, path, "abcdefgh");
	path = world_create(w, "Upload-Length: 8");
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "DELETE", .path = path })
		.status,
	    204);
	w->srv.core.locker = NULL;
	s->core = eager;
}

static void
a_finish_that_is_not_recorded_is_looked_for(void **state)
{
	struct world *w = *state;
	struct data_store *s = w->store;
	struct store_core behind;
	const char *path, *final;

	eager = s->core;
	behind = *eager;
	path = world_create_whole(w, "Upload-Concat: partial\n", "abcd");
	behind.find_upload = find_behind;
	s->core = &behind;
	final = world_create(
	    w, arena_printf(w->arena, "Upload-Concat: final;%s", path));
	assert_content(w, final, "abcd");
	s->core = eager;
}

static int
run(void)
{
	const struct CMUnitTest tests[] = {
		SLICED(bytes_arrive_in_order_and_the_last_one_finishes),
		SLICED(early_end_keeps_what_came),
		SLICED(early_end_drops_what_was_not_verified),
		SLICED(early_end_of_a_creation_leaves_nothing),
		SLICED(body_beyond_content_length_is_ignored),
		SLICED(matching_checksum_counts),
		SLICED(creation_may_bring_the_first_bytes),
		SLICED(length_may_come_later),
		SLICED(max_size_holds_for_every_way_in),
		SLICED(head_tells_what_creation_said),
		SLICED(final_upload_is_its_parts_in_order),
		SLICED(parts_are_removed_where_configured),
		SLICED(expiry_slides_with_each_accepted_patch),
		SLICED(terminated_uploads_are_gone),
		SLICED(what_a_store_lacks_is_not_offered),
		SLICED(a_busy_store_is_waited_for),
		SLICED(an_offset_that_is_not_known_is_looked_for),
		SLICED(a_finish_that_is_not_recorded_is_looked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int
main(void)
{
	return slices_run(run);
}
