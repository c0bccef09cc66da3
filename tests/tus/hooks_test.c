/*
 * hooks_test.c - which hooks are called, in which order, and the effect of
 * their answers; in-process over the memory store.
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

#include "tests/tus/play.h"

#define BODY_TYPE "Content-Type: application/offset+octet-stream\n"

static struct reply
post(struct world *w, const char *headers, const char *body)
{
	return world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = arena_printf(
		    w->arena, "%s%s", body == NULL ? "" : BODY_TYPE, headers),
		.body = body });
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
terminate(struct world *w, const char *path)
{
	return world_ask(w, (struct ask){ .method = "DELETE", .path = path });
}

static int
head(struct world *w, const char *path)
{
	return world_ask(w, (struct ask){ .method = "HEAD", .path = path })
	    .status;
}

static const char *
location(const struct reply *r)
{
	assert_int_equal(r->status, 201);
	return reply_header(r, "Location");
}

static void
an_upload_tells_its_story_in_order(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 11", NULL);
	const char *path = location(&r);

	assert_string_equal(
	    play_happened(w), "pre-create 0, note, post-create 0");
	r = patch(w, path, "Upload-Offset: 0", "hello ");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w), "lock, post-receive 6, release");
	r = patch(w, path, "Upload-Offset: 6", "world");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w),
	    "lock, post-receive 11, pre-finish 11, note, post-finish 11, "
	    "retire");
	r = terminate(w, path);
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w),
	    "lock, pre-terminate 11, note, retire, post-terminate 11");
}

static void
whole_creation_is_marked_before_it_finishes(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 5", "hello");

	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w),
	    "pre-create 0, lock, post-receive 5, pre-finish 5, note, note, "
	    "post-create 0, post-finish 5, retire");
	r = post(w, "Upload-Length: 0", NULL);
	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w),
	    "pre-create 0, lock, pre-finish 0, note, note, post-create 0, "
	    "post-finish 0, retire");
}

static const char *
part(struct world *w, const char *body)
{
	struct reply r = post(w,
	    arena_printf(w->arena, "Upload-Concat: partial\nUpload-Length: %zu",
		strlen(body)),
	    body);

	return location(&r);
}

/* As the next sweep will find it. */
static unsigned
pending_of(struct world *w, const char *path)
{
	const struct store_core *core = w->store->core;
	unsigned pending;
	struct upload *up;
	struct err e;

	assert_int_equal(core->get_upload(w->store, strrchr(path, '/') + 1,
			     w->arena, &up, &e),
	    ERR_OK);
	assert_true(upload_is_finished(up));
	pending = up->info.pending;
	core->close(up);
	return pending;
}

/* The same list would be the same upload. */
static const char *
other(struct world *w, const char *refs, const char *key)
{
	return arena_printf(w->arena, "%s\nUpload-Metadata: %s", refs, key);
}

static void
final_upload_that_is_there_is_answered_once_more(void **state)
{
	struct world *w = *state;
	const char *refs = arena_printf(w->arena, "Upload-Concat: final;%s %s",
	    part(w, "hello "), part(w, "world"));
	struct reply first = post(w, refs, NULL), again;

	(void)play_happened(w);
	again = post(w, refs, NULL);
	assert_string_equal(location(&again), location(&first));
	assert_string_equal(play_happened(w), "");
	play.lock_is_taken = true;
	again = post(w, refs, NULL);
	assert_string_equal(location(&again), location(&first));
	again = post(w, other(w, refs, "in-the-making"), NULL);
	assert_int_equal(again.status, 423);
	assert_string_equal(play_happened(w), "");
}

static void
final_upload_may_have_an_id_that_a_hook_chose(void **state)
{
	struct world *w = *state;
	const char *refs =
	    arena_printf(w->arena, "Upload-Concat: final;%s", part(w, "hello"));
	struct reply r;

	(void)play_happened(w);
	play_only("pre-create");
	play.verdicts[HOOK_PRE_CREATE].id = "my-own";
	r = post(w, refs, NULL);
	assert_string_equal(location(&r), "/files/my-own");
	assert_string_equal(
	    play_happened(w), "lock, pre-create 0, retire, lock, retire");
}

