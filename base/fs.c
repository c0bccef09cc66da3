/*
 * fs.c - file operations that handle EINTR and short writes.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define OPEN_FLAGS (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

/* The pause between two tries, in ns.  If many processes want a lock that is
 * hardly ever free, one with a longer pause would never get it. */
#define LOCK_STEP 1000000

static bool
is_our_group(gid_t group)
{
	gid_t *list;
	bool is_ours = group == getegid();
	int i, n = getgroups(0, NULL);

	if (is_ours || n <= 0)
		return is_ours;
	list = must_alloc((size_t)n * sizeof(*list));
	n = getgroups(n, list);
	for (i = 0; i < n && !is_ours; i++)
		is_ours = list[i] == group;
	free(list);
	return is_ours;
}

/* The owner of a directory can add and remove any file in it. */
static enum err_code
check_owner(const char *path, const struct stat *st, struct err *e)
{
	if ((st->st_mode & S_IWOTH) != 0)
		return err_set(e, ERR_INVALID,
		    "%s: it is writable by everybody; run: chmod o-w %s", path,
		    path);
	if (st->st_uid == geteuid() || st->st_uid == 0 ||
	    ((st->st_mode & S_IWGRP) != 0 && is_our_group(st->st_gid)))
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "%s: belongs to user %ld and is not shared with user %ld through "
	    "a group: work as its owner (pool.user), or see \"Two pools\" in "
	    "tusfcgi(8)",
	    path, (long)st->st_uid, (long)geteuid());
}

