/*
 * sweep.c - tusctl sweep: carry out what time has decided.
 *
 * Uploads that expired go; uploads that only lack their finish get it; what
 * crashes left behind goes once it is too old to be work in progress.  Every
 * lock is tried once and nobody is asked to hurry, so a sweep never disturbs
 * a request.  What it does not know it reports and leaves alone.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/format.h"
#include "ctl/guard.h"

enum {
	/* How long, in seconds, nothing must have changed before something
	 * counts as left behind. */
	QUIET = 3600,
	/* How many strange things are named before the rest is counted. */
	STRANGERS_NAMED = 10
};

struct sweep {
	bool dry_run, force;
	/* Unfinished uploads nobody wrote to for so many seconds go, too; -1:
	 * only those that expired. */
	int64_t older_than;

	int64_t expired, finished, leftovers, locks;
	struct hook_tally events;
	int64_t in_use, damaged, strangers;
};

static void
say(const struct sweep *s, const char *id, const char *what)
{
	ctl_progress(NULL, 0);
	(void)printf("%s  %s%s\n", id, s->dry_run ? "would be " : "", what);
}

/* --- Uploads. --- */

enum fate {
	KEEP,
	EXPIRE,
	FINISH,
	CONFIRM
};

static enum fate
fate_of(struct ctl *c, const struct sweep *s, struct upload *up)
{
	int64_t quiet = c->now - c->store->keeper->last_change(up);
	const struct file_info *info = &up->info;

	if (upload_is_finished(up))
		return c->locker->ops->is_known(c->locker, info->id) ? CONFIRM :
								       KEEP;
	if (upload_is_whole(up))
		return quiet > QUIET ? FINISH : KEEP;
	if (info->expires != 0 && info->expires < c->now)
		return EXPIRE;
	if (s->older_than >= 0 && quiet > s->older_than)
		return EXPIRE;
	return KEEP;
}

/*
 * As the request would have done that brought the last byte.  A hook that
 * fails is asked again by the next sweep; one that refuses has decided.
 */
static enum err_code
finish(struct ctl *c, struct ctl_held *h, struct err *e)
{
	const struct store_finisher *finisher = c->store->finisher;
	enum err_code rc;
	struct err inner;

	rc = hook_may_finish(c->hooks, &h->up->info, c->arena, e);
	if (rc == ERR_CONFLICT && h->up->info.size > 0 &&
	    finisher->refuse(h->up, &inner) != ERR_OK)
		*e = inner;
	return rc == ERR_OK ? finisher->finish(h->up, e) : rc;
}

/* The lock of a finished upload is the mark that this is yet to be done. */
static enum err_code
tell_finished(struct ctl *c, struct ctl_held *h, struct err *e)
{
	if (hook_tell_finished(c->hooks, &h->up->info, c->arena))
		return ERR_OK;
	h->is_marked = true;
	return err_set(e, ERR_UNAVAILABLE,
	    "post-finish was not taken; the next sweep will try again");
}

static enum err_code
carry_out(struct ctl *c, struct ctl_held *h, enum fate fate, struct err *e)
{
	enum err_code rc = ERR_OK;

	switch (fate) {
	case KEEP:
		break;
	case EXPIRE:
		rc = c->store->terminater->terminate(h->up, e);
		break;
	case FINISH:
		rc = finish(c, h, e);
		break;
	case CONFIRM:
		rc = c->store->core->confirm(h->up, e);
		break;
	}
	if (rc == ERR_OK && (fate == FINISH || fate == CONFIRM))
		rc = tell_finished(c, h, e);
	h->is_over = fate != KEEP && rc == ERR_OK;
	return rc;
}

/* The lock is held: is what was true without it still true? */
static enum err_code
sweep_held(struct ctl *c, const struct sweep *s, struct ctl_held *h,
    enum fate *fate, struct err *e)
{
	enum fate seen = *fate;
	enum err_code rc;

	*fate = KEEP;
	rc = c->store->core->claim(h->up, e);
	h->is_over = rc == ERR_NOT_FOUND;
	if (rc != ERR_OK)
		return rc;
	/* Our own lock file is no mark: somebody has just removed his. */
	if (seen == CONFIRM && h->lock->made)
		return ERR_OK;
	if (fate_of(c, s, h->up) != seen)
		return ERR_OK;
	*fate = seen;
	return carry_out(c, h, seen, e);
}

