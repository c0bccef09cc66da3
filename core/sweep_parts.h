/*
 * sweep_parts.h - what the two files of the sweep share; private to core/.
 */
#ifndef SWEEP_PARTS_H
#define SWEEP_PARTS_H

#include "core/sweep.h"

enum {
	/* How long, in seconds, nothing must have changed before something
	 * counts as left behind. */
	SWEEP_QUIET = 3600,

	/* How many uploads are remembered, with 8 to 16 bytes each; the files
	 * of others are looked at once more. */
	SWEEP_SEEN_MAX = 3 << 20
};

/* The marks of the uploads in sweep.seen. */
enum sweep_saw {
	SWEEP_SAW_FINISHED = 1,
	SWEEP_SAW_UNFINISHED
};

/* sweep_rest.c, which sweep.c calls: count a deed and tell it; tell what could
 * not be done. */
void sweep_met(
    struct sweep *, enum sweep_deed, const char *name, const char *what);
void sweep_failed(struct sweep *, const char *name, const struct err *);

/* The steps after the uploads, in this order. */
void sweep_leftovers(struct sweep *);
void sweep_locks(struct sweep *);
void sweep_ledger(struct sweep *);
void sweep_events(struct sweep *);

#endif
