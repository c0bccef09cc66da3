/*
 * sweep.c - tusctl sweep: options and messages for core/sweep.h.
 */
#include "config.h"

#include <unistd.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "core/sweep.h"

enum {
	/* How many unknown files are named before the others are only
	 * counted. */
	STRANGERS_NAMED = 10
};

struct shown_sweep {
	struct sweep base;
	struct ctl *ctl;
};

static void
met(struct sweep *s, enum sweep_deed deed, const char *name, const char *what)
{
	if (deed == SWEEP_STRANGER && s->count[deed] <= STRANGERS_NAMED)
		ctl_note("%s: left alone: %s", name, what);
	/* Uploads that are left alone are only counted. */
	if (deed >= SWEEP_IN_USE)
		return;
	ctl_progress(NULL, 0);
	(void)printf("%s  %s%s%s%s\n", name, s->dry_run ? "would be " : "",
	    sweep_says(deed), what != NULL ? ": " : "",
	    what != NULL ? what : "");
}

static void
failed(struct sweep *s, const char *text)
{
	ctl_warn(OUTER(s, struct shown_sweep, base)->ctl, "%s", text);
}

static void
progress(struct sweep *s, const char *what, int64_t n)
{
	(void)s;
	ctl_progress(what, n);
}

static const struct sweep_ears ears = { met, failed, progress };

static void
sum_up(const struct sweep *s)
{
	const char *would = s->dry_run ? "would be: " : "";
	const int64_t *n = s->count;
	int64_t told = s->dry_run ? s->events.left : 0;
	size_t i;

	for (i = 0; i < HOOK_POINT_MAX; i++)
		told += s->events.told[i];
	(void)printf("%s%lld expired uploads, %lld leftovers and %lld locks "
		     "removed, %lld uploads finished, %lld in use\n",
	    would, (long long)n[SWEEP_EXPIRED], (long long)n[SWEEP_LEFTOVER],
	    (long long)(n[SWEEP_CONFIRMED] + n[SWEEP_ORPHAN]),
	    (long long)n[SWEEP_FINISHED], (long long)n[SWEEP_IN_USE]);
	if (n[SWEEP_ENTERED] + s->struck > 0)
		(void)printf(
		    "%squotas: %lld uploads entered, %lld struck out\n", would,
		    (long long)n[SWEEP_ENTERED], (long long)s->struck);
	if (n[SWEEP_RETIRED] > 0)
		(void)printf("%s%lld finished uploads removed: kept long "
			     "enough\n",
		    would, (long long)n[SWEEP_RETIRED]);
	if (n[SWEEP_FORGOTTEN] > 0)
		(void)printf("%s%lld records of moved uploads removed\n", would,
		    (long long)n[SWEEP_FORGOTTEN]);
	if (told > 0)
		(void)printf(
		    "%s%lld events told to hooks\n", would, (long long)told);
	if (n[SWEEP_STRANGER] > STRANGERS_NAMED)
		ctl_note("%lld more were left alone",
		    (long long)(n[SWEEP_STRANGER] - STRANGERS_NAMED));
	if (n[SWEEP_DAMAGED] > 0)
		ctl_note("%lld damaged uploads left alone, see tusctl check",
		    (long long)n[SWEEP_DAMAGED]);
}

/* Parse a duration in the syntax of the configuration. */
static bool
parse_seconds(const char *text, int64_t *seconds)
{
	bool ok = conf_takes("expiration.after", text, seconds);

	*seconds /= 1000;
	return ok;
}

static bool
begin(struct ctl *c, struct sweep *s)
{
	struct err e;

	switch (sweep_begin(s, &e)) {
	case ERR_OK:
		return true;
	case ERR_CONFLICT:
		ctl_warn(c, "%s; if it is right now, use --force", e.text);
		return false;
	default:
		ctl_warn(c, "%s", e.text);
		return false;
	}
}

const struct ctl_option ctl_sweep_options[] = {
	{ "dry-run", 'n', NULL, "only say what would be done", NULL },
	{ "older-than", 'o', "AGE",
	    "also uploads that were not written to for this long, as 12h or 7d",
	    NULL },
	{ "force", 'f', NULL, "believe the clock", NULL },
	{ 0 },
};

int
ctl_sweep(struct ctl *c, int argc, char **argv)
{
	struct shown_sweep sweep = { { .older_than = -1, .ears = &ears }, c };
	struct sweep *s = &sweep.base;
	int option;

	s->store = c->store;
	s->locker = c->locker;
	s->hooks = c->hooks;
	s->has_quota = c->conf->quota.uploads > 0 || c->conf->quota.bytes > 0;
	s->retention = c->conf->retention.after / 1000;
	s->young = sweep_young(c->conf, s->hooks != NULL);
	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		s->dry_run |= option == 'n';
		s->force |= option == 'f';
		if (option == 'o' && !parse_seconds(optarg, &s->older_than))
			return ctl_usage("--older-than cannot be %s: expected "
					 "seconds, or \"12h\", \"7d\"",
			    optarg);
	}
	if (optind != argc)
		return ctl_usage("sweep takes no ids; see rm");
	if (!begin(c, s))
		return CTL_FAILED;
	sweep_run(s);
	sum_up(s);
	return ctl_status(c);
}
