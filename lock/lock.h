/*
 * lock.h - one writer per upload, over all processes and pools.
 *
 * A lock dies with its holder: a crashed worker must not leave an upload
 * locked.  Back ends that cannot promise that must time out instead.
 */
#ifndef LOCK_LOCK_H
#define LOCK_LOCK_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"

struct locker;

/* A held lock.  Back ends embed this and add their own. */
struct lock {
	struct locker *locker;
};

enum lock_how {
	/* Make what is needed to lock this id. */
	LOCK_CREATE,
	/* ERR_NOT_FOUND if nobody ever locked it, or whoever did let go of it
	 * for good: then it is free. */
	LOCK_EXISTING,
	/* As LOCK_CREATE, but never ask the holder, and leave no trace that was
	 * not there before: for a sweep. */
	LOCK_QUIETLY,
	/* As LOCK_EXISTING, but never ask the holder. */
	LOCK_EXISTING_QUIETLY
};

struct locker_ops {
	/*
	 * Try to take the lock of an upload id, without waiting: ERR_LOCKED if
	 * somebody has it.  Then the holder has been asked to hurry, and keeps
	 * being asked until the caller tries again successfully, gives up
	 * with stop_asking(), or dies.  ERR_UNAVAILABLE: too many ask already.
	 */
	MUST_CHECK enum err_code (*acquire)(struct locker *, const char *id,
	    enum lock_how, struct arena *, struct lock **, struct err *);
	void (*stop_asking)(struct locker *, const char *id);

	/* for_good: the upload is finished or gone, and nobody will lock it
	 * again; a locker that leaves traces leaves none then. */
	void (*release)(struct lock *, bool for_good);

	/* Does somebody ask for the lock we hold?  Cheap (about 1 us). */
	bool (*wanted)(struct lock *);

	/*
	 * For an administrator's eyes: the process that holds the lock, 0 if
	 * nobody does, -1 if somebody does of whom no more is known.  Takes
	 * no lock and is true only of some moment.
	 */
	pid_t (*holder)(struct locker *, const char *id);

	/*
	 * Walk the ids whose locks have left a trace, for the sweep, which
	 * takes and releases for good what nobody needs any more; from *cursor
	 * NULL, *id is NULL after the last, and then, or after an error, the
	 * cursor is gone.  In no order; what comes or goes meanwhile may or may
	 * not be seen.
	 */
	MUST_CHECK enum err_code (*walk_next)(struct locker *, void **cursor,
	    struct arena *, const char **id, struct err *);

	void (*shutdown)(struct locker *);
};

/* An open locker.  Back ends embed this and add their own. */
struct locker {
	const char *name;
	const struct locker_ops *ops;
};

/* What a back end exports: const struct locker_class locker_NAME. */
struct locker_class {
	/* As in  lock: { type = "flock"; }  in the configuration. */
	const char *name;

	MUST_CHECK enum err_code (*open)(
	    const struct conf *, struct locker **, struct err *);
};

/*
 * Open the locker that lock.type names.  lock.path "" is store.path.  After a
 * fork every process opens its own.
 */
MUST_CHECK enum err_code locker_open(
    const struct conf *, struct locker **, struct err *);

/* Is there a trace of its lock, held or not?  Takes it for a moment, and asks
 * nobody to let go. */
bool locker_knows(struct locker *, const char *id, struct arena *);

/* The names of the back ends built in, NULL after the last. */
const char *locker_name(size_t n);

#endif
