/*
 * other.h - another host: a process that locks on command, with a lock agent of
 * its own.
 */
#ifndef TESTS_LOCK_OTHER_H
#define TESTS_LOCK_OTHER_H

#include "lock/lock.h"

/* Must be called before this process starts an agent.  begin() runs there,
 * starts the agent and returns an open locker. */
void other_start(struct locker *(*begin)(void));

/* An enum err_code: takes the lock, without asking the holder for it. */
int other_take(const char *id);
/* An enum lock_state: of the lock that was taken last. */
int other_state(void);
void other_release(void);

/* Its agent ends with it. */
void other_stop(void);

#endif
