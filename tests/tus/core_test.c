/*
 * core_test.c - the protocol, in-process over the memory store.
 *
 * Everything runs with bodies cut into slices of 1, 3 and 1000 bytes.
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

#include "tests/tus/drive.h"

#define BODY_TYPE  "Content-Type: application/offset+octet-stream\n"
#define UNKNOWN_CL "Content-Length: -\n"

static size_t slice;

static int
setup(void **state)
{
	static struct world w;

	world_time = 1700000000;
	world_open(&w, slice);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	world_close(*state);
	return 0;
}

static struct reply
patch(struct world *w, const char *path, const char *headers, const char *body)
{
	return world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = arena_printf(w->arena, BODY_TYPE "%s", headers),
		.body = body });
}

static struct reply
get(struct world *w, const char *path, const char *headers)
{
	return world_ask(w,
	    (struct ask){ .method = "GET", .path = path, .headers = headers });
}

static const char *
create_whole(struct world *w, const char *headers, const char *body)
{
	struct reply r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = arena_printf(w->arena,
		    BODY_TYPE "Upload-Length: %zu\n%s", strlen(body), headers),
		.body = body });

	assert_int_equal(r.status, 201);
	return reply_header(&r, "Location");
}

#define assert_content(w, path, text)                                          \
	do {                                                                   \
		struct reply got_ = get(w, path, "");                          \
		assert_int_equal(got_.status, 200);                            \
		assert_int_equal(got_.len, strlen(text));                      \
		assert_memory_equal(got_.body, text, strlen(text));            \
	} while (0)

/* A request and its answer; UPLOAD stands for an upload of 11 bytes that is
 * at offset 5, WHOLE for one of 5 that is finished. */
struct row {
	const char *id;
	const char *method;
	const char *path;
	const char *headers;
	const char *body;
	int status;
	const char *code;
};

