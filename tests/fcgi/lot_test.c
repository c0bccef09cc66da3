/*
 * lot_test.c - when a worker gets a request that waits for its client; and
 * notes, whole and hostile.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "fcgi/lot.h"

enum {
	NOW = 1000000,
	PATIENCE = 60000
};

static struct lot lot;

static int
set_up(void **state)
{
	(void)state;
	lot_init(&lot, NOW);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	while (lot.used > 0)
		lot_remove(&lot, lot.all[0]);
	free(lot.all);
	return 0;
}

/* A request with so much to come, whose descriptors are real. */
static struct lot_item *
add(int64_t left, bool has_lock, int64_t now)
{
	static struct note_box box;

	memset(&box, 0, sizeof(box));
	box.connection = dup(0);
	box.note.left = left;
	box.note.is_soon = left < 0;
	box.note.last_byte = now;
	box.note.patience = PATIENCE;
	box.note.task.loan.fd = has_lock ? dup(0) : -1;
	return lot_add(&lot, &box, now);
}

/* The only one that is ready, or NULL; it is gone then. */
static void
assert_ready(const struct lot_item *wanted, enum note_why why)
{
	struct lot_item *i = lot_first(&lot);

	assert_ptr_equal(i, wanted);
	assert_int_equal(i->note.why, why);
	lot_remove(&lot, i);
	assert_null(lot_first(&lot));
}

static void
nothing_is_ready_before_something_comes(void **state)
{
	(void)state;
	(void)add(1000, false, NOW);
	assert_int_equal(lot_turn(&lot, NOW + 5000, 1000), 1000);
	assert_null(lot_first(&lot));
}

static void
a_byte_is_handed_over_by_the_timer(void **state)
{
	struct lot_item *i = add(1000, false, NOW);

	(void)state;
	lot_see(&lot, i, 1, false, NOW + 10);
	lot_see(&lot, i, 2, false, NOW + 1000);
	assert_int_equal(lot_turn(&lot, NOW + 1010, 5000), 1000);
	(void)lot_turn(&lot, NOW + 10 + LOT_LATE - 1, 5000);
	assert_null(lot_first(&lot));
	(void)lot_turn(&lot, NOW + 10 + LOT_LATE, 5000);
	assert_ready(i, NOTE_TIMER);
}

static void
where_the_end_cannot_be_seen_the_timer_is_short(void **state)
{
	struct lot_item *i = add(-1, false, NOW), *late = add(9, false, NOW);

	(void)state;
	lot_see(&lot, late, 1, false, NOW);
	lot_see(&lot, i, 1, false, NOW);
	assert_int_equal(lot_turn(&lot, NOW, 5000), LOT_SOON);
	(void)lot_turn(&lot, NOW + LOT_SOON, 5000);
	assert_ready(i, NOTE_TIMER);
}

static void
all_that_is_to_come_is_enough(void **state)
{
	struct lot_item *i = add(1000, false, NOW);

	(void)state;
	/* The header of a record comes, too. */
	lot_see(&lot, i, 1007, false, NOW);
	assert_null(lot_first(&lot));
	lot_see(&lot, i, 1008, false, NOW);
	assert_ready(i, NOTE_BYTES);
	i = add(100000000, false, NOW);
	lot_see(&lot, i, LOT_ENOUGH - 1, false, NOW);
	assert_null(lot_first(&lot));
	lot_see(&lot, i, LOT_ENOUGH, false, NOW);
	assert_ready(i, NOTE_BYTES);
}

static void
an_end_is_ready_at_once(void **state)
{
	struct lot_item *i = add(1000, false, NOW);

	(void)state;
	lot_see(&lot, i, 0, true, NOW);
	/* It stays what it was. */
	lot_want(&lot, i);
	assert_ready(i, NOTE_END);
}

