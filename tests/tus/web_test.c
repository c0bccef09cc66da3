/*
 * web_test.c - downloads, origins, owners and overrides, in-process over the
 * memory store.
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
		const char *path = world_create_whole(w,
		    arena_printf(
			w->arena, "Upload-Metadata: %s\n", rows[i].metadata),
		    "abc");
		struct reply r = world_get(w, path, "Tus-Resumable: -");

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
	const char *path = world_create_whole(w, "", "0123456789"), *tag;
	struct reply r = world_get(w, path, "Range: bytes=2-4");

	assert_int_equal(r.status, 206);
	assert_string_equal(reply_header(&r, "Content-Range"), "bytes 2-4/10");
	assert_int_equal(r.len, 3);
	assert_memory_equal(r.body, "234", 3);
	tag = reply_header(&r, "ETag");
	r = world_get(
	    w, path, arena_printf(w->arena, "If-None-Match: %s", tag));
	assert_int_equal(r.status, 304);
	r = world_get(w, path, "Range: bytes=2-4\nIf-Range: \"other\"");
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
			const char *whole = world_create_whole(w, "", "hello");

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
	const char *path = world_create_whole(w, "", "hello");
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

static int
run(void)
{
	const struct CMUnitTest tests[] = {
		SLICED(downloads_are_harmless),
		SLICED(part_of_a_download),
		SLICED(only_listed_origins_get_in),
		SLICED(location_is_built_as_configured),
		SLICED(other_peoples_uploads_do_not_exist),
		SLICED(an_owner_need_not_be_required),
		SLICED(an_override_never_makes_more_of_a_safe_method),
		SLICED(nothing_that_is_or_was_head_has_a_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int
main(void)
{
	return slices_run(run);
}
