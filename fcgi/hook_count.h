/*
 * hook_count.h - count what hooks are asked and told, for the metrics.
 */
#ifndef FCGI_HOOK_COUNT_H
#define FCGI_HOOK_COUNT_H

#include "fcgi/metrics.h"
#include "core/hooks.h"

/*
 * Hooks that count and hand everything on to these; NULL stays NULL.  To be
 * shut down in their place.
 */
struct hooks *hook_count(struct metrics *, struct hooks *);

#endif