static const struct row refused[] = {
	{ "VER-01", "POST", "/files", "Tus-Resumable: 0.2.2\nUpload-Length: 1",
	    NULL, 412, "ERR_UNSUPPORTED_VERSION" },
	{ "VER-02", "POST", "/files", "Tus-Resumable: -\nUpload-Length: 1",
	    NULL, 412, "ERR_UNSUPPORTED_VERSION" },
	{ "VER-03", "PATCH", "UPLOAD",
	    "Tus-Resumable: -\nUpload-Offset: 5\n" BODY_TYPE, "x", 412,
	    "ERR_UNSUPPORTED_VERSION" },
	{ "VER-04", "DELETE", "UPLOAD", "Tus-Resumable: 1.0", NULL, 412,
	    "ERR_UNSUPPORTED_VERSION" },
	{ "VER-07", "HEAD", "UPLOAD", "Tus-Resumable: 1.0.0, 1.0.0", NULL, 412,
	    "ERR_UNSUPPORTED_VERSION" },
	{ "VER-08", "HEAD", "/files/nothing", "Tus-Resumable: 2", NULL, 412,
	    "ERR_UNSUPPORTED_VERSION" },
	{ "OVR-05", "POST", "/files", "X-HTTP-Method-Override: FOO", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-02", "GET", "/files", "", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-02", "PATCH", "/files/", "", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-03", "POST", "UPLOAD", "Upload-Length: 1", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-04", "PUT", "UPLOAD", "", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-04", "patch", "UPLOAD", "", NULL, 405,
	    "ERR_METHOD_NOT_ALLOWED" },
	{ "ROUTE-06", "POST", NULL, "Upload-Length: 1", NULL, 404,
	    "ERR_UPLOAD_NOT_FOUND" },
	{ "SEC-01", "HEAD", "/files/..", "", NULL, 404,
	    "ERR_UPLOAD_NOT_FOUND" },
	{ "SEC-01", "HEAD", "/files//x", "", NULL, 404,
	    "ERR_UPLOAD_NOT_FOUND" },
	{ "HEAD-05", "HEAD", "/files/nothing", "", NULL, 404,
	    "ERR_UPLOAD_NOT_FOUND" },
	{ "PATCH-02", "PATCH", "UPLOAD", "Upload-Offset: 5", "x", 415,
	    "ERR_INVALID_CONTENT_TYPE" },
	{ "PATCH-05", "PATCH", "UPLOAD", BODY_TYPE, "x", 400,
	    "ERR_INVALID_OFFSET" },
	{ "PATCH-05", "PATCH", "UPLOAD", BODY_TYPE "Upload-Offset: -1", "x",
	    400, "ERR_INVALID_OFFSET" },
	{ "PATCH-06", "PATCH", "UPLOAD", BODY_TYPE "Upload-Offset: 4", "x", 409,
	    "ERR_MISMATCHED_OFFSET" },
	{ "PATCH-06", "PATCH", "UPLOAD", BODY_TYPE "Upload-Offset: 6", "x", 409,
	    "ERR_MISMATCHED_OFFSET" },
	{ "PATCH-07", "PATCH", "/files/nothing", BODY_TYPE "Upload-Offset: 0",
	    "x", 404, "ERR_UPLOAD_NOT_FOUND" },
	{ "PATCH-09", "PATCH", "UPLOAD", BODY_TYPE "Upload-Offset: 5",
	    " worlds", 413, "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "PATCH-10", "PATCH", "UPLOAD",
	    BODY_TYPE UNKNOWN_CL "Upload-Offset: 5", " worlds", 413,
	    "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "PATCH-13", "PATCH", "WHOLE", BODY_TYPE "Upload-Offset: 5", "x", 413,
	    "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "PATCH-13", "PATCH", "WHOLE", BODY_TYPE UNKNOWN_CL "Upload-Offset: 5",
	    "x", 413, "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "PATCH-23", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nUpload-Length: 12", "x", 400,
	    "ERR_INVALID_UPLOAD_LENGTH" },
	{ "FCGI-08", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nContent-Length: abc", "x", 400,
	    "ERR_INVALID_CONTENT_LENGTH" },
	{ "CREATE-03", "POST", "/files", "", NULL, 400,
	    "ERR_INVALID_UPLOAD_LENGTH" },
	{ "CREATE-04", "POST", "/files", "Upload-Length: 1e3", NULL, 400,
	    "ERR_INVALID_UPLOAD_LENGTH" },
	{ "DEFER-02", "POST", "/files", "Upload-Defer-Length: 2", NULL, 400,
	    "ERR_INVALID_UPLOAD_LENGTH_DEFER" },
	{ "DEFER-03", "POST", "/files",
	    "Upload-Defer-Length: 1\nUpload-Length: 1", NULL, 400,
	    "ERR_AMBIGUOUS_UPLOAD_LENGTH" },
	{ "META-04", "POST", "/files",
	    "Upload-Length: 1\nUpload-Metadata: a YQ==,a Yg==", NULL, 400,
	    "ERR_INVALID_METADATA" },
	{ "CWU-04", "POST", "/files", "Upload-Length: 1", "x", 415,
	    "ERR_INVALID_CONTENT_TYPE" },
	{ "CWU-04", "POST", "/files", UNKNOWN_CL "Upload-Length: 1", "x", 415,
	    "ERR_INVALID_CONTENT_TYPE" },
	{ "CWU-05", "POST", "/files", BODY_TYPE "Upload-Length: 1", "xy", 413,
	    "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "CWU-05", "POST", "/files", BODY_TYPE UNKNOWN_CL "Upload-Length: 1",
	    "xy", 413, "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "CWU-06", "POST", "/files", BODY_TYPE "Upload-Length: 0", "x", 413,
	    "ERR_UPLOAD_SIZE_EXCEEDED" },
	{ "CKSUM-02", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nUpload-Checksum: crc32 AAAAAA==",
	    " world", 460, "ERR_CHECKSUM_MISMATCH" },
	{ "CKSUM-03", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nUpload-Checksum: sha1 YQ==", " world",
	    460, "ERR_CHECKSUM_MISMATCH" },
	{ "CKSUM-04", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nUpload-Checksum: sha3 YQ==", " world",
	    400, "ERR_CHECKSUM_ALGORITHM" },
	{ "CKSUM-05", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nUpload-Checksum: sha1", " world", 400,
	    "ERR_INVALID_CHECKSUM" },
	{ "CKSUM-10", "POST", "/files",
	    BODY_TYPE "Upload-Length: 1\nUpload-Checksum: crc32 AAAAAA==", "x",
	    460, "ERR_CHECKSUM_MISMATCH" },
	{ "CKSUM-17", "PATCH", "UPLOAD",
	    BODY_TYPE "Upload-Offset: 5\nTrailer: Upload-Checksum", " world",
	    400, "ERR_CHECKSUM_TRAILER_UNSUPPORTED" },
	{ "TERM-05", "DELETE", "/files/nothing", "", NULL, 404,
	    "ERR_UPLOAD_NOT_FOUND" },
	{ "CONCAT-02", "POST", "/files", "Upload-Concat: partial", NULL, 400,
	    "ERR_INVALID_UPLOAD_LENGTH" },
	{ "CONCAT-09", "POST", "/files",
	    "Upload-Concat: final;/files/a\nUpload-Length: 1", NULL, 400,
	    "ERR_INVALID_UPLOAD_LENGTH" },
	{ "CONCAT-10", "POST", "/files",
	    BODY_TYPE "Upload-Concat: final;/files/a", "x", 403,
	    "ERR_MODIFY_FINAL" },
	{ "CONCAT-10", "POST", "/files",
	    BODY_TYPE UNKNOWN_CL "Upload-Concat: final;/files/a", "x", 403,
	    "ERR_MODIFY_FINAL" },
	{ "CONCAT-12", "POST", "/files", "Upload-Concat: final;/files/a", NULL,
	    404, "ERR_UPLOAD_NOT_FOUND" },
	{ "CONCAT-14", "POST", "/files", "Upload-Concat: final;", NULL, 400,
	    "ERR_INVALID_CONCAT" },
	{ "GET-02", "GET", "UPLOAD", "", NULL, 404, "ERR_UPLOAD_NOT_FOUND" },
	{ "GET-07", "GET", "WHOLE", "Range: bytes=5-", NULL, 416,
	    "ERR_INVALID_RANGE" },
};

