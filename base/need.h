/*
 * need.h - what a part of the program needs of the system.
 *
 * Each store, each locker and each transport of hooks declares it.  The sandbox
 * allows what is declared and nothing else, and a start looks whether the
 * directories are there and may be written to.  To connect to a socket needs no
 * declaration: the sandbox does not restrict that.
 */
#ifndef BASE_NEED_H
#define BASE_NEED_H

enum need {
	/* To read a file, or the files below a directory. */
	NEED_READ,
	/* To make, change and remove files below a directory that is ours. */
	NEED_KEEP,
	/* The same below a directory in which other programs work as well. */
	NEED_PUT,
	/* To find other hosts and to trust them, as libcurl does; no path. */
	NEED_HOSTS,
	/* To run the programs of a directory.  A program may do anything, so
	 * files cannot be confined. */
	NEED_PROGRAMS
};

/* Is told of each need.  key names the path for people; both may be NULL. */
typedef void need_ear(void *arg, enum need, const char *key, const char *path);

#endif
