/*
 * tell.h - post-hooks, so that nobody waits for them.
 */
#ifndef FCGI_TELL_H
#define FCGI_TELL_H

#include <stdbool.h>

#include "tus/tus.h"

/*
 * Close a call whose connection was given back.  What is to be moved is moved
 * and what is to be told is told now: in a pool others serve meanwhile; who is
 * alone has a child do it, which does not keep the listening socket.
 */
void tell_and_close(struct tus_call *, bool alone, int listen_fd);

#endif
