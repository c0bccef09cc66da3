/*
 * lock_agent.h - tusfcgi lock-agent: the process that keeps a lock agent going
 * for processes that have no master in common.
 */
#ifndef FCGI_LOCK_AGENT_H
#define FCGI_LOCK_AGENT_H

#include "base/conf.h"

/* Starts another agent after one that died, and returns after SIGTERM or
 * SIGINT.  All signals are blocked. */
void lock_agent_wait(const struct conf *);

#endif
