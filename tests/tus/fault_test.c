/*
 * fault_test.c - every call of the store and of the locker fails once, in a
 * conversation that makes use of all of them.
 *
 * Whatever fails: the client gets one of the answers that mean "try again",
 * nothing stays locked or open, and when it does try again all ends well.
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

/* The n-th call fails; fired: it has. */
static struct {
	int countdown;
	bool fired;
	enum err_code code;
	int open;
} play;

static const struct store_core *core;
static const struct store_finisher *finisher;
static const struct store_terminater *terminater;
static const struct store_reader *reader;
static const struct store_concater *concater;
static const struct store_length_declarer *declarer;
static const struct store_expirer *expirer;

static bool
fails(struct err *e)
{
	if (--play.countdown != 0)
		return false;
	play.fired = true;
	(void)err_set(e, play.code, "planted");
	return true;
}

/* --- The store, with a gate before every call ----------------------------- */

static enum err_code
new_upload(struct data_store *s, const struct file_info *info, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc =
	    fails(e) ? play.code : core->new_upload(s, info, a, up, e);

	play.open += rc == ERR_OK;
	return rc;
}

static enum err_code
new_hidden(struct data_store *s, const struct file_info *info, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc =
	    fails(e) ? play.code : core->new_hidden(s, info, a, up, e);

	play.open += rc == ERR_OK;
	return rc;
}

static enum err_code
get_upload(struct data_store *s, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc =
	    fails(e) ? play.code : core->get_upload(s, id, a, up, e);

	play.open += rc == ERR_OK;
	return rc;
}

static enum err_code
claim(struct upload *up, struct err *e)
{
	return fails(e) ? play.code : core->claim(up, e);
}

static enum err_code
confirm(struct upload *up, struct err *e)
{
	return fails(e) ? play.code : core->confirm(up, e);
}

static enum err_code
write_begin(struct upload *up, bool on_probation, struct err *e)
{
	return fails(e) ? play.code : core->write_begin(up, on_probation, e);
}

static enum err_code
write(struct upload *up, const void *buf, size_t len, struct err *e)
{
	return fails(e) ? play.code : core->write(up, buf, len, e);
}

/* A store that cannot end a write properly takes the bytes back. */
static enum err_code
write_end(struct upload *up, bool keep, struct err *e)
{
	struct err ignored;

	if (!fails(e))
		return core->write_end(up, keep, e);
	(void)!core->write_end(up, false, &ignored);
	return play.code;
}

static void
close_upload(struct upload *up)
{
	play.open--;
	core->close(up);
}

static enum err_code
finish(struct upload *up, unsigned pending, struct err *e)
{
	return fails(e) ? play.code : finisher->finish(up, pending, e);
}

static enum err_code
done(struct upload *up, unsigned what, struct err *e)
{
	return fails(e) ? play.code : finisher->done(up, what, e);
}

static enum err_code
terminate(struct upload *up, struct err *e)
{
	return fails(e) ? play.code : terminater->terminate(up, e);
}

static enum err_code
open_stream(struct upload *up, int64_t from, struct arena *a, struct stream **s,
    struct err *e)
{
	return fails(e) ? play.code : reader->open(up, from, a, s, e);
}

static enum err_code
concat(struct data_store *s, const struct file_info *info, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc =
	    fails(e) ? play.code : concater->concat(s, info, a, up, e);

	play.open += rc == ERR_OK;
	return rc;
}

static enum err_code
declare_length(struct upload *up, int64_t length, struct err *e)
{
	return fails(e) ? play.code : declarer->declare_length(up, length, e);
}

static enum err_code
set_expiry(struct upload *up, int64_t when, struct err *e)
{
	return fails(e) ? play.code : expirer->set_expiry(up, when, e);
}

/* --- The locker ---------------------------------------------------------- */

static enum err_code
refuse(enum lock_how how, struct err *e)
{
	(void)how;
	return fails(e) ? play.code : ERR_OK;
}

/* Puts the gates in. */
static void
open_gated(struct world *w)
{
	static struct store_core gated_core;
	static struct store_finisher gated_finisher;
	static struct store_terminater gated_terminater;
	static struct store_reader gated_reader;
	static struct store_concater gated_concater;
	static struct store_length_declarer gated_declarer;
	static struct store_expirer gated_expirer;

	world_open(w, 2);
	core = w->store->core;
	gated_core = (struct store_core){ new_upload, new_hidden, get_upload,
		get_upload, claim, confirm, write_begin, write, write_end,
		close_upload, core->shutdown };
	w->store->core = &gated_core;
	finisher = w->store->finisher;
	gated_finisher = *finisher;
	gated_finisher.finish = finish;
	gated_finisher.done = done;
	w->store->finisher = &gated_finisher;
	terminater = w->store->terminater;
	gated_terminater = *terminater;
	gated_terminater.terminate = terminate;
	w->store->terminater = &gated_terminater;
	reader = w->store->reader;
	gated_reader = *reader;
	gated_reader.open = open_stream;
	w->store->reader = &gated_reader;
	concater = w->store->concater;
	gated_concater = *concater;
	gated_concater.concat = concat;
	w->store->concater = &gated_concater;
	declarer = w->store->length_declarer;
	gated_declarer = *declarer;
	gated_declarer.declare_length = declare_length;
	w->store->length_declarer = &gated_declarer;
	expirer = w->store->expirer;
	gated_expirer = *expirer;
	gated_expirer.set_expiry = set_expiry;
	w->store->expirer = &gated_expirer;
	w->srv.core.locker = gate_open();
	gate.refuse = refuse;
	w->srv.core.expire_after = 100;
}

