/*
 * fs.h - files, with EINTR and short writes dealt with once and for all.
 *
 * Every name is relative to a directory descriptor.  Nothing here follows a
 * symbolic link in the last component, waits for a FIFO, or accepts anything
 * but a regular file: a directory that others can write to may hold anything.
 * A file with several names is accepted if it belongs to our user or to the
 * group of the directory; another one may be a file from elsewhere that only we
 * can read, linked here by a user who wants to see it or have it changed.
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
 * Open a directory that we mean to keep files in; close() the descriptor.
 * ERR_INVALID if everybody may write to it, or if it belongs to somebody who
 * is neither us nor root and does not share it with a group of ours.
 */
MUST_CHECK enum err_code fs_open_dir(
    const char *path, int *dirfd, struct err *);

/* Another descriptor for the directory that fd is; path is what messages call
 * it.  Errors are those of fs_open_dir(). */
MUST_CHECK enum err_code fs_reopen_dir(
    int fd, const char *path, int *dirfd, struct err *);

/* Could we make a file of this name?  Makes none. */
MUST_CHECK enum err_code fs_may_make(const char *path, struct err *);

/*
 * Open a directory in another one, no symbolic link; close() the descriptor.
 * ERR_NOT_FOUND if there is none, ERR_CORRUPT if it is something else.
 */
MUST_CHECK enum err_code fs_open_subdir(
    int dirfd, const char *name, int *fd, struct err *);

/* Likewise, and make it if it is not there: *made. */
MUST_CHECK enum err_code fs_make_subdir(int dirfd, const char *name,
    mode_t mode, int *fd, bool *made, struct err *);

/*
 * At the start: files get the modes that the configuration says, less what
 * everybody could write.  The umask of before is kept for what is to honour it,
 * 0 if this was not called.
 */
void fs_take_umask(void);
mode_t fs_umask(void);

/* What mkdir() itself leaves out of a mode: the set-group-ID bit. */
MUST_CHECK enum err_code fs_add_mode(
    int fd, mode_t mode, const char *path, struct err *);

/* A user who can open a file can lock it, and keep us out.  So a file that is
 * made to be locked is for its owner and group alone, even if all may read the
 * rest. */
#define FS_LOCK_MODE(mode) ((mode_t)(mode) & (S_IRWXU | S_IRWXG))

/*
 * Open an existing regular file with flags (O_RDONLY, O_RDWR) and stat it.
 * ERR_NOT_FOUND if there is none, ERR_CORRUPT if it is something else than a
 * regular file, or a stranger's with several names.  st may be NULL.
 */
MUST_CHECK enum err_code fs_open_at(int dirfd, const char *name, int flags,
    int *fd, struct stat *st, struct err *);

/* The same in two steps, for who has something to do in between: what was
 * opened may be anything. */
MUST_CHECK enum err_code fs_open_thing_at(
    int dirfd, const char *name, int flags, int *fd, struct err *);
MUST_CHECK enum err_code fs_stat_regular(
    int dirfd, int fd, const char *name, struct stat *, struct err *);

/* Judge what fstat() said about a file in this directory as fs_open_at()
 * would: ERR_OK or ERR_CORRUPT. */
MUST_CHECK enum err_code fs_check_regular(
    int dirfd, const char *name, const struct stat *, struct err *);

/*
 * Is the file that fstat() spoke of still the one with this name?  Whether it
 * was removed cannot be seen from its number of links: a copy of the directory
 * made of hard links keeps the file alive.
 */
MUST_CHECK enum err_code fs_has_name(
    int dirfd, const char *name, const struct stat *, bool *has, struct err *);

/* Make a new regular file, read-write.  ERR_EXISTS if the name is taken. */
MUST_CHECK enum err_code fs_create_at(
    int dirfd, const char *name, mode_t mode, int *fd, struct err *);

/* Write all of it at an offset; on an error *done says how much went. */
MUST_CHECK enum err_code fs_pwrite(
    int fd, const void *, size_t, int64_t off, size_t *done, struct err *);

/* Read at most size bytes at an offset; *got is less only at the end. */
MUST_CHECK enum err_code fs_pread(
    int fd, void *, size_t size, int64_t off, size_t *got, struct err *);

/*
 * Have the kernel begin to write so many bytes of a file, without waiting for
 * them; a hint, which is for nothing where it is not known.  But an error is
 * that of a flush: a later one may not say it again.
 */
MUST_CHECK enum err_code fs_start_flush(
    int fd, int64_t from, int64_t len, const char *name, struct err *);

/* Flush data and what is needed to read it back; or all of it. */
MUST_CHECK enum err_code fs_sync_data(int fd, const char *name, struct err *);
MUST_CHECK enum err_code fs_sync(int fd, const char *name, struct err *);

/* The nanoseconds that this took in this process since it was last asked. */
int64_t fs_take_sync_ns(void);

MUST_CHECK enum err_code fs_truncate(
    int fd, int64_t size, const char *name, struct err *);

MUST_CHECK enum err_code fs_rename_at(
    int dirfd, const char *from, const char *to, struct err *);

/*
 * Give a file another name, perhaps in another directory, unless that name is
 * taken: ERR_EXISTS.  err.sys says why it cannot be: EXDEV is another file
 * system, and fs_is_beyond_rename() knows what else it may be.
 */
MUST_CHECK enum err_code fs_rename_new(
    int from_dir, const char *from, int to_dir, const char *to, struct err *);
bool fs_is_beyond_rename(int sys);

/*
 * Likewise within a directory, and if need be by a link: killed in between,
 * the file has both names.
 */
MUST_CHECK enum err_code fs_name_new(
    int dirfd, const char *from, const char *to, struct err *);

/* Is that the error of a file system that has no links? */
bool fs_is_beyond_link(int sys);

/*
 * Likewise, where that is so: the name is taken by an empty file first, and
 * that is replaced.  Killed in between, the empty file stays.
 */
MUST_CHECK enum err_code fs_name_reserved(
    int dirfd, const char *from, const char *to, struct err *);

/* Does this errno say that we may read there, perhaps, but not write? */
bool fs_is_denied(int sys);

/* Does the path lead to this open directory? */
bool fs_leads_to(const char *path, int dirfd);

/* Remove a name; that it was not there is success. */
MUST_CHECK enum err_code fs_unlink_at(
    int dirfd, const char *name, struct err *);

/*
 * Walk the names in a directory, from *cursor NULL; *name is NULL after the
 * last, and then the cursor is gone.  "." and ".." are left out.  The name is
 * good until the next call.
 */
MUST_CHECK enum err_code fs_walk_next(
    int dirfd, DIR **cursor, const char **name, struct err *);

/*
 * Does a file have the same inode as long as it is there?  FAT and exFAT, FUSE
 * and network file systems may number it anew after a while.
 */
bool fs_keeps_inodes(int fd);

/*
 * flock(), exclusively, and wait for so many ms at most: its holder may have
 * been stopped.  False: it is held, or errno is another than EWOULDBLOCK.
 */
bool fs_lock_in_time(int fd, int64_t ms);

/* Bytes that an unprivileged writer may still use on this file system. */
MUST_CHECK enum err_code fs_free_space(int dirfd, int64_t *, struct err *);

#endif
