/*
 * contract.c - what every store must do, written once for all of them.
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

#include "tests/store/contract.h"

#define ID   "0d7e18102c1a1896f45a1fc9a11d1815"
#define ID_2 "00000000000000000000000000000002"
#define ID_3 "00000000000000000000000000000003"

/* More than a store may want to keep in memory. */
#define BIG ((size_t)3 << 20)

/* The variant that is being tested; cmocka hands a state, not a parameter. */
static const struct variant *variant;

static int
set_up(void **state)
{
	static struct place place;

	memset(&place, 0, sizeof(place));
	place_open(&place, variant);
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	place_close(*state);
	return 0;
}

#define ok(p, call)	  place_expect(p, call, ERR_OK, #call, __LINE__)
#define is(p, want, call) place_expect(p, call, want, #call, __LINE__)

static struct upload *
make(struct place *p, const char *id, int64_t size)
{
	struct file_info info = {
		.id = id, .size = size < 0 ? 0 : size, .size_deferred = size < 0
	};
	struct upload *up = NULL;

	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	assert_non_null(up);
	return up;
}

static struct upload *
look(struct place *p, const char *id)
{
	struct upload *up = NULL;

	ok(p, p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e));
	return up;
}

static struct upload *
claim(struct place *p, const char *id)
{
	struct upload *up = look(p, id);

	ok(p, p->ds->core->claim(up, &p->e));
	return up;
}

static void
begin(struct place *p, struct upload *up, bool on_probation)
{
	ok(p, p->ds->core->write_begin(up, on_probation, &p->e));
}

static void
put(struct place *p, struct upload *up, const char *text)
{
	ok(p, p->ds->core->write(up, text, strlen(text), &p->e));
}

static void
end(struct place *p, struct upload *up, bool keep)
{
	ok(p, p->ds->core->write_end(up, keep, &p->e));
}

static void
append(struct place *p, struct upload *up, const char *text)
{
	begin(p, up, false);
	put(p, up, text);
	end(p, up, true);
}

static void
finish(struct place *p, struct upload *up)
{
	if (p->ds->finisher != NULL)
		ok(p, p->ds->finisher->finish(up, &p->e));
}

static void
drop(struct place *p, struct upload *up)
{
	p->ds->core->close(up);
}

/* What a look without the lock says. */
static int64_t
offset_of(struct place *p, const char *id)
{
	struct upload *up = look(p, id);
	int64_t offset = up->info.offset;

	drop(p, up);
	return offset;
}

static bool
is_there(struct place *p, const char *id)
{
	struct upload *up;
	enum err_code rc = p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e);

	if (rc == ERR_NOT_FOUND)
		return false;
	ok(p, rc);
	drop(p, up);
	return true;
}

static void
make_whole(struct place *p, const char *id, const char *text)
{
	struct upload *up = make(p, id, (int64_t)strlen(text));

	append(p, up, text);
	finish(p, up);
	drop(p, up);
}

/* The bytes, where they can be read at all. */
static void
assert_bytes(struct place *p, const char *id, int64_t from, const char *text)
{
	struct upload *up = look(p, id);
	struct stream *s;
	size_t len = strlen(text), got = 0;
	char *buf = arena_alloc(p->a, len + 8);
	ssize_t n;

	if (p->ds->reader != NULL) {
		ok(p, p->ds->reader->open(up, from, p->a, &s, &p->e));
		assert_int_equal(s->length, len);
		while ((n = p->ds->reader->read(s, buf + got, 3, &p->e)) > 0)
			got += (size_t)n;
		assert_int_equal(n, 0);
		assert_int_equal(got, len);
		assert_memory_equal(buf, text, len);
		p->ds->reader->close(s);
	}
	drop(p, up);
}

