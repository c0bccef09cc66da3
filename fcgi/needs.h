/*
 * needs.h - what the store, the locker and the hooks that are configured need
 * of the system.
 */
#ifndef FCGI_NEEDS_H
#define FCGI_NEEDS_H

#include <stdbool.h>

#include "base/conf.h"
#include "base/need.h"

/* Tell of each need. */
void needs_each(const struct conf *, need_ear *, void *arg);

/* Is there a need of this kind? */
bool needs_any(const struct conf *, enum need);

#endif