static size_t
count_uploads(struct world *w)
{
	const char *id;
	void *cursor = NULL;
	struct err e;
	size_t n = 0;

	do {
		assert_int_equal(w->store->expirer->walk_next(w->store, &cursor,
				     INT64_MAX, w->arena, &id, &e),
		    ERR_OK);
		n += id != NULL;
	} while (id != NULL);
	return n;
}

static void
what_is_refused_changes_nothing(void **state)
{
	struct world *w = *state;
	const char *upload =
	    world_create(w, "Upload-Length: 11\nUpload-Metadata: a YQ==");
	const char *whole = create_whole(w, "", "hello");
	size_t i;

	assert_int_equal(
	    patch(w, upload, "Upload-Offset: 0", "hello").status, 204);
	for (i = 0; i < NITEMS(refused); i++) {
		const struct row *row = &refused[i];
		struct ask ask = { .method = row->method,
			.path = row->path,
			.headers = row->headers,
			.body = row->body };
		struct reply r;

		if (ask.path != NULL && strcmp(ask.path, "UPLOAD") == 0)
			ask.path = upload;
		if (ask.path != NULL && strcmp(ask.path, "WHOLE") == 0)
			ask.path = whole;
		r = world_ask(w, ask);
		if (r.status != row->status || strcmp(r.code, row->code) != 0)
			fail_msg("%s (row %zu): %d %s", row->id, i, r.status,
			    r.code);
		if (count_uploads(w) != 2 || world_offset(w, upload) != 5)
			fail_msg("%s (row %zu) left something", row->id, i);
	}
	assert_int_equal(
	    patch(w, upload, "Upload-Offset: 5", " world").status, 204);
	assert_content(w, upload, "hello world");
	assert_content(w, whole, "hello");
}

