/*
 * contract_capable.c - what every store must do that has a capability.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/contract_kit.h"

static void
a_length_is_declared_at_once(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, -1);

	append(p, up, "hello");
	is(p, ERR_INVALID,
	    p->ds->length_declarer->declare_length(up, 4, &p->e));
	assert_true(up->info.size_deferred);
	ok(p, p->ds->length_declarer->declare_length(up, 9, &p->e));
	assert_int_equal(up->info.size, 9);
	drop(p, up);
	up = look(p, ID);
	assert_false(up->info.size_deferred);
	assert_int_equal(up->info.size, 9);
	assert_int_equal(up->info.offset, 5);
	drop(p, up);
}

static void
what_is_decided_in_a_chunk_shares_its_fate(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, -1), *seen;
	int probation;

	append(p, up, "ab");
	for (probation = 0; probation < 2; probation++) {
		begin(p, up, probation);
		ok(p, p->ds->length_declarer->declare_length(up, 9, &p->e));
		ok(p, p->ds->expirer->set_expiry(up, 1999999999, &p->e));
		assert_int_equal(up->info.size, 9);
		put(p, up, "cd");
		seen = look(p, ID);
		assert_true(seen->info.size_deferred);
		assert_int_equal(seen->info.expires, 0);
		drop(p, seen);
		end(p, up, false);
		assert_true(up->info.size_deferred);
		assert_int_equal(up->info.expires, 0);
		assert_int_equal(up->info.offset, 2);
	}
	begin(p, up, true);
	put(p, up, "cd");
	ok(p, p->ds->length_declarer->declare_length(up, 9, &p->e));
	ok(p, p->ds->expirer->set_expiry(up, 1999999999, &p->e));
	end(p, up, true);
	drop(p, up);
	up = look(p, ID);
	assert_false(up->info.size_deferred);
	assert_int_equal(up->info.size, 9);
	assert_int_equal(up->info.offset, 4);
	assert_int_equal(up->info.expires, 1999999999);
	drop(p, up);
}

static void
expiry_takes_effect_at_once(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 3);

	ok(p, p->ds->expirer->set_expiry(up, 1999999999, &p->e));
	drop(p, up);
	up = look(p, ID);
	assert_int_equal(up->info.expires, 1999999999);
	drop(p, up);
}

static unsigned
pending_of(struct place *p)
{
	struct upload *up = look(p, ID);
	unsigned pending = up->info.pending;

	assert_true(upload_is_finished(up));
	assert_false(up->info.is_marked_by_lock);
	drop(p, up);
	return pending & STORE_TO_DO;
}

static void
what_is_pending_is_there_until_it_is_done(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 5);

	append(p, up, "hello");
	ok(p,
	    p->ds->finisher->finish(up, STORE_TO_MOVE | STORE_TO_TELL, &p->e));
	drop(p, up);
	assert_int_equal(pending_of(p), STORE_TO_MOVE | STORE_TO_TELL);
	up = claim(p, ID);
	ok(p,
	    p->ds->finisher->done(up, STORE_TO_CONFIRM | STORE_TO_MOVE, &p->e));
	assert_int_equal(up->info.pending, STORE_TO_TELL);
	drop(p, up);
	assert_int_equal(pending_of(p), STORE_TO_TELL);
	up = claim(p, ID);
	ok(p, p->ds->finisher->done(up, STORE_TO_DO, &p->e));
	drop(p, up);
	assert_int_equal(pending_of(p), 0);
}

static void
a_finish_that_is_refused_gives_one_byte_back(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 5);

	append(p, up, "hello");
	ok(p, p->ds->finisher->refuse(up, &p->e));
	assert_int_equal(up->info.offset, 4);
	drop(p, up);
	up = claim(p, ID);
	assert_int_equal(up->info.offset, 4);
	append(p, up, "O");
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "hellO");
}

/* A crash between the last byte and the finish. */
static void
a_claim_shows_that_the_finish_is_missing(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 5);

	append(p, up, "hello");
	drop(p, up);
	up = claim(p, ID);
	assert_true(upload_is_whole(up) != p->ds->is_shared);
	if (p->ds->is_shared)
		append(p, up, "hello");
	assert_false(upload_is_finished(up));
	finish(p, up);
	assert_true(upload_is_finished(up));
	drop(p, up);
}

