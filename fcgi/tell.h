/*
 * tell.h - post-hooks, so that nobody waits for them.
 */
#ifndef FCGI_TELL_H
#define FCGI_TELL_H

#include <stdbool.h>

#include "web/web.h"

/*
 * Where one process is all there is, only so many children tell at a time.
 * Waits a moment for one of them to be done; false if none is.  A request that
 * may have something to tell is turned away then, as in a pool without a place.
 */
bool tell_has_room(void);

/*
 * Close a call whose connection was given back.  What is to be moved is moved
 * and what is to be told is told now: in a pool others serve meanwhile.  With
 * by_child a child does it, which does not keep the listening socket and needs
 * locks that are inherited; if there is no room for a child, it is left to the
 * sweep.
 */
void tell_and_close(struct web_call *, bool by_child, int listen_fd);

#endif