static void
bytes_arrive_in_order_and_the_last_one_finishes(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 11");
	struct reply r;

	assert_int_equal(world_offset(w, path), 0);
	r = patch(w, path, "Upload-Offset: 0", "hello ");
	assert_int_equal(r.status, 204);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "6");
	assert_null(r.body);
	assert_false(r.res->outcome.finished);
	assert_int_equal(get(w, path, "").status, 404);
	r = patch(w, path, UNKNOWN_CL "Upload-Offset: 6", "world");
	assert_int_equal(r.status, 204);
	assert_string_equal(reply_header(&r, "Upload-Offset"), "11");
	assert_true(r.res->outcome.finished);
	assert_content(w, path, "hello world");
	/* PATCH-12: the client lost the answer and asks again. */
	r = patch(w, path, "Upload-Offset: 11", "");
	assert_int_equal(r.status, 204);
	assert_false(r.res->outcome.finished);
	r = patch(w, path, UNKNOWN_CL "Upload-Offset: 11", "");
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
	assert_int_equal(count_uploads(w), 0);
}

static void
body_beyond_content_length_is_ignored(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 11");

	assert_int_equal(patch(w, path, "Content-Length: 5\nUpload-Offset: 0",
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
	    patch(w, path, "Upload-Offset: 0\nUpload-Checksum: crc32 y/Q5Jg==",
		"123456789")
		.status,
	    204);
	assert_content(w, path, "123456789");
	/* CKSUM-11: that of nothing is verified as well. */
	path = world_create(w, "Upload-Length: 9");
	assert_int_equal(
	    patch(w, path,
		"Upload-Offset: 0\nUpload-Checksum: crc32 AAAAAA==", "")
		.status,
	    204);
	assert_int_equal(
	    patch(w, path,
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
	    patch(w, path, "Upload-Offset: 5", " world").status, 204);
	assert_content(w, path, "hello world");
	path = world_create(w, "Upload-Length: 0");
	assert_content(w, path, "");
	assert_int_equal(patch(w, path, "Upload-Offset: 0", "").status, 204);
}

static void
length_may_come_later(void **state)
{
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Defer-Length: 1");
	struct reply r;

	r = patch(w, path, "Upload-Offset: 0", "hello ");
	assert_int_equal(r.status, 204);
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_string_equal(reply_header(&r, "Upload-Defer-Length"), "1");
	assert_null(reply_header(&r, "Upload-Length"));
	/* DEFER-09, DEFER-13: what fails declares nothing. */
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 6\nUpload-Length: 5", "").status,
	    400);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 6\nUpload-Length: 8", "world")
		.status,
	    413);
	assert_int_equal(
	    patch(w, path, UNKNOWN_CL "Upload-Offset: 6\nUpload-Length: 8",
		"world")
		.status,
	    413);
	assert_int_equal(patch(w, path,
			     "Upload-Offset: 6\nUpload-Length: 11\n"
			     "Upload-Checksum: crc32 AAAAAA==",
			     "world")
			     .status,
	    460);
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_string_equal(reply_header(&r, "Upload-Offset"), "6");
	assert_string_equal(reply_header(&r, "Upload-Defer-Length"), "1");
	r = patch(w, path, "Upload-Offset: 6\nUpload-Length: 11", "wor");
	assert_int_equal(r.status, 204);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 9\nUpload-Length: 12", "ld").status,
	    400);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 9\nUpload-Length: 11", "ld").status,
	    204);
	assert_content(w, path, "hello world");
	path = world_create(w, "Upload-Defer-Length: 1");
	r = patch(w, path, "Upload-Offset: 0\nUpload-Length: 0", "");
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
	    patch(w, path, "Upload-Offset: 0", "123456789").status, 413);
	assert_int_equal(
	    patch(w, path, UNKNOWN_CL "Upload-Offset: 0", "123456789").status,
	    413);
	assert_int_equal(world_offset(w, path), 0);
	assert_int_equal(
	    patch(w, path, "Upload-Offset: 0\nUpload-Length: 9", "").status,
	    413);
	assert_int_equal(
	    patch(w, path, UNKNOWN_CL "Upload-Offset: 0", "12345678").status,
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
	const char *a = create_whole(w, "Upload-Concat: partial\n", "abc");
	const char *b = create_whole(w, "Upload-Concat: partial\n", "de");
	const char *plain = create_whole(w, "", "plain");
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
	assert_int_equal(patch(w, path, "Upload-Offset: 7", "").status, 403);
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
	const char *a = create_whole(w, "Upload-Concat: partial\n", "abc");
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
	r = patch(w, path, "Upload-Offset: 0", "a");
	assert_string_equal(reply_header(&r, "Upload-Expires"),
	    "Tue, 14 Nov 2023 22:16:00 GMT");
	(void)patch(w, path, "Upload-Offset: 2", "x");
	world_time += 60;
	assert_int_equal(world_offset(w, path), 1);
	world_time += 60;
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = path });
	assert_int_equal(r.status, 410);
	assert_int_equal(patch(w, path, "Upload-Offset: 1", "b").status, 410);
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "DELETE", .path = path })
		.status,
	    204);
	w->srv.core.expire_sliding = false;
	path = world_create(w, "Upload-Length: 3");
	world_time += 60;
	r = patch(w, path, "Upload-Offset: 0", "a");
	assert_string_equal(reply_header(&r, "Upload-Expires"),
	    "Tue, 14 Nov 2023 22:18:00 GMT");
	r = patch(w, path, "Upload-Offset: 1", "bc");
	assert_null(reply_header(&r, "Upload-Expires"));
	world_time += 1000;
	assert_content(w, path, "abc");
}

