/*
 * lot.c - the requests that wait for their clients, and when a worker gets
 * them.
 *
 * Requests that wait for equally long are in one list, so that its first one is
 * the next.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "fcgi/lot.h"

/* In a ms. */
#define NS INT64_C(1000000)

static struct lot_item *
item_of(struct lot_link *link)
{
	return OUTER(link, struct lot_item, link);
}

static bool
is_empty(const struct lot_link *list)
{
	return list->next == list;
}

static void
init_list(struct lot_link *list)
{
	list->next = list->prev = list;
}

static void
leave_list(struct lot_item *i)
{
	i->link.prev->next = i->link.next;
	i->link.next->prev = i->link.prev;
}

/* Behind all that are due earlier; nearly always that is the last place. */
static void
enter_list(struct lot_link *list, struct lot_item *i)
{
	struct lot_link *prev = list->prev;

	while (prev != list && item_of(prev)->due > i->due)
		prev = prev->prev;
	i->link.prev = prev;
	i->link.next = prev->next;
	i->link.next->prev = i->link.prev->next = &i->link;
}

void
lot_init(struct lot *lot, int64_t now)
{
	*lot = (struct lot){ .asked_at = now * NS };
	init_list(&lot->quiet);
	init_list(&lot->soon);
	init_list(&lot->late);
	init_list(&lot->ready);
	init_list(&lot->wanted);
}

static void
become(struct lot *lot, struct lot_item *i, enum lot_state state, int64_t due)
{
	struct lot_link *list = &lot->quiet;

	leave_list(i);
	i->state = state;
	i->due = due;
	if (state == LOT_READY)
		list = &lot->ready;
	else if (state == LOT_WANTED)
		list = &lot->wanted;
	else if (state == LOT_WAITING)
		list = i->note.is_soon ? &lot->soon : &lot->late;
	enter_list(list, i);
}

static void
make_ready(struct lot *lot, struct lot_item *i, enum note_why why)
{
	if (i->state >= LOT_READY)
		return;
	i->note.why = why;
	become(lot, i, LOT_READY, 0);
}

static void
make_wait(struct lot *lot, struct lot_item *i, int64_t now)
{
	if (i->state == LOT_QUIET)
		become(lot, i, LOT_WAITING,
		    now + (i->note.is_soon ? LOT_SOON : LOT_LATE));
}

static void
enter_all(struct lot *lot, struct lot_item *i)
{
	if (lot->used == lot->size) {
		lot->size = lot->size > 0 ? 2 * lot->size : 256;
		lot->all =
		    realloc(lot->all, lot->size * sizeof(struct lot_item *));
		if (lot->all == NULL)
			out_of_memory();
	}
	i->at = lot->used;
	lot->all[lot->used++] = i;
	lot->bytes += i->note.params_len;
}

struct lot_item *
lot_add(struct lot *lot, const struct note_box *box, int64_t now)
{
	struct lot_item *i = must_alloc(sizeof(*i) + box->note.params_len);

	i->connection = box->connection;
	i->note = box->note;
	if (i->note.last_byte > now)
		i->note.last_byte = now;
	memcpy(i + 1, box->params, box->note.params_len);
	init_list(&i->link);
	enter_all(lot, i);
	become(lot, i, LOT_QUIET, i->note.last_byte + i->note.patience);
	if (lot->is_stopping) {
		make_ready(lot, i, NOTE_STOP);
	} else if (i->note.why == NOTE_NO_PLACE || i->note.is_due) {
		i->note.is_soon |= i->note.why == NOTE_NO_PLACE;
		make_wait(lot, i, now);
	}
	return i;
}

/* The number of bytes for which a worker is worth waking: all that are still to
 * come, with the headers around them, or many of them. */
static int64_t
enough(const struct note *n)
{
	int64_t need = n->left;

	if (need < 0 || need > LOT_ENOUGH)
		return LOT_ENOUGH;
	if (need > (int64_t)n->cut.content)
		need += (int64_t)(n->cut.padding + sizeof(n->cut.header) -
		    n->cut.has);
	return need;
}

void
lot_see(
    struct lot *lot, struct lot_item *i, int bytes, bool is_over, int64_t now)
{
	if (is_over)
		make_ready(lot, i, NOTE_END);
	else if (i->note.why == NOTE_NO_PLACE)
		return;
	else if (bytes >= enough(&i->note))
		make_ready(lot, i, NOTE_BYTES);
	else if (bytes > 0)
		make_wait(lot, i, now);
}

void
lot_want(struct lot *lot, struct lot_item *i)
{
	make_ready(lot, i, NOTE_LOCK);
	become(lot, i, LOT_WANTED, 0);
}

/* As large a part of all as of LOT_ASK has gone by. */
struct lot_item *
lot_ask(struct lot *lot, int64_t now)
{
	int64_t each = LOT_ASK * NS / (int64_t)(lot->used + 1);
	struct lot_item *i;

	if (lot->asked_at < (now - LOT_ASK) * NS)
		lot->asked_at = (now - LOT_ASK) * NS;
	while (lot->used > 0 && lot->asked_at + each <= now * NS) {
		lot->asked_at += each;
		lot->asking = (lot->asking + 1) % lot->used;
		i = lot->all[lot->asking];
		if (i->state != LOT_WANTED && i->note.task.loan.fd != -1)
			return i;
	}
	return NULL;
}

static void
turn_list(
    struct lot *lot, struct lot_link *list, enum note_why why, int64_t now)
{
	while (!is_empty(list) && item_of(list->next)->due <= now)
		make_ready(lot, item_of(list->next), why);
}

static int64_t
until_next(struct lot_link *list, int64_t now, int64_t at_most)
{
	int64_t ms;

	if (is_empty(list))
		return at_most;
	ms = item_of(list->next)->due - now;
	return ms < at_most ? ms : at_most;
}

int64_t
lot_turn(struct lot *lot, int64_t now, int64_t at_most)
{
	turn_list(lot, &lot->soon, NOTE_TIMER, now);
	turn_list(lot, &lot->late, NOTE_TIMER, now);
	turn_list(lot, &lot->quiet, NOTE_SILENCE, now);
	at_most = until_next(&lot->soon, now, at_most);
	at_most = until_next(&lot->late, now, at_most);
	return until_next(&lot->quiet, now, at_most);
}

void
lot_stop(struct lot *lot)
{
	size_t n;

	lot->is_stopping = true;
	for (n = 0; n < lot->used; n++)
		make_ready(lot, lot->all[n], NOTE_STOP);
}

struct lot_item *
lot_first(const struct lot *lot)
{
	if (!is_empty(&lot->wanted))
		return item_of(lot->wanted.next);
	return is_empty(&lot->ready) ? NULL : item_of(lot->ready.next);
}

void
lot_remove(struct lot *lot, struct lot_item *i)
{
	leave_list(i);
	lot->bytes -= i->note.params_len;
	lot->all[i->at] = lot->all[--lot->used];
	lot->all[i->at]->at = i->at;
	(void)close(i->connection);
	if (i->note.task.loan.fd != -1)
		(void)close(i->note.task.loan.fd);
	/* The header fields of a client. */
	explicit_bzero(i, sizeof(*i) + i->note.params_len);
	free(i);
}