static void
final_upload_is_seen_when_pre_finish_agreed(void **state)
{
	struct world *w = *state;
	const char *refs = arena_printf(w->arena, "Upload-Concat: final;%s %s",
	    part(w, "hello "), part(w, "world"));
	struct reply r;

	(void)play_happened(w);
	r = post(w, refs, NULL);
	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w),
	    "lock, pre-create 0, pre-finish 11, note, note, post-create 0, "
	    "post-finish 11, retire");
	assert_int_equal(pending_of(w, location(&r)), 0);
	play.unwanted[HOOK_PRE_FINISH] = true;
	r = post(w, other(w, refs, "1"), NULL);
	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w),
	    "lock, pre-create 0, note, note, post-create 0, post-finish 11, "
	    "retire");
	play.unwanted[HOOK_PRE_FINISH] = false;
	play.fails[HOOK_PRE_FINISH] = true;
	r = post(w, other(w, refs, "2"), NULL);
	assert_int_equal(r.status, 500);
	assert_string_equal(
	    play_happened(w), "lock, pre-create 0, pre-finish 11, retire");
	assert_int_equal(
	    head(w, arena_printf(w->arena, "/files/%s", play.seen.id)), 404);
}

static void
pre_create_may_reject(void **state)
{
	struct world *w = *state;
	struct hook_verdict *v = &play.verdicts[HOOK_PRE_CREATE];
	struct pair why = { .key = "X-Why", .value = "size" };
	struct reply r;

	v->reject_upload = true;
	r = post(w, "Upload-Length: 11", NULL);
	assert_int_equal(r.status, 400);
	assert_string_equal(r.code, "ERR_UPLOAD_REJECTED");
	assert_string_equal(
	    r.body, "ERR_UPLOAD_REJECTED: the upload was rejected\n");
	v->reply = (struct hook_reply){ 422, "too large for you", &why };
	r = post(w, "Upload-Length: 11", "hello");
	assert_int_equal(r.status, 422);
	assert_string_equal(r.body, "too large for you");
	assert_string_equal(reply_header(&r, "X-Why"), "size");
	assert_string_equal(play_happened(w), "pre-create 0, pre-create 0");
}

static void
pre_create_that_fails_lets_nothing_be_made(void **state)
{
	struct world *w = *state;
	struct reply r;

	play.fails[HOOK_PRE_CREATE] = true;
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(r.status, 500);
	assert_string_equal(r.code, "ERR_INTERNAL_SERVER_ERROR");
	assert_string_equal(r.res->err->text, "the hook failed");
	assert_string_equal(play_happened(w), "pre-create 0");
}

static void
pre_create_may_choose_id_and_metadata(void **state)
{
	struct world *w = *state;
	struct hook_verdict *v = &play.verdicts[HOOK_PRE_CREATE];
	struct pair second = { NULL, "public", "", 0 };
	struct pair first = { &second, "filename", "a\0b.txt", 7 };
	struct reply r;

	v->id = "my-own_id";
	v->has_metadata = true;
	v->metadata = &first;
	r = post(w, "Upload-Length: 11\nUpload-Metadata: a YQ==", NULL);
	assert_string_equal(location(&r), "/files/my-own_id");
	assert_string_equal(play_happened(w),
	    "pre-create 0, lock, note, release, post-create 0");
	assert_string_equal(play.seen.id, "my-own_id");
	assert_string_equal(play.seen.metadata->key, "filename");
	r = world_ask(
	    w, (struct ask){ .method = "HEAD", .path = "/files/my-own_id" });
	assert_string_equal(reply_header(&r, "Upload-Metadata"),
	    "filename YQBiLnR4dA==,public");
	v->id = "other";
	v->metadata = NULL;
	r = post(w, "Upload-Length: 11\nUpload-Metadata: a YQ==", NULL);
	r = world_ask(
	    w, (struct ask){ .method = "HEAD", .path = location(&r) });
	assert_null(reply_header(&r, "Upload-Metadata"));
}

static void
impossible_changes_are_refused(void **state)
{
	struct world *w = *state;
	struct hook_verdict *v = &play.verdicts[HOOK_PRE_CREATE];
	struct pair bad = { NULL, "a,b", "x", 1 };
	const struct hook_verdict verdicts[] = {
		{ .id = "../etc" },
		{ .id = "" },
		{ .storage_path = "/srv/elsewhere" },
		{ .has_metadata = true, .metadata = &bad },
	};
	size_t i;

	for (i = 0; i < NITEMS(verdicts); i++) {
		*v = verdicts[i];
		assert_int_equal(post(w, "Upload-Length: 1", NULL).status, 500);
		assert_string_equal(play_happened(w), "pre-create 0");
	}
}