static void
terminated_uploads_are_gone(void **state)
{
	struct world *w = *state;
	const char *path = create_whole(w, "", "abc");
	struct ask ask = { .method = "DELETE", .path = path };

	w->srv.core.allow_terminate_finished = false;
	assert_int_equal(world_ask(w, ask).status, 403);
	w->srv.core.allow_terminate_finished = true;
	assert_int_equal(world_ask(w, ask).status, 204);
	assert_int_equal(world_ask(w, ask).status, 404);
	assert_int_equal(get(w, path, "").status, 404);
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
	assert_content(w, create_whole(w, "", "abc"), "abc");
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
	assert_content(w, create_whole(w, "", "abcdefgh"), "abcdefgh");
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

/* With no lock, with one that was there before, and when it is finished. */
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
	path = world_create(w, "Upload-Length: 8");
	assert_int_equal(world_offset(w, path), 0);
	assert_int_equal(
	    append_to(w, path, BODY_TYPE "Upload-Offset: 0", "abcd"), 204);
	assert_int_equal(world_offset(w, path), 4);
	assert_int_equal(
	    append_to(w, path, BODY_TYPE "Upload-Offset: 4", "efgh"), 204);
	assert_int_equal(world_offset(w, path), 8);
	assert_content(w, path, "abcdefgh");
	path = world_create(w, "Upload-Length: 8");
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "DELETE", .path = path })
		.status,
	    204);
	s->core = eager;
}

