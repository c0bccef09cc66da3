/*
 * check.c - tusctl check: read every record and compare it with the bytes.
 *
 * An upload in use may look damaged to a reader without its lock.  So an upload
 * that looks damaged is read again under its lock before it is reported.
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/format.h"

struct inspection {
	bool repair;
	int64_t damaged, repaired, in_use;
};

struct events {
	struct ctl *ctl;
	int64_t waiting, since;
};

static enum err_code
look(struct ctl *c, const char *id, struct err *e)
{
	struct upload *up;
	enum err_code rc;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, e);
	if (rc == ERR_OK)
		rc = c->store->keeper->check(up, e);
	else if (rc != ERR_CORRUPT)
		return rc;
	c->store->core->close(up);
	return rc;
}

/*
 * ERR_CONFLICT: the upload looked damaged and does not any more.  On a
 * read-only file system no lock can be made, but no process can be writing
 * either.
 */
static enum err_code
look_again(
    struct ctl *c, const char *id, const struct inspection *in, struct err *e)
{
	struct handle h;
	enum err_code rc, found;
	struct err refusal, ignored;

	rc = ctl_open(c, id, 0, &h, &refusal);
	if (rc == ERR_SYSTEM && refusal.sys == EROFS && !in->repair)
		return ERR_CORRUPT;
	if (rc != ERR_OK) {
		*e = refusal;
		return rc;
	}
	found = look(c, id, e);
	rc = found;
	if (found == ERR_CONFLICT && !in->repair)
		rc = ERR_CORRUPT;
	else if (found == ERR_CONFLICT &&
	    (rc = ctl_repair(c, &h, e)) == ERR_OK &&
	    (rc = look(c, id, &ignored)) == ERR_OK)
		rc = ERR_CONFLICT;
	handle_close(&h);
	return rc;
}

/* Finds the ids of those that are not right. */
static void
look_for_damage(struct ctl *c, const char *id, const struct ctl_search *s)
{
	struct err e;
	enum err_code rc = look(c, id, &e);

	if (rc == ERR_CORRUPT || rc == ERR_CONFLICT)
		ctl_found(c, s, id);
	else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
		ctl_warn(c, "%s: %s", id, e.text);
}

static void
judge(struct ctl *c, const char *id, void *arg)
{
	struct inspection *in = arg;
	struct err e;
	enum err_code rc = look(c, id, &e);
	bool can_be_repaired = rc == ERR_CONFLICT;

	if (rc == ERR_CORRUPT || rc == ERR_CONFLICT)
		rc = look_again(c, id, in, &e);
	switch (rc) {
	case ERR_OK:
	case ERR_NOT_FOUND:
		break;
	case ERR_CONFLICT:
		in->repaired++;
		(void)printf("%s  repaired: %s\n", id, e.text);
		break;
	case ERR_CORRUPT:
		in->damaged++;
		c->failed = true;
		(void)printf("%s  damaged: %s\n    %s\n", id, e.text,
		    ctl_damage_advice(c, id, can_be_repaired));
		break;
	case ERR_LOCKED:
		in->in_use++;
		break;
	default:
		ctl_warn(c, "%s: %s", id, e.text);
		break;
	}
}

static void
look_at_event(void *arg, const struct hook_waiting *w)
{
	struct events *events = arg;

	if (w->why_not != NULL) {
		events->ctl->failed = true;
		(void)printf("%s  can never be told: %s\n",
		    format_text(events->ctl->arena, w->path, strlen(w->path)),
		    w->why_not);
		return;
	}
	if (events->waiting++ == 0 || w->since < events->since)
		events->since = w->since;
}

static void
check_events(struct ctl *c)
{
	struct events events = { .ctl = c };
	struct err e;

	if (hook_each_waiting(c->conf, look_at_event, &events, &e) != ERR_OK)
		ctl_warn(c, "%s", e.text);
	if (events.waiting > 0)
		(void)printf("%lld events wait for hooks, the oldest for %s\n",
		    (long long)events.waiting,
		    format_age(c->arena, events.since, c->now));
}

const struct ctl_option ctl_check_options[] = {
	{ "repair", 'r', NULL, "do what can be done", NULL },
	{ "locks", 'l', NULL, "look at the locks instead", NULL },
	{ 0 },
};

int
ctl_check(struct ctl *c, int argc, char **argv)
{
	struct inspection in = { 0 };
	const struct ctl_search damage = { "uploads", look_for_damage, judge,
		&in };
	bool looks_at_locks = false;
	struct err e;
	int64_t uploads;
	int option;

	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'l')
			looks_at_locks = true;
		else
			in.repair = true;
	}
	if (optind != argc)
		return ctl_usage("check takes no ids");
	if (looks_at_locks && in.repair)
		return ctl_usage("check takes --repair or --locks");
	if (looks_at_locks)
		return ctl_check_locks(c);
	if (ctl_open_locker(c, &e) != ERR_OK)
		return ctl_cannot_open(&e);
	if (!ctl_can_keep(c))
		return CTL_FAILED;
	uploads = ctl_search(c, &damage);
	(void)printf("%lld uploads, %lld damaged, %lld repaired, %lld in use\n",
	    (long long)uploads, (long long)in.damaged, (long long)in.repaired,
	    (long long)in.in_use);
	check_events(c);
	return ctl_status(c);
}