static void
what_another_request_wants_is_the_next(void **state)
{
	struct lot_item *first = add(1000, false, NOW);
	struct lot_item *last = add(1000, true, NOW), *next;

	(void)state;
	next = add(1000, true, NOW);
	lot_see(&lot, first, 0, true, NOW);
	lot_see(&lot, last, 0, true, NOW);
	assert_ptr_equal(lot_first(&lot), first);
	lot_want(&lot, next);
	assert_ptr_equal(lot_first(&lot), next);
	/* One that is ready is asked, too, but not again. */
	assert_ptr_equal(lot_ask(&lot, NOW + LOT_ASK), last);
	lot_want(&lot, last);
	assert_null(lot_ask(&lot, NOW + 2 * LOT_ASK));
	lot_remove(&lot, next);
	assert_ptr_equal(lot_first(&lot), last);
	assert_int_equal(last->note.why, NOTE_END);
	lot_remove(&lot, last);
	assert_ready(first, NOTE_END);
}

static void
silence_is_counted_from_the_last_byte(void **state)
{
	struct lot_item *late, *i;

	(void)state;
	late = add(1000, false, NOW + 30000);
	/* It came later, and has been silent for longer. */
	i = add(1000, false, NOW);
	(void)lot_turn(&lot, NOW + PATIENCE, 1000);
	assert_ready(i, NOTE_SILENCE);
	(void)lot_turn(&lot, NOW + 30000 + PATIENCE, 1000);
	assert_ready(late, NOTE_SILENCE);
}

static void
every_lock_is_asked_in_time(void **state)
{
	struct lot_item *i;
	int asked = 0, ms, n;

	(void)state;
	for (n = 0; n < 1000; n++)
		(void)add(1000, n % 2 == 0, NOW);
	for (ms = 1; ms <= LOT_ASK + 1; ms++)
		while ((i = lot_ask(&lot, NOW + ms)) != NULL) {
			assert_int_not_equal(i->note.task.loan.fd, -1);
			asked++;
		}
	assert_in_range(asked, 500, 510);
	/* After a long sleep none is asked more often. */
	for (asked = 0; lot_ask(&lot, NOW + 3600000) != NULL;)
		asked++;
	assert_in_range(asked, 490, 510);
}

/* pool.max_parked can be as much. */
static void
a_million_is_asked_and_no_more(void **state)
{
	enum {
		MILLION = 1000000
	};
	struct lot_item *bare = add(1000, false, NOW);
	struct lot_item *locked = add(1000, true, NOW);
	int64_t now = NOW;
	int n, asked = 0;

	(void)state;
	lot.all = realloc(lot.all, MILLION * sizeof(struct lot_item *));
	assert_non_null(lot.all);
	lot.used = lot.size = MILLION;
	for (n = 0; n < MILLION; n++)
		lot.all[n] = n == MILLION / 2 ? locked : bare;
	for (; now < NOW + 3 * LOT_ASK; now++)
		while (asked < 10 && lot_ask(&lot, now) != NULL)
			asked++;
	assert_in_range(asked, 2, 3);
	lot.all[0] = bare;
	lot.all[1] = locked;
	lot.used = 2;
}

static void
a_stop_makes_all_ready(void **state)
{
	struct lot_item *i = add(1000, false, NOW), *next;

	(void)state;
	lot_stop(&lot);
	assert_ready(i, NOTE_STOP);
	next = add(1000, false, NOW);
	assert_ready(next, NOTE_STOP);
}

static void
a_body_without_a_place_waits_for_its_turn(void **state)
{
	static struct note_box box;
	struct lot_item *i;

	(void)state;
	memset(&box, 0, sizeof(box));
	box.connection = dup(0);
	box.note.why = NOTE_NO_PLACE;
	box.note.left = 100000000;
	box.note.last_byte = NOW;
	box.note.patience = PATIENCE;
	box.note.task.loan.fd = -1;
	i = lot_add(&lot, &box, NOW);
	lot_see(&lot, i, LOT_ENOUGH, false, NOW);
	assert_null(lot_first(&lot));
	(void)lot_turn(&lot, NOW + LOT_SOON, 1000);
	assert_ready(i, NOTE_TIMER);
}

/* --- Notes. --- */

