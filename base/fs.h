/*
 * fs.h - file operations that handle EINTR and short writes.
 *
 * Every name is relative to a directory descriptor.  The functions follow no
 * symbolic link in the last component, do not wait for a FIFO, and accept only
 * regular files: a directory that others can write to may contain anything.  A
 * file with several names is accepted if it belongs to our user or to the group
 * of the directory; any other may be a file that only we can read, linked here
 * by a user who wants to see or change it.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <sys/stat.h>
#include <sys/types.h>

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/*
 * Open a directory in which we want to keep files; the caller closes it.
 * ERR_INVALID if it is writable by everybody, or if its owner is neither our
 * user nor root and it is not shared with one of our groups.
 */
MUST_CHECK enum err_code fs_open_dir(
    const char *path, int *dirfd, struct err *);

/* Open the directory fd again; path is its name for messages.  Errors are those
 * of fs_open_dir(). */
MUST_CHECK enum err_code fs_reopen_dir(
    int fd, const char *path, int *dirfd, struct err *);

/* Could a file of this name be created?  Creates none. */
MUST_CHECK enum err_code fs_may_make(const char *path, struct err *);

/*
 * Open a subdirectory that is no symbolic link; the caller closes it.
 * ERR_NOT_FOUND if there is none, ERR_CORRUPT if it is not a directory.
 */
MUST_CHECK enum err_code fs_open_subdir(
    int dirfd, const char *name, int *fd, struct err *);

/* The same, and create it if it does not exist; *made says so. */
MUST_CHECK enum err_code fs_make_subdir(int dirfd, const char *name,
    mode_t mode, int *fd, bool *made, struct err *);

/*
 * Clear the umask, to be called at the start: files get the modes of the
 * configuration, without write permission for everybody.  fs_umask() returns
 * the old one, for the cases in which it is to be honoured; 0 if this was not
 * called.
 */
void fs_take_umask(void);
mode_t fs_umask(void);

/* Set the mode bits that mkdir() leaves out: the set-group-ID bit. */
MUST_CHECK enum err_code fs_add_mode(
    int fd, mode_t mode, const char *path, struct err *);

/* The mode for a file that is made to be locked.  Any user who can open a file
 * can lock it and so keep us out; so only owner and group get permissions, even
 * if others may read the rest. */
#define FS_LOCK_MODE(mode) ((mode_t)(mode) & (S_IRWXU | S_IRWXG))

/*
 * Open an existing regular file with flags (O_RDONLY, O_RDWR) and stat it.
 * ERR_NOT_FOUND if there is none, ERR_CORRUPT if it is not a regular file, or
 * belongs to another user and has several names.  st may be NULL.
 */
MUST_CHECK enum err_code fs_open_at(int dirfd, const char *name, int flags,
    int *fd, struct stat *st, struct err *);

/* The first half of fs_open_at(), for callers with work to do in between: the
 * opened file may be of any type.  fs_check_regular() is the second half. */
MUST_CHECK enum err_code fs_open_thing_at(
    int dirfd, const char *name, int flags, int *fd, struct err *);
MUST_CHECK enum err_code fs_stat_regular(
    int dirfd, int fd, const char *name, struct stat *, struct err *);

/* Check the result of fstat() for a file of this directory, as fs_open_at()
 * does: ERR_OK or ERR_CORRUPT. */
MUST_CHECK enum err_code fs_check_regular(
    int dirfd, const char *name, const struct stat *, struct err *);

/*
 * Does the name still belong to the file with this result of fstat()?  The
 * number of links does not tell whether the file was removed: a copy of the
 * directory made of hard links keeps it above 0.
 */
MUST_CHECK enum err_code fs_has_name(
    int dirfd, const char *name, const struct stat *, bool *has, struct err *);

/* Create a new regular file, read-write.  ERR_EXISTS if the name is taken. */
MUST_CHECK enum err_code fs_create_at(
    int dirfd, const char *name, mode_t mode, int *fd, struct err *);

/* Write all bytes at an offset; on an error *done says how many were
 * written. */
MUST_CHECK enum err_code fs_pwrite(
    int fd, const void *, size_t, int64_t off, size_t *done, struct err *);