/* --- A client that does not give up --------------------------------------- */

/* One request.  What fails may be told with these, and nothing stays open. */
static struct reply
ask_once(struct world *w, struct ask ask, int expected)
{
	struct reply r;
	bool had_fired = play.fired;

	world_time++;
	r = world_ask(w, ask);
	assert_int_equal(gate.held, 0);
	assert_int_equal(play.open, 0);
	if (r.status != expected && (had_fired || !play.fired))
		fail_msg("%s %s: %d, not %d", ask.method, ask.path, r.status,
		    expected);
	if (r.status != expected && r.status != 423 && r.status != 500 &&
	    r.status != 503 && r.status != 507)
		fail_msg("%s: %d after a failure", ask.method, r.status);
	if (r.status != expected)
		assert_null(reply_header(&r, "Upload-Offset"));
	/* A client starts all over after any 5xx for HEAD. */
	if (r.status != expected && strcmp(ask.method, "HEAD") == 0)
		assert_int_equal(r.status, 423);
	return r;
}

static struct reply
ask_again(struct world *w, struct ask ask, int expected)
{
	struct reply r = ask_once(w, ask, expected);

	return r.status == expected ? r : ask_once(w, ask, expected);
}

static const char *
create(struct world *w, const char *headers, const char *body)
{
	struct reply r = ask_again(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = headers,
		.body = body },
	    201);

	return reply_header(&r, "Location");
}

static long long
offset_of(struct world *w, const char *path)
{
	struct reply r = ask_again(w,
	    (struct ask){ .method = "HEAD", .path = path, .headers = "" }, 200);

	return strtoll(reply_header(&r, "Upload-Offset"), NULL, 10);
}

/* Sends the body from an offset on, and whatever of it did not arrive. */
static void
send(struct world *w, const char *path, const char *headers, long long from,
    const char *body)
{
	long long end = from + (long long)strlen(body), at = from;
	struct ask ask = { .method = "PATCH", .path = path };
	struct reply r;
	int tries;

	for (tries = 0; tries < 2; tries++) {
		ask.headers =
		    arena_printf(w->arena, BODY_TYPE "Upload-Offset: %lld\n%s",
			at, at == from ? headers : "");
		ask.body = body + (at - from);
		r = ask_once(w, ask, 204);
		if (r.status == 204)
			return;
		at = offset_of(w, path);
		assert_true(at >= from && at <= end);
	}
	fail_msg("%s did not go through", body);
}

static void
check_content(struct world *w, const char *path, const char *content)
{
	struct reply r = ask_again(w,
	    (struct ask){ .method = "GET", .path = path, .headers = "" }, 200);

	assert_int_equal(r.len, strlen(content));
	assert_memory_equal(r.body, content, r.len);
}

static int
count_uploads(struct world *w)
{
	void *cursor = NULL;
	const char *id;
	struct err e;
	int n = 0;

	for (;;) {
		assert_int_equal(expirer->walk_next(w->store, &cursor,
				     INT64_MAX, w->arena, &id, &e),
		    ERR_OK);
		if (id == NULL)
			return n;
		n++;
	}
}

static void
converse(struct world *w)
{
	const char *a, *b, *c, *d;

	a = create(w, BODY_TYPE "Upload-Length: 9", "abc");
	/* Of "def". */
	send(w, a, "Upload-Checksum: crc32 DMThYQ==", 3, "def");
	assert_int_equal(offset_of(w, a), 6);
	send(w, a, "", 6, "ghi");
	check_content(w, a, "abcdefghi");
	b = create(w, "Upload-Defer-Length: 1\nUpload-Concat: partial", NULL);
	send(w, b, "", 0, "jk");
	send(w, b, "Upload-Length: 6", 2, "lm");
	send(w, b, "Content-Length: -\n", 4, "no");
	c = create(w,
	    BODY_TYPE "Upload-Length: 2\nUpload-Concat: partial\n"
		      "Content-Length: -",
	    "pq");
	d = create(w,
	    arena_printf(w->arena, "Upload-Concat: final;%s %s", b, c), NULL);
	check_content(w, d, "jklmnopq");
	(void)ask_again(w,
	    (struct ask){ .method = "DELETE", .path = d, .headers = "" }, 204);
	(void)create(w, "Upload-Length: 0", NULL);
	/* What a creation that failed had made is gone. */
	assert_int_equal(count_uploads(w), 4);
}

static void
check_all(enum err_code code)
{
	struct world w;
	int n;

	for (n = 1;; n++) {
		memset(&play, 0, sizeof(play));
		play.code = code;
		play.countdown = n;
		open_gated(&w);
		converse(&w);
		world_close(&w);
		if (!play.fired)
			break;
	}
	/* The conversation is long enough to be worth it. */
	assert_true(n > 60);
}

static void
any_call_may_fail(void **state)
{
	(void)state;
	check_all(ERR_SYSTEM);
}

static void
any_call_may_find_the_disk_full(void **state)
{
	(void)state;
	check_all(ERR_NO_SPACE);
}

static void
any_call_may_be_one_too_many(void **state)
{
	(void)state;
	check_all(ERR_UNAVAILABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_call_may_fail),
		cmocka_unit_test(any_call_may_find_the_disk_full),
		cmocka_unit_test(any_call_may_be_one_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
