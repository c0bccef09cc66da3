/*
 * heap.c - keep the heap shared with the processes that are forked later.
 */
#include "config.h"

#ifdef HAVE_MALLOPT
#include <malloc.h>
#endif

#include <stdint.h>
#include <stdlib.h>

#include "base/heap.h"

/* Larger than any block that was freed. */
#define LARGE ((size_t)64 * 1024)

/* The step between the block sizes that the allocator distinguishes. */
#define SMALL_STEP ((size_t)16)

/* Blocks from this size on go back to the kernel when they are freed. */
#define MAPPED (128 * 1024)

/* The most memory to take: some allocators do not fill free blocks first, and
 * would never come to the end. */
#define MOST ((size_t)512 * 1024)

struct hole {
	struct hole *next;
};

static struct hole *holes;
static size_t taken;

/* Allocate blocks of a size until they come from the end of the heap. */
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

#ifdef HAVE_MALLOPT
	/* As long as this is not set, one that is freed makes the limit
	 * larger. */
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED);
#endif
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