static void
a_new_upload_is_found_again_with_all_it_was_given(void **state)
{
	struct place *p = *state;
	static const char *const parts[] = { ID_2, ID_3, NULL };
	struct pair second = { NULL, "b", "\xff\0\r\nx", 5 };
	struct pair first = { &second, "filename", "w\xc3\xb6rld", 6 };
	struct file_info info = { .id = ID,
		.size = 11,
		.metadata = &first,
		.metadata_raw = "filename d8O2cmxk, b /wANCng=",
		.is_partial = true,
		.parts = parts,
		.concat_raw = "final;/a /b",
		.created = 1795377600,
		.expires = 1895377600,
		.owner = "J\xf6rg \"x\"" };
	struct upload *up;
	const struct pair *m;

	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	drop(p, up);
	up = look(p, ID);
	drop(p, up);
	assert_string_equal(up->info.id, ID);
	assert_int_equal(up->info.size, 11);
	assert_false(up->info.size_deferred);
	assert_int_equal(up->info.offset, 0);
	m = up->info.metadata;
	assert_string_equal(m->key, "filename");
	assert_string_equal(m->value, first.value);
	assert_int_equal(m->value_len, 6);
	m = m->next;
	assert_string_equal(m->key, "b");
	assert_int_equal(m->value_len, 5);
	assert_memory_equal(m->value, second.value, 5);
	assert_null(m->next);
	assert_string_equal(up->info.metadata_raw, info.metadata_raw);
	assert_true(up->info.is_partial);
	assert_false(up->info.is_final);
	assert_string_equal(up->info.parts[0], ID_2);
	assert_string_equal(up->info.parts[1], ID_3);
	assert_null(up->info.parts[2]);
	assert_string_equal(up->info.concat_raw, info.concat_raw);
	assert_int_equal(up->info.created, 1795377600);
	assert_int_equal(up->info.expires, 1895377600);
	assert_int_equal(up->info.finished, 0);
	assert_string_equal(up->info.owner, info.owner);
}

static void
what_was_not_given_is_not_there(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, -1);

	assert_true(up->info.size_deferred);
	drop(p, up);
	up = look(p, ID);
	assert_true(up->info.size_deferred);
	assert_null(up->info.metadata);
	assert_null(up->info.metadata_raw);
	assert_null(up->info.parts);
	assert_null(up->info.concat_raw);
	assert_null(up->info.owner);
	assert_int_equal(up->info.expires, 0);
	drop(p, up);
}

static void
an_id_is_taken_once(void **state)
{
	struct place *p = *state;
	struct file_info info = { .id = ID, .size = 3 };
	struct upload *up = make(p, ID, 5), *other;

	append(p, up, "he");
	drop(p, up);
	is(p, ERR_EXISTS,
	    p->ds->core->new_upload(p->ds, &info, p->a, &other, &p->e));
	assert_int_equal(offset_of(p, ID), 2);
}

static void
an_unknown_id_is_not_found(void **state)
{
	struct place *p = *state;

	drop(p, make(p, ID, 5));
	assert_false(is_there(p, ID_2));
}

static void
bytes_are_appended_slice_by_slice(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 11);

	begin(p, up, false);
	put(p, up, "hello");
	assert_int_equal(up->info.offset, 5);
	put(p, up, "");
	put(p, up, " wo");
	assert_int_equal(up->info.offset, 8);
	end(p, up, true);
	drop(p, up);
	assert_int_equal(offset_of(p, ID), 8);
	up = claim(p, ID);
	assert_int_equal(up->info.offset, 8);
	append(p, up, "rld");
	assert_true(upload_is_whole(up));
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "hello world");
	assert_bytes(p, ID, 6, "world");
	assert_bytes(p, ID, 11, "");
}

static void
a_claim_sees_what_happened_since_the_look(void **state)
{
	struct place *p = *state;
	struct upload *mine, *theirs;

	drop(p, make(p, ID, 11));
	mine = look(p, ID);
	theirs = claim(p, ID);
	append(p, theirs, "hello");
	drop(p, theirs);
	assert_int_equal(mine->info.offset, 0);
	ok(p, p->ds->core->claim(mine, &p->e));
	assert_int_equal(mine->info.offset, 5);
	drop(p, mine);
}

static void
bytes_taken_back_do_not_count(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 11);

	append(p, up, "hello");
	begin(p, up, false);
	put(p, up, "XXX");
	end(p, up, false);
	assert_int_equal(up->info.offset, 5);
	assert_int_equal(offset_of(p, ID), 5);
	append(p, up, " world");
	finish(p, up);
	drop(p, up);
	assert_bytes(p, ID, 0, "hello world");
}

