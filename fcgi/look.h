/*
 * look.h - check the directories and addresses that the configuration names.
 *
 * tusfcgi -t and the start make the same checks.  A check changes nothing: a
 * directory that is missing is not created.  The program starts in spite of a
 * failed check as long as existing uploads can be read.
 */
#ifndef FCGI_LOOK_H
#define FCGI_LOOK_H

#include <stdio.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "lock/lock.h"

/* To be appended to the name of a key. */
#define LOOK_READ_ONLY                                                         \
	" is on a file system that is mounted read-only: uploads can be "      \
	"read, "                                                               \
	"and nothing can be uploaded"

/*
 * Can the program listen at the command line's address, or at pool.listen?
 * Call this before becoming the pool's user: the directory may belong to root.
 */
MUST_CHECK enum err_code look_at_address(
    const char *address, const struct conf *, struct err *);

/*
 * Is the process allowed to write to the store, to the directory of locks and
 * to where finished uploads are moved?  ERR_SYSTEM if not.  A store on a file
 * system that is mounted read-only can still be read: then *read_only is the
 * name of its key, else NULL.
 */
MUST_CHECK enum err_code look_at_needs(
    const struct conf *, const char **read_only, struct err *);

/* ERR_NOT_FOUND: there is no store yet, but the program could create one. */
MUST_CHECK enum err_code look_for_store(const struct conf *, struct err *);

/*
 * Is there an upload that this process may not read and write, among the first
 * few thousand names?  If so, print that, and the remedy.
 */
void look_at_uploads(const struct conf *, FILE *out);

/* If this process may not read the configuration again, print that, and the
 * remedy; file: NULL if there is none. */
void look_at_conf(const char *file, FILE *out);

/*
 * Why lock.method does not work on the file system of the lock files, and the
 * value to use instead; NULL: it works.  From the arena.
 */
const char *look_at_method(const struct conf *, struct arena *);

/*
 * Try to get a lock from a lock service.  ERR_UNAVAILABLE: it does not answer
 * in lock.reply, and may do so later.  ERR_INVALID: it refuses, or lock.prefix
 * belongs to another store.
 */
MUST_CHECK enum err_code look_at_locks(
    const struct conf *, struct locker *, struct err *);

#endif
