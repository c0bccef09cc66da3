/*
 * sweep_parts.h - what the two files of the sweep share; private to core/.
 */
#ifndef SWEEP_PARTS_H
#define SWEEP_PARTS_H

#include "core/sweep.h"

enum {
	/* How long, in seconds, nothing must have changed before something
	 * counts as left behind. */
	SWEEP_QUIET = 3600
};

/* sweep.c: count a deed and tell it; tell what could not be done. */
void sweep_met(
    struct sweep *, enum sweep_deed, const char *name, const char *what);
void sweep_failed(struct sweep *, const char *name, const struct err *);

/* A lock is tried once, and its holder is asked for nothing.  is_over: nobody
 * will lock this id again. */
MUST_CHECK enum err_code sweep_lock_upload(struct sweep *, const char *id,
    enum lock_how, struct lock **, struct err *);
void sweep_unlock(struct lock *, bool is_over);

/* sweep_rest.c: the steps after the uploads, in this order. */
void sweep_leftovers(struct sweep *);
void sweep_locks(struct sweep *);
void sweep_ledger(struct sweep *);
void sweep_events(struct sweep *);

#endif
