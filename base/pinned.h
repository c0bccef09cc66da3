/*
 * pinned.h - directories that stay the same ones as at the start.
 *
 * A path may lead to another directory later: another file system is mounted
 * over it, or another directory takes its place.  The processes of a pool begin
 * at different times, and would then work in different directories, each with
 * locks that the others do not see.  So the first process opens the directory
 * before it forks, and pinned_open_dir() uses that descriptor in all of them.
 */
#ifndef BASE_PINNED_H
#define BASE_PINNED_H

#include <stdbool.h>

#include "base/err.h"

/* Pin the directory of this path for the lifetime of this process and those
 * that it forks.  Errors are those of fs_open_dir(). */
MUST_CHECK enum err_code pinned_add(const char *path, struct err *);

/* The descriptor of a pinned path, which must not be closed, and the path
 * without symbolic links; -1 and NULL if the path is not pinned. */
int pinned_fd(const char *path);
const char *pinned_real_path(const char *path);

/* Does the path still lead to the pinned directory?  True if it is not pinned.
 */
bool pinned_is_current(const char *path);

/* Open the directory that is pinned under this path; if none is, the one that
 * the path leads to.  Errors are those of fs_open_dir(). */
MUST_CHECK enum err_code pinned_open_dir(
    const char *path, int *dirfd, struct err *);

/* Release all; what pinned_open_dir() opened stays open. */
void pinned_forget(void);

#endif
