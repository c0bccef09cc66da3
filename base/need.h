/*
 * need.h - the files, hosts and programs that a part of the program needs.
 *
 * Each store, locker and transport of hooks declares them.  The sandbox allows
 * what is declared and nothing else, and a start checks that the directories
 * exist and are writable.  Connecting to a socket needs no declaration: the
 * sandbox does not restrict that.
 */
#ifndef BASE_NEED_H
#define BASE_NEED_H

enum need {
	/* Read a file, or the files below a directory. */
	NEED_READ,
	/* Create, change and remove files below a directory of our own. */
	NEED_KEEP,
	/* The same below a directory in which other programs work as well. */
	NEED_PUT,
	/* Resolve and trust other hosts, as libcurl does; no path. */
	NEED_HOSTS,
	/* Run the programs of a directory.  Programs may need any file, so
	 * files cannot be confined. */
	NEED_PROGRAMS
};

/* A function that is called for each need.  key names the path in messages;
 * both may be NULL. */
typedef void need_ear(void *arg, enum need, const char *key, const char *path);

#endif
