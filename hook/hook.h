/*
 * hook.h - tell others what happens to uploads, in tusd's words.
 *
 * Every event is one JSON object of tusd v2.  With hooks.dir it goes to the
 * standard input of the program DIR/EVENT, with hooks.url it is POSTed there.
 * The answer, if any, is one JSON object of tusd v2, too.
 *
 * Delivery is at least once.  An event has an id, TUS_EVENT_ID in the
 * environment or X-Tus-Event-Id among the headers, that stays the same when
 * it is delivered again.  post-create, post-terminate and post-expire wait in
 * a spool, hooks.spool, from before the response until they were taken; that a
 * post-finish waits stands in the record of the upload.  The sweep delivers
 * what was left behind.
 */
#ifndef HOOK_HOOK_H
#define HOOK_HOOK_H

#include "base/conf.h"
#include "base/err.h"
#include "base/need.h"
#include "core/hooks.h"

/*
 * Follow hooks.* of the configuration, which must outlive it; *hooks is NULL
 * if neither hooks.dir nor hooks.url is set.  Ignores SIGPIPE.  What is to be
 * shared between processes is loaded here, so open it once before the fork,
 * and again in each process after it.
 */
MUST_CHECK enum err_code hook_open(
    const struct conf *, struct hooks **hooks, struct err *);

/*
 * What may be wrong with hooks.dir and the spool, for the start, -t and a
 * reload.  Makes nothing.  Later it is no reason not to work: as long as nobody
 * can say which programs there are, every event counts as wanted, what is asked
 * is refused, and what is told waits.
 */
MUST_CHECK enum err_code hook_check(const struct conf *, struct err *);

/* Where events go, a directory or a URL; "" if there are no hooks. */
const char *hook_target(const struct conf *);

/* What hooks need of the system; nothing if there are none. */
void hook_needs(const struct conf *, need_ear *, void *arg);

/* Where events wait. */
const char *hook_spool_path(const struct conf *, struct arena *);

/* An event in the spool that nobody is busy with. */
struct hook_waiting {
	const char *path;
	/* Seconds since the epoch. */
	int64_t since;
	/* NULL, or why it can never be told. */
	const char *why_not;
};

/* Show each of them, wherever they are, whether there are hooks or not. */
MUST_CHECK enum err_code hook_each_waiting(const struct conf *,
    void (*one)(void *arg, const struct hook_waiting *), void *arg,
    struct err *);

#endif