static void
a_terminated_upload_is_gone_for_all(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 5), *other;

	append(p, up, "hel");
	drop(p, up);
	up = claim(p, ID);
	other = look(p, ID);
	ok(p, p->ds->terminater->terminate(up, &p->e));
	drop(p, up);
	assert_false(is_there(p, ID));
	is(p, ERR_NOT_FOUND, p->ds->core->claim(other, &p->e));
	drop(p, other);
	up = make(p, ID, 7);
	assert_int_equal(up->info.offset, 0);
	drop(p, up);
}

static void
a_stream_outlives_its_upload(void **state)
{
	struct place *p = *state;
	struct upload *up;
	struct stream *s;
	char buf[8];

	make_whole(p, ID, "hello");
	up = claim(p, ID);
	ok(p, p->ds->reader->open(up, 0, p->a, &s, &p->e));
	ok(p, p->ds->terminater->terminate(up, &p->e));
	drop(p, up);
	assert_int_equal(p->ds->reader->read(s, buf, 8, &p->e), 5);
	assert_memory_equal(buf, "hello", 5);
	p->ds->reader->close(s);
}

static void
no_stream_begins_behind_the_end(void **state)
{
	struct place *p = *state;
	struct upload *up;
	struct stream *s;

	make_whole(p, ID, "hello");
	up = look(p, ID);
	is(p, ERR_INVALID, p->ds->reader->open(up, 6, p->a, &s, &p->e));
	is(p, ERR_INVALID, p->ds->reader->open(up, -1, p->a, &s, &p->e));
	drop(p, up);
}

static enum err_code
concat(struct place *p, const char *const *parts, int64_t size)
{
	struct file_info info = { .id = ID,
		.size = size,
		.is_final = true,
		.parts = parts,
		.concat_raw = "final;/files/2 /files/3" };
	struct upload *up;
	enum err_code rc;

	rc = p->ds->concater->concat(p->ds, &info, p->a, &up, &p->e);
	if (rc != ERR_OK)
		return rc;
	if (p->ds->finisher != NULL) {
		assert_true(upload_is_whole(up) && !upload_is_finished(up));
		assert_false(is_there(p, ID));
		ok(p, p->ds->finisher->finish(up, STORE_TO_REMOVE, &p->e));
	}
	assert_true(upload_is_finished(up));
	assert_true(up->info.is_final);
	drop(p, up);
	return ERR_OK;
}

static void
parts_are_joined_in_their_order(void **state)
{
	struct place *p = *state;
	static const char *const parts[] = { ID_3, ID_2, ID_3, NULL };
	struct upload *up;

	make_whole(p, ID_2, "two");
	make_whole(p, ID_3, "THREE");
	ok(p, concat(p, parts, 13));
	assert_bytes(p, ID, 0, "THREEtwoTHREE");
	up = look(p, ID);
	assert_true(upload_is_finished(up));
	assert_true(up->settled);
	assert_true(up->info.is_final);
	assert_string_equal(up->info.concat_raw, "final;/files/2 /files/3");
	assert_string_equal(up->info.parts[1], ID_2);
	drop(p, up);
	assert_bytes(p, ID_2, 0, "two");
}

static void
nothing_is_left_of_a_concatenation_that_fails(void **state)
{
	struct place *p = *state;
	static const char *const missing[] = { ID_2, "nobody", NULL };
	static const char *const unfinished[] = { ID_2, ID_3, NULL };
	static const char *const good[] = { ID_2, NULL };
	struct upload *up;

	make_whole(p, ID_2, "two");
	up = make(p, ID_3, 5);
	append(p, up, "TH");
	drop(p, up);
	is(p, ERR_NOT_FOUND, concat(p, missing, 6));
	assert_false(is_there(p, ID));
	is(p, ERR_CONFLICT, concat(p, unfinished, 8));
	assert_false(is_there(p, ID));
	is(p, ERR_CONFLICT, concat(p, good, 2));
	is(p, ERR_CONFLICT, concat(p, good, 4));
	assert_false(is_there(p, ID));
	ok(p, concat(p, good, 3));
	is(p, ERR_EXISTS, concat(p, good, 3));
	assert_bytes(p, ID, 0, "two");
}

