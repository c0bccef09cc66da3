/*
 * sweeper.c - the server sweeps its store itself at intervals.
 */
#include "config.h"

#include <sys/resource.h>
#include <sys/wait.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fcgi/hook_count.h"
#include "fcgi/sandbox.h"
#include "fcgi/stop.h"
#include "fcgi/sweeper.h"
#include "core/sweep.h"

enum {
	/* In milliseconds.  Not at once, because a starting server has requests
	 * to serve; but soon, because some processes do not live for long. */
	FIRST_LOOK = 10000,
	/* The most time between two looks at the note. */
	LOOK_EVERY = 60000,
	/* The time between two looks at whether a running sweep has ended. */
	AT_WORK = 1000,

	/* This many failures of a sweep are logged, the others only counted. */
	FAILURES_LOGGED = 10
};

/* How a sweep ended. */
enum end {
	END_WELL,
	/* The sweep could not begin; if this is an error, the log has it. */
	END_NOT_NOW,
	/* The clock is not to be trusted. */
	END_JUMP
};

struct logged_sweep {
	struct sweep base;
	int64_t failures;
};

/* --- In the child. --- */

static void
met(struct sweep *s, enum sweep_deed deed, const char *name, const char *what)
{
	(void)s;
	log_debug("sweep: %s %s%s%s", name, sweep_says(deed),
	    what != NULL ? ": " : "", what != NULL ? what : "");
}

static void
failed(struct sweep *s, const char *text)
{
	if (OUTER(s, struct logged_sweep, base)->failures++ < FAILURES_LOGGED)
		log_warn("sweep: %s", text);
}

static void
progress(struct sweep *s, const char *what, int64_t n)
{
	(void)s;
	(void)what;
	(void)n;
}

static const struct sweep_ears ears = { met, failed, progress };

/* Log one line, if there is something to report. */
static void
sum_up(const struct logged_sweep *sweep, int64_t ms)
{
	const struct sweep *s = &sweep->base;
	const int64_t *n = s->count;
	int64_t locks = n[SWEEP_CONFIRMED] + n[SWEEP_ORPHAN], told = 0;
	size_t i;

	for (i = 0; i < HOOK_POINT_MAX; i++)
		told += s->events.told[i];
	const struct log_field fields[] = {
		{ "expired", NULL, n[SWEEP_EXPIRED] },
		{ "finished", NULL, n[SWEEP_FINISHED] },
		{ "retired", NULL, n[SWEEP_RETIRED] },
		{ "forgotten", NULL, n[SWEEP_FORGOTTEN] },
		{ "leftovers", NULL, n[SWEEP_LEFTOVER] },
		{ "locks", NULL, locks },
		{ "entered", NULL, n[SWEEP_ENTERED] },
		{ "struck_out", NULL, s->struck },
		{ "events", NULL, told },
		{ "in_use", NULL, n[SWEEP_IN_USE] },
		{ "damaged", NULL, n[SWEEP_DAMAGED] },
		{ "failed", NULL, sweep->failures },
		{ "ms", NULL, ms },
	};

	if (n[SWEEP_EXPIRED] + n[SWEEP_RETIRED] + n[SWEEP_FINISHED] +
		n[SWEEP_FORGOTTEN] + n[SWEEP_LEFTOVER] + locks +
		n[SWEEP_ENTERED] + s->struck + told + sweep->failures >
	    0)
		log_event(LOG_LEVEL_INFO, "sweep", fields, NITEMS(fields));
	else
		log_debug("sweep: nothing to do");
}

static enum end
may_not(enum err_code rc, const struct err *e, bool has_warned)
{
	switch (rc) {
	case ERR_EXISTS:
	case ERR_LOCKED:
	case ERR_UNAVAILABLE:
		log_debug("no sweep: %s", e->text);
		return END_NOT_NOW;
	case ERR_CONFLICT:
		if (!has_warned)
			log_warn("%s; if it is right now, run \"tusctl sweep "
				 "--force\"",
			    e->text);
		return END_JUMP;
	default:
		log_warn("no sweep: %s", e->text);
		return END_NOT_NOW;
	}
}