static void
bytes_of_a_chunk_without_an_end_stay(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 11);

	begin(p, up, false);
	put(p, up, "hello");
	drop(p, up);
	up = claim(p, ID);
	assert_int_equal(up->info.offset, 5);
	drop(p, up);
}

/* A chunk on probation, as long as memory allows and longer. */
static char *
write_on_probation(struct place *p, struct upload *up, size_t len, char fill)
{
	char *buf = arena_alloc(p->a, len + 1);
	size_t at, n;

	memset(buf, fill, len);
	begin(p, up, true);
	for (at = 0; at < len; at += n) {
		n = len - at < 100000 ? len - at : 100000;
		ok(p, p->ds->core->write(up, buf + at, n, &p->e));
	}
	assert_int_equal(up->info.offset, 2 + len);
	return buf;
}

static void
bytes_on_probation_count_only_once_kept(void **state)
{
	struct place *p = *state;
	static const size_t sizes[] = { 5, BIG };
	const char *const ids[] = { ID_2, ID_3 };
	struct upload *up;
	char *text;
	size_t i;

	for (i = 0; i < NITEMS(sizes); i++) {
		up = make(p, ids[i], (int64_t)sizes[i] + 2);
		append(p, up, "ab");
		(void)write_on_probation(p, up, sizes[i], 'x');
		assert_int_equal(offset_of(p, ids[i]), 2);
		end(p, up, false);
		assert_int_equal(up->info.offset, 2);
		(void)write_on_probation(p, up, sizes[i], 'y');
		drop(p, up);
		up = claim(p, ids[i]);
		assert_int_equal(up->info.offset, 2);
		text = write_on_probation(p, up, sizes[i], 'z');
		end(p, up, true);
		finish(p, up);
		drop(p, up);
		assert_int_equal(offset_of(p, ids[i]), 2 + sizes[i]);
		assert_bytes(p, ids[i], 2, text);
	}
}

static void
two_chunks_on_probation_do_not_mix(void **state)
{
	struct place *p = *state;
	struct upload *a = make(p, ID, 4), *b = make(p, ID_2, 4);

	begin(p, a, true);
	begin(p, b, true);
	put(p, a, "aa");
	put(p, b, "bb");
	put(p, a, "AA");
	put(p, b, "BB");
	end(p, b, true);
	end(p, a, true);
	finish(p, a);
	finish(p, b);
	drop(p, a);
	drop(p, b);
	assert_bytes(p, ID, 0, "aaAA");
	assert_bytes(p, ID_2, 0, "bbBB");
}

static void
more_than_announced_is_refused(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 4);

	begin(p, up, false);
	put(p, up, "abc");
	is(p, ERR_INVALID, p->ds->core->write(up, "de", 2, &p->e));
	assert_int_equal(up->info.offset, 3);
	end(p, up, true);
	drop(p, up);
	assert_int_equal(offset_of(p, ID), 3);
}

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

static void
a_finished_upload_says_so_and_never_expires(void **state)
{
	struct place *p = *state;
	struct file_info info = { .id = ID, .size = 2, .expires = 1999999999 };
	struct upload *up, *seen;

	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	append(p, up, "ab");
	assert_true(upload_is_whole(up));
	if (p->ds->finisher != NULL) {
		seen = look(p, ID);
		assert_false(upload_is_finished(seen));
		drop(p, seen);
		ok(p, p->ds->finisher->finish(up, &p->e));
		ok(p, p->ds->finisher->finish(up, &p->e));
		assert_int_equal(up->info.expires, 0);
	}
	assert_true(upload_is_finished(up));
	drop(p, up);
	up = look(p, ID);
	assert_true(upload_is_finished(up) || p->ds->finisher == NULL);
	assert_true(up->settled || p->ds->finisher == NULL);
	if (p->ds->finisher != NULL) {
		assert_int_not_equal(up->info.finished, 0);
		assert_int_equal(up->info.expires, 0);
		ok(p, p->ds->core->confirm(up, &p->e));
	}
	drop(p, up);
}

static void
an_empty_upload_can_be_finished(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 0);

	finish(p, up);
	drop(p, up);
	up = look(p, ID);
	assert_true(upload_is_whole(up));
	drop(p, up);
	assert_bytes(p, ID, 0, "");
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
	assert_true(upload_is_whole(up));
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