static void
downloads_are_harmless(void **state)
{
	static const struct {
		const char *metadata;
		const char *type;
		const char *disposition;
	} rows[] = {
		/* image/png, a.png */
		{ "filetype aW1hZ2UvcG5n,filename YS5wbmc=", "image/png",
		    "inline;filename=\"a.png\"" },
		/* text/html */
		{ "filetype dGV4dC9odG1s", "text/html", "attachment" },
		/* text/html CR LF X:y */
		{ "filetype dGV4dC9odG1sDQpYOnk=", "application/octet-stream",
		    "attachment" },
		/* a";x="\ CR LF */
		{ "filename YSI7eD0iXA0K", "application/octet-stream",
		    "attachment;filename=\"a\\\";x=\\\"\\\\__\"" },
		/* ä */
		{ "filename w6Q=", "application/octet-stream",
		    "attachment;filename=\"__\";filename*=UTF-8''%C3%A4" },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		const char *path = create_whole(w,
		    arena_printf(
			w->arena, "Upload-Metadata: %s\n", rows[i].metadata),
		    "abc");
		struct reply r = get(w, path, "Tus-Resumable: -");

		assert_int_equal(r.status, 200);
		assert_string_equal(
		    reply_header(&r, "Content-Type"), rows[i].type);
		assert_string_equal(reply_header(&r, "Content-Disposition"),
		    rows[i].disposition);
		assert_string_equal(
		    reply_header(&r, "X-Content-Type-Options"), "nosniff");
	}
}

static void
part_of_a_download(void **state)
{
	struct world *w = *state;
	const char *path = create_whole(w, "", "0123456789"), *tag;
	struct reply r = get(w, path, "Range: bytes=2-4");

	assert_int_equal(r.status, 206);
	assert_string_equal(reply_header(&r, "Content-Range"), "bytes 2-4/10");
	assert_int_equal(r.len, 3);
	assert_memory_equal(r.body, "234", 3);
	tag = reply_header(&r, "ETag");
	r = get(w, path, arena_printf(w->arena, "If-None-Match: %s", tag));
	assert_int_equal(r.status, 304);
	r = get(w, path, "Range: bytes=2-4\nIf-Range: \"other\"");
	assert_int_equal(r.status, 200);
}

static void
only_listed_origins_get_in(void **state)
{
	static const char *const origins[] = { "https://good.example", NULL };
	static const char *const any[] = { "*", NULL };
	struct world *w = *state;
	struct ask ask = { .method = "OPTIONS",
		.path = "/files",
		.headers = "Origin: https://good.example" };
	struct reply r = world_ask(w, ask);

	assert_null(reply_header(&r, "Access-Control-Allow-Origin"));
	w->srv.cors.origins = origins;
	w->srv.cors.credentials = true;
	w->srv.cors.max_age = 86400;
	r = world_ask(w, ask);
	assert_string_equal(reply_header(&r, "Access-Control-Allow-Origin"),
	    "https://good.example");
	assert_string_equal(
	    reply_header(&r, "Access-Control-Allow-Credentials"), "true");
	assert_string_equal(
	    reply_header(&r, "Access-Control-Max-Age"), "86400");
	assert_string_equal(reply_header(&r, "Vary"), "Origin");
	ask.headers = "Origin: https://good.example.evil";
	r = world_ask(w, ask);
	assert_int_equal(r.status, 403);
	assert_null(reply_header(&r, "Access-Control-Allow-Origin"));
	/* The page of this very host is no stranger. */
	ask.headers = "Origin: https://up.example\nHost: up.example";
	r = world_ask(w, ask);
	assert_int_equal(r.status, 200);
	assert_null(reply_header(&r, "Access-Control-Allow-Origin"));
	w->srv.cors.origins = any;
	ask.method = "HEAD";
	ask.path = "/files/nothing";
	r = world_ask(w, ask);
	assert_int_equal(r.status, 404);
	assert_string_equal(
	    reply_header(&r, "Access-Control-Allow-Origin"), "*");
	assert_null(reply_header(&r, "Access-Control-Allow-Credentials"));
	assert_non_null(reply_header(&r, "Access-Control-Expose-Headers"));
}

