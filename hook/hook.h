/*
 * hook.h - deliver the events of uploads, in the format of tusd's hooks.
 *
 * Every event is one JSON object of tusd v2.  With hooks.dir it goes to the
 * standard input of the program DIR/EVENT, with hooks.url it is POSTed to the
 * URL.  The answer, if any, is one JSON object of tusd v2 as well.
 *
 * Each event is delivered at least once.  Its id, TUS_EVENT_ID in the
 * environment or the header X-Tus-Event-Id, stays the same when it is delivered
 * again.  post-create, post-terminate and post-expire are kept in a spool,
 * hooks.spool, from before the response until they were delivered; the record
 * of the upload says whether a post-finish is still to be delivered.  The sweep
 * delivers the events that were left behind.
 */
#ifndef HOOK_HOOK_H
#define HOOK_HOOK_H

#include "base/conf.h"
#include "base/err.h"
#include "base/need.h"
#include "core/hooks.h"

/*
 * Open the hooks that hooks.* of the configuration describes; the configuration
 * must outlive them.  *hooks is NULL if neither hooks.dir nor hooks.url is set.
 * Ignores SIGPIPE.  Libraries are loaded here, so call this once before the
 * fork, to share them, and again in each process after it.
 */
MUST_CHECK enum err_code hook_open(
    const struct conf *, struct hooks **hooks, struct err *);

/* Do the keys contradict each other?  ERR_INVALID names two; hook_open() checks
 * it, too. */
MUST_CHECK enum err_code hook_check_keys(const struct conf *, struct err *);

/*
 * Check hooks.dir and the spool, for the start, -t and a reload, without
 * creating anything.  If hooks.dir becomes unreadable later, the program goes
 * on: as long as its programs are unknown, every event counts as wanted,
 * pre-hooks refuse, and post-hooks wait.
 */
MUST_CHECK enum err_code hook_check(const struct conf *, struct err *);

/* The directory or the URL to which events go; "" if there are no hooks. */
const char *hook_target(const struct conf *);

/* Report the files, hosts and programs that the hooks need; none without
 * hooks. */
void hook_needs(const struct conf *, need_ear *, void *arg);

/* The directory in which events wait. */
const char *hook_spool_path(const struct conf *, struct arena *);

/* An event in the spool that no process is delivering. */
struct hook_waiting {
	const char *path;
	/* Seconds since the epoch. */
	int64_t since;
	/* Why it can never be delivered, or NULL. */
	const char *why_not;
};

/* Call one() for each of them, in all directories, whether there are hooks or
 * not. */
MUST_CHECK enum err_code hook_each_waiting(const struct conf *,
    void (*one)(void *arg, const struct hook_waiting *), void *arg,
    struct err *);

#endif
