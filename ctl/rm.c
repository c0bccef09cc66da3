/*
 * rm.c - tusctl rm: terminate uploads in any state.
 *
 * Like DELETE it asks the process that writes to the upload to release it.  A
 * damaged record is no obstacle.
 */
#include "config.h"

#include <unistd.h>

#include "base/id.h"
#include "ctl/ctl.h"

static enum err_code
remove_locked(struct ctl *c, struct handle *h, struct err *e)
{
	enum err_code rc = c->store->core->claim(h->up, e);

	if (rc == ERR_OK || rc == ERR_CORRUPT)
		rc = c->store->terminater->terminate(h->up, e);
	h->is_over = rc == ERR_OK || rc == ERR_NOT_FOUND;
	return rc;
}

/* On a full disk no lock can be made, so no process holds one; the removal,
 * which frees space, goes on without a lock. */
static enum err_code
remove_unlocked(struct ctl *c, const char *id, struct err *e)
{
	struct upload *up;
	enum err_code rc;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, e);
	if (rc != ERR_OK && rc != ERR_CORRUPT)
		return rc;
	rc = c->store->terminater->terminate(up, e);
	c->store->core->close(up);
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

static void
remove_one(struct ctl *c, const char *id)
{
	int64_t wait_ms = c->conf->lock.timeout;
	struct handle h;
	enum err_code rc;
	struct err e;

	rc = ctl_open(c, id, wait_ms, &h, &e);
	if (rc == ERR_OK) {
		rc = remove_locked(c, &h, &e);
		handle_close(&h);
	} else if (rc == ERR_NO_SPACE) {
		rc = remove_unlocked(c, id, &e);
	} else if (rc == ERR_NOT_FOUND) {
		rc = remove_rest(c, id, wait_ms, &e);
	}
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
