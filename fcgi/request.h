/*
 * request.h - from FastCGI parameters to a struct web_request.
 */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <stdbool.h>

#include "base/arena.h"
#include "fcgi/settings.h"
#include "web/web.h"

enum request_fault {
	REQUEST_OK,
	/* *why is the name of a parameter that is missing. */
	REQUEST_INCOMPLETE,
	/* *why is the name of a parameter that came with two different
	 * values. */
	REQUEST_AMBIGUOUS
};

/*
 * Sort the parameters (NAME=value, NULL-terminated) of one request.  Only what
 * is needed to have a request at all is validated here; if that fails, *why is
 * the name of a parameter, for the log.  A header that comes several times
 * becomes one list; two values for the owner count as none.  The request
 * borrows its strings or has them from the arena.
 */
MUST_CHECK enum request_fault request_read(char *const *params,
    const struct settings *, struct arena *, struct web_request *,
    const char **why);

#endif
