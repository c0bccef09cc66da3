/*
 * turns.h - in which order a sweep comes to the uploads that hooks have a say
 * in.
 *
 * Hooks that fail take time, so that a sweep may not come to all of them.  The
 * next one goes on behind the last that had its turn, by the order of the ids.
 */
#ifndef CORE_TURNS_H
#define CORE_TURNS_H

#include <stddef.h>

#include "base/arena.h"

/* An upload, and what is to be done with it, in the words of the caller. */
struct turn {
	const char *id;
	int fate;
};

/* All zero but for the arena. */
struct turns {
	struct arena *arena;
	struct turn *list;
	size_t n, room;
};

/* The id is copied. */
void turns_add(struct turns *, const char *id, int fate);

/* Sort them, so that those behind an id come first; "" is before any. */
void turns_order(struct turns *, const char *after);

#endif
