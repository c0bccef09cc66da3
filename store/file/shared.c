/*
 * shared.c - a store that several hosts share (store.shared).
 *
 * A host that was cut off or suspended can lose its lock without noticing.
 * Only the file system can stop its late writes: the writer of an upload holds
 * a lock of the file system on each file it writes through, the bytes and the
 * record.  When the file system gives such a lock to another host, it rejects
 * every further write through the old descriptor.  So any failure on these
 * descriptors is treated as the loss of the lock: nothing more is acknowledged,
 * and nothing is undone.
 *
 * Names are not protected by such locks.  So before a file is removed, the
 * record must say so on disk, written through its locked descriptor.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mount.h"
#include "store/file/guard.h"

/* Ns between two tries. */
#define LOCK_STEP 1000000

/* f_type of statfs(2). */
#define TYPE_NFS 0x6969

void
file_unfence(const struct file_upload *u, int fd)
{
	if (u->store->base.is_shared && fd != -1)
		(void)file_lock_byte(fd, F_UNLCK);
}

enum err_code
file_fence(struct file_upload *u, int fd, struct err *e)
{
	if (!u->store->base.is_shared || fd == -1 || u->denied != 0)
		return ERR_OK;
	if (file_lock_byte(fd, F_WRLCK) == 0)
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		return err_set(e, ERR_LOCKED,
		    "%s: another host has not let go of it yet",
		    u->base.info.id);
	return file_judge(
	    u, err_sys(e, "lock the bytes of %s", u->base.info.id), e);
}

void
file_refresh(const struct file_upload *u, int fd)
{
	if (u->store->base.is_shared && fd != -1)
		fs_refresh(fd, fd == u->info_fd);
}

bool
file_lock(const struct file_store *fs, int fd)
{
	if (fs->base.is_shared)
		return file_lock_byte(fd, F_WRLCK) == 0;
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

bool
file_lock_in_time(const struct file_store *fs, int fd, int64_t ms)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP };
	int64_t until = clock_ms() + ms;

	while (!file_lock(fs, fd)) {
		if ((errno != EWOULDBLOCK && errno != EINTR) ||
		    clock_ms() >= until)
			return false;
		(void)nanosleep(&step, NULL);
	}
	return true;
}

enum err_code
file_judge(struct file_upload *u, enum err_code rc, struct err *e)
{
	if (rc == ERR_OK || !u->store->base.is_shared || !fs_is_cut_off(e->sys))
		return rc;
	u->is_fenced = true;
	log_debug(
	    "%s: taken for the loss of its lock: %s", u->base.info.id, e->text);
	return file_check_fence(u, e);
}

enum err_code
file_check_fence(const struct file_upload *u, struct err *e)
{
	if (!u->is_fenced)
		return ERR_OK;
	return err_set(e, ERR_FENCED,
	    "%s: another host may have it by now, for the file system lets "
	    "nothing more of this one through",
	    u->base.info.id);
}

bool
file_is_gone(const struct file_upload *u)
{
	return !u->foreign && strcmp(u->head.boot, INFO_GONE) == 0;
}

/* --- Is it safe at all? --- */

/* Refuse mount options with which the file system does not give the guarantees
 * that a shared store needs. */
static enum err_code
check_options(const char *options, struct err *e)
{
	static const struct {
		const char *bad, *instead;
	} refused[] = {
		{ "vers=2", "vers=4.1" },
		{ "vers=3", "vers=4.1" },
		{ "vers=4.0", "vers=4.1" },
		{ "nolock", "lock" },
		{ "local_lock=all", "local_lock=none" },
		{ "local_lock=flock", "local_lock=none" },
		{ "local_lock=posix", "local_lock=none" },
		{ "soft", "hard" },
		{ "softerr", "hard" },
	};
	size_t i, len;

	for (; *options != '\0'; options += len + (options[len] == ',')) {
		len = strcspn(options, ",");
		for (i = 0; i < NITEMS(refused); i++)
			if (strlen(refused[i].bad) == len &&
			    memcmp(options, refused[i].bad, len) == 0)
				return err_set(e, ERR_INVALID,
				    "store.shared: store.path is mounted with "
				    "%s, which is not safe; mount it with %s",
				    refused[i].bad, refused[i].instead);
	}
	return ERR_OK;
}

enum err_code
file_check_mount(const char *path, int dirfd, struct err *e)
{
	struct mount m;
	struct statfs fs;

	if (fstatfs(dirfd, &fs) == -1)
		return err_sys(e, "look at the file system of %s", path);
	if (!mount_find(path, &m))
		return ERR_OK;
	if (strcmp(m.type, "fuse.glusterfs") == 0)
		log_warn("store.shared: GlusterFS does not promise to stop a "
			 "host whose locks it gave away: a host that was cut "
			 "off may damage uploads; mount it with "
			 "attribute-timeout=0,entry-timeout=0");
	return fs.f_type == TYPE_NFS ? check_options(m.options, e) : ERR_OK;
}

enum err_code
file_check_locks(int dirfd, struct err *e)
{
	char name[64];
	enum err_code rc;
	struct err ignored;
	int one = -1, two = -1;

	/* Not the note, whose own lock this would meet on NFS. */
	(void)snprintf(name, sizeof(name), FILE_NOTE "-%ld-%lld",
	    (long)getpid(), (long long)clock_ns());
	rc = fs_create_at(dirfd, name, 0600, &one, e);
	if (rc != ERR_OK)
		return rc == ERR_NO_SPACE ? ERR_OK : rc;
	rc = fs_open_at(dirfd, name, O_RDWR, &two, NULL, e);
	if (rc == ERR_OK && file_lock_byte(one, F_WRLCK) == -1)
		rc = err_sys(e, "store.shared: lock a file");
	if (rc == ERR_OK && file_lock_byte(two, F_WRLCK) == 0)
		rc = err_set(e, ERR_INVALID,
		    "store.shared: this file system gives one lock to two at a "
		    "time, which is not safe");
	(void)!fs_unlink_at(dirfd, name, &ignored);
	(void)close(one);
	if (two != -1)
		(void)close(two);
	return rc;
}