static void
count_fate(struct sweep *s, const char *id, enum fate fate)
{
	switch (fate) {
	case KEEP:
		break;
	case EXPIRE:
		s->expired++;
		say(s, id, "removed: expired");
		break;
	case FINISH:
		s->finished++;
		say(s, id, "finished: it was complete");
		break;
	case CONFIRM:
		s->locks++;
		say(s, id, "unlocked: it is finished");
		break;
	}
}

static void
sweep_upload(struct ctl *c, struct sweep *s, const char *id, enum fate fate)
{
	struct ctl_held held;
	enum err_code rc = ERR_OK;
	struct err e;

	if (!s->dry_run && (rc = ctl_hold(c, id, 0, &held, &e)) == ERR_OK) {
		rc = sweep_held(c, s, &held, &fate, &e);
		ctl_let_go(c, &held);
	}
	if (rc == ERR_OK)
		count_fate(s, id, fate);
	else if (rc == ERR_LOCKED)
		s->in_use++;
	else if (rc != ERR_NOT_FOUND)
		ctl_warn(c, "%s: %s", id, e.text);
}

static void
look_at_upload(struct ctl *c, const char *id, void *arg)
{
	struct sweep *s = arg;
	struct upload *up;
	enum fate fate = KEEP;
	enum err_code rc;
	struct err e;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return;
	if (rc != ERR_OK && rc != ERR_CORRUPT) {
		ctl_warn(c, "%s: %s", id, e.text);
		return;
	}
	if (rc == ERR_CORRUPT)
		s->damaged++;
	else
		fate = fate_of(c, s, up);
	c->store->core->close(up);
	if (fate != KEEP)
		sweep_upload(c, s, id, fate);
}

/* --- What is no upload. --- */

static void
meet_stranger(struct sweep *s, const struct store_leftover *l)
{
	if (s->strangers++ < STRANGERS_NAMED)
		ctl_note("%s: left alone: %s", l->name, l->what);
}

static enum err_code
remove_locked(struct ctl *c, const struct store_leftover *l, struct err *e)
{
	struct lock *lock;
	enum err_code rc;

	if (l->id == NULL)
		return c->store->keeper->leftover_remove(c->store, l, e);
	if ((rc = ctl_lock(c, l->id, 0, &lock, e)) != ERR_OK)
		return rc;
	rc = c->store->keeper->leftover_remove(c->store, l, e);
	ctl_unlock(lock, false);
	return rc;
}

static void
sweep_leftover(struct ctl *c, struct sweep *s, const struct store_leftover *l)
{
	enum err_code rc = ERR_OK;
	struct err e;

	if (!l->removable) {
		meet_stranger(s, l);
		return;
	}
	if (c->now - l->changed <= QUIET)
		return;
	if (!s->dry_run)
		rc = remove_locked(c, l, &e);
	if (rc == ERR_OK) {
		s->leftovers++;
		say(s, l->name, arena_printf(c->arena, "removed: %s", l->what));
	} else if (rc == ERR_LOCKED) {
		s->in_use++;
	} else if (rc != ERR_CONFLICT) {
		ctl_warn(c, "%s: %s", l->name, e.text);
	}
}

static void
sweep_leftovers(struct ctl *c, struct sweep *s)
{
	const struct store_keeper *keeper = c->store->keeper;
	struct store_leftover l;
	void *cursor = NULL;
	int64_t n = 0;
	struct err e;

	for (;;) {
		arena_reset(c->arena);
		if (keeper->leftover_next(
			c->store, &cursor, c->arena, &l, &e) != ERR_OK) {
			ctl_warn(c, "%s", e.text);
			break;
		}
		if (l.name == NULL)
			break;
		ctl_progress("leftovers", ++n);
		sweep_leftover(c, s, &l);
	}
	ctl_progress(NULL, 0);
	if (s->strangers > STRANGERS_NAMED)
		ctl_note("%lld more of that kind",
		    (long long)(s->strangers - STRANGERS_NAMED));
}

/* --- Locks of uploads that are gone. --- */

static bool
has_upload(struct ctl *c, const char *id)
{
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, &e);
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		c->store->core->close(up);
	return rc != ERR_NOT_FOUND;
}

static void
sweep_lock(struct ctl *c, struct sweep *s, const char *id)
{
	struct lock *lock;
	enum err_code rc;
	struct err e;
	bool is_over;

	if (has_upload(c, id))
		return;
	if (!s->dry_run) {
		rc = ctl_lock(c, id, 0, &lock, &e);
		if (rc == ERR_LOCKED)
			s->in_use++;
		else if (rc != ERR_OK)
			ctl_warn(c, "%s: %s", id, e.text);
		if (rc != ERR_OK)
			return;
		is_over = !has_upload(c, id);
		ctl_unlock(lock, is_over);
		if (!is_over)
			return;
	}
	s->locks++;
	say(s, id, "unlocked: there is no such upload");
}

