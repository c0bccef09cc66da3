/*
 * suit.c - the properties of the destination of finished uploads.
 *
 * Which names it accepts is found out by trying, in a hidden directory there:
 * FAT, exFAT, NTFS and SMB refuse some names, silently shorten others, or put
 * what follows a colon elsewhere.  So a name counts as accepted only if it
 * appears in the directory afterwards.
 *
 * A file that is renamed into it gets what a new file would have got there: the
 * group of a directory with the set-group-ID bit, and its default ACL.
 */
#include "config.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

#define PROBE	   ".tusfcgi-probe"
#define PROBE_LOCK "lock"
#define PROBE_OVER ".tusfcgi-probe-over"

/* Every file system is expected to accept names of this length. */
#define NAME_MIN 64

/* How often to wait, 20 ms each time, for another process that is trying
 * names. */
#define TRIES	    50

#define ACL_DEFAULT "system.posix_acl_default"
#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_MAX	    65536

/* --- Names. --- */

static bool
is_listed(int dir, const char *name)
{
	DIR *cursor = NULL;
	bool is_it = false;
	const char *entry;
	struct err ignored;

	while (fs_walk_next(dir, &cursor, &entry, &ignored) == ERR_OK &&
	    entry != NULL)
		is_it = is_it || strcmp(entry, name) == 0;
	return is_it;
}

static enum err_code
empty(int dir, struct err *e)
{
	DIR *cursor = NULL;
	const char *name;
	enum err_code rc;

	for (;;) {
		rc = fs_walk_next(dir, &cursor, &name, e);
		if (rc != ERR_OK || name == NULL)
			return rc;
		if (strcmp(name, PROBE_LOCK) != 0)
			(void)unlinkat(dir, name, 0);
	}
}

/* An error other than a refused name gives no answer. */
static enum err_code
takes(int dir, const char *name, bool *does, struct err *e)
{
	struct err ignored;
	enum err_code rc;
	int fd;

	rc = fs_create_at(dir, name, 0600, &fd, e);
	*does = rc == ERR_OK && is_listed(dir, name);
	if (rc == ERR_OK) {
		(void)close(fd);
		(void)!fs_unlink_at(dir, name, &ignored);
		return ERR_OK;
	}
	return rc == ERR_SYSTEM ? ERR_OK : rc;
}

static enum err_code
try_windows(int dir, struct template_names *names, struct err *e)
{
	static const char *const odd[] = { "<>:\"|?*\\", "a.", "a ", "CON" };
	bool does = true;
	enum err_code rc;
	size_t i;

	/* If not even "a" is accepted, the fault is not in the name. */
	rc = takes(dir, "a", &does, e);
	if (rc == ERR_OK && !does)
		rc = err_set(e, ERR_SYSTEM, "no file can be made");
	for (i = 0; rc == ERR_OK && does && i < NITEMS(odd); i++)
		rc = takes(dir, odd[i], &does, e);
	names->is_windows = rc == ERR_OK && !does;
	return rc;
}

static enum err_code
try_length(int dir, struct template_names *names, struct err *e)
{
	char name[TEMPLATE_NAME_MAX + 1];
	size_t low = NAME_MIN, high = names->max, middle;
	enum err_code rc = ERR_OK;
	bool does;

	/* Length low is accepted, lengths above high are not. */
	for (middle = high; rc == ERR_OK && low < high;
	     middle = low + (high - low + 1) / 2) {
		memset(name, 'a', middle);
		name[middle] = '\0';
		rc = takes(dir, name, &does, e);
		if (does)
			low = middle;
		else
			high = middle - 1;
	}
	names->max = low;
	return rc;
}

/* Is this still the lock of the directory that has the name? */
static bool
is_probe(int root, int dir, int lock)
{
	struct stat st;
	struct err ignored;
	bool has_name = false;

	return fstat(lock, &st) == 0 &&
	    fs_has_name(dir, PROBE_LOCK, &st, &has_name, &ignored) == ERR_OK &&
	    has_name && fstat(dir, &st) == 0 &&
	    fs_has_name(root, PROBE, &st, &has_name, &ignored) == ERR_OK &&
	    has_name;
}

/* Create the directory, or take one that a dead process left; the lock in it
 * makes it ours.  NFS would lock the directory itself for this host only. */
