/*
 * needs.h - the files, sockets and hosts that the configured store, locker and
 * hooks need.
 */
#ifndef FCGI_NEEDS_H
#define FCGI_NEEDS_H

#include <stdbool.h>

#include "base/conf.h"
#include "base/need.h"

/* Call the function for each need. */
void needs_each(const struct conf *, need_ear *, void *arg);

/* Is there a need of this kind? */
bool needs_any(const struct conf *, enum need);

#endif
