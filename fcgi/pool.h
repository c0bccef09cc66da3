/*
 * pool.h - the master and its workers.
 */
#ifndef FCGI_POOL_H
#define FCGI_POOL_H

#include "fcgi/listen.h"
#include "fcgi/settings.h"

/*
 * Run the pool until SIGTERM or SIGINT; returns the exit status of the program.
 * The settings may have changed afterwards: SIGHUP reads them from the source
 * again.
 */
int pool_run(
    struct settings *, const struct settings_source *, const struct listener *);

#endif