/* Read at most size bytes at an offset; *got is less only at the end. */
MUST_CHECK enum err_code fs_pread(
    int fd, void *, size_t size, int64_t off, size_t *got, struct err *);

/*
 * Make the kernel begin to write a range of a file, without waiting; a hint
 * that does nothing where it is not supported.  But an error is that of a
 * flush: a later flush may not report it again.
 */
MUST_CHECK enum err_code fs_start_flush(
    int fd, int64_t from, int64_t len, const char *name, struct err *);

/* Flush data and the metadata needed to read it; or everything. */
MUST_CHECK enum err_code fs_sync_data(int fd, const char *name, struct err *);
MUST_CHECK enum err_code fs_sync(int fd, const char *name, struct err *);

/* The nanoseconds that flushes took in this process since the last call. */
int64_t fs_take_sync_ns(void);

/*
 * Have the file system set aside the space of bytes that are to come, beyond
 * the end of the file, which stays where it is; until they come, or the file is
 * truncated or removed.  ERR_NO_SPACE if there is not enough, and then a part
 * of it may be set aside; ERR_UNAVAILABLE if this file system cannot do that.
 */
MUST_CHECK enum err_code fs_set_aside(
    int fd, int64_t at, int64_t len, const char *name, struct err *);

/* Does a file have all the space that so many bytes need? */
bool fs_is_set_aside(const struct stat *, int64_t size);

MUST_CHECK enum err_code fs_truncate(
    int fd, int64_t size, const char *name, struct err *);

MUST_CHECK enum err_code fs_rename_at(
    int dirfd, const char *from, const char *to, struct err *);

/*
 * Rename a file, perhaps into another directory, unless the new name is taken:
 * ERR_EXISTS.  err.sys has the reason of a failure: EXDEV is another file
 * system; for others see fs_is_beyond_rename().
 */
MUST_CHECK enum err_code fs_rename_new(
    int from_dir, const char *from, int to_dir, const char *to, struct err *);
bool fs_is_beyond_rename(int sys);

/*
 * The same within a directory, by a link if necessary: after a kill in between,
 * the file has both names.
 */
MUST_CHECK enum err_code fs_name_new(
    int dirfd, const char *from, const char *to, struct err *);

/* Is this the error of a file system without links? */
bool fs_is_beyond_link(int sys);

/*
 * The same for such a file system: an empty file first reserves the name and is
 * then replaced.  After a kill in between, the empty file stays.
 */
MUST_CHECK enum err_code fs_name_reserved(
    int dirfd, const char *from, const char *to, struct err *);

/* Is this the errno of a file that may not be written, but perhaps be read? */
bool fs_is_denied(int sys);

/* Does the path lead to this open directory? */
bool fs_leads_to(const char *path, int dirfd);

/* Remove a name; success if it does not exist. */
MUST_CHECK enum err_code fs_unlink_at(
    int dirfd, const char *name, struct err *);

/*
 * Iterate over the names in a directory, starting with *cursor NULL.  *name is
 * NULL after the last one, and then the cursor is gone.  "."  and ".." are left
 * out.  The name is valid until the next call.
 */
MUST_CHECK enum err_code fs_walk_next(
    int dirfd, DIR **cursor, const char **name, struct err *);

/*
 * Does a file keep its inode number as long as it exists?  FAT, exFAT, FUSE and
 * network file systems may change it after a while.
 */
bool fs_keeps_inodes(int fd);

/* Forget what this host remembers of the size and the time of an open file,
 * and of its bytes: another host may have changed it. */
void fs_refresh(int fd, bool bytes);
/* The same of a name in a directory, before fstatat(2). */
void fs_refresh_at(int dirfd, const char *name);

/* Is this errno what a network file system answers to a host that it has cut
 * off? */
bool fs_is_cut_off(int sys);

/*
 * Take an exclusive flock(), waiting for at most so many ms, because its holder
 * may have been stopped.  False: it is held, or errno is not EWOULDBLOCK.
 */
bool fs_lock_in_time(int fd, int64_t ms);

/* The bytes that an unprivileged writer may still use on this file system;
 * INT64_MAX if it does not tell its size. */
MUST_CHECK enum err_code fs_free_space(int dirfd, int64_t *, struct err *);

#endif