static void
location_is_built_as_configured(void **state)
{
	static const struct {
		enum web_location how;
		const char *headers;
		const char *start;
	} rows[] = {
		{ WEB_LOCATION_PATH, "Host: h:80", "/files/" },
		{ WEB_LOCATION_ABSOLUTE, "Host: h:80", "http://h:80/files/" },
		{ WEB_LOCATION_ABSOLUTE, "Host: h\nScheme: https",
		    "https://h/files/" },
		{ WEB_LOCATION_ABSOLUTE, "Host: a/b", "/files/" },
		{ WEB_LOCATION_ABSOLUTE, "", "/files/" },
		{ WEB_LOCATION_BASE, "Host: h", "https://up.example/files/" },
	};
	struct world *w = *state;
	size_t i;

	w->srv.location_base = "https://up.example";
	for (i = 0; i < NITEMS(rows); i++) {
		const char *location;

		w->srv.location = rows[i].how;
		location = world_create(w,
		    arena_printf(
			w->arena, "Upload-Length: 1\n%s", rows[i].headers));
		if (strncmp(location, rows[i].start, strlen(rows[i].start)) !=
		    0)
			fail_msg("row %zu: %s", i, location);
	}
}

static void
other_peoples_uploads_do_not_exist(void **state)
{
	struct world *w = *state;
	const char *path;

	w->srv.core.owner_required = true;
	path = world_create(w, "Upload-Length: 1\nOwner: anne");
	assert_int_equal(
	    world_ask(w,
		(struct ask){
		    .method = "HEAD", .path = path, .headers = "Owner: anne" })
		.status,
	    200);
	assert_int_equal(
	    world_ask(w,
		(struct ask){
		    .method = "HEAD", .path = path, .headers = "Owner: bert" })
		.status,
	    404);
	assert_int_equal(world_ask(w,
			     (struct ask){ .method = "DELETE",
				 .path = path,
				 .headers = "Owner: bert" })
			     .status,
	    404);
	assert_int_equal(
	    world_ask(w, (struct ask){ .method = "HEAD", .path = path }).status,
	    403);
}

static int
head_as(struct world *w, const char *path, const char *owner)
{
	return world_ask(
	    w, (struct ask){ .method = "HEAD", .path = path, .headers = owner })
	    .status;
}

static void
an_owner_need_not_be_required(void **state)
{
	struct world *w = *state;
	const char *annes, *anybodys;

	annes = world_create(w, "Upload-Length: 1\nOwner: anne");
	anybodys = world_create(w, "Upload-Length: 1");
	assert_int_equal(head_as(w, annes, "Owner: anne"), 200);
	assert_int_equal(head_as(w, annes, "Owner: bert"), 404);
	assert_int_equal(head_as(w, annes, NULL), 404);
	assert_int_equal(head_as(w, anybodys, "Owner: anne"), 200);
	assert_int_equal(head_as(w, anybodys, NULL), 200);
	w->srv.core.owner_required = true;
	assert_int_equal(head_as(w, annes, "Owner: anne"), 200);
	assert_int_equal(head_as(w, anybodys, "Owner: anne"), 404);
	assert_int_equal(head_as(w, anybodys, NULL), 403);
}

