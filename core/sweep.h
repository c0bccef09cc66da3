/*
 * sweep.h - the sweep: do in a whole store what is due by time.
 *
 * A sweep removes uploads that expired, and finished ones that were kept long
 * enough; finishes uploads that only lack their finish; moves finished ones, if
 * that was interrupted, and removes their records in time; delivers events
 * again that no hook accepted; and removes files that crashes left behind, once
 * they are too old to be work in progress.  No request does any of this.  A
 * sweep may be killed at any instruction: the next one goes on.
 *
 * It tries every lock once and asks no holder to hurry, so it never disturbs a
 * request.  Files that it does not know it reports and leaves alone.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/idset.h"
#include "lock/lock.h"
#include "store/store.h"
#include "core/clock_note.h"
#include "core/hooks.h"

enum sweep_deed {
	/* Uploads: removed; removed, though finished, because they were kept
	 * long enough; finished; moved away long ago, and forgotten. */
	SWEEP_EXPIRED,
	SWEEP_RETIRED,
	SWEEP_RENEWED,
	SWEEP_FINISHED,
	SWEEP_FORGOTTEN,
	/* Locks removed: of a finished upload; of one that is gone. */
	SWEEP_CONFIRMED,
	SWEEP_ORPHAN,
	SWEEP_LEFTOVER,
	/* The account of its owner lacked it, or had it wrong. */
	SWEEP_ENTERED,
	/* Left alone: at work; to be repaired first; not ours. */
	SWEEP_IN_USE,
	SWEEP_DAMAGED,
	SWEEP_STRANGER,
	SWEEP_MAX
};

/* For people: "removed: expired". */
const char *sweep_says(enum sweep_deed);

struct sweep;

/* Called while the sweep goes on. */
struct sweep_ears {
	/* An upload or a file, by its name, and what was done with it, or with
	 * dry_run would be; what: more words, for leftovers and strangers. */
	void (*met)(struct sweep *, enum sweep_deed, const char *name,
	    const char *what);

	/* Something could not be done; the next sweep will try again. */
	void (*failed)(struct sweep *, const char *text);

	/* How many of these were looked at; 0 when that is over. */
	void (*progress)(struct sweep *, const char *what, int64_t n);
};

/* An upload, and what is to be done with it, in the words of the caller. */
struct turn {
	const char *id;
	int fate;
};

/*
 * In which order a sweep comes to the uploads that hooks have a say in.  Hooks
 * that fail take time, so that a sweep may not come to all of them; the next
 * one goes on behind the last that had its turn, by the order of the ids.
 */
struct turns {
	struct arena *arena;
	struct turn *list;
	size_t n, room;
};

/* The uploads that a sweep has read and left as they are. */
struct sweep_seen {
	struct store_seen base;
	struct id_set *ids;
};

struct sweep {
	/* The caller sets these.  hooks may be NULL. */
	struct data_store *store;
	struct locker *locker;
	struct hooks *hooks;
	const struct sweep_ears *ears;

	/* How many seconds a finished upload is kept whose record says nothing
	 * about it; 0 is for ever. */
	int64_t retention;

	/* For an upload that was made or changed within so many seconds
	 * nothing is due, as sweep_young() says. */
	int64_t young;

	/* What an owner may have is limited: everything is to be entered. */
	bool has_quota;

	/* Only say what would be done. */
	bool dry_run;
	/* Trust the clock, also after a jump. */
	bool force;
	/* Unfinished uploads that did not change for so many seconds are
	 * removed, too; -1: only those that expired. */
	int64_t older_than;
	/* Not sooner after the last one, in milliseconds, and not while
	 * another one is at work; 0: now. */
	int64_t every;

	/* How many deeds of each kind were done, or would be. */
	int64_t count[SWEEP_MAX];
	/* And entries struck out of uploads that are gone. */
	int64_t struck;
	struct hook_tally events;

	/* Private. */
	struct arena *arena;
	struct clock_note now;
	struct turns turns;
	struct sweep_seen seen;
	/* Milliseconds that hooks took which failed. */
	int64_t failing;
};

/* For sweep.young: what an hour's quiet, or the configuration's times where
 * they are shorter, leave to a later sweep; 0 where hooks wait for an event. */
int64_t sweep_young(const struct conf *, bool has_hooks);

/*
 * Shall it run?  ERR_EXISTS: not yet.  ERR_LOCKED: another one is at work.
 * ERR_CONFLICT: the clock jumped since the last one, which is not to be
 * believed until it is put right again, or force is set.
 * ERR_UNAVAILABLE: not in this store.
 */
MUST_CHECK enum err_code sweep_begin(struct sweep *, struct err *);

/* After ERR_OK.  When it is over it is noted for the next one. */
void sweep_run(struct sweep *);

/*
 * For a finished upload that is claimed, and locked since its lock was seen to
 * be known: carry out what is pending.  False if something still is: then *e
 * says why.  Needs store, locker, hooks and arena; once hooks have failed for
 * as long as they may, they are not asked any more.
 */
bool sweep_follow_up(struct sweep *, struct upload *, struct err *);

#endif
