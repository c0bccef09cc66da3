/*
 * checklist_test.c - what no client can bring about: ids that are taken, and
 * sizes beyond any disk.  The names say which id of tests/protocol/checklist
 * they are for.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tus/drive.h"

#define BODY_TYPE "Content-Type: application/offset+octet-stream\n"

static char taken[TUS_ID_MAX + 1];
static int tries_before_free;

/* The same id so and so many times, then a new one. */
static void
taken_id(char id[TUS_ID_MAX + 1])
{
	if (tries_before_free-- > 0)
		memcpy(id, taken, sizeof(taken));
	else
		id_new(id);
}

/* How an enormous upload looks, without its bytes. */
static int64_t pretended_size;
static const struct store_core *real;

static enum err_code
get_enormous(struct data_store *store, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc = real->get_upload(store, id, a, up, e);

	if (rc == ERR_OK && pretended_size > 0)
		(*up)->info.size = (*up)->info.offset = pretended_size;
	return rc;
}

static int
setup(void **state)
{
	static struct world w;

	world_open(&w, 1000);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	world_close(*state);
	return 0;
}

static void
create_11_a_taken_id_is_never_overwritten(void **state)
{
	struct world *w = *state;
	const char *first = world_create(
	    w, BODY_TYPE "Upload-Length: 3\nUpload-Metadata: a YQ==");
	const char *second;
	struct reply r;

	memcpy(taken, strrchr(first, '/') + 1, 33);
	w->srv.new_id = taken_id;
	tries_before_free = 2;
	second = world_create(w, "Upload-Length: 7");
	assert_string_not_equal(first, second);
	assert_int_equal(tries_before_free, -1);
	r = world_ask(
	    w, (struct ask){ .method = "HEAD", .path = first, .headers = "" });
	assert_string_equal(reply_header(&r, "Upload-Length"), "3");
	assert_string_equal(reply_header(&r, "Upload-Metadata"), "a YQ==");
}

static void
create_11_without_a_free_id_it_is_500(void **state)
{
	struct world *w = *state;
	const char *first = world_create(w, "Upload-Length: 3");
	struct reply r;

	memcpy(taken, strrchr(first, '/') + 1, 33);
	w->srv.new_id = taken_id;
	tries_before_free = 1000;
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = "Upload-Length: 7" });
	assert_int_equal(r.status, 500);
	assert_null(reply_header(&r, "Location"));
	assert_true(tries_before_free > 900);
	assert_int_equal(world_offset(w, first), 0);
}

static void
concat_16_a_sum_beyond_63_bits_is_413(void **state)
{
	struct world *w = *state;
	const char *part =
	    world_create(w, "Upload-Length: 0\nUpload-Concat: partial");
	struct store_core core = *w->store->core;
	const char *header =
	    arena_printf(w->arena, "Upload-Concat: final;%s %s", part, part);
	struct ask ask = {
		.method = "POST", .path = "/files", .headers = header
	};
	struct reply r;

	real = w->store->core;
	core.get_upload = get_enormous;
	w->store->core = &core;
	pretended_size = INT64_C(1) << 62;
	r = world_ask(w, ask);
	pretended_size = 0;
	assert_int_equal(r.status, 413);
	assert_string_equal(r.code, "ERR_MAX_SIZE_EXCEEDED");
	assert_null(reply_header(&r, "Location"));
	assert_int_equal(world_ask(w, ask).status, 201);
	w->store->core = real;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(create_11_a_taken_id_is_never_overwritten),
		T(create_11_without_a_free_id_it_is_500),
		T(concat_16_a_sum_beyond_63_bits_is_413),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
