/*
 * mounted.c - makes a program believe that all of its files lie on another file
 * system.
 *
 * MOUNTED_AS is the file that it finds in the place of /proc/self/mountinfo;
 * MOUNTED_NFS, if it is set, makes statfs(2) say that this is NFS.
 */
#define _GNU_SOURCE
#include <sys/vfs.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FILE *
fopen(const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) =
	    (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
	const char *list = getenv("MOUNTED_AS");

	if (list != NULL && strcmp(path, "/proc/self/mountinfo") == 0)
		path = list;
	return real(path, mode);
}

int
fstatfs(int fd, struct statfs *fs)
{
	int (*real)(int, struct statfs *) =
	    (int (*)(int, struct statfs *))dlsym(RTLD_NEXT, "fstatfs");
	int rc = real(fd, fs);

	if (rc == 0 && getenv("MOUNTED_NFS") != NULL)
		fs->f_type = 0x6969;
	return rc;
}