static void
id_that_is_taken_is_refused_and_its_lock_left_alone(void **state)
{
	struct world *w = *state;
	struct hook_verdict *v = &play.verdicts[HOOK_PRE_CREATE];
	struct reply r;

	v->id = "taken";
	r = post(w, "Upload-Length: 11", NULL);
	(void)location(&r);
	(void)play_happened(w);
	assert_int_equal(post(w, "Upload-Length: 11", NULL).status, 500);
	assert_string_equal(play_happened(w), "pre-create 0, lock, release");
	play.lock_is_taken = true;
	assert_int_equal(post(w, "Upload-Length: 11", NULL).status, 423);
	assert_int_equal(head(w, "/files/taken"), 423);
	play.lock_is_taken = false;
	assert_int_equal(world_offset(w, "/files/taken"), 0);
}

static void
hooks_may_word_the_response(void **state)
{
	struct world *w = *state;
	struct pair link = { NULL, "Location", "/elsewhere", 10 };
	struct pair length = { &link, "Content-Length", "5", 1 };
	struct pair split = { &length, "X-Evil", "a\r\nb", 4 };
	struct pair type = { NULL, "content-type", "application/json", 16 };
	struct reply r;
	const char *path;

	play.verdicts[HOOK_PRE_CREATE].reply =
	    (struct hook_reply){ 202, "made", &split };
	r = post(w, "Upload-Length: 2", NULL);
	assert_int_equal(r.status, 202);
	assert_string_equal(r.body, "made");
	assert_string_equal(reply_header(&r, "Location"), "/elsewhere");
	assert_null(reply_header(&r, "Content-Length"));
	assert_null(reply_header(&r, "X-Evil"));
	assert_non_null(reply_header(&r, "Content-Type"));
	path = arena_printf(w->arena, "/files/%s", play.seen.id);
	r = patch(w, path, "Upload-Offset: 0", "a");
	assert_int_equal(r.status, 204);
	play.verdicts[HOOK_PRE_FINISH].reply =
	    (struct hook_reply){ 200, "{}", &type };
	r = patch(w, path, "Upload-Offset: 1", "b");
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "{}");
	assert_string_equal(
	    reply_header(&r, "Content-Type"), "application/json");
	assert_string_equal(reply_header(&r, "Upload-Offset"), "2");
}

static void
words_for_success_are_not_said_on_failure(void **state)
{
	struct world *w = *state;
	struct reply r;

	play.verdicts[HOOK_PRE_CREATE].reply =
	    (struct hook_reply){ 202, "made", NULL };
	r = world_ask(w,
	    (struct ask){ .method = "POST",
		.path = "/files",
		.headers = BODY_TYPE "Upload-Length: 5\n"
				     "Upload-Checksum: sha1 AAAA",
		.body = "hello" });
	assert_int_equal(r.status, 460);
	assert_string_equal(play_happened(w), "pre-create 0, lock, retire");
}

static void
finish_that_fails_gives_the_last_byte_back(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 5", NULL);
	const char *path = location(&r);

	play_only("pre-finish post-finish");
	(void)play_happened(w);
	play.fails[HOOK_PRE_FINISH] = true;
	r = patch(w, path, "Upload-Offset: 0", "hello");
	assert_int_equal(r.status, 500);
	assert_string_equal(r.res->err->text, "the hook failed");
	assert_string_equal(play_happened(w), "lock, pre-finish 5, release");
	assert_int_equal(world_offset(w, path), 4);
	play.fails[HOOK_PRE_FINISH] = false;
	(void)play_happened(w);
	r = patch(w, path, "Upload-Offset: 4", "o");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w),
	    "lock, pre-finish 5, note, post-finish 5, retire");
	assert_int_equal(world_offset(w, path), 5);
}

static void
finish_that_is_answered_with_an_error_did_not_happen(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 5", NULL);
	const char *path = location(&r);

	play.verdicts[HOOK_PRE_FINISH].reply =
	    (struct hook_reply){ 422, "a virus", NULL };
	r = patch(w, path, "Upload-Offset: 0", "hello");
	assert_int_equal(r.status, 422);
	assert_string_equal(r.body, "a virus");
	assert_int_equal(world_offset(w, path), 4);
	(void)play_happened(w);
	assert_int_equal(post(w, "Upload-Length: 0", NULL).status, 422);
	assert_string_equal(
	    play_happened(w), "pre-create 0, lock, pre-finish 0, retire");
	assert_int_equal(
	    head(w, arena_printf(w->arena, "/files/%s", play.seen.id)), 404);
}

