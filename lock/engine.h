/*
 * engine.h - what a lock service does for the agent.
 *
 * Nothing blocks: an answer comes through done(), in work() or at once.  An
 * owner is the name of a lock's holder, used once and never again, so that an
 * engine recognises its own first try.
 */
#ifndef LOCK_ENGINE_H
#define LOCK_ENGINE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/id.h"

enum {
	/* Of an owner, SESSION:NUMBER, with the NUL. */
	ENGINE_OWNER_SIZE = 128,
	/* Descriptors that an engine waits for, at most. */
	ENGINE_FDS = 4
};

/* A lock that the agent holds. */
struct engine_held {
	char id[ID_MAX + 1];
	char owner[ENGINE_OWNER_SIZE];
};

/* The caller keeps it until done(). */
struct engine_call {
	/*
	 * ERR_OK; ERR_LOCKED: another session has it, and holder is its owner;
	 * ERR_UNAVAILABLE: there was no answer, and it may have happened.
	 */
	void (*done)(struct engine_call *, enum err_code, uint64_t token,
	    const char *holder);
};

/* Hints only, but for the last. */
enum engine_hint {
	ENGINE_WANTED,
	ENGINE_UNWANTED,
	ENGINE_FREE,
	/* That lock of ours is not there any more. */
	ENGINE_LOST
};

struct engine {
	const struct engine_ops *ops;
	/* Set by the agent. */
	void (*told)(const char *id, enum engine_hint);
};

struct engine_ops {
	/* Connects to nothing yet.  session: names the agent, once for all. */
	MUST_CHECK enum err_code (*open)(const struct conf *,
	    const char *session, struct engine **, struct err *);

	/* What to wait for: how many were filled in, and ms at most. */
	int (*prepare)(struct engine *, struct pollfd *, int *timeout_ms);
	/* After poll(), with the same array. */
	void (*work)(struct engine *, const struct pollfd *, int n);

	void (*take)(
	    struct engine *, struct engine_call *, const struct engine_held *);
	/* ERR_OK if that owner does not have it, afterwards. */
	void (*drop)(
	    struct engine *, struct engine_call *, const struct engine_held *);
	/* Ask the holder for it, or do not ask any more; no answer. */
	void (*ask)(
	    struct engine *, const char *id, const char *holder, bool on);
	/* Keep the session, and all these. */
	void (*beat)(struct engine *, struct engine_call *,
	    const struct engine_held *const *, size_t n);

	/* Of one that was never asked anything. */
	void (*close)(struct engine *);
};

#endif
