/*
 * request.h - from FastCGI parameters to a struct tus_request.
 */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <stdbool.h>

#include "base/arena.h"
#include "fcgi/settings.h"
#include "tus/tus.h"

/*
 * Sort the parameters (NAME=value, NULL-terminated) of one request.  Nothing
 * is judged here but what makes it a request at all; if that is missing, false
 * and *why says what, for the log.  Everything borrowed or from the arena.
 */
bool request_read(char *const *params, const struct settings *, struct arena *,
    struct tus_request *, const char **why);

#endif