static void
upload_that_is_not_told_of_keeps_its_mark(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 5", NULL);
	const char *path = location(&r);

	play_only("post-finish");
	(void)play_happened(w);
	play.fails[HOOK_POST_FINISH] = true;
	r = patch(w, path, "Upload-Offset: 0", "hello");
	assert_int_equal(r.status, 204);
	assert_string_equal(
	    play_happened(w), "lock, note, post-finish 5, retire");
	assert_int_equal(pending_of(w, path), STORE_TO_TELL);
	assert_int_equal(world_offset(w, path), 5);
	assert_string_equal(play_happened(w), "");
}

static void
post_receive_may_stop_an_upload(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 11", NULL);
	const char *path = location(&r);

	(void)play_happened(w);
	play.verdicts[HOOK_POST_RECEIVE].stop_upload = true;
	r = patch(w, path, "Upload-Offset: 0", "hello");
	assert_int_equal(r.status, 400);
	assert_string_equal(r.code, "ERR_UPLOAD_STOPPED");
	assert_string_equal(play_happened(w),
	    "lock, post-receive 5, note, retire, post-terminate 5");
	assert_int_equal(head(w, path), 404);
	play.verdicts[HOOK_POST_RECEIVE].reply =
	    (struct hook_reply){ 403, "enough", NULL };
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(r.status, 403);
	assert_string_equal(r.body, "enough");
	assert_string_equal(play_happened(w),
	    "pre-create 0, lock, post-receive 5, note, note, retire, "
	    "post-create 0, post-terminate 5");
}

/* The clock of the test stands still but for this locker: each look at the
 * time lets a second pass. */
static int64_t
fast_clock(void)
{
	return ++world_time * 1000;
}

static void
progress_is_reported_while_bytes_come(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 9", NULL);
	const char *path = location(&r);

	play_only("post-receive");
	(void)play_happened(w);
	w->slice = 3;
	w->srv.core.now_ms = fast_clock;
	r = patch(w, path, "Upload-Offset: 0", "hello wo");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w),
	    "lock, post-receive 3, post-receive 6, post-receive 8, release");
	play_hooks.progress = 0;
	r = patch(w, path, "Upload-Offset: 8", "r");
	play_hooks.progress = 1000;
	assert_string_equal(play_happened(w), "lock, post-receive 9, retire");
}

static void
early_end_is_reported_too(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 9", NULL);
	const char *path = location(&r);

	(void)play_happened(w);
	r = world_ask(w,
	    (struct ask){ .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE "Upload-Offset: 0\nContent-Length: 9",
		.body = "hello",
		.end = END_CLIENT_GONE });
	assert_int_equal(r.status, 400);
	assert_string_equal(play_happened(w), "lock, post-receive 5, release");
	r = patch(w, path, "Upload-Offset: 5", "");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w), "lock, release");
}

static void
pre_terminate_may_reject(void **state)
{
	struct world *w = *state;
	struct reply r = post(w, "Upload-Length: 9", NULL);
	const char *path = location(&r);

	(void)play_happened(w);
	play.verdicts[HOOK_PRE_TERMINATE].reject_termination = true;
	r = terminate(w, path);
	assert_int_equal(r.status, 400);
	assert_string_equal(r.code, "ERR_UPLOAD_TERMINATION_REJECTED");
	assert_string_equal(play_happened(w), "lock, pre-terminate 0, release");
	play.verdicts[HOOK_PRE_TERMINATE].reject_termination = false;
	play.fails[HOOK_PRE_TERMINATE] = true;
	assert_int_equal(terminate(w, path).status, 500);
	assert_int_equal(world_offset(w, path), 0);
}

static void
nobody_is_called_who_does_not_listen(void **state)
{
	struct world *w = *state;
	struct reply r;

	play_only("");
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(terminate(w, location(&r)).status, 204);
	assert_string_equal(play_happened(w), "lock, retire");
}

/* --- moving -------------------------------------------------------------- */

