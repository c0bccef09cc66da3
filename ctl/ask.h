/*
 * ask.h - request the status from a pool, as a web server would.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "base/arena.h"
#include "base/err.h"

/*
 * Get the status as JSON through the socket at an address, "/path" or
 * "HOST:PORT"; path is status.path.  The answer is from the arena.  ERR_SYSTEM:
 * no program answers at the address; ERR_INVALID: the answer is not a status.
 */
MUST_CHECK enum err_code ask_status(const char *address, const char *path,
    struct arena *, const char **answer, struct err *);

#endif
