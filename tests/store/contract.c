/*
 * contract.c - what every store must do, written once for all of them.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/contract_kit.h"

/* More than a store may want to keep in memory. */
#define BIG ((size_t)3 << 20)

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
		.owner = "J\xf6rg \"x\"",
		.protocol = "rufh",
		.digest = "sha-256=:AA==:" };
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
	assert_string_equal(up->info.protocol, info.protocol);
	assert_string_equal(up->info.digest, info.digest);
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
	assert_null(up->info.protocol);
	assert_null(up->info.digest);
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

static struct upload *
make_hidden(struct place *p, int64_t size)
{
	struct file_info info = {
		.id = ID, .size = size < 0 ? 0 : size, .size_deferred = size < 0
	};
	struct upload *up = NULL;

	ok(p, p->ds->core->new_hidden(p->ds, &info, p->a, &up, &p->e));
	return up;
}

static void
a_hidden_upload_is_seen_once_its_bytes_are_kept(void **state)
{
	struct place *p = *state;
	struct file_info info = { .id = ID, .size = 3 };
	struct upload *up = make_hidden(p, -1), *other;

	assert_false(is_there(p, ID));
	/* In a bucket it takes its id when it is seen, not before. */
	if (strcmp(p->variant->type, "s3") != 0)
		is(p, ERR_EXISTS,
		    p->ds->core->new_upload(p->ds, &info, p->a, &other, &p->e));
	begin(p, up, false);
	put(p, up, "he");
	assert_false(is_there(p, ID));
	ok(p, p->ds->core->write_end(up, true, &p->e));
	assert_int_equal(offset_of(p, ID), 2);
	drop(p, up);
}

static void
a_hidden_upload_that_is_whole_is_seen_when_it_is_finished(void **state)
{
	struct place *p = *state;
	struct upload *up = make_hidden(p, 5);

	begin(p, up, true);
	put(p, up, "hello");
	ok(p, p->ds->core->write_end(up, true, &p->e));
	if (p->ds->finisher != NULL) {
		assert_false(is_there(p, ID));
		ok(p, p->ds->finisher->finish(up, 0, &p->e));
	}
	drop(p, up);
	up = look(p, ID);
	assert_true(upload_is_finished(up));
	drop(p, up);
}

static void
what_is_hidden_can_be_taken_back(void **state)
{
	struct place *p = *state;
	struct upload *up = make_hidden(p, 5);

	begin(p, up, true);
	put(p, up, "hell");
	ok(p, p->ds->core->write_end(up, false, &p->e));
	ok(p, p->ds->terminater->terminate(up, &p->e));
	drop(p, up);
	assert_false(is_there(p, ID));
	drop(p, make(p, ID, 5));
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

/* Where an engine has been told to take no segment of this upload but the
 * first. */
static void
what_cannot_be_kept_does_not_count(void **state)
{
	struct place *p = *state;
	const char *id = getenv("TUSFCGI_S3_FAILS");
	char part[S3_PART + 100];
	struct upload *up;

	if (strcmp(p->variant->type, "s3") != 0 || id == NULL)
		skip();
	memset(part, 'p', sizeof(part));
	up = make(p, id, (int64_t)3 * S3_PART);
	append(p, up, "hello");
	begin(p, up, false);
	put(p, up, " world");
	is(p, ERR_UNAVAILABLE, p->ds->core->write_end(up, true, &p->e));
	assert_int_equal(up->info.offset, 5);
	assert_int_equal(offset_of(p, id), 5);
	/* The part came through, and what is behind it did not. */
	begin(p, up, false);
	ok(p, p->ds->core->write(up, part, sizeof(part), &p->e));
	is(p, ERR_UNAVAILABLE, p->ds->core->write_end(up, true, &p->e));
	assert_int_equal(up->info.offset, S3_PART);
	assert_int_equal(offset_of(p, id), S3_PART);
	/* The upload goes on. */
	begin(p, up, false);
	ok(p, p->ds->core->write(up, part, S3_PART, &p->e));
	ok(p, p->ds->core->write_end(up, true, &p->e));
	drop(p, up);
	assert_int_equal(offset_of(p, id), 2 * S3_PART);
	drop(p, claim(p, id));
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
	assert_int_equal(up->info.offset, p->ds->is_shared ? 0 : 5);
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
		ok(p, p->ds->finisher->finish(up, 0, &p->e));
		ok(p, p->ds->finisher->finish(up, 0, &p->e));
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

/* If an upload looks settled without the lock, a claim finds the same. */
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
	assert_true(up->settled != p->ds->is_shared);
	offset = up->info.offset;
	ok(p, p->ds->core->claim(up, &p->e));
	assert_int_equal(up->info.offset, offset);
	drop(p, up);
}

static struct upload *
find(struct place *p, const char *id)
{
	struct upload *up = NULL;

	ok(p, p->ds->core->find_upload(p->ds, id, p->a, &up, &p->e));
	return up;
}

static void
what_is_found_is_known_once_it_is_claimed(void **state)
{
	struct place *p = *state;
	struct upload *up = make(p, ID, 10), *other;

	append(p, up, "hello");
	drop(p, up);
	up = find(p, ID);
	assert_string_equal(up->info.id, ID);
	assert_int_equal(up->info.size, 10);
	assert_true(up->info.offset == 5 || up->info.offset == -1);
	assert_true(up->info.offset == 5 || !up->settled);
	assert_false(upload_is_finished(up));
	/* Another process was faster. */
	other = claim(p, ID);
	append(p, other, "wor");
	drop(p, other);
	ok(p, p->ds->core->claim(up, &p->e));
	assert_int_equal(up->info.offset, 8);
	append(p, up, "ld");
	finish(p, up);
	drop(p, up);
	up = find(p, ID);
	assert_true(upload_is_finished(up));
	assert_int_equal(up->info.offset, 10);
	drop(p, up);
	is(p, ERR_NOT_FOUND,
	    p->ds->core->find_upload(p->ds, "unknown", p->a, &up, &p->e));
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
	static const struct promise all[] = {
		PROMISE(a_new_upload_is_found_again_with_all_it_was_given, 0),
		PROMISE(what_was_not_given_is_not_there, 0),
		PROMISE(an_id_is_taken_once, 0),
		PROMISE(a_hidden_upload_is_seen_once_its_bytes_are_kept, 0),
		PROMISE(
		    a_hidden_upload_that_is_whole_is_seen_when_it_is_finished,
		    0),
		PROMISE(what_is_hidden_can_be_taken_back, CAN_TERMINATE),
		PROMISE(an_unknown_id_is_not_found, 0),
		PROMISE(bytes_are_appended_slice_by_slice, 0),
		PROMISE(a_claim_sees_what_happened_since_the_look, 0),
		PROMISE(bytes_taken_back_do_not_count, 0),
		PROMISE(what_cannot_be_kept_does_not_count, 0),
		PROMISE(bytes_of_a_chunk_without_an_end_stay, 0),
		PROMISE(bytes_on_probation_count_only_once_kept, 0),
		PROMISE(two_chunks_on_probation_do_not_mix, 0),
		PROMISE(more_than_announced_is_refused, 0),
		PROMISE(a_finished_upload_says_so_and_never_expires, 0),
		PROMISE(an_empty_upload_can_be_finished, 0),
		PROMISE(a_settled_look_tells_what_a_claim_finds, 0),
		PROMISE(what_is_found_is_known_once_it_is_claimed, 0),
		PROMISE(a_table_with_a_hole_is_refused, 0),
	};

	return contract_check(v, all, NITEMS(all));
}