/* Every method that may come, with every one that an override may name. */
static void
an_override_never_makes_more_of_a_safe_method(void **state)
{
	static const char *const came[] = { "POST", "PUT", "PATCH", "DELETE",
		"GET", "HEAD", "OPTIONS", "TRACE", "FOO", "options", "get" };
	static const char *const named[] = { "POST", "PATCH", "DELETE", "GET",
		"HEAD", "OPTIONS", "patch", "Delete" };
	/* A letter per name: yes, no. */
	static const char *const allowed[NITEMS(came)] = { "yyyyyyyy",
		"yyyyyyyy", "yyyyyyyy", "yyyyyyyy", "nnnyyynn", "nnnyyynn",
		"nnnnnynn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn" };
	struct world *w = *state;
	struct reply r;
	size_t i, j;

	for (i = 0; i < NITEMS(came); i++)
		for (j = 0; j < NITEMS(named); j++) {
			const char *whole = create_whole(w, "", "hello");

			r = world_ask(w,
			    (struct ask){ .method = came[i],
				.path = strcasecmp(named[j], "POST") == 0 ?
				    "/files" :
				    whole,
				.headers = arena_printf(w->arena,
				    "X-HTTP-Method-Override: %s\n" BODY_TYPE
				    "Upload-Length: 5\nUpload-Offset: 5",
				    named[j]) });
			if (allowed[i][j] == 'y') {
				assert_in_range(r.status, 200, 204);
				continue;
			}
			assert_int_equal(r.status, 405);
			assert_non_null(reply_header(&r, "Allow"));
			assert_string_equal(
			    r.res->outcome.code, "ERR_METHOD_NOT_ALLOWED");
			assert_int_equal(head_as(w, whole, NULL), 200);
		}
}

/* HTTP has its own opinion of HEAD, whatever we make of it. */
static void
nothing_that_is_or_was_head_has_a_body(void **state)
{
	struct world *w = *state;
	const char *path = create_whole(w, "", "hello");
	static const struct {
		const char *method, *override;
		int status;
	} rows[] = {
		{ "HEAD", "FOO", 405 },
		{ "HEAD", "GET", 200 },
		{ "HEAD", "OPTIONS", 200 },
		{ "HEAD", "POST", 405 },
		{ "HEAD", "PATCH", 405 },
		{ "HEAD", "HEAD", 200 },
		{ "HEAD", "", 200 },
		{ "PATCH", "HEAD", 200 },
		{ "HEAD", "head", 200 },
		{ "HEAD", "DELETE", 405 },
		{ "DELETE", "HEAD", 200 },
		{ "GET", "HEAD", 200 },
	};
	struct reply r;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		r = world_ask(w,
		    (struct ask){ .method = rows[i].method,
			.path = path,
			.headers = arena_printf(w->arena,
			    "X-HTTP-Method-Override: %s", rows[i].override) });
		assert_int_equal(r.status, rows[i].status);
		assert_true(r.res->bodiless);
		assert_null(r.res->text);
		if (r.status >= 400)
			assert_null(reply_header(&r, "Content-Type"));
	}
}

int
main(void)
{
	static const size_t slices[] = { 1, 3, 1000 };
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_refused_changes_nothing),
		T(bytes_arrive_in_order_and_the_last_one_finishes),
		T(early_end_keeps_what_came),
		T(early_end_drops_what_was_not_verified),
		T(early_end_of_a_creation_leaves_nothing),
		T(body_beyond_content_length_is_ignored),
		T(matching_checksum_counts),
		T(creation_may_bring_the_first_bytes),
		T(length_may_come_later),
		T(max_size_holds_for_every_way_in),
		T(head_tells_what_creation_said),
		T(final_upload_is_its_parts_in_order),
		T(parts_are_removed_where_configured),
		T(expiry_slides_with_each_accepted_patch),
		T(terminated_uploads_are_gone),
		T(what_a_store_lacks_is_not_offered),
		T(a_busy_store_is_waited_for),
		T(an_offset_that_is_not_known_is_looked_for),
		T(downloads_are_harmless),
		T(part_of_a_download),
		T(only_listed_origins_get_in),
		T(location_is_built_as_configured),
		T(other_peoples_uploads_do_not_exist),
		T(an_owner_need_not_be_required),
		T(an_override_never_makes_more_of_a_safe_method),
		T(nothing_that_is_or_was_head_has_a_body),
	};
	int failed = 0;
	size_t i;

	for (i = 0; i < NITEMS(slices); i++) {
		slice = slices[i];
		printf("bodies in slices of %zu bytes\n", slice);
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	}
	return failed;
}
