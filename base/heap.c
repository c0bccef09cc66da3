/*
 * heap.c - a heap that stays shared with the processes forked from ours.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/heap.h"

/* More than any block that was freed. */
#define LARGE ((size_t)64 * 1024)

/* The steps between the sizes that the allocator keeps apart. */
#define SMALL_STEP ((size_t)16)

/* Not every allocator fills its memory from below: then there is no end. */
#define MOST ((size_t)512 * 1024)

struct hole {
	struct hole *next;
};

static struct hole *holes;
static size_t taken;

/* Blocks of a size until there are none but behind the end. */
static void
take(size_t size, uintptr_t end)
{
	struct hole *h;

	while (taken + size <= MOST && (h = malloc(size)) != NULL) {
		if ((uintptr_t)h >= end) {
			free(h);
			break;
		}
		h->next = holes;
		holes = h;
		taken += size;
	}
}

void
heap_fill(void)
{
	void *last = malloc(LARGE);
	uintptr_t end = (uintptr_t)last;
	size_t size;

	free(last);
	for (size = LARGE; size > 1024; size -= 1024)
		take(size, end);
	for (; size > sizeof(struct hole); size -= SMALL_STEP)
		take(size, end);
}

void
heap_empty(void)
{
	struct hole *h;

	while ((h = holes) != NULL) {
		holes = h->next;
		free(h);
	}
	taken = 0;
}
