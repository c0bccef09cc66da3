/*
 * sweep_parts.h - what the two files of the sweep share; private to tus/.
 */
#ifndef TUS_SWEEP_PARTS_H
#define TUS_SWEEP_PARTS_H

#include "tus/sweep.h"

enum {
	/* How long, in seconds, nothing must have changed before something
	 * counts as left behind. */
	TUS_SWEEP_QUIET = 3600
};

/* sweep.c: count a deed and tell it; tell what could not be done. */
void tus_sweep_met(struct tus_sweep *, enum tus_sweep_deed, const char *name,
    const char *what);
void tus_sweep_failed(struct tus_sweep *, const char *name, const struct err *);

/* A lock is tried once, and its holder is asked for nothing.  is_over: nobody
 * will lock this id again. */
MUST_CHECK enum err_code tus_sweep_lock(struct tus_sweep *, const char *id,
    enum lock_how, struct lock **, struct err *);
void tus_sweep_unlock(struct lock *, bool is_over);

/* sweep_rest.c: the steps after the uploads, in this order. */
void tus_sweep_leftovers(struct tus_sweep *);
void tus_sweep_locks(struct tus_sweep *);
void tus_sweep_ledger(struct tus_sweep *);
void tus_sweep_events(struct tus_sweep *);

#endif
