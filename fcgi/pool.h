/*
 * pool.h - the master and its workers.
 */
#ifndef FCGI_POOL_H
#define FCGI_POOL_H

#include "fcgi/listen.h"
#include "fcgi/settings.h"

/*
 * Keep workers until SIGTERM or SIGINT; the exit status of the program.  The
 * settings may be others afterwards: SIGHUP reads them from the source again.
 */
int pool_run(
    struct settings *, const struct settings_source *, const struct listener *);

#endif
