/*
 * heap.h - keep the heap shared with the processes that are forked later.
 *
 * Memory that was freed during the setup lies between blocks that are still in
 * use.  If a child allocates such a block and writes to it, the kernel copies a
 * page that all children shared before.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/* Allocate all free blocks below the end of the heap: later allocations, here
 * and in children, then lie together at its end. */
void heap_fill(void);

/* Free them again, before much memory is freed and allocated. */
void heap_empty(void);

#endif
