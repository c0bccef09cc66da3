/*
 * checklist_test.c - what no client can bring about, or not for sure: ids that
 * are taken, sizes beyond any disk, what happens while one waits.  The names
 * say which id of tests/protocol/checklist they are for.
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
#include "tests/tus/gate.h"

#define BODY_TYPE "Content-Type: application/offset+octet-stream\n"

static char taken[ID_MAX + 1];
static int tries_before_free;

/* The same id so and so many times, then a new one. */
static void
taken_id(char id[ID_MAX + 1])
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
	w->srv.core.new_id = taken_id;
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
	w->srv.core.new_id = taken_id;
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
	core.get_upload = core.find_upload = get_enormous;
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

/* --- A holder that acts while others wait. ----------------------- */

static struct {
	bool busy;
	/* How often state() is asked until the lock is lost; 0: never. */
	int lost_after;
	/* Another refusal, or ERR_OK. */
	enum err_code refusal;
	const char *path;
} play;

static enum err_code
refuse(enum lock_how how, struct err *e)
{
	(void)how;
	if (play.busy)
		return err_set(e, ERR_LOCKED, "busy");
	return play.refusal == ERR_OK ? ERR_OK :
					err_set(e, play.refusal, "no lock");
}

static enum lock_state
state(void)
{
	if (play.lost_after > 0 && --play.lost_after == 0) {
		play.lost_after = 1;
		return LOCK_LOST;
	}
	return LOCK_HELD;
}

static struct locker *
open_gate(void)
{
	struct locker *locker = gate_open();

	gate.refuse = refuse;
	gate.state = state;
	return locker;
}

static void
a_lock_that_cannot_be_had_is_told_as_what_it_is(void **state)
{
	static const struct {
		enum err_code refusal;
		const char *method;
		int status;
		const char *code, *after;
	} rows[] = {
		{ ERR_CROWDED, "PATCH", 423, "ERR_UPLOAD_LOCKED", "1" },
		{ ERR_CROWDED, "DELETE", 423, "ERR_UPLOAD_LOCKED", "1" },
		{ ERR_CROWDED, "HEAD", 423, "ERR_UPLOAD_LOCKED", "1" },
		{ ERR_UNAVAILABLE, "PATCH", 503, "ERR_LOCK_UNAVAILABLE", "5" },
		{ ERR_UNAVAILABLE, "DELETE", 503, "ERR_LOCK_UNAVAILABLE", "5" },
		{ ERR_UNAVAILABLE, "HEAD", 423, "ERR_LOCK_UNAVAILABLE", "5" },
	};
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 3");
	struct reply r;
	size_t i;

	w->srv.core.locker = open_gate();
	for (i = 0; i < NITEMS(rows); i++) {
		play.refusal = rows[i].refusal;
		r = world_ask(w,
		    (struct ask){ .method = rows[i].method,
			.path = path,
			.headers = BODY_TYPE "Upload-Offset: 0",
			.body = "abc" });
		assert_int_equal(r.status, rows[i].status);
		assert_string_equal(r.code, rows[i].code);
		assert_string_equal(
		    reply_header(&r, "Retry-After"), rows[i].after);
	}
	play.refusal = ERR_OK;
}

/* At whichever of the looks it is lost: nothing is acknowledged, and nothing
 * is taken back that was written, for another may have acknowledged it. */
static void
who_lost_the_lock_acknowledges_nothing_and_cuts_nothing(void **state)
{
	static const char *const headers[] = { BODY_TYPE "Upload-Offset: 3",
		BODY_TYPE
		"Upload-Offset: 3\n"
		"Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=" };
	struct world *w = *state;
	struct ask ask = { .method = "PATCH", .body = "def" };
	struct reply r;
	int n, lost = 0;
	size_t i;

	w->srv.core.locker = open_gate();
	w->srv.core.locker->can_lose = true;
	for (i = 0; i < 2 * 12; i++) {
		n = (int)i / 2 + 1;
		ask.path = world_create(w, "Upload-Length: 9");
		ask.headers = BODY_TYPE "Upload-Offset: 0";
		ask.body = "abc";
		play.lost_after = 0;
		assert_int_equal(world_ask(w, ask).status, 204);
		ask.headers = headers[i % 2];
		ask.body = "def";
		play.lost_after = n;
		r = world_ask(w, ask);
		play.lost_after = 0;
		if (r.status == 423) {
			lost++;
			assert_string_equal(r.code, "ERR_UPLOAD_INTERRUPTED");
			assert_null(reply_header(&r, "Upload-Offset"));
		}
		assert_int_equal(gate.held, 0);
		r = world_ask(
		    w, (struct ask){ .method = "HEAD", .path = ask.path });
		assert_true(atoi(reply_header(&r, "Upload-Offset")) >= 3);
	}
	assert_true(lost >= 6);
	w->srv.core.locker->can_lose = false;
}

