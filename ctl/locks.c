/*
 * locks.c - tusctl check --locks: whether locks can be had, and who has them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "core/clock_note.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

enum {
	/* In us: a lock that takes longer is felt by every request. */
	SLOW = 20000,
	NAP_MS = 20
};

struct holders {
	struct ctl *ctl;
	int64_t held;
};

static void bad(struct ctl *, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
bad(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	c->failed = true;
	(void)printf("BAD   ");
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
}

/* --- A service. --- */

static void
tell_trial(struct ctl *c, const char *host, const struct lock_trial *t)
{
	if (t->rc != ERR_OK) {
		bad(c, "%s: %s", host,
		    *t->text != '\0'		 ? t->text :
			t->rc == ERR_UNAVAILABLE ? "no answer" :
						   "no lock can be had");
		return;
	}
	(void)printf("%s  %s: a lock in %.1f ms, given up in %.1f ms\n",
	    t->take_us + t->drop_us > SLOW ? "SLOW" : "good", host,
	    (double)t->take_us / 1000, (double)t->drop_us / 1000);
	if (t->session_ms < c->conf->lock.session)
		(void)printf("note  %s grants a session of %.1f s, not of "
			     "%.1f s\n",
		    host, (double)t->session_ms / 1000,
		    (double)c->conf->lock.session / 1000);
}

static void
try_hosts(struct ctl *c)
{
	struct lock_trial t;
	enum err_code rc = ERR_OK;
	struct err e;
	size_t i;

	for (i = 0; rc == ERR_OK; i++) {
		rc = locker_try_host(c->conf, i, &t, &e);
		if (rc == ERR_OK)
			tell_trial(c, c->conf->lock.hosts[i], &t);
		else if (rc != ERR_NOT_FOUND)
			ctl_warn(c, "%s", e.text);
	}
}

/* Ours was started a moment ago. */
static bool
wait_for_session(struct ctl *c, struct lock_figures *f)
{
	const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
	int64_t end = clock_ms() + c->conf->lock.reply;

	while (c->locker->service->figures(c->locker, f)) {
		if (f->session_ms > 0 || *f->refusal != '\0' ||
		    clock_ms() >= end)
			return true;
		(void)nanosleep(&nap, NULL);
	}
	return false;
}

static void
tell_agent(struct ctl *c)
{
	const char *socket = c->conf->lock.agent;
	struct lock_figures f;

	if (!wait_for_session(c, &f))
		bad(c,
		    "the lock agent at %s does not answer: is tusfcgi "
		    "lock-agent at work?",
		    socket);
	else if (*f.refusal != '\0')
		bad(c, "%s", f.refusal);
	else if (f.session_ms == 0)
		bad(c, "no session: nobody gets a lock");
	else if (*socket != '\0')
		(void)printf(
		    "good  agent at %s: session for %.1f s more, %" PRIu64
		    " held, %" PRIu64 " lost, %" PRIu64
		    " calls without an answer\n",
		    socket, (double)f.session_ms / 1000, f.held, f.lost,
		    f.errors);
	else
		(void)printf("good  a session under lock.prefix = \"%s\"\n",
		    c->conf->lock.prefix);
}

/* --- Who holds what. --- */

static void
tell_holder(struct ctl *c, const char *id, void *arg)
{
	struct holders *h = arg;
	struct lock_holder who;

	if (!c->locker->ops->holder(c->locker, id, &who))
		return;
	h->held++;
	(void)printf("held  %s by ", id);
	if (who.pid > 0)
		(void)printf("process %ld\n", (long)who.pid);
	else
		(void)printf("%s\n",
		    *who.host != '\0' ? who.host : "a process of this host");
}

/* Lock files of uploads that are not there. */
static void
count_stale(struct ctl *c)
{
	const struct locker_traces *traces = c->locker->traces;
	struct lock_holder who;
	struct upload *up;
	void *cursor = NULL;
	const char *id;
	int64_t n = 0;
	struct err e;

	for (;;) {
		arena_reset(c->arena);
		if (traces->walk_next(c->locker, &cursor, c->arena, &id, &e) !=
		    ERR_OK) {
			ctl_warn(c, "%s", e.text);
			return;
		}
		if (id == NULL)
			break;
		if (c->store->core->get_upload(
			c->store, id, c->arena, &up, &e) == ERR_OK)
			c->store->core->close(up);
		else if (e.code == ERR_NOT_FOUND &&
		    !c->locker->ops->holder(c->locker, id, &who))
			n++;
	}
	if (n > 0)
		(void)printf("note  %" PRId64 " locks of uploads that are "
			     "gone; the sweep removes them\n",
		    n);
}

int
ctl_check_locks(struct ctl *c)
{
	struct holders h = { c, 0 };

	(void)printf("locks of type %s\n", c->conf->lock.type);
	if (c->locker->service != NULL) {
		try_hosts(c);
		tell_agent(c);
	}
	if (clock_is_wrong(c->store))
		bad(c,
		    "the clock of this host jumped since the last sweep: "
		    "set it, or run tusctl sweep --force");
	if (c->failed)
		return CTL_FAILED;
	ctl_each(c, "uploads", tell_holder, &h);
	if (c->locker->traces != NULL)
		count_stale(c);
	(void)printf("%" PRId64 " uploads locked now\n", h.held);
	return ctl_status(c);
}