static void
an_upload_is_moved_before_its_finish_is_told(void **state)
{
	struct world *w = *state;
	struct reply r;

	w->store->mover = &play_mover;
	play_only("post-create post-finish");
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w),
	    "lock, note, note, post-create 0, move 5, moved, post-finish 5, "
	    "retire");
	assert_int_equal(play.seen.moved, 1);
	r = post(w, "Upload-Length: 5", NULL);
	(void)play_happened(w);
	r = patch(w, location(&r), "Upload-Offset: 0", "hello");
	assert_int_equal(r.status, 204);
	assert_string_equal(play_happened(w),
	    "lock, note, move 5, moved, post-finish 5, retire");
}

static void
what_cannot_be_moved_keeps_its_mark_and_is_not_told(void **state)
{
	struct world *w = *state;
	struct reply r;

	w->store->mover = &play_mover;
	play_only("post-finish");
	play.move_fails = true;
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(world_offset(w, location(&r)), 5);
	assert_string_equal(
	    play_happened(w), "lock, note, move 5, forget, retire");
	assert_int_equal(
	    pending_of(w, location(&r)), STORE_TO_MOVE | STORE_TO_TELL);
}

static void
a_move_is_marked_where_nobody_is_told(void **state)
{
	struct world *w = *state;
	struct reply r;
	const char *refs;

	w->store->mover = &play_mover;
	play_only("");
	r = post(w, "Upload-Length: 5", "hello");
	assert_int_equal(r.status, 201);
	assert_string_equal(play_happened(w), "lock, move 5, retire");
	refs = arena_printf(w->arena, "Upload-Concat: final;%s %s",
	    part(w, "hello "), part(w, "world"));
	assert_string_equal(play_happened(w), "");
	assert_int_equal(post(w, refs, NULL).status, 201);
	assert_string_equal(play_happened(w), "lock, move 11, retire");
	play_only("pre-finish");
	assert_int_equal(post(w, other(w, refs, "x"), NULL).status, 201);
	assert_string_equal(
	    play_happened(w), "lock, pre-finish 11, move 11, retire");
}

static void
nobody_waits_for_an_upload_that_is_being_moved(void **state)
{
	struct world *w = *state;
	struct reply r;
	const char *path;

	w->store->mover = &play_mover;
	play_only("");
	play.move_fails = true;
	r = post(w, "Upload-Length: 5", "hello");
	path = location(&r);
	play.lock_is_taken = true;
	assert_int_equal(world_offset(w, path), 5);
	assert_int_equal(patch(w, path, "Upload-Offset: 5", "").status, 204);
	assert_int_equal(terminate(w, path).status, 423);
}

static void
pre_create_may_choose_a_place(void **state)
{
	struct world *w = *state;

	play.verdicts[HOOK_PRE_CREATE].storage_path = "joe/x";
	assert_int_equal(post(w, "Upload-Length: 5", NULL).status, 500);
	w->store->mover = &play_mover;
	assert_int_equal(post(w, "Upload-Length: 5", NULL).status, 201);
	assert_string_equal(play.seen.move_to, "joe/x");
	play.verdicts[HOOK_PRE_CREATE].storage_path = "/etc/x";
	assert_int_equal(post(w, "Upload-Length: 5", NULL).status, 500);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, play_open, play_close)
	const struct CMUnitTest tests[] = {
		T(an_upload_tells_its_story_in_order),
		T(whole_creation_is_marked_before_it_finishes),
		T(final_upload_is_seen_when_pre_finish_agreed),
		T(final_upload_that_is_there_is_answered_once_more),
		T(final_upload_may_have_an_id_that_a_hook_chose),
		T(pre_create_may_reject),
		T(pre_create_that_fails_lets_nothing_be_made),
		T(pre_create_may_choose_id_and_metadata),
		T(impossible_changes_are_refused),
		T(id_that_is_taken_is_refused_and_its_lock_left_alone),
		T(hooks_may_word_the_response),
		T(words_for_success_are_not_said_on_failure),
		T(finish_that_fails_gives_the_last_byte_back),
		T(finish_that_is_answered_with_an_error_did_not_happen),
		T(upload_that_is_not_told_of_keeps_its_mark),
		T(post_receive_may_stop_an_upload),
		T(progress_is_reported_while_bytes_come),
		T(early_end_is_reported_too),
		T(pre_terminate_may_reject),
		T(nobody_is_called_who_does_not_listen),
		T(an_upload_is_moved_before_its_finish_is_told),
		T(what_cannot_be_moved_keeps_its_mark_and_is_not_told),
		T(a_move_is_marked_where_nobody_is_told),
		T(nobody_waits_for_an_upload_that_is_being_moved),
		T(pre_create_may_choose_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