static void
holder_terminates(struct world *w)
{
	struct ask ask = { .method = "DELETE", .path = play.path };

	play.busy = false;
	assert_int_equal(world_ask(w, ask).status, 204);
}

static void
term_07_who_waited_for_what_was_terminated_hears_404(void **state)
{
	static const char *const methods[] = { "PATCH", "HEAD", "DELETE" };
	struct world *w = *state;
	struct reply r;
	size_t i;

	w->srv.core.locker = open_gate();
	for (i = 0; i < NITEMS(methods); i++) {
		play.path = world_create(w, "Upload-Length: 3");
		play.busy = true;
		gate.retired = 0;
		r = world_ask(w,
		    (struct ask){ .method = methods[i],
			.path = play.path,
			.headers = BODY_TYPE "Upload-Offset: 0",
			.body = "abc",
			.while_busy = holder_terminates });
		assert_int_equal(r.status, 404);
		assert_null(reply_header(&r, "Upload-Offset"));
		/* The lock of nothing does not stay behind. */
		assert_int_equal(gate.retired, 2);
		assert_int_equal(gate.held, 0);
		assert_int_equal(gate.asking, 0);
	}
}

static void
holder_is_slow(struct world *w)
{
	world_time += 200;
	play.busy = false;
	(void)w;
}

static void
expire_07_time_may_be_up_while_one_waits(void **state)
{
	struct world *w = *state;
	struct reply r;

	w->srv.core.locker = open_gate();
	w->srv.core.expire_after = 100;
	w->srv.core.expire_sliding = true;
	play.path = world_create(w, "Upload-Length: 3");
	play.busy = true;
	r = world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = play.path,
		.headers = BODY_TYPE "Upload-Offset: 0",
		.body = "abc",
		.while_busy = holder_is_slow });
	assert_int_equal(r.status, 410);
	assert_int_equal(gate.held, 0);
}

/* --- A pool that is full. ------------------------------------------------- */

static void
who_finds_no_place_hears_503_and_nothing_else(void **state)
{
	static const char *const everybody[] = { "*", NULL };
	struct world *w = *state;
	const char *path = world_create(w, "Upload-Length: 3");
	struct ask ask = { .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE "Upload-Offset: 0",
		.body = "abc",
		.turn_away = true };
	int i;

	w->srv.cors.origins = everybody;
	for (i = 0; i < 2; i++) {
		struct reply r = world_ask(w, ask);

		assert_int_equal(r.status, 503);
		assert_string_equal(r.code, "ERR_TOO_BUSY");
		assert_string_equal(reply_header(&r, "Retry-After"), "1");
		assert_string_equal(
		    reply_header(&r, "Cache-Control"), "no-store");
		assert_non_null(reply_header(&r, "Vary"));
		assert_null(reply_header(&r, "ETag"));
		assert_null(r.res->content);
		assert_int_equal(world_offset(w, path), i == 0 ? 0 : 3);
		/* Then the same for a download. */
		ask.turn_away = false;
		if (i == 0)
			assert_int_equal(world_ask(w, ask).status, 204);
		ask = (struct ask){
			.method = "GET", .path = path, .turn_away = true
		};
	}
}

/* --- A record that another program has made. ------------------------------ */

static enum err_code
get_foreign(struct data_store *store, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc = real->get_upload(store, id, a, up, e);

	if (rc == ERR_OK)
		(*up)->info.concat_raw = NULL;
	return rc;
}

static void
head_10_a_foreign_final_upload_names_its_parts(void **state)
{
	struct world *w = *state;
	const char *part =
	    world_create(w, "Upload-Length: 0\nUpload-Concat: partial");
	const char *value = arena_printf(w->arena, "final;%s %s", part, part);
	const char *final =
	    world_create(w, arena_printf(w->arena, "Upload-Concat: %s", value));
	static struct store_core core;
	struct reply r;

	real = w->store->core;
	core = *real;
	core.get_upload = core.find_upload = get_foreign;
	w->store->core = &core;
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = final });
	assert_string_equal(reply_header(&r, "Upload-Concat"), value);
	r = world_ask(w, (struct ask){ .method = "HEAD", .path = part });
	assert_string_equal(reply_header(&r, "Upload-Concat"), "partial");
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
		T(a_lock_that_cannot_be_had_is_told_as_what_it_is),
		T(who_lost_the_lock_acknowledges_nothing_and_cuts_nothing),
		T(term_07_who_waited_for_what_was_terminated_hears_404),
		T(expire_07_time_may_be_up_while_one_waits),
		T(who_finds_no_place_hears_503_and_nothing_else),
		T(head_10_a_foreign_final_upload_names_its_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
