/*
 * tell.h - run post-hooks so that no client waits for them.
 */
#ifndef FCGI_TELL_H
#define FCGI_TELL_H

#include <stdbool.h>

#include "web/web.h"

/*
 * For a process without a pool, in which only a limited number of children run
 * post-hooks: is there room for one more?  Waits a moment for a child to end;
 * false if none does.  A request that may cause a post-hook is then refused, as
 * a pool without a permit to spare refuses it.
 */
bool tell_has_room(void);

/*
 * Close a call whose connection was given back: move the upload and run the
 * post-hooks.  In a pool other workers serve requests meanwhile.  With by_child
 * a child process does it, which closes its copy of the listening socket and
 * needs locks that are inherited over fork(); if there are too many children
 * already, the work is left to the sweep.
 */
void tell_and_close(struct web_call *, bool by_child, int listen_fd);

#endif