/* Open name, which is relative to beside; path is its name for messages. */
static enum err_code
open_dir(
    int beside, const char *name, const char *path, int *dirfd, struct err *e)
{
	int fd = openat(beside, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	enum err_code rc;

	if (fd == -1)
		return err_sys(e, "open directory %s", path);
	if (fstat(fd, &st) == -1)
		rc = err_sys(e, "stat %s", path);
	else
		rc = check_owner(path, &st, e);
	if (rc == ERR_OK)
		*dirfd = fd;
	else
		(void)close(fd);
	return rc;
}

enum err_code
fs_open_dir(const char *path, int *dirfd, struct err *e)
{
	return open_dir(AT_FDCWD, path, path, dirfd, e);
}

enum err_code
fs_reopen_dir(int fd, const char *path, int *dirfd, struct err *e)
{
	return open_dir(fd, ".", path, dirfd, e);
}

bool
fs_is_denied(int sys)
{
	return sys == EACCES || sys == EROFS || sys == EPERM;
}

enum err_code
fs_may_make(const char *path, struct err *e)
{
	char *dir = must_strdup(path);
	size_t len = strlen(dir);
	enum err_code rc = ERR_OK;
	char *slash;

	while (len > 1 && dir[len - 1] == '/')
		dir[--len] = '\0';
	slash = strrchr(dir, '/');
	if (slash != NULL)
		slash[slash == dir] = '\0';
	if (faccessat(AT_FDCWD, slash != NULL ? dir : ".", W_OK | X_OK,
		AT_EACCESS) == -1)
		rc = err_sys(e, "make %s", path);
	free(dir);
	return rc;
}

bool
fs_leads_to(const char *path, int dirfd)
{
	struct stat there, here;

	return stat(path, &there) == 0 && fstat(dirfd, &here) == 0 &&
	    there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

enum err_code
fs_add_mode(int fd, mode_t mode, const char *path, struct err *e)
{
	mode_t bits = mode & 07000;
	struct stat st;

	if (bits != 0 &&
	    (fstat(fd, &st) == -1 ||
		fchmod(fd, (st.st_mode & 07777) | bits) == -1))
		return err_sys(e, "set the mode of %s", path);
	return ERR_OK;
}

enum err_code
fs_open_subdir(int dirfd, const char *name, int *fd, struct err *e)
{
	int f = openat(dirfd, name, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);

	if (f == -1 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s: not there", name);
	if (f == -1 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(e, ERR_CORRUPT, "%s: not a directory", name);
	if (f == -1)
		return err_sys(e, "open directory %s", name);
	*fd = f;
	return ERR_OK;
}

enum err_code
fs_make_subdir(int dirfd, const char *name, mode_t mode, int *fd, bool *made,
    struct err *e)
{
	enum err_code rc = fs_open_subdir(dirfd, name, fd, e);

	*made = false;
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (mkdirat(dirfd, name, mode & 0777) == 0)
		*made = true;
	else if (errno != EEXIST)
		return err_sys(e, "make directory %s", name);
	rc = fs_open_subdir(dirfd, name, fd, e);
	/* FAT has no such bits. */
	if (rc == ERR_OK && *made &&
	    (rc = fs_add_mode(*fd, mode, name, e)) != ERR_OK) {
		if (e->sys == EPERM)
			return ERR_OK;
		(void)close(*fd);
	}
	return rc;
}

static bool
may_have_names(int dirfd, const struct stat *st)
{
	struct stat dir;

	return st->st_uid == geteuid() ||
	    (fstat(dirfd, &dir) == 0 && st->st_gid == dir.st_gid);
}

enum err_code
fs_check_regular(
    int dirfd, const char *name, const struct stat *st, struct err *e)
{
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_CORRUPT, "%s: not a regular file", name);
	if (st->st_nlink > 1 && !may_have_names(dirfd, st))
		return err_set(e, ERR_CORRUPT,
		    "%s: has %lu names and belongs to user %ld", name,
		    (unsigned long)st->st_nlink, (long)st->st_uid);
	return ERR_OK;
}

enum err_code
fs_stat_regular(
    int dirfd, int fd, const char *name, struct stat *st, struct err *e)
{
	if (fstat(fd, st) == -1)
		return err_sys(e, "stat %s", name);
	return fs_check_regular(dirfd, name, st, e);
}

enum err_code
fs_has_name(int dirfd, const char *name, const struct stat *st, bool *has,
    struct err *e)
{
	struct stat named;

	*has = false;
	if (st->st_nlink == 0)
		return ERR_OK;
	if (fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", name);
	*has = st->st_dev == named.st_dev && st->st_ino == named.st_ino;
	return ERR_OK;
}

/* The errors of openat() for files that are not regular. */
static bool
is_odd_file(int sys)
{
	return sys == ELOOP || sys == EISDIR || sys == ENXIO || sys == ENOTDIR;
}

enum err_code
fs_open_thing_at(int dirfd, const char *name, int flags, int *fd, struct err *e)
{
	int f;

	do
		f = openat(dirfd, name, flags | OPEN_FLAGS);
	while (f == -1 && errno == EINTR);
	if (f == -1 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s: not there", name);
	if (f == -1 && is_odd_file(errno))
		return err_set(e, ERR_CORRUPT, "%s: not a regular file", name);
	if (f == -1)
		return err_sys(e, "open %s", name);
	*fd = f;
	return ERR_OK;
}

enum err_code
fs_open_at(int dirfd, const char *name, int flags, int *fd, struct stat *st,
    struct err *e)
{
	struct stat own;
	enum err_code rc;
	int f;

	if ((rc = fs_open_thing_at(dirfd, name, flags, &f, e)) != ERR_OK)
		return rc;
	rc = fs_stat_regular(dirfd, f, name, st != NULL ? st : &own, e);
	if (rc == ERR_OK)
		*fd = f;
	else
		(void)close(f);
	return rc;
}

enum err_code
fs_create_at(int dirfd, const char *name, mode_t mode, int *fd, struct err *e)
{
	int f;

	do
		f = openat(
		    dirfd, name, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, mode);
	while (f == -1 && errno == EINTR);
	if (f == -1 && errno == EEXIST)
		return err_set(e, ERR_EXISTS, "%s: exists", name);
	if (f == -1)
		return err_sys(e, "create %s", name);
	*fd = f;
	return ERR_OK;
}

enum err_code
fs_pwrite(int fd, const void *buf, size_t len, int64_t off, size_t *done,
    struct err *e)
{
	const char *p = buf;
	size_t n = 0;
	ssize_t w;

	while (n < len) {
		w = pwrite(fd, p + n, len - n, (off_t)(off + (int64_t)n));
		if (w == -1 && errno == EINTR)
			continue;
		if (w == 0)
			errno = EIO;
		if (w <= 0)
			break;
		n += (size_t)w;
	}
	if (done != NULL)
		*done = n;
	if (n == len)
		return ERR_OK;
	return err_sys(e, "write %zu bytes at %lld", len - n,
	    (long long)(off + (int64_t)n));
}

enum err_code
fs_pread(
    int fd, void *buf, size_t size, int64_t off, size_t *got, struct err *e)
{
	char *p = buf;
	size_t n = 0;
	ssize_t r = 1;

	while (n < size && r != 0) {
		r = pread(fd, p + n, size - n, (off_t)(off + (int64_t)n));
		if (r == -1 && errno == EINTR)
			continue;
		if (r == -1)
			return err_sys(
			    e, "read at %lld", (long long)(off + (int64_t)n));
		n += (size_t)r;
	}
	*got = n;
	return ERR_OK;
}

/* Counted, because an operator may wait for flushes and cannot see them. */
static int64_t sync_ns;

enum err_code
fs_start_flush(
    int fd, int64_t from, int64_t len, const char *name, struct err *e)
{
#ifdef HAVE_SYNC_FILE_RANGE
	if (sync_file_range(fd, from, len, SYNC_FILE_RANGE_WRITE) == -1 &&
	    (errno == EIO || errno == ENOSPC || errno == EDQUOT))
		return err_sys(e, "flush %s", name);
#else
	(void)fd;
	(void)from;
	(void)len;
	(void)name;
	(void)e;
#endif
	return ERR_OK;
}

enum err_code
fs_sync_data(int fd, const char *name, struct err *e)
{
	int64_t began = clock_ns();
	int rc = fdatasync(fd);

	if (rc == -1)
		return err_sys(e, "flush %s", name);
	sync_ns += clock_ns() - began;
	return ERR_OK;
}

enum err_code
fs_sync(int fd, const char *name, struct err *e)
{
	int64_t began = clock_ns();
	int rc = fsync(fd);

	if (rc == -1)
		return err_sys(e, "flush %s", name);
	sync_ns += clock_ns() - began;
	return ERR_OK;
}

int64_t
fs_take_sync_ns(void)
{
	int64_t ns = sync_ns;

	sync_ns = 0;
	return ns;
}

#ifdef HAVE_FALLOCATE
static int
set_aside(int fd, int64_t at, int64_t len)
{
	int rc;

	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	while (rc == -1 && errno == EINTR);
	return rc;
}
#else
static int
set_aside(int fd, int64_t at, int64_t len)
{
	(void)fd;
	(void)at;
	(void)len;
	errno = ENOSYS;
	return -1;
}
#endif

bool
fs_is_set_aside(const struct stat *st, int64_t size)
{
	return 512 * (int64_t)st->st_blocks >= size;
}

enum err_code
fs_set_aside(int fd, int64_t at, int64_t len, const char *name, struct err *e)
{
	struct stat st;

	if (set_aside(fd, at, len) == -1)
		return errno == EOPNOTSUPP || errno == ENOSYS ?
		    err_set(e, ERR_UNAVAILABLE,
			"%s: its file system sets no space aside", name) :
		    err_sys(
			e, "set aside %lld bytes for %s", (long long)len, name);
	if (fstat(fd, &st) == -1)
		return err_sys(e, "stat %s", name);
	/* ZFS succeeds and does nothing. */
	if (!fs_is_set_aside(&st, at + len))
		return err_set(e, ERR_UNAVAILABLE,
		    "%s: its file system has not set the space aside", name);
	return ERR_OK;
}

enum err_code
fs_truncate(int fd, int64_t size, const char *name, struct err *e)
{
	int rc;

	do
		rc = ftruncate(fd, (off_t)size);
	while (rc == -1 && errno == EINTR);
	if (rc == -1)
		return err_sys(e, "truncate %s to %lld", name, (long long)size);
	return ERR_OK;
}

enum err_code
fs_rename_at(int dirfd, const char *from, const char *to, struct err *e)
{
	if (renameat(dirfd, from, dirfd, to) == -1)
		return err_sys(e, "rename %s to %s", from, to);
	return ERR_OK;
}

#ifdef HAVE_RENAMEAT2
static int
rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
}
#else
static int
rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	(void)from_dir;
	(void)from;
	(void)to_dir;
	(void)to;
	errno = ENOSYS;
	return -1;
}
#endif

enum err_code
fs_rename_new(
    int from_dir, const char *from, int to_dir, const char *to, struct err *e)
{
	if (rename_new(from_dir, from, to_dir, to) == 0)
		return ERR_OK;
	if (errno == EEXIST)
		return err_set(e, ERR_EXISTS, "%s: exists", to);
	return err_sys(e, "rename %s to %s", from, to);
}

bool
fs_is_beyond_rename(int sys)
{
	return sys == EXDEV || sys == EINVAL || sys == ENOSYS ||
	    sys == EOPNOTSUPP;
}

enum err_code
fs_name_new(int dirfd, const char *from, const char *to, struct err *e)
{
	enum err_code rc = fs_rename_new(dirfd, from, dirfd, to, e);

	if (rc != ERR_SYSTEM || !fs_is_beyond_rename(e->sys))
		return rc;
	if (linkat(dirfd, from, dirfd, to, 0) == 0)
		return fs_unlink_at(dirfd, from, e);
	if (errno == EEXIST)
		return err_set(e, ERR_EXISTS, "%s: exists", to);
	return err_sys(e, "link %s to %s", from, to);
}

bool
fs_is_beyond_link(int sys)
{
	return sys == EPERM || sys == ENOSYS || sys == EOPNOTSUPP ||
	    sys == EINVAL;
}

/* All programs here create only names that are free, so the file is still ours
 * as long as it is empty. */
static bool
is_still_empty(int dirfd, const char *name, const struct stat *made)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_size == 0 &&
	    st.st_mtim.tv_sec == made->st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == made->st_mtim.tv_nsec;
}

enum err_code
fs_name_reserved(int dirfd, const char *from, const char *to, struct err *e)
{
	struct stat made;
	enum err_code rc;
	int fd;

	if ((rc = fs_create_at(dirfd, to, 0600, &fd, e)) != ERR_OK)
		return rc;
	if (fstat(fd, &made) == -1)
		rc = err_sys(e, "stat %s", to);
	(void)close(fd);
	if (rc == ERR_OK && !is_still_empty(dirfd, to, &made))
		return err_set(e, ERR_EXISTS, "%s: exists", to);
	if (rc == ERR_OK && renameat(dirfd, from, dirfd, to) == 0)
		return ERR_OK;
	if (rc == ERR_OK)
		rc = err_sys(e, "rename %s to %s", from, to);
	(void)unlinkat(dirfd, to, 0);
	return rc;
}

enum err_code
fs_unlink_at(int dirfd, const char *name, struct err *e)
{
	if (unlinkat(dirfd, name, 0) == -1 && errno != ENOENT)
		return err_sys(e, "remove %s", name);
	return ERR_OK;
}

/* Open it again: the new descriptor has a position that no other reader
 * moves. */
static enum err_code
begin_walk(int dirfd, DIR **dir, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return err_sys(e, "open directory");
	if ((*dir = fdopendir(fd)) == NULL) {
		(void)err_sys(e, "open directory");
		(void)close(fd);
		return e->code;
	}
	return ERR_OK;
}

enum err_code
fs_walk_next(int dirfd, DIR **cursor, const char **name, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct dirent *entry;

	if (*cursor == NULL && (rc = begin_walk(dirfd, cursor, e)) != ERR_OK)
		return rc;
	do {
		errno = 0;
		entry = readdir(*cursor);
	} while (entry != NULL &&
	    (strcmp(entry->d_name, ".") == 0 ||
		strcmp(entry->d_name, "..") == 0));
	if (entry != NULL) {
		*name = entry->d_name;
		return ERR_OK;
	}
	if (errno != 0)
		rc = err_sys(e, "read directory");
	(void)closedir(*cursor);
	*cursor = NULL;
	*name = NULL;
	return rc;
}

bool
fs_keeps_inodes(int fd)
{
	/* FAT, exFAT, FUSE, CIFS, SMB 2 and 3, 9P; see statfs(2). */
	static const unsigned long renumbered[] = { 0x4d44, 0x2011bab0,
		0x65735546, 0xff534d42, 0xfe534d42, 0x01021997 };
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs) == -1)
		return false;
	for (i = 0; i < NITEMS(renumbered); i++)
		if (((unsigned long)fs.f_type & 0xffffffff) == renumbered[i])
			return false;
	return true;
}

