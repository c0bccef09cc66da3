/*
 * explain.h - tusfcgi -t: show what a configuration means.
 */
#ifndef FCGI_EXPLAIN_H
#define FCGI_EXPLAIN_H

#include <stdio.h>

#include "fcgi/settings.h"

/*
 * Print what the program would do with these settings, and warn of what may
 * surprise the administrator.  The store must be open, if one is configured;
 * address is where the program would listen, or NULL.
 */
void explain(const struct settings *, const char *address, FILE *);

#endif
