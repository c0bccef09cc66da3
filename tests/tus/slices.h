/*
 * slices.h - run tests with bodies in slices of several sizes.
 */
#ifndef TESTS_TUS_SLICES_H
#define TESTS_TUS_SLICES_H

#include "tests/tus/drive.h"

#define BODY_TYPE  "Content-Type: application/offset+octet-stream\n"
#define UNKNOWN_CL "Content-Length: -\n"

/* A test whose state is a struct world over the memory store. */
#define SLICED(f) cmocka_unit_test_setup_teardown(f, slices_open, slices_close)

int slices_open(void **state);
int slices_close(void **state);

/* Run the tests with slices of 1, 3 and 1000 bytes; how many failed. */
int slices_run(int (*run)(void));

/* PATCH with the type of its body. */
struct reply world_patch(
    struct world *, const char *path, const char *headers, const char *body);
struct reply world_get(struct world *, const char *path, const char *headers);

/* POST a whole upload; its path. */
const char *world_create_whole(
    struct world *, const char *headers, const char *body);

/* How many uploads the store has. */
size_t world_count_uploads(struct world *);

/* The upload has exactly this content. */
#define assert_content(w, path, text)                                          \
	do {                                                                   \
		struct reply got_ = world_get(w, path, "");                    \
		assert_int_equal(got_.status, 200);                            \
		assert_int_equal(got_.len, strlen(text));                      \
		assert_memory_equal(got_.body, text, strlen(text));            \
	} while (0)

#endif
