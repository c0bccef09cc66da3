/*
 * idset.h - a set of very many ids.
 *
 * An id is kept as a number of 62 bits, eight bytes with its mark.  So another
 * id may be taken for one of the set, once in 2^40 sets of a million; a caller
 * must not mind.
 */
#ifndef BASE_IDSET_H
#define BASE_IDSET_H

#include <stddef.h>

struct id_set;

/* As many ids as most are kept; later ones are not. */
struct id_set *id_set_new(size_t most);
void id_set_free(struct id_set *);

/* mark is 1, 2 or 3.  An id is to be added once. */
void id_set_add(struct id_set *, const char *id, unsigned mark);

/* The mark of the id; 0 if it is not in the set. */
unsigned id_set_mark(const struct id_set *, const char *id);

#endif