/* Whole and finished, and to be moved to a directory within the store. */
static struct upload *
make_to_move(struct place *p, const char *id, bool is_partial)
{
	struct file_info info = {
		.id = id, .size = 5, .is_partial = is_partial
	};
	struct upload *up;

	ok(p,
	    p->ds->mover->choose(
		p->ds, "there/it.txt", p->a, &info.move_to, &p->e));
	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	append(p, up, "hello");
	finish(p, up);
	drop(p, up);
	return claim(p, id);
}

static void
what_was_moved_is_known_as_before(void **state)
{
	struct place *p = *state;
	struct upload *up;

	up = make_to_move(p, ID, false);
	/* In a bucket it has its place from the beginning. */
	if (strcmp(p->variant->type, "s3") == 0) {
		assert_false(p->ds->mover->wants(p->ds, &up->info));
		drop(p, up);
		assert_bytes(p, ID, 0, "hello");
		return;
	}
	assert_true(p->ds->mover->wants(p->ds, &up->info));
	assert_int_equal(up->info.moved, 0);
	ok(p, p->ds->mover->move(up, &p->e));
	assert_true(upload_is_finished(up));
	assert_true(up->info.moved != 0);
	drop(p, up);
	up = look(p, ID);
	assert_true(upload_is_finished(up) && up->settled);
	assert_int_equal(up->info.offset, 5);
	assert_true(up->info.moved != 0);
	assert_true(up->info.forget > up->info.moved);
	assert_false(p->ds->mover->wants(p->ds, &up->info));
	assert_false(p->ds->mover->is_pending(up));
	ok(p, p->ds->core->confirm(up, &p->e));
	if (p->ds->keeper != NULL)
		ok(p, p->ds->keeper->check(up, &p->e));
	drop(p, up);
	assert_bytes(p, ID, 0, "hello");
	up = claim(p, ID);
	ok(p, p->ds->mover->move(up, &p->e));
	drop(p, up);
	assert_bytes(p, ID, 0, "hello");
}

static void
an_id_that_was_moved_is_taken(void **state)
{
	struct place *p = *state;
	struct file_info info = { .id = ID, .size = 3 };
	struct upload *up;

	up = make_to_move(p, ID, false);
	ok(p, p->ds->mover->move(up, &p->e));
	drop(p, up);
	is(p, ERR_EXISTS,
	    p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	assert_bytes(p, ID, 0, "hello");
	up = claim(p, ID);
	ok(p, p->ds->terminater->terminate(up, &p->e));
	drop(p, up);
	assert_false(is_there(p, ID));
	drop(p, make(p, ID, 3));
}

static void
a_partial_upload_stays(void **state)
{
	struct place *p = *state;
	struct upload *up;

	up = make_to_move(p, ID, true);
	assert_false(p->ds->mover->wants(p->ds, &up->info));
	ok(p, p->ds->mover->move(up, &p->e));
	assert_int_equal(up->info.moved, 0);
	drop(p, up);
}

static void
a_place_elsewhere_is_refused(void **state)
{
	static const char *const bad[] = { "", "/", "/etc/passwd", "../x",
		"a/../../x", "a//b", "a/", "file", ".hidden/x", "a/.b" };
	struct place *p = *state;
	const char *move_to;
	size_t i;

	for (i = 0; i < NITEMS(bad); i++)
		is(p, ERR_INVALID,
		    p->ds->mover->choose(p->ds, bad[i], p->a, &move_to, &p->e));
	ok(p, p->ds->mover->choose(p->ds, "a/b", p->a, &move_to, &p->e));
}

static void
a_walk_meets_every_upload_once(void **state)
{
	struct place *p = *state;
	void *cursor = NULL;
	const char *id;
	int seen[100] = { 0 }, i, n = 0;
	char name[33];

	for (i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "%032d", i);
		drop(p, make(p, name, i % 2 == 0 ? 5 : -1));
	}
	for (;;) {
		ok(p,
		    p->ds->expirer->walk_next(
			p->ds, &cursor, INT64_MAX, p->a, &id, &p->e));
		if (id == NULL)
			break;
		seen[atoi(id)]++;
		n++;
	}
	assert_null(cursor);
	assert_int_equal(n, 100);
	for (i = 0; i < 100; i++)
		assert_int_equal(seen[i], 1);
}

