/*
 * explain.h - tusfcgi -t: what a configuration amounts to.
 */
#ifndef FCGI_EXPLAIN_H
#define FCGI_EXPLAIN_H

#include <stdio.h>

#include "fcgi/settings.h"

/*
 * Print what the program would do with these settings, and warn of what may
 * surprise.  The store is open, if there is one; address is where it would
 * listen, or NULL.
 */
void explain(const struct settings *, const char *address, FILE *);

#endif