enum err_code
fs_free_space(int dirfd, int64_t *bytes, struct err *e)
{
	struct statvfs v;
	uint64_t n;

	if (fstatvfs(dirfd, &v) == -1)
		return err_sys(e, "ask for free space");
	/* Operands of one type: older compilers need a library for mixed
	 * ones. */
	if (v.f_blocks == 0 ||
	    __builtin_mul_overflow(
		(uint64_t)v.f_bavail, (uint64_t)v.f_frsize, &n) ||
	    n > INT64_MAX)
		n = INT64_MAX;
	*bytes = (int64_t)n;
	return ERR_OK;
}

static mode_t umask_before;

void
fs_take_umask(void)
{
	umask_before = umask(002);
}

mode_t
fs_umask(void)
{
	return umask_before;
}

/*
 * A FUSE file system is asked for attributes once in a second, and may never
 * be asked again for bytes that are in memory.
 */
void
fs_refresh(int fd, bool bytes)
{
	struct statx ignored;

	(void)statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
	    STATX_BASIC_STATS, &ignored);
	if (bytes)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

void
fs_refresh_at(int dirfd, const char *name)
{
	const int how = AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC;
	struct statx ignored;

	(void)statx(dirfd, name, how, STATX_BASIC_STATS, &ignored);
}

bool
fs_is_cut_off(int sys)
{
	return sys == EIO || sys == EBADF || sys == ESTALE ||
	    sys == ESHUTDOWN || sys == ENOTCONN || sys == EREMOTEIO;
}

bool
fs_lock_in_time(int fd, int64_t ms)
{
	static const struct timespec step = { .tv_nsec = LOCK_STEP };
	int64_t until = clock_ms() + ms;

	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if ((errno != EWOULDBLOCK && errno != EINTR) ||
		    clock_ms() >= until)
			return false;
		(void)nanosleep(&step, NULL);
	}
	return true;
}