static void
a_walk_survives_that_what_it_meets_is_removed(void **state)
{
	struct place *p = *state;
	void *cursor = NULL;
	struct upload *up;
	const char *id;
	char name[33];
	int i, n = 0;

	for (i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "%032d", i);
		drop(p, make(p, name, 5));
	}
	for (;;) {
		ok(p,
		    p->ds->expirer->walk_next(
			p->ds, &cursor, INT64_MAX, p->a, &id, &p->e));
		if (id == NULL)
			break;
		up = claim(p, id);
		ok(p, p->ds->terminater->terminate(up, &p->e));
		drop(p, up);
		n++;
	}
	assert_int_equal(n, 20);
	ok(p,
	    p->ds->expirer->walk_next(
		p->ds, &cursor, INT64_MAX, p->a, &id, &p->e));
	assert_null(id);
}

static void
what_a_sweep_notes_is_kept(void **state)
{
	struct place *p = *state;
	const struct store_expirer *expirer = p->ds->expirer;
	struct upload *up = make(p, ID, 5);
	char text[64] = "?";

	ok(p, expirer->read_note(p->ds, text, sizeof(text), &p->e));
	assert_string_equal(text, "");
	ok(p, expirer->lock_note(p->ds, &p->e));
	ok(p, expirer->write_note(p->ds, "first and longer", &p->e));
	ok(p, expirer->write_note(p->ds, "second", &p->e));
	ok(p, expirer->read_note(p->ds, text, sizeof(text), &p->e));
	assert_string_equal(text, "second");
	assert_true(expirer->last_change(up) >= 0);
	drop(p, up);
}

/* In another handle, as in another process. */
static struct upload *
hand_over(struct place *p, struct upload *up, const char *id)
{
	struct store_pause pause;

	ok(p, p->ds->suspender->suspend(up, &pause, &p->e));
	drop(p, up);
	up = look(p, id);
	ok(p, p->ds->suspender->resume(up, &pause, &p->e));
	return up;
}

static void
a_chunk_goes_on_in_another_process(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 8);

	append(p, up, "ab");
	begin(p, up, false);
	put(p, up, "cd");
	up = hand_over(p, up, ID);
	assert_int_equal(up->info.offset, 4);
	up = hand_over(p, up, ID);
	put(p, up, "ef");
	assert_int_equal(up->info.offset, 6);
	up = hand_over(p, up, ID);
	put(p, up, "gh");
	end(p, up, true);
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "abcdefgh");
}

static void
a_suspended_chunk_is_taken_back_as_a_whole(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 8);
	int probation;

	append(p, up, "ab");
	for (probation = 0; probation < 2; probation++) {
		begin(p, up, probation);
		put(p, up, "cd");
		up = hand_over(p, up, ID);
		put(p, up, "ef");
		up = hand_over(p, up, ID);
		end(p, up, false);
		assert_int_equal(up->info.offset, 2);
	}
	drop(p, up);
	assert_int_equal(offset_of(p, ID), 2);
}

static void
a_suspended_chunk_on_probation_counts_only_once_kept(void **state)
{
	struct place *p = *state;
	struct store_pause pause;
	struct upload *up = make(p, ID, 8);

	append(p, up, "ab");
	begin(p, up, true);
	up = hand_over(p, up, ID);
	put(p, up, "cd");
	up = hand_over(p, up, ID);
	assert_int_equal(up->info.offset, 4);
	assert_int_equal(offset_of(p, ID), 2);
	put(p, up, "ef");
	ok(p, p->ds->suspender->suspend(up, &pause, &p->e));
	drop(p, up);
	/* Killed. */
	up = claim(p, ID);
	assert_int_equal(up->info.offset, 2);
	begin(p, up, true);
	put(p, up, "CD");
	up = hand_over(p, up, ID);
	put(p, up, "EFGH");
	end(p, up, true);
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "abCDEFGH");
}

static void
a_chunk_that_changed_meanwhile_is_not_resumed(void **state)
{
	struct place *p = *state;
	struct store_pause pause;
	struct upload *up = make(p, ID, 8), *late;
	int probation;

	for (probation = 0; probation < 2; probation++) {
		begin(p, up, probation);
		put(p, up, "ab");
		ok(p, p->ds->suspender->suspend(up, &pause, &p->e));
		drop(p, up);
		up = claim(p, ID);
		append(p, up, "x");
		late = look(p, ID);
		place_expect(p, p->ds->suspender->resume(late, &pause, &p->e),
		    p->ds->is_shared ? ERR_LOCKED : ERR_CONFLICT, "resume",
		    __LINE__);
		drop(p, late);
	}
	drop(p, up);
}

