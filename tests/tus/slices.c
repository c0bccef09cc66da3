/*
 * slices.c - run tests with bodies in slices of several sizes.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tus/slices.h"

static size_t slice;

int
slices_open(void **state)
{
	static struct world w;

	world_time = 1700000000;
	world_open(&w, slice);
	*state = &w;
	return 0;
}

int
slices_close(void **state)
{
	world_close(*state);
	return 0;
}

int
slices_run(int (*run)(void))
{
	static const size_t slices[] = { 1, 3, 1000 };
	int failed = 0;
	size_t i;

	for (i = 0; i < NITEMS(slices); i++) {
		slice = slices[i];
		printf("bodies in slices of %zu bytes\n", slice);
		failed += run();
	}
	return failed;
}

struct reply
world_patch(
    struct world *w, const char *path, const char *headers, const char *body)
{
	return world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = arena_printf(w->arena, BODY_TYPE "%s", headers),
		.body = body });
}

struct reply
world_get(struct world *w, const char *path, const char *headers)
{
	return world_ask(w,
	    (struct ask){ .method = "GET", .path = path, .headers = headers });
}

const char *
world_create_whole(struct world *w, const char *headers, const char *body)
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

size_t
world_count_uploads(struct world *w)
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