static void
sweep_locks(struct ctl *c, struct sweep *s)
{
	void *cursor = NULL;
	const char *id;
	struct err e;

	for (;;) {
		arena_reset(c->arena);
		if (c->locker->ops->walk_next(
			c->locker, &cursor, c->arena, &id, &e) != ERR_OK) {
			ctl_warn(c, "%s", e.text);
			break;
		}
		if (id == NULL)
			break;
		sweep_lock(c, s, id);
	}
}

/* --- Events that were not taken. --- */

static void
sweep_events(struct ctl *c, struct sweep *s)
{
	struct hook_tally *t = &s->events;
	struct err e;

	if (c->hooks == NULL)
		return;
	if (hook_deliver(c->hooks, s->dry_run, t, &e) != ERR_OK)
		ctl_warn(c, "%s", e.text);
	if (t->failed > 0)
		ctl_warn(c,
		    "%lld events were not taken, %lld not tried: the next "
		    "sweep will try again",
		    (long long)t->failed, (long long)t->left);
}

/* --- The command. --- */

/*
 * Compare the clocks with those of the last sweep, and note them for the next
 * one.  After a jump the old note stays, so that the question stays, too.
 */
static bool
clock_is_sane(struct ctl *c, const struct sweep *s)
{
	const struct store_keeper *keeper = c->store->keeper;
	struct clock_note then, now;
	char text[CLOCK_NOTE_MAX];
	int64_t jump = 0;
	struct err e;

	clock_note_now(&now);
	if (keeper->read_note(c->store, text, sizeof(text), &e) != ERR_OK) {
		ctl_warn(c, "%s", e.text);
		return s->force;
	}
	if (clock_note_read(&then, text))
		jump = clock_note_jump(&then, &now);
	if (jump != 0 && !s->force) {
		ctl_warn(c,
		    "the clock jumped by %lld seconds since the last sweep: "
		    "nothing is removed; if it is right now, use --force",
		    (long long)jump);
		return false;
	}
	clock_note_write(&now, text);
	if (!s->dry_run && keeper->write_note(c->store, text, &e) != ERR_OK)
		ctl_warn(c, "%s", e.text);
	return true;
}

/* In the syntax of the configuration, by the parser of the configuration. */
static bool
parse_seconds(const char *text, int64_t *seconds)
{
	struct conf *conf = conf_new();
	struct err e;
	bool ok;

	ok = conf_set(conf, "expiration.after", text, &e) == ERR_OK;
	if (ok)
		*seconds = conf_ms(conf, "expiration.after") / 1000;
	conf_free(conf);
	return ok;
}

static void
sum_up(const struct sweep *s)
{
	(void)printf("%s%lld expired uploads, %lld leftovers and %lld locks "
		     "removed, %lld uploads finished, %lld in use\n",
	    s->dry_run ? "would be: " : "", (long long)s->expired,
	    (long long)s->leftovers, (long long)s->locks,
	    (long long)s->finished, (long long)s->in_use);
	if (s->events.told > 0 || (s->dry_run && s->events.left > 0))
		(void)printf("%s%lld events told to hooks\n",
		    s->dry_run ? "would be: " : "",
		    (long long)(s->dry_run ? s->events.left : s->events.told));
	if (s->damaged > 0)
		ctl_note("%lld damaged uploads left alone, see tusctl check",
		    (long long)s->damaged);
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "older-than", required_argument, NULL, 'o' },
	{ "force", no_argument, NULL, 'f' },
	{ 0 },
};

int
ctl_sweep(struct ctl *c, int argc, char **argv)
{
	struct sweep s = { .older_than = -1 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		s.dry_run |= option == 'n';
		s.force |= option == 'f';
		if (option == 'o' && !parse_seconds(optarg, &s.older_than))
			return ctl_usage("--older-than cannot be %s: expected "
					 "seconds, or \"12h\", \"7d\"",
			    optarg);
	}
	if (optind != argc)
		return ctl_usage("sweep takes no ids; see rm");
	if (!ctl_can_keep(c) || !clock_is_sane(c, &s))
		return CTL_FAILED;
	ctl_each(c, "uploads", look_at_upload, &s);
	sweep_leftovers(c, &s);
	sweep_locks(c, &s);
	sweep_events(c, &s);
	sum_up(&s);
	return ctl_status(c);
}