/* Close the parent's descriptors and sweep. */
static enum end
sweep(const struct settings *settings, struct board *board, bool has_warned)
{
	struct settings mine = *settings;
	struct logged_sweep s = { { .older_than = -1, .ears = &ears }, 0 };
	int64_t began = clock_ms();
	enum err_code rc;
	struct err e;

	mine.server.core.store = NULL;
	mine.server.core.locker = NULL;
	mine.server.core.hooks = NULL;
	if (settings_open_store(&mine, &e) != ERR_OK) {
		log_warn("no sweep: %s", e.text);
		return END_NOT_NOW;
	}
	s.base.store = mine.server.core.store;
	s.base.locker = mine.server.core.locker;
	s.base.hooks = hook_count(&board->metrics, mine.server.core.hooks);
	s.base.has_quota = mine.server.core.quota.uploads > 0 ||
	    mine.server.core.quota.bytes > 0;
	s.base.every = mine.sweep_every;
	s.base.retention = mine.conf->retention.after / 1000;
	s.base.young = sweep_young(mine.conf, s.base.hooks != NULL);
	/* It reads the id of the boot, so it must run before the sandbox. */
	rc = sweep_begin(&s.base, &e);
	if (rc != ERR_OK)
		return may_not(rc, &e, has_warned);
	sandbox_enter(mine.conf, false);
	sweep_run(&s.base);
	log_follow(mine.conf);
	sum_up(&s, clock_ms() - began);
	return END_WELL;
}

static void
die_with_parent(pid_t parent)
{
#ifdef HAVE_SYS_PRCTL_H
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != parent)
		_exit(END_NOT_NOW);
}

/* --- In the parent. --- */

static void
begin(struct sweeper *sw, const struct settings *s, struct board *board,
    int listen_fd)
{
	pid_t parent = getpid();

	sw->pid = fork();
	if (sw->pid == -1) {
		log_warn("no sweep: fork: %s", strerror(errno));
		sw->pid = 0;
	}
	if (sw->pid != 0)
		return;
	die_with_parent(parent);
	stop_uninstall();
	work_join(NULL, NULL);
	(void)close(listen_fd);
	/* Requests come first.  The kernel derives the disk priority from this
	 * one. */
	(void)setpriority(PRIO_PROCESS, 0, 19);
	_exit((int)sweep(s, board, sw->has_warned));
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
sweeper_look(struct sweeper *sw, const struct settings *s, struct board *board,
    int listen_fd)
{
	int64_t now = clock_ms();
	int status;

	if (sw->pid != 0 && waitpid(sw->pid, &status, WNOHANG) == sw->pid)
		(void)sweeper_reap(sw, sw->pid, status);
	if (sw->pid != 0)
		return AT_WORK;
	if (s->sweep_every == 0)
		return -1;
	if (sw->next == 0)
		sw->next = now + least(s->sweep_every, FIRST_LOOK);
	/* After a reload the interval may be shorter. */
	sw->next = least(sw->next, now + least(s->sweep_every, LOOK_EVERY));
	if (now < sw->next)
		return sw->next - now;
	sw->next = now + least(s->sweep_every, LOOK_EVERY);
	begin(sw, s, board, listen_fd);
	return AT_WORK;
}

bool
sweeper_reap(struct sweeper *sw, pid_t pid, int status)
{
	if (pid != sw->pid || pid == 0)
		return false;
	sw->pid = 0;
	if (WIFSIGNALED(status))
		log_warn("sweep killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != END_NOT_NOW)
		sw->has_warned = WEXITSTATUS(status) == END_JUMP;
	return true;
}

void
sweeper_stop(struct sweeper *sw)
{
	if (sw->pid != 0)
		(void)kill(sw->pid, SIGKILL);
	sw->pid = 0;
}
