/*
 * place.h - a directory of lock files for one test program.
 */
#ifndef TESTS_LOCK_PLACE_H
#define TESTS_LOCK_PLACE_H

#include <sys/types.h>

#include "tests/lock/contract.h"

/* Make it, private to us; lockers are opened there from now on. */
void place_make(void);

/* With TUSFCGI_LOCK_TWIN, $TMPDIR as another host has it mounted: every other
 * locker is opened there. */
bool place_has_twin(void);

/* Remove it, and whatever plain files are in it. */
void place_remove(void);

const char *place_path(void);

/* As root, give it to a group that may write to it. */
void place_share(gid_t gid);

/* What place_open() opens from now on: lock.type and lock.method. */
void place_set_type(const char *);
void place_set_method(const char *);

/* For struct lock_maker. */
struct locker *place_open(void);

#endif
