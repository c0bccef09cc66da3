/*
 * mount.h - what a path lies on.
 */
#ifndef BASE_MOUNT_H
#define BASE_MOUNT_H

#include <stdbool.h>

#include "base/err.h"

struct mount {
	char type[64], options[2048];
};

/* What the list of mounts says of the file system below an absolute path
 * without symbolic links.  False: nothing. */
bool mount_find(const char *path, struct mount *);

/* The name of a file system that makes of flock() a lock of the whole file,
 * which is in the way of all others on it; NULL if it is none of these. */
const char *mount_without_flock(const char *path);

#endif
