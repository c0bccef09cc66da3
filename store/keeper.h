/*
 * keeper.h - what keeps a store in order; part of store.h.
 */
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct data_store;
struct store_seen;
struct upload;
/* Something in the store that is no upload, or no upload any more. */
struct store_leftover {
	/* Its name in the store, and a description for messages. */
	const char *name;
	const char *what;

	/* The upload it would belong to; NULL if it is none. */
	const char *id;

	/* When it was last changed, in seconds since the epoch. */
	int64_t changed;

	/* removable: false if it may not be ours, so that only its owner may
	 * remove it.  may_be_ours: unknown, because a hook may have chosen its
	 * id: if that was ever locked, clear() removes it. */
	bool removable;
	bool may_be_ours;

	/* How many names were examined to find it. */
	int64_t looked;
};

/* Called for each file that cannot be served, with the reason. */
typedef void store_stranger(void *arg, const char *name, const char *why);

/*
 * Keep the store in order.  No request calls these: the sweep removes
 * leftovers, tusctl calls the others.
 */
struct store_keeper {
	/*
	 * Iterate over leftovers, as with walk_next(); after the last one, name
	 * is NULL and the cursor gone.  A NULL name before that means that
	 * finding one may take long: call again.  An upload that is just being
	 * created looks like a leftover too: only its age tells.  A caller that
	 * removes leftovers must have read all uploads before, because the
	 * record of another upload may name these bytes; seen, which may be
	 * NULL, has those of them that are no leftovers.
	 */
	MUST_CHECK enum err_code (*leftover_next)(struct data_store *,
	    void **cursor, const struct store_seen *seen, struct arena *,
	    struct store_leftover *, struct err *);

	/*
	 * Remove it.  The caller holds the lock of its id, if it has one.
	 * ERR_LOCKED if it is in use, ERR_CONFLICT if it is not removable or
	 * has changed.
	 */
	MUST_CHECK enum err_code (*leftover_remove)(
	    struct data_store *, const struct store_leftover *, struct err *);

	/*
	 * Compare the record with the bytes.  Needs no lock.  ERR_CORRUPT:
	 * damaged, and claim() cannot repair it.  ERR_CONFLICT: bytes are
	 * missing, and claim() would go on with those that are left.  Normal
	 * traces of a crash or a reboot are no damage.  An upload in use may
	 * look damaged; hold its lock to be sure.
	 */
	MUST_CHECK enum err_code (*check)(struct upload *, struct err *);

	/*
	 * For a claimed upload: make info.offset survive a reboot or a change
	 * to another server, whatever the durability mode.  Complete only after
	 * settle_all().  for_tusd: that server will be tusd, which needs more
	 * work.  ERR_CONFLICT: the upload cannot be used there as it is.
	 */
	MUST_CHECK enum err_code (*settle)(
	    struct upload *, bool for_tusd, struct err *);

	/* After the last settle(): flush what all uploads share.  is_over: no
	 * other process uses the store, and the next start may have other
	 * locks. */
	MUST_CHECK enum err_code (*settle_all)(
	    struct data_store *, bool is_over, struct err *);

	/*
	 * Under the lock and instead of claim(): count every existing byte,
	 * because another server, whose records are not like ours, has
	 * acknowledged it.  A record without our members gets them.
	 */
	MUST_CHECK enum err_code (*adopt)(struct upload *, struct err *);

	/*
	 * After adopt() of all uploads: report each file that no request can
	 * reach, except damaged records, which adopt() has reported.
	 */
	MUST_CHECK enum err_code (*tell_strangers)(
	    struct data_store *, store_stranger *, void *arg, struct err *);
};

#endif