static void
parameters_are_packed_as_they_came(void **state)
{
	static char long_one[300] = "LONG=";
	char *envp[] = { (char *)(uintptr_t) "FCGI_ROLE=RESPONDER",
		(char *)(uintptr_t) "A=b=c",
		(char *)(uintptr_t) "EMPTY=", long_one, NULL };
	char got[512];
	ssize_t len;

	(void)state;
	memset(long_one + 5, 'x', sizeof(long_one) - 6);
	len = note_pack(envp, got, sizeof(got));
	assert_int_equal(len, 2 + 4 + 2 + 5 + 5 + 4 + 294);
	assert_memory_equal(got, "\1\3Ab=c\5\0EMPTY\4\200\0\1\46LONGxxx", 23);
	assert_int_equal(note_pack(envp, got, 100), -1);
}

static void
a_note_comes_with_its_descriptors(void **state)
{
	static struct note_box box;
	struct note n = { .why = NOTE_DRY, .params_len = 3, .parks = 7 };
	int pair[2], wire[2];
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(wire), 0);
	n.task.loan.fd = wire[1];
	assert_false(note_receive(pair[1], &box));
	assert_int_equal(note_send(pair[0], &n, "abc", wire[0]), 0);
	(void)close(wire[0]);
	(void)close(wire[1]);
	assert_true(note_receive(pair[1], &box));
	assert_int_equal(box.note.parks, 7);
	assert_memory_equal(box.params, "abc", 3);
	assert_int_equal(write(box.note.task.loan.fd, "x", 1), 1);
	assert_int_equal(read(box.connection, &byte, 1), 1);
	note_drop(&box);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static size_t
open_descriptors(void)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		if (dup2(fd, fd) != -1)
			n++;
	return n;
}

/* One message of any length with any number of descriptors. */
static void
send_any(int sock, const void *bytes, size_t len, size_t descriptors)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = "";
	struct iovec from = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &from, .msg_iovlen = 1 };
	const int each[4] = { 0, 0, 0, 0 };
	struct cmsghdr *h;

	if (descriptors > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
		memcpy(CMSG_DATA(h), each, descriptors * sizeof(int));
	}
	assert_true(sendmsg(sock, &msg, 0) >= 0);
}

static void
what_is_no_note_is_dropped_with_its_descriptors(void **state)
{
	static struct note_box box;
	static char bytes[sizeof(struct note) + NOTE_PARAMS_MAX + 100];
	static const size_t lengths[] = { 1, 4, sizeof(struct note) - 1,
		sizeof(struct note), sizeof(struct note) + 1, sizeof(bytes) };
	size_t before, i, n;
	unsigned seed;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	before = open_descriptors();
	srandom(1);
	for (seed = 0; seed < 200; seed++)
		for (i = 0; i < NITEMS(lengths); i++)
			for (n = 0; n < 5; n++) {
				for (size_t at = 0; at < sizeof(struct note);
				     at++)
					bytes[at] = (char)random();
				send_any(pair[0], bytes, lengths[i], n);
				assert_false(note_receive(pair[1], &box));
			}
	assert_int_equal(open_descriptors(), before);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int
main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ONE(nothing_is_ready_before_something_comes),
		ONE(a_byte_is_handed_over_by_the_timer),
		ONE(where_the_end_cannot_be_seen_the_timer_is_short),
		ONE(all_that_is_to_come_is_enough),
		ONE(an_end_is_ready_at_once),
		ONE(what_another_request_wants_is_the_next),
		ONE(silence_is_counted_from_the_last_byte),
		ONE(every_lock_is_asked_in_time),
		ONE(a_million_is_asked_and_no_more),
		ONE(a_stop_makes_all_ready),
		ONE(a_body_without_a_place_waits_for_its_turn),
		cmocka_unit_test(parameters_are_packed_as_they_came),
		cmocka_unit_test(a_note_comes_with_its_descriptors),
		cmocka_unit_test(
		    what_is_no_note_is_dropped_with_its_descriptors),
	};
#undef ONE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