static void
a_hidden_upload_appears_when_it_is_suspended(void **state)
{
	struct place *p = *state;
	const struct file_info info = { .id = ID, .size = 4 };
	struct upload *up;
	int probation;

	for (probation = 0; probation < 2; probation++) {
		ok(p, p->ds->core->new_hidden(p->ds, &info, p->a, &up, &p->e));
		begin(p, up, probation);
		put(p, up, "ab");
		assert_false(is_there(p, ID));
		up = hand_over(p, up, ID);
		assert_true(is_there(p, ID));
		put(p, up, "cd");
		end(p, up, true);
		finish(p, up);
		assert_bytes(p, ID, 0, "abcd");
		ok(p, p->ds->terminater->terminate(up, &p->e));
		drop(p, up);
	}
}

static void
a_length_is_declared_anew_in_each_process(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, -1);

	begin(p, up, false);
	put(p, up, "ab");
	ok(p, p->ds->length_declarer->declare_length(up, 4, &p->e));
	up = hand_over(p, up, ID);
	assert_true(up->info.size_deferred);
	ok(p, p->ds->length_declarer->declare_length(up, 4, &p->e));
	put(p, up, "cd");
	end(p, up, true);
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "abcd");
}

int
contract_run_capable(const struct variant *v)
{
	static const struct promise all[] = {
		PROMISE(a_length_is_declared_at_once, CAN_DECLARE),
		PROMISE(what_is_decided_in_a_chunk_shares_its_fate,
		    CAN_DECLARE | CAN_EXPIRE),
		PROMISE(expiry_takes_effect_at_once, CAN_EXPIRE),
		PROMISE(
		    a_finish_that_is_refused_gives_one_byte_back, CAN_FINISH),
		PROMISE(what_is_pending_is_there_until_it_is_done, CAN_FINISH),
		PROMISE(a_claim_shows_that_the_finish_is_missing, CAN_FINISH),
		PROMISE(a_terminated_upload_is_gone_for_all, CAN_TERMINATE),
		PROMISE(a_stream_outlives_its_upload, CAN_READ | CAN_TERMINATE),
		PROMISE(no_stream_begins_behind_the_end, CAN_READ),
		PROMISE(
		    parts_are_joined_in_their_order, CAN_CONCAT | CAN_FINISH),
		PROMISE(nothing_is_left_of_a_concatenation_that_fails,
		    CAN_CONCAT | CAN_FINISH),
		PROMISE(
		    what_was_moved_is_known_as_before, CAN_MOVE | CAN_FINISH),
		PROMISE(an_id_that_was_moved_is_taken,
		    CAN_MOVE | CAN_FINISH | CAN_TERMINATE),
		PROMISE(a_partial_upload_stays, CAN_MOVE | CAN_FINISH),
		PROMISE(a_place_elsewhere_is_refused, CAN_MOVE),
		PROMISE(a_walk_meets_every_upload_once, CAN_EXPIRE),
		PROMISE(what_a_sweep_notes_is_kept, CAN_EXPIRE),
		PROMISE(
		    a_chunk_goes_on_in_another_process, CAN_SUSPEND | CAN_READ),
		PROMISE(
		    a_suspended_chunk_is_taken_back_as_a_whole, CAN_SUSPEND),
		PROMISE(a_suspended_chunk_on_probation_counts_only_once_kept,
		    CAN_SUSPEND | CAN_READ),
		PROMISE(
		    a_chunk_that_changed_meanwhile_is_not_resumed, CAN_SUSPEND),
		PROMISE(a_hidden_upload_appears_when_it_is_suspended,
		    CAN_SUSPEND | CAN_TERMINATE | CAN_READ),
		PROMISE(a_length_is_declared_anew_in_each_process,
		    CAN_SUSPEND | CAN_DECLARE | CAN_READ),
		PROMISE(a_walk_survives_that_what_it_meets_is_removed,
		    CAN_EXPIRE | CAN_TERMINATE),
	};

	return contract_check(v, all, NITEMS(all));
}
