/*
 * sandbox.h - a process that serves requests gives away what it will not need.
 *
 * An attacker who makes a worker do his will shall find little to do:
 * no new privileges, no core files, and, where the kernel has Landlock, no
 * file but those below the directories that the configuration names.
 */
#ifndef FCGI_SANDBOX_H
#define FCGI_SANDBOX_H

#include <stdbool.h>

#include "base/conf.h"

/*
 * For the rest of this process and for its children.  What the kernel does
 * not have is left out, which only -v tells.  Files are not confined if
 * hooks are programs, because these may do whatever they like.
 *
 * may_reload: the process will read another configuration, so that nobody
 * knows yet which files it will need.
 */
void sandbox_enter(const struct conf *, bool may_reload);

#endif
