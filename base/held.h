/*
 * held.h - directories that stay the ones that they were at the start.
 *
 * A path may lead elsewhere later: another file system is mounted over it, or
 * another directory takes its place.  The processes of a pool begin at
 * different times, and would work in different directories, each with locks
 * that the others do not see.  So the first process holds the directory before
 * it forks, and held_open_dir() opens that one in all of them.
 */
#ifndef BASE_HELD_H
#define BASE_HELD_H

#include <stdbool.h>

#include "base/err.h"

/* Hold the directory of this path for as long as the process runs, and those
 * that it forks.  Errors are those of fs_open_dir(). */
MUST_CHECK enum err_code held_add(const char *path, struct err *);

/* Its descriptor, which stays ours, and its path behind symbolic links; -1 and
 * NULL if that path is not held. */
int held_fd(const char *path);
const char *held_real_path(const char *path);

/* Does the path still lead there?  True of one that is not held. */
bool held_is_in_place(const char *path);

/* Open the directory that is held under this path, or that the path leads to if
 * none is.  Errors are those of fs_open_dir(). */
MUST_CHECK enum err_code held_open_dir(
    const char *path, int *dirfd, struct err *);

/* Let go of all; what held_open_dir() opened stays open. */
void held_forget(void);

#endif
