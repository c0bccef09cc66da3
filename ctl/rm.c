/*
 * rm.c - tusctl rm: terminate uploads in any state.
 *
 * Like DELETE it asks the process that writes to the upload to release it.  A
 * damaged record is no obstacle.
 */
#include "config.h"

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "ctl/ctl.h"

/* Pause between two tries, in ms. */
#define RETRY_MS 10

/* On a full disk no lock can be made; the removal, which frees space, goes on
 * without. */
static enum err_code
open_to_remove(struct ctl *c, const char *id, int64_t wait_ms, struct handle *h,
    struct err *e)
{
	enum err_code rc = ctl_open(c, id, wait_ms, h, e);

	if (rc == ERR_NO_SPACE &&
	    (rc = handle_open(h, c->store, id, c->arena, e)) == ERR_OK)
		rc = handle_guard(h, c->locker, e);
	return rc;
}

static enum err_code
remove_opened(struct ctl *c, struct handle *h, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (h->lock != NULL || h->is_guarded)
		rc = c->store->core->claim(h->up, e);
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		rc = c->store->terminater->terminate(h->up, e);
	h->is_over = rc == ERR_OK || rc == ERR_NOT_FOUND;
	return rc;
}

/* There is no such upload, but a dead process may have left parts of one. */
static enum err_code
remove_rest(struct ctl *c, const char *id, int64_t wait_ms, struct err *e)
{
	struct lock *lock;
	enum err_code rc;

	rc = c->store->terminater->clear(c->store, id, true, e);
	if (rc == ERR_OK)
		rc = ctl_lock(c, id, wait_ms, &lock, e);
	if (rc != ERR_OK)
		return rc;
	rc = c->store->terminater->clear(c->store, id, false, e);
	lock->locker->ops->release(lock, rc == ERR_OK);
	return rc;
}

static enum err_code
try_to_remove(struct ctl *c, const char *id, int64_t wait_ms, struct err *e)
{
	struct handle h;
	enum err_code rc = open_to_remove(c, id, wait_ms, &h, e);

	if (rc == ERR_NOT_FOUND)
		return remove_rest(c, id, wait_ms, e);
	if (rc != ERR_OK)
		return rc;
	rc = remove_opened(c, &h, e);
	handle_close(&h);
	return rc;
}

/* The lock is waited for while it is taken; a process that needs none, here. */
static void
remove_one(struct ctl *c, const char *id)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	int64_t wait_ms = c->conf->lock.timeout, end = clock_ms() + wait_ms;
	enum err_code rc;
	struct err e;

	while ((rc = try_to_remove(c, id, wait_ms, &e)) == ERR_LOCKED &&
	    clock_ms() < end)
		(void)nanosleep(&pause, NULL);
	if (rc == ERR_NOT_FOUND)
		ctl_warn(c, "%s: no such upload", id);
	else if (rc == ERR_LOCKED)
		ctl_warn(c, "%s: in use", id);
	else if (rc != ERR_OK)
		ctl_warn(c, "%s: %s", id, e.text);
}

int
ctl_rm(struct ctl *c, int argc, char **argv)
{
	int i;

	if (ctl_option(c, argc, argv) != -1)
		return CTL_USAGE;
	if (optind == argc)
		return ctl_usage("rm takes the ids of the uploads to remove");
	for (i = optind; i < argc; i++)
		if (!id_is_valid(argv[i]))
			return ctl_usage("%s is not an upload id", argv[i]);
	if (c->store->terminater == NULL) {
		ctl_warn(c, "the store \"%s\" cannot remove uploads",
		    c->store->name);
		return CTL_FAILED;
	}
	for (i = optind; i < argc; i++) {
		remove_one(c, argv[i]);
		arena_reset(c->arena);
	}
	return ctl_status(c);
}
