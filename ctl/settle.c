/*
 * settle.c - tusctl settle and adopt: prepare the uploads for another server or
 * a reboot, and take them over afterwards.
 *
 * Both visit every unfinished upload under its lock.  Neither asks a holder to
 * release it: they are meant for a pool that was stopped.
 */
#include "config.h"

#include <unistd.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "core/sweep.h"

struct round {
	/* The action on one upload; its result and error are reported. */
	enum err_code (*act)(
	    struct ctl *, struct handle *, const struct round *, struct err *);
	const char *done;
	/* An upload that is skipped counts as a failure. */
	bool is_strict;
	/* For settle: the other server is tusd. */
	bool for_tusd;
	int64_t uploads, in_use, damaged, left;

	/* For settle: does the pending work of finished uploads; NULL for
	 * adopt. */
	struct sweep *sweep;
};

/* Arguments of tell(): the command and its current round. */
struct told {
	struct ctl *ctl;
	struct round *round;
};

static enum err_code
settle_locked(
    struct ctl *c, struct handle *h, const struct round *r, struct err *e)
{
	enum err_code rc = ctl_repair(c, h, e);

	if (rc == ERR_OK && !upload_is_finished(h->up))
		rc = c->store->keeper->settle(h->up, r->for_tusd, e);
	return rc;
}

static enum err_code
adopt_locked(
    struct ctl *c, struct handle *h, const struct round *r, struct err *e)
{
	(void)r;
	return c->store->keeper->adopt(h->up, e);
}

enum state {
	ABSENT,
	UNFINISHED,
	/* A finished upload without pending work, and one with some. */
	FINISHED,
	PENDING
};

static enum state
look(struct ctl *c, const char *id)
{
	const struct file_info *info;
	enum state state = UNFINISHED;
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return ABSENT;
	if (rc != ERR_OK && rc != ERR_CORRUPT)
		return UNFINISHED;
	info = &up->info;
	if (rc == ERR_OK && upload_is_finished(up))
		state = info->pending != 0 ||
			(info->is_marked_by_lock &&
			    locker_knows(c->locker, id, c->arena)) ?
		    PENDING :
		    FINISHED;
	c->store->core->close(up);
	return state;
}

/*
 * A release that keeps no pending work in its records takes a lock file beside
 * a finished upload for a sign of it: so the lock file is kept while work is
 * pending.
 */
static enum err_code
follow_up(struct ctl *c, struct handle *h, struct sweep *s, struct err *e)
{
	enum err_code rc = c->store->core->claim(h->up, e);

	if (rc == ERR_OK && upload_is_finished(h->up) &&
	    !sweep_follow_up(s, h->up, e))
		rc = e->code;
	h->is_over = rc == ERR_OK || rc == ERR_NOT_FOUND;
	return rc;
}

static void
end_one(struct ctl *c, const char *id, struct sweep *s)
{
	struct handle h;
	enum err_code rc;
	struct err e;

	s->arena = c->arena;
	rc = ctl_open(c, id, 1, &h, &e);
	if (rc == ERR_OK) {
		rc = follow_up(c, &h, s, &e);
		handle_close(&h);
	}
	if (rc != ERR_OK && rc != ERR_NOT_FOUND)
		ctl_warn(c, "%s: finished, but not done with: %s", id, e.text);
}

static void
do_one(struct ctl *c, const char *id, void *arg)
{
	struct round *r = arg;
	enum state state = look(c, id);
	struct handle h;
	enum err_code rc;
	struct err e;

	if (state == PENDING && r->sweep != NULL)
		end_one(c, id, r->sweep);
	if (state != UNFINISHED)
		return;
	if ((rc = ctl_open(c, id, 0, &h, &e)) == ERR_OK) {
		rc = r->act(c, &h, r, &e);
		handle_close(&h);
	}
	switch (rc) {
	case ERR_OK:
		r->uploads++;
		break;
	case ERR_NOT_FOUND:
		break;
	case ERR_LOCKED:
		r->in_use++;
		ctl_warn(c, "%s: in use, left alone", id);
		break;
	case ERR_CORRUPT:
		/* Settle cannot repair it, so it is no failure of the
		 * command. */
		r->damaged++;
		c->failed |= r->is_strict;
		ctl_note("%s: damaged, left alone: %s", id, e.text);
		break;
	default:
		ctl_warn(c, "%s: %s", id, e.text);
		break;
	}
}

static void
tell_stranger(void *arg, const char *name, const char *why)
{
	struct told *t = arg;

	t->round->left++;
	ctl_warn(t->ctl, "%s: left alone: %s", name, why);
}

static void
tell_strangers(struct ctl *c, struct round *r)
{
	struct told told = { c, r };
	struct err e;

	arena_reset(c->arena);
	if (c->store->keeper->tell_strangers(
		c->store, tell_stranger, &told, &e) != ERR_OK)
		ctl_warn(c, "%s", e.text);
}

static int
do_round(struct ctl *c, int argc, char **argv, struct round *r)
{
	int option;
	struct err e;

	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		r->for_tusd = true;
	}
	if (optind != argc)
		return ctl_usage("%s takes no arguments", argv[0]);
	if (!ctl_can_keep(c))
		return CTL_FAILED;
	if (c->store->is_always_settled && !r->is_strict && !r->for_tusd) {
		if (c->store->keeper->settle_all(c->store, true, &e) != ERR_OK)
			ctl_warn(c, "%s", e.text);
		(void)printf("nothing to settle: what was acknowledged is "
			     "safe; --tusd prepares a move to tusd\n");
		return ctl_status(c);
	}
	ctl_each(c, "uploads", do_one, r);
	if (c->store->keeper->settle_all(c->store, !r->is_strict, &e) != ERR_OK)
		ctl_warn(c, "%s", e.text);
	if (r->is_strict)
		tell_strangers(c, r);
	(void)printf("%lld unfinished uploads %s, %lld in use, %lld damaged",
	    (long long)r->uploads, r->done, (long long)r->in_use,
	    (long long)r->damaged);
	if (r->left > 0)
		(void)printf(", %lld files left alone", (long long)r->left);
	(void)putchar('\n');
	return ctl_status(c);
}

const struct ctl_option ctl_settle_options[] = {
	{ "tusd", 't', NULL, "for tusd, which has another layout in a bucket",
	    NULL },
	{ 0 },
};

int
ctl_settle(struct ctl *c, int argc, char **argv)
{
	struct sweep sweep = {
		.store = c->store, .locker = c->locker, .hooks = c->hooks
	};
	struct round r = {
		.act = settle_locked, .done = "settled", .sweep = &sweep
	};

	return do_round(c, argc, argv, &r);
}

int
ctl_adopt(struct ctl *c, int argc, char **argv)
{
	struct round r = {
		.act = adopt_locked, .done = "adopted", .is_strict = true
	};

	return do_round(c, argc, argv, &r);
}
