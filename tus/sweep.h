/*
 * sweep.h - carry out what time has decided, in a whole store.
 *
 * Uploads that expired go; uploads that only lack their finish get it; what is
 * finished is moved, if that was interrupted, and forgotten in time; events
 * that nobody took are told again; and what crashes left behind goes once it
 * is too old to be work in progress.  No request does any of this, and it may
 * be killed at any instruction: the next one goes on.
 *
 * Every lock is tried once and nobody is asked to hurry, so a sweep never
 * disturbs a request.  What it does not know it reports and leaves alone.
 */
#ifndef TUS_SWEEP_H
#define TUS_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/guard.h"
#include "tus/hooks.h"
#include "tus/turns.h"

enum tus_sweep_deed {
	/* Uploads: removed; finished; moved away long ago, and forgotten. */
	TUS_SWEEP_EXPIRED,
	TUS_SWEEP_RENEWED,
	TUS_SWEEP_FINISHED,
	TUS_SWEEP_FORGOTTEN,
	/* Locks removed: of a finished upload; of one that is gone. */
	TUS_SWEEP_CONFIRMED,
	TUS_SWEEP_ORPHAN,
	TUS_SWEEP_LEFTOVER,
	/* What its owner has was not, or wrongly, written down. */
	TUS_SWEEP_ENTERED,
	/* Left alone: at work; to be repaired first; not ours. */
	TUS_SWEEP_IN_USE,
	TUS_SWEEP_DAMAGED,
	TUS_SWEEP_STRANGER,
	TUS_SWEEP_MAX
};

/* For people: "removed: expired". */
const char *tus_sweep_says(enum tus_sweep_deed);

struct tus_sweep;

/* Who listens while it goes on. */
struct tus_sweep_ears {
	/* What was, or with dry_run would be, done with an id or a file, or
	 * that it is left alone; what is said of leftovers and strangers. */
	void (*met)(struct tus_sweep *, enum tus_sweep_deed, const char *name,
	    const char *what);

	/* Something could not be done; the next sweep will try again. */
	void (*failed)(struct tus_sweep *, const char *text);

	/* How many of these were looked at; 0 when that is over. */
	void (*progress)(struct tus_sweep *, const char *what, int64_t n);
};

struct tus_sweep {
	/* The caller sets these.  hooks may be NULL. */
	struct data_store *store;
	struct locker *locker;
	struct tus_hooks *hooks;
	const struct tus_sweep_ears *ears;

	/* What an owner may have is limited: everything is to be entered. */
	bool has_quota;

	/* Only say what would be done. */
	bool dry_run;
	/* Believe the clock. */
	bool force;
	/* Unfinished uploads nobody wrote to for so many seconds go, too; -1:
	 * only those that expired. */
	int64_t older_than;
	/* Not sooner after the last one, in milliseconds, and not while
	 * another one is at work; 0: now. */
	int64_t every;

	/* What was done, or would be. */
	int64_t count[TUS_SWEEP_MAX];
	/* And entries struck out of uploads that are gone. */
	int64_t struck;
	struct tus_tally events;

	/* Private. */
	struct arena *arena;
	struct clock_note now;
	struct turns turns;
	/* Milliseconds that hooks took which failed. */
	int64_t failing;
};

/*
 * Shall it run?  ERR_EXISTS: not yet.  ERR_LOCKED: another one is at work.
 * ERR_CONFLICT: the clock jumped since the last one, which is not to be
 * believed until it is put right again, or somebody says so with force.
 * ERR_UNAVAILABLE: not in this store.
 */
MUST_CHECK enum err_code tus_sweep_begin(struct tus_sweep *, struct err *);

/* After ERR_OK.  When it is over it is noted for the next one. */
void tus_sweep_run(struct tus_sweep *);

/*
 * For a finished upload that is claimed, and locked since its lock was seen to
 * be known: carry out what is pending.  False if something still is: then *e
 * says why.  Needs store, locker, hooks and arena; once hooks have failed for
 * as long as they may, they are not asked any more.
 */
bool tus_sweep_follow_up(struct tus_sweep *, struct upload *, struct err *);

#endif
