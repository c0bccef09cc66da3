/*
 * ask.h - ask a pool for its status, as a web server would.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "base/arena.h"
#include "base/err.h"

/*
 * The status as JSON from the socket at an address, "/path" or "HOST:PORT";
 * path is status.path.  The answer is from the arena.  ERR_SYSTEM: nobody is
 * there; ERR_INVALID: something else than a status came.
 */
MUST_CHECK enum err_code ask_status(const char *address, const char *path,
    struct arena *, const char **answer, struct err *);

#endif
