/*
 * refuse_test.c - a request that is refused changes nothing.
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

#include "tests/tus/slices.h"

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

static void
what_is_refused_changes_nothing(void **state)
{
	struct world *w = *state;
	const char *upload =
	    world_create(w, "Upload-Length: 11\nUpload-Metadata: a YQ==");
	const char *whole = world_create_whole(w, "", "hello");
	size_t i;

	assert_int_equal(
	    world_patch(w, upload, "Upload-Offset: 0", "hello").status, 204);
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
		if (world_count_uploads(w) != 2 || world_offset(w, upload) != 5)
			fail_msg("%s (row %zu) left something", row->id, i);
	}
	assert_int_equal(
	    world_patch(w, upload, "Upload-Offset: 5", " world").status, 204);
	assert_content(w, upload, "hello world");
	assert_content(w, whole, "hello");
}

static int
run(void)
{
	const struct CMUnitTest tests[] = {
		SLICED(what_is_refused_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int
main(void)
{
	return slices_run(run);
}
