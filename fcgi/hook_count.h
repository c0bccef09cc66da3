/*
 * hook_count.h - count the calls of hooks, for the metrics.
 */
#ifndef FCGI_HOOK_COUNT_H
#define FCGI_HOOK_COUNT_H

#include "fcgi/metrics.h"
#include "core/hooks.h"

/*
 * Wrap hooks so that their calls are counted; NULL stays NULL. Shut the result
 * down instead of the hooks that it wraps.
 */
struct hooks *hook_count(struct metrics *, struct hooks *);

#endif
