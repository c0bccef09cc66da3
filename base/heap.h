/*
 * heap.h - a heap that stays shared with the processes forked from ours.
 *
 * What we freed while we set up lies between what is still in use.  A child
 * that gets such a block writes to a page which all children shared until
 * then, and gets a copy of it.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/* Take all that is free below the end of the heap: what is allocated from here
 * on, by us or a child, lies together behind it. */
void heap_fill(void);

/* Give it back, before a lot of memory is freed and taken again. */
void heap_empty(void);

#endif
