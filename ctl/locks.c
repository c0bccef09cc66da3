/*
 * locks.c - tusctl check --locks: whether locks can be had, and who has them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock_note.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

enum {
	/* In us: a lock that takes longer is felt by every request. */
	SLOW = 20000
};

struct holders {
	struct ctl *ctl;
	int64_t held;
	/* The service did not answer. */
	bool is_deaf;
};

/* --- A service. --- */

struct trial {
	struct ctl *ctl;
	ctl_finding *found;
	void *arg;
	bool is_refused;
};

static void tell(const struct trial *, enum ctl_grade, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The text may have what the service has sent. */
static void
tell(const struct trial *t, enum ctl_grade grade, const char *fmt, ...)
{
	struct arena *a = t->ctl->arena;
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	t->found(t->arg, grade, format_text(a, text, strlen(text)));
}

static void
tell_time(struct trial *t, const char *host, const struct lock_trial *r)
{
	int64_t wanted = t->ctl->conf->lock.session;

	tell(t, r->take_us + r->drop_us > SLOW ? CTL_SLOW : CTL_GOOD,
	    "%s: a lock in %.1f ms, given up in %.1f ms", host,
	    (double)r->take_us / 1000, (double)r->drop_us / 1000);
	if (r->session_ms < wanted)
		tell(t, CTL_NOTE,
		    "%s grants a session of %.1f s, not of %.1f s", host,
		    (double)r->session_ms / 1000, (double)wanted / 1000);
}

static void
tell_trial(struct trial *t, const char *host, const struct lock_trial *r)
{
	size_t i;

	if (r->is_refusal || (r->rc != ERR_OK && r->rc != ERR_UNAVAILABLE))
		tell(t, CTL_BAD, "%s", r->text);
	else if (r->rc == ERR_OK)
		tell_time(t, host, r);
	else
		tell(t, CTL_BAD, "%s: no answer%s%s", host,
		    *r->text != '\0' ? ": " : "", r->text);
	for (i = 0; i < LOCK_NOTES && r->notes[i].text[0] != '\0'; i++)
		tell(t, r->notes[i].is_bad ? CTL_BAD : CTL_NOTE, "%s: %s", host,
		    r->notes[i].text);
	t->is_refused |= r->is_refusal;
}

static enum err_code
try_hosts(struct trial *t, struct err *e)
{
	const struct conf *conf = t->ctl->conf;
	struct lock_trial r;
	enum err_code rc;
	size_t i;

	for (i = 0; (rc = locker_try_host(conf, i, &r, e)) == ERR_OK; i++)
		tell_trial(t, conf->lock.hosts[i], &r);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static void
tell_agent(struct trial *t)
{
	const struct conf_lock *conf = &t->ctl->conf->lock;
	struct lock_figures f;
	bool is_there = t->ctl->locker->service->figures(t->ctl->locker, &f);

	if (!is_there && *conf->agent == '\0')
		tell(t, CTL_BAD, "the lock agent of this command has died");
	else if (!is_there)
		tell(t, CTL_BAD,
		    "the lock agent at %s does not answer: is tusfcgi "
		    "lock-agent at work?",
		    conf->agent);
	else if (*f.refusal != '\0')
		tell(t, CTL_BAD, "%s", f.refusal);
	else if (f.session_ms == 0)
		tell(t, CTL_BAD, "no session: nobody gets a lock");
	else if (*conf->agent != '\0')
		tell(t, CTL_GOOD,
		    "agent at %s: session for %.1f s more, %" PRIu64
		    " held, %" PRIu64 " lost, %" PRIu64
		    " calls without an answer",
		    conf->agent, (double)f.session_ms / 1000, f.held, f.lost,
		    f.errors);
	else
		tell(t, CTL_GOOD, "a session under lock.prefix = \"%s\"",
		    conf->prefix);
}

static void
tell_clock(const struct trial *t)
{
	if (clock_is_wrong(t->ctl->store))
		tell(t, CTL_BAD,
		    "the clock of this host jumped since the last sweep: set "
		    "it, or run tusctl sweep --force");
}

enum err_code
ctl_try_lock_service(
    struct ctl *c, ctl_finding *found, void *arg, struct err *e)
{
	struct trial t = { .ctl = c, .found = found, .arg = arg };
	enum err_code rc = try_hosts(&t, e);

	if (rc == ERR_OK && !t.is_refused)
		rc = ctl_open_locker(c, e);
	if (rc == ERR_OK && c->locker != NULL && c->locker->service != NULL)
		tell_agent(&t);
	if (rc == ERR_OK)
		tell_clock(&t);
	return rc;
}

/* --- Who holds what. --- */

static void
tell_holder(struct ctl *c, const char *id, void *arg)
{
	struct holders *h = arg;
	struct lock_holder who;

	if (h->is_deaf || !c->locker->ops->holder(c->locker, id, &who)) {
		h->is_deaf = h->is_deaf || who.is_unknown;
		return;
	}
	h->held++;
	(void)printf("held  %s by ", id);
	if (who.pid > 0)
		(void)printf("process %ld\n", (long)who.pid);
	else
		(void)printf("%s\n",
		    *who.host != '\0'	      ? who.host :
			c->conf->store.shared ? "a process here or on "
						"another host" :
						"a process of this host");
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

static void
print_finding(void *arg, enum ctl_grade grade, const char *text)
{
	static const char *const words[] = {
		[CTL_GOOD] = "good",
		[CTL_NOTE] = "note",
		[CTL_SLOW] = "SLOW",
		[CTL_BAD] = "BAD",
	};
	struct ctl *c = arg;

	(void)printf("%-5s %s\n", words[grade], text);
	c->failed |= grade == CTL_BAD;
}

int
ctl_check_locks(struct ctl *c)
{
	struct holders h = { .ctl = c };
	struct err e;

	(void)printf("locks of type %s\n", c->conf->lock.type);
	if (ctl_try_lock_service(c, print_finding, c, &e) != ERR_OK)
		return ctl_cannot_open(&e);
	if (c->failed)
		return CTL_FAILED;
	ctl_each(c, "uploads", tell_holder, &h);
	if (c->locker->traces != NULL)
		count_stale(c);
	if (h.is_deaf)
		ctl_warn(c,
		    "the lock service does not answer any more: which other "
		    "uploads are locked is not known");
	else
		(void)printf("%" PRId64 " uploads locked now\n", h.held);
	return ctl_status(c);
}
