/*
 * guard.c - a lock on the record itself, for as long as a short request takes.
 *
 * To make and to remove a lock file is more work than to write a few bytes.  So
 * a process that has all it will write locks a byte of the record instead, if
 * the upload has no lock file.  A process that makes a lock file looks at that
 * byte afterwards; one that locks the byte looks for the lock file afterwards.
 * Of two that come at the same time at least one sees the other.
 *
 * Releases before do not look at the byte: the note of the store says whether
 * all who use it do.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>

#include "store/file/guard.h"

/* Far beyond the end of any file, and a byte that no lock file uses. */
#define BYTE (((off_t)1 << 40) + 8)

static int
on_byte(int fd, int cmd, struct flock *range)
{
	int rc;

	range->l_whence = SEEK_SET;
	range->l_start = BYTE;
	range->l_len = 1;
	do
		rc = fcntl(fd, cmd, range);
	while (rc == -1 && errno == EINTR);
	if (rc == -1 && errno == EACCES)
		errno = EWOULDBLOCK;
	return rc;
}

int
file_lock_byte(int fd, short type)
{
	struct flock range = { .l_type = type };

	return on_byte(fd, F_OFD_SETLK, &range);
}

/* ERR_CONFLICT: the record has none. */
static enum err_code
has_none(const struct file_upload *u, struct err *e)
{
	return err_set(e, ERR_CONFLICT, "%s: has no guard", u->base.info.id);
}

enum err_code
file_check_guard(struct file_upload *u, struct err *e)
{
	const struct data_store *ds = &u->store->base;
	/* A user who can only read the record is not able to lock it against
	 * reading. */
	struct flock range = { .l_type = F_RDLCK };

	if (ds->is_shared || u->is_guarded)
		return ERR_OK;
	if (on_byte(u->info_fd, F_OFD_GETLK, &range) == 0)
		return range.l_type == F_UNLCK ?
		    ERR_OK :
		    err_set(e, ERR_LOCKED, "%s: just being written to",
			u->base.info.id);
	/* Where there are no such locks, nobody has one. */
	return ds->guard == NULL ?
	    ERR_OK :
	    err_sys(e, "look at the lock of %s", u->base.info.id);
}

/* Not of a record that its writer replaces, or that cannot be written to. */
static enum err_code
raise_guard(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	if (u->info_fd == -1 || u->damaged || u->foreign || u->denied != 0 ||
	    !u->head.has_pending)
		return has_none(u, e);
	u->is_guarded = file_lock_byte(u->info_fd, F_WRLCK) == 0;
	if (u->is_guarded)
		return ERR_OK;
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock the record of %s", up->info.id);
	rc = file_check_guard(u, e);
	return rc == ERR_OK ? has_none(u, e) : rc;
}

void
file_lower_guard(struct upload *up)
{
	struct file_upload *u = file_upload_of(up);

	if (u->is_guarded)
		(void)file_lock_byte(u->info_fd, F_UNLCK);
	u->is_guarded = false;
}

const struct store_guard file_guard = {
	.raise = raise_guard,
	.lower = file_lower_guard,
};
