/*
 * lot.h - the requests that wait for their clients, and when a worker gets
 * them.
 *
 * It knows no time, no socket and no lock of its own: the parking process tells
 * what it has seen, and asks which requests are ready.
 */
#ifndef FCGI_LOT_H
#define FCGI_LOT_H

#include "fcgi/note.h"

enum {
	/* As many readable bytes are worth a worker at once. */
	LOT_ENOUGH = 64 * 1024,
	/* Ms after the first byte until a worker gets the request, and where
	 * note.is_soon. */
	LOT_LATE = 2000,
	LOT_SOON = 250,
	/* Every lock is asked within so many ms. */
	LOT_ASK = 250
};

struct lot_link {
	struct lot_link *next, *prev;
};

enum lot_state {
	/* Nothing came. */
	LOT_QUIET,
	/* Something came, and more may follow. */
	LOT_WAITING,
	/* A worker may have it. */
	LOT_READY,
	/* The same, before the others. */
	LOT_WANTED
};

struct lot_item {
	struct lot_link link;
	enum lot_state state;
	/* When it leaves its state for want of news, by clock_ms(). */
	int64_t due;
	/* Its place in lot.all. */
	size_t at;
	int connection;
	/* Followed by params_len bytes of parameters. */
	struct note note;
};

struct lot {
	/* The first is due first.  Of ready ones it is the oldest. */
	struct lot_link quiet, soon, late, ready, wanted;

	struct lot_item **all;
	size_t used, size;
	/* Of parameters, in all. */
	size_t bytes;

	/* The lock that was asked last, and until when that was due, in ns. */
	size_t asking;
	int64_t asked_at;

	/* All that is here, or comes, is ready at once. */
	bool is_stopping;
};

void lot_init(struct lot *, int64_t now);

/* The item owns the descriptors of the box from here on. */
struct lot_item *lot_add(struct lot *, const struct note_box *, int64_t now);

/* So many bytes are readable on its connection, or its end was seen. */
void lot_see(
    struct lot *, struct lot_item *, int bytes, bool is_over, int64_t now);

/* Another request wants its lock: a worker gets it next. */
void lot_want(struct lot *, struct lot_item *);

/* Those whose lock is to be asked now, one by one, then NULL.  Call it until
 * then. */
struct lot_item *lot_ask(struct lot *, int64_t now);

/* Make ready what is due; how many ms until the next is, at most. */
int64_t lot_turn(struct lot *, int64_t now, int64_t at_most);

void lot_stop(struct lot *);

/* Of those that are ready the one whose turn it is; NULL: none is. */
struct lot_item *lot_first(const struct lot *);

/* Forget it and close its descriptors. */
void lot_remove(struct lot *, struct lot_item *);

#endif
