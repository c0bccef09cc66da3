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
	/* *why is missing. */
	REQUEST_INCOMPLETE,
	/* *why, which counts here, came with two values. */
	REQUEST_AMBIGUOUS
};

/*
 * Sort the parameters (NAME=value, NULL-terminated) of one request.  Nothing
 * is judged here but what makes it a request at all; else *why is the name of
 * a parameter, for the log.  A header that comes several times is one list; two
 * owners are none.  Everything is borrowed or from the arena.
 */
MUST_CHECK enum request_fault request_read(char *const *params,
    const struct settings *, struct arena *, struct web_request *,
    const char **why);

#endif
