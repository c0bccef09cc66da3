/*
 * core.h - what every request needs to know about the server: its store, its
 * locks, its hooks and its limits.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "core/hooks.h"
#include "lock/lock.h"
#include "store/store.h"

/* Set up once; the same for all requests of a process. */
struct core {
	struct data_store *store;

	/* NULL where no other process works on this store. */
	struct locker *locker;

	/* NULL where there are no hooks. */
	struct hooks *hooks;

	/* Bytes that an upload may have; 0 is no limit. */
	int64_t max_size;

	/* Seconds, 0 is never; sliding: counted from the last PATCH, else
	 * from creation. */
	int64_t expire_after;
	bool expire_sliding;

	/* What the administrator allows, if the store is able. */
	bool allow_download, allow_terminate, allow_concat, allow_defer;
	bool allow_checksum, allow_terminate_finished;

	/* Names of digests, NULL-terminated, a subset of digest_name(); NULL
	 * is all of them. */
	const char *const *checksums;

	/* A partial upload is terminated when a final one was made of it. */
	bool concat_removes_parts;

	/*
	 * An upload with an owner exists for that owner only, whatever is said
	 * here.  An upload without an owner is open to all, unless
	 * owner_required: then no request sees it, and a request without an
	 * owner is refused.  has_owners: some requests may have one, some not.
	 */
	bool has_owners, owner_required;

	/* For each owner; needs a store with a ledger. */
	struct store_quota quota;

	/* The clock and the source of ids, which a test replaces. */
	int64_t (*now)(void);
	int64_t (*now_ms)(void);
	void (*new_id)(char id[ID_MAX + 1]);
};

/* What the transport does next. */
enum step {
	/* The answer is ready. */
	STEP_DONE,
	/* A lock or the store is busy: wait as a struct wait says, then call
	 * again. */
	STEP_WAIT,
	/* Hand over the body. */
	STEP_RECEIVE
};

/* Why there are no more slices of the body. */
enum body_end {
	/* The front end said that this was all. */
	END_COMPLETE,
	/* The connection ended early. */
	END_CLIENT_GONE,
	/* Nothing arrived for too long, or the client is too slow. */
	END_TIMED_OUT,
	/* We are being shut down. */
	END_SHUTDOWN
};

/* Do the keys of the store and of the locker suit these, and one another?
 * ERR_INVALID names the key. */
MUST_CHECK enum err_code core_check_keys(const struct conf *, struct err *);

/* become_owner_of() the directory of the uploads or, where they are in none, of
 * the lock files. */
MUST_CHECK enum err_code core_become_owner(const struct conf *, struct err *);

/* Does the administrator allow it, and is the store able to do it? */
bool core_can_concat(const struct core *);
bool core_can_defer(const struct core *);
bool core_can_expire(const struct core *);
bool core_can_read(const struct core *);
bool core_can_remove(const struct core *);

/* The n-th algorithm that a digest may have, NULL after the last. */
const char *core_digest(const struct core *, size_t n);
bool core_has_digest(const struct core *, const char *name);

#endif
