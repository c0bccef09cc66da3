/*
 * common.c - opening, iteration, locking and messages for all commands.
 */
#include "config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "core/core.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

enum {
	PROGRESS_MS = 300,
	NAP_MS = 20,

	/* The most options of one command. */
	OPTIONS_MAX = 16
};

/* The terminal shows a line of progress, to be cleared before other output. */
static bool progress_is_shown;

void
ctl_progress(const char *what, int64_t n)
{
	static int64_t last;
	int64_t ms = clock_ms();

	if (n == 0 && progress_is_shown) {
		(void)fputs("\r\033[K", stderr);
		progress_is_shown = false;
	}
	if (last == 0)
		last = ms;
	if (n == 0 || ms - last < PROGRESS_MS)
		return;
	last = ms;
	if (!isatty(STDERR_FILENO))
		return;
	progress_is_shown = true;
	(void)fprintf(stderr, "\r%s: %lld\033[K", what, (long long)n);
}

/* The text may contain names that clients chose. */
static void
complain(const char *fmt, va_list ap)
{
	struct arena *a = arena_new();
	const char *text = arena_vprintf(a, fmt, ap);

	ctl_progress(NULL, 0);
	(void)fflush(stdout);
	(void)fprintf(
	    stderr, "tusctl: %s\n", format_text(a, text, strlen(text)));
	arena_free(a);
}

void
ctl_warn(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	c->failed = true;
}

void
ctl_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
}

int
ctl_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	return CTL_USAGE;
}

int
ctl_option(struct ctl *c, int argc, char **argv)
{
	static struct option options[OPTIONS_MAX + 1];
	const struct ctl_option *o = c->command->options;
	size_t n = 0;

	for (; o != NULL && o->name != NULL && n < OPTIONS_MAX; o++)
		options[n++] = (struct option){ .name = o->name,
			.has_arg = o->argument != NULL ? required_argument :
							 no_argument,
			.val = o->value };
	options[n] = (struct option){ 0 };
	return getopt_long(argc, argv, "", options, NULL);
}

int
ctl_status(const struct ctl *c)
{
	return c->failed ? CTL_FAILED : CTL_OK;
}

enum err_code
ctl_open_store(struct ctl *c, struct err *e)
{
	enum err_code rc;

	fs_take_umask();
	rc = core_check_keys(c->conf, e);
	if (rc == ERR_OK)
		rc = core_become_owner(c->conf, e);
	if (rc == ERR_OK)
		rc = store_attach(c->conf,
		    c->command->opens == CTL_STORE_TO_SWEEP ? STORE_SWEPT :
							      STORE_KEPT,
		    locker_is_for_one_pool(c->conf), e);
	if (rc == ERR_OK)
		rc = store_open(c->conf, &c->store, e);
	return rc;
}

/* The agent was started a moment ago, and nothing is locked without a session.
 * If there is none within lock.reply, the first lock fails, which says so. */
static void
wait_for_session(struct ctl *c)
{
	const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
	int64_t end = clock_ms() + c->conf->lock.reply;
	struct lock_figures f;

	while (c->locker->service->figures(c->locker, &f) &&
	    *f.refusal == '\0' && clock_ms() < end &&
	    (f.session_ms == 0 ||
		(!f.is_claimed && *store_id(c->conf) != '\0')))
		(void)nanosleep(&nap, NULL);
}

enum err_code
ctl_open_locker(struct ctl *c, struct err *e)
{
	enum err_code rc;

	locker_know_store(store_id(c->conf), true);
	rc = locker_start(c->conf, e);
	if (rc == ERR_OK)
		rc = locker_open(c->conf, &c->locker, e);
	if (rc == ERR_OK && c->locker->service != NULL)
		wait_for_session(c);
	return rc;
}

int
ctl_cannot_open(const struct err *e)
{
	ctl_note("%s", e->text);
	return e->code == ERR_INVALID ? CTL_USAGE : CTL_FAILED;
}

void
ctl_each(struct ctl *c, const char *what,
    void (*one)(struct ctl *, const char *id, void *arg), void *arg)
{
	void *cursor = NULL;
	const char *id;
	int64_t n = 0;
	struct err e;

	if (c->store->expirer == NULL) {
		ctl_warn(c, "the store \"%s\" cannot list its uploads",
		    c->store->name);
		return;
	}
	for (;;) {
		arena_reset(c->arena);
		if (c->store->expirer->walk_next(c->store, &cursor, INT64_MAX,
			c->arena, &id, &e) != ERR_OK) {
			ctl_warn(c, "%s", e.text);
			break;
		}
		if (id == NULL)
			break;
		if (what != NULL)
			ctl_progress(what, ++n);
		one(c, id, arg);
	}
	ctl_progress(what, 0);
}

enum err_code
ctl_lock(struct ctl *c, const char *id, int64_t wait_ms, struct lock **lock,
    struct err *e)
{
	return handle_lock_id(c->locker, id,
	    wait_ms > 0 ? LOCK_CREATE : LOCK_QUIETLY, wait_ms, c->arena, lock,
	    e);
}

enum err_code
ctl_open(struct ctl *c, const char *id, int64_t wait_ms, struct handle *h,
    struct err *e)
{
	enum err_code rc = handle_open(h, c->store, id, c->arena, e);

	if (rc == ERR_OK)
		rc = handle_lock(h, c->locker,
		    wait_ms > 0 ? LOCK_CREATE : LOCK_QUIETLY, wait_ms, c->arena,
		    e);
	return rc;
}

/* Would finishing this upload run hooks or move its file?  The sweep does
 * that. */
static bool
has_sequel(struct ctl *c, const struct upload *up)
{
	const struct store_mover *mover = c->store->mover;

	return *hook_target(c->conf) != '\0' ||
	    (mover != NULL && mover->wants(c->store, &up->info));
}

enum err_code
ctl_repair(struct ctl *c, struct handle *h, struct err *e)
{
	const struct store_finisher *finisher = c->store->finisher;
	enum err_code rc;

	rc = c->store->core->claim(h->up, e);
	h->is_over = rc == ERR_NOT_FOUND;
	if (rc != ERR_OK || finisher == NULL || upload_is_finished(h->up) ||
	    !upload_is_whole(h->up) || has_sequel(c, h->up))
		return rc;
	rc = finisher->finish(h->up, 0, e);
	h->is_over = rc == ERR_OK;
	return rc;
}

const char *
ctl_damage_advice(struct ctl *c, const char *id, bool can_be_repaired)
{
	const char *home = store_home(c->conf);

	if (can_be_repaired)
		return "tusctl check --repair goes back to the bytes that "
		       "exist; the client sends the rest again";
	return arena_printf(c->arena,
	    "cannot be repaired: bring its bytes and its record back from a "
	    "backup, in %s; or save the bytes that are of use, and run "
	    "\"tusctl rm "
	    "%s\": its client then begins anew",
	    home != NULL ? home : "the store", id);
}

bool
ctl_can_keep(struct ctl *c)
{
	if (c->store->keeper != NULL && c->store->terminater != NULL)
		return true;
	ctl_warn(c, "the store \"%s\" cannot do that", c->store->name);
	return false;
}
