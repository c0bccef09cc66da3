/*
 * sandbox.h - a process that serves requests drops the rights that it does not
 * need.
 *
 * An attacker who takes over a worker shall be able to do little with it: the
 * worker can gain no privileges, writes no core files, and, where the kernel
 * has Landlock, has access only to files below the directories that the
 * configuration names.
 */
#ifndef FCGI_SANDBOX_H
#define FCGI_SANDBOX_H

#include <stdbool.h>

#include "base/conf.h"

/*
 * Enter the sandbox, for the rest of this process and for its children.  What
 * the kernel does not support is left out, which only -v reports.  Files are
 * not confined if hooks are programs, because these may need any file.
 *
 * may_reload: the process will read another configuration later, so the files
 * that it will need are not known yet.
 */
void sandbox_enter(const struct conf *, bool may_reload);

/* The same for the agent of a lock service, which sees no upload. */
void sandbox_enter_agent(const struct conf *);

/* The same for a process that opens no file at all. */
void sandbox_enter_bare(const struct conf *);

#endif