static enum err_code
open_probe(
    const struct file_store *fs, int root, int *dir, int *lock, struct err *e)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	const struct timespec pause = { 0, 20 * 1000000 };
	enum err_code rc;
	bool made;
	int i;

	for (i = 0; i < TRIES; i++) {
		rc = fs_make_subdir(root, PROBE, 0700, dir, &made, e);
		if (rc != ERR_OK)
			return rc;
		*lock = openat(*dir, PROBE_LOCK, flags, 0600);
		if (*lock == -1 && errno != ENOENT && errno != ESTALE)
			rc = err_sys(e, "open %s/%s", PROBE, PROBE_LOCK);
		if (*lock != -1 && file_lock(fs, *lock) &&
		    is_probe(root, *dir, *lock))
			return ERR_OK;
		if (*lock != -1)
			(void)close(*lock);
		(void)close(*dir);
		if (rc != ERR_OK)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_UNAVAILABLE, "%s: others are at it", PROBE);
}

/* As long as the lock is open, NFS and FUSE keep a file in the directory for
 * it; once it is closed, the directory may be another's.  So the directory gets
 * another name in between. */
static void
remove_probe(int root, int dir, int lock)
{
	bool is_ours;

	(void)unlinkat(root, PROBE_OVER "/" PROBE_LOCK, 0);
	(void)unlinkat(root, PROBE_OVER, AT_REMOVEDIR);
	is_ours = renameat(root, PROBE, root, PROBE_OVER) == 0;
	(void)close(lock);
	if (is_ours) {
		(void)unlinkat(dir, PROBE_LOCK, 0);
		(void)unlinkat(root, PROBE_OVER, AT_REMOVEDIR);
	}
}

static enum err_code
try_out(const struct file_store *fs, int root, struct template_names *names,
    struct err *e)
{
	enum err_code rc;
	int dir, lock;

	if ((rc = open_probe(fs, root, &dir, &lock, e)) != ERR_OK)
		return rc;
	if ((rc = empty(dir, e)) == ERR_OK &&
	    (rc = try_windows(dir, names, e)) == ERR_OK)
		rc = try_length(dir, names, e);
	remove_probe(root, dir, lock);
	(void)close(dir);
	return rc;
}

static size_t
longest_name(int root)
{
	struct statvfs v;

	if (fstatvfs(root, &v) == -1 || v.f_namemax < NAME_MIN ||
	    v.f_namemax > TEMPLATE_NAME_MAX)
		return TEMPLATE_NAME_MAX;
	return v.f_namemax;
}

/* If trying is impossible, as in a directory in which only subdirectories are
 * writable, any name is assumed to be accepted. */
enum err_code
file_probe(struct file_store *fs, struct err *e)
{
	int root = fs->move_fd != -1 ? fs->move_fd : fs->dirfd;
	struct template_names found = { longest_name(root), false };
	enum err_code rc = ERR_OK;

	if (fs->is_probed)
		return ERR_OK;
	fs->names.max = found.max;
	if (fs->move_fd != -1 && fs->tries_names) {
		if ((rc = file_check_root(fs, e)) != ERR_OK)
			return rc;
		rc = try_out(fs, root, &found, e);
		if (rc == ERR_OK)
			fs->names = found;
	}
	fs->is_probed = rc != ERR_UNAVAILABLE;
	return rc;
}

/* --- Group and ACL. --- */

static bool
has_acl(int fd, const char *which)
{
	return fgetxattr(fd, which, NULL, 0) > 0;
}

enum err_code
file_has_rules(int dirfd, bool *has, struct err *e)
{
	struct stat st;

	if (fstat(dirfd, &st) == -1)
		return err_sys(e, "stat the directory of a finished upload");
	*has = (st.st_mode & S_ISGID) != 0 || has_acl(dirfd, ACL_DEFAULT);
	return ERR_OK;
}

static bool
copy_acl(int from, int to, struct arena *a)
{
	char *buf = arena_alloc(a, ACL_MAX);
	ssize_t n = fgetxattr(from, ACL_ACCESS, buf, ACL_MAX);

	if (n > 0)
		return fsetxattr(to, ACL_ACCESS, buf, (size_t)n, 0) == 0;
	return !has_acl(to, ACL_ACCESS) || fremovexattr(to, ACL_ACCESS) == 0;
}

bool
file_take_rules(int from, int to, struct arena *a)
{
	struct stat model, st;

	if (fstat(from, &model) == -1 || fstat(to, &st) == -1)
		return false;
	if (model.st_gid != st.st_gid && fchown(to, (uid_t)-1, model.st_gid))
		return false;
	return copy_acl(from, to, a) &&
	    (model.st_mode == st.st_mode ||
		fchmod(to, model.st_mode & 07777) == 0);
}
