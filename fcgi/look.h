/*
 * look.h - what could be wrong with the places that the configuration names.
 *
 * tusfcgi -t and the start look at the same.  To look changes nothing: what is
 * missing is not made.  The start goes on where there are uploads to be read.
 */
#ifndef FCGI_LOOK_H
#define FCGI_LOOK_H

#include <stdio.h>

#include "base/conf.h"
#include "base/err.h"
#include "lock/lock.h"

/* Behind the name of a key. */
#define LOOK_READ_ONLY                                                         \
	" is on a file system that is mounted read-only: uploads can be "      \
	"read, "                                                               \
	"and nothing can be uploaded"

/*
 * Could we listen at pool.listen, or at the address of the command line?
 * Before becoming the pool's user: the directory may be root's.
 */
MUST_CHECK enum err_code look_at_address(
    const char *address, const struct conf *, struct err *);

/*
 * May we write to the store, the locks and where finished uploads go?
 * ERR_SYSTEM if we must not.  One on a file system that is mounted read-only
 * can be read from: then *read_only is its name, else NULL.
 */
MUST_CHECK enum err_code look_at_places(
    const struct conf *, const char **read_only, struct err *);

/* ERR_NOT_FOUND: there is no store yet, but we could make one. */
MUST_CHECK enum err_code look_for_store(const struct conf *, struct err *);

/*
 * Is there an upload that we must not read and write, among the first some
 * thousand names?  Then say so, and what to do about it.
 */
void look_at_uploads(const struct conf *, FILE *out);

/* Can a lock be had from the service that keeps them?  If not, a warning: it
 * may come later. */
void look_at_locks(const struct conf *, struct locker *, FILE *);

#endif