/* --- moving -------------------------------------------------------------- */

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

	if (p->ds->mover == NULL)
		return;
	up = make_to_move(p, ID, false);
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

	if (p->ds->mover == NULL)
		return;
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

	if (p->ds->mover == NULL)
		return;
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

	if (p->ds->mover == NULL)
		return;
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
			p->ds, &cursor, p->a, &id, &p->e));
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
			p->ds, &cursor, p->a, &id, &p->e));
		if (id == NULL)
			break;
		up = claim(p, id);
		ok(p, p->ds->terminater->terminate(up, &p->e));
		drop(p, up);
		n++;
	}
	assert_int_equal(n, 20);
	ok(p, p->ds->expirer->walk_next(p->ds, &cursor, p->a, &id, &p->e));
	assert_null(id);
}

/* What is settled and seen without the lock is also what a claim finds. */
static void
a_settled_look_tells_what_a_claim_finds(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 11);
	int64_t offset;

	append(p, up, "hello");
	ok(p, p->ds->core->confirm(up, &p->e));
	drop(p, up);
	up = look(p, ID);
	assert_true(up->settled);
	offset = up->info.offset;
	ok(p, p->ds->core->claim(up, &p->e));
	assert_int_equal(up->info.offset, offset);
	drop(p, up);
}

static void
a_table_with_a_hole_is_refused(void **state)
{
	struct place *p = *state;
	struct store_core core = *p->ds->core;
	struct store_finisher finisher = { .refuse = NULL };
	struct data_store ds = *p->ds;

	ok(p, store_check(&ds, &p->e));
	ds.finisher = &finisher;
	is(p, ERR_INVALID, store_check(&ds, &p->e));
	ds.finisher = NULL;
	ok(p, store_check(&ds, &p->e));
	core.write_end = NULL;
	ds.core = &core;
	is(p, ERR_INVALID, store_check(&ds, &p->e));
}

int
contract_run(const struct variant *v)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest all[] = {
		TEST(a_new_upload_is_found_again_with_all_it_was_given),
		TEST(what_was_not_given_is_not_there),
		TEST(an_id_is_taken_once),
		TEST(an_unknown_id_is_not_found),
		TEST(bytes_are_appended_slice_by_slice),
		TEST(a_claim_sees_what_happened_since_the_look),
		TEST(bytes_taken_back_do_not_count),
		TEST(bytes_of_a_chunk_without_an_end_stay),
		TEST(bytes_on_probation_count_only_once_kept),
		TEST(two_chunks_on_probation_do_not_mix),
		TEST(more_than_announced_is_refused),
		TEST(a_finished_upload_says_so_and_never_expires),
		TEST(an_empty_upload_can_be_finished),
		TEST(a_settled_look_tells_what_a_claim_finds),
		TEST(a_table_with_a_hole_is_refused),
	};
	const struct CMUnitTest capable[] = {
		TEST(a_length_is_declared_at_once),
		TEST(what_is_decided_in_a_chunk_shares_its_fate),
		TEST(expiry_takes_effect_at_once),
		TEST(a_finish_that_is_refused_gives_one_byte_back),
		TEST(a_claim_shows_that_the_finish_is_missing),
		TEST(a_terminated_upload_is_gone_for_all),
		TEST(a_stream_outlives_its_upload),
		TEST(no_stream_begins_behind_the_end),
		TEST(parts_are_joined_in_their_order),
		TEST(nothing_is_left_of_a_concatenation_that_fails),
		TEST(what_was_moved_is_known_as_before),
		TEST(an_id_that_was_moved_is_taken),
		TEST(a_partial_upload_stays),
		TEST(a_place_elsewhere_is_refused),
		TEST(a_walk_meets_every_upload_once),
		TEST(a_walk_survives_that_what_it_meets_is_removed),
	};
	int failures;

	variant = v;
	failures = cmocka_run_group_tests_name(v->name, all, NULL, NULL);
	if (!v->bare)
		failures +=
		    cmocka_run_group_tests_name(v->name, capable, NULL, NULL);
	return failures;
}
