/*
 * turns.c - in which order a sweep comes to the uploads that hooks have a say
 * in.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/turns.h"

void
turns_add(struct turns *t, const char *id, int fate)
{
	struct turn *more;

	if (t->n == t->room) {
		t->room = t->room == 0 ? 64 : 2 * t->room;
		more = arena_alloc(t->arena, t->room * sizeof(*more));
		if (t->n > 0)
			memcpy(more, t->list, t->n * sizeof(*more));
		t->list = more;
	}
	t->list[t->n++] = (struct turn){ arena_strdup(t->arena, id), fate };
}

static int
compare(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return strcmp(x->id, y->id);
}

void
turns_order(struct turns *t, const char *after)
{
	struct turn *sorted;
	size_t first = 0;

	if (t->n == 0)
		return;
	qsort(t->list, t->n, sizeof(*t->list), compare);
	while (first < t->n && strcmp(t->list[first].id, after) <= 0)
		first++;
	sorted = arena_alloc(t->arena, t->n * sizeof(*sorted));
	memcpy(sorted, t->list + first, (t->n - first) * sizeof(*sorted));
	memcpy(sorted + (t->n - first), t->list, first * sizeof(*sorted));
	t->list = sorted;
}
