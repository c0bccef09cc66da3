/*
 * agent.h - a process that locks on command, to be killed or stopped.
 */
#ifndef TESTS_LOCK_AGENT_H
#define TESTS_LOCK_AGENT_H

#include <sys/types.h>

#include "tests/lock/contract.h"

enum agent_command {
	/* Answered with the enum err_code of acquire(). */
	AGENT_CREATE,
	AGENT_EXISTING,
	AGENT_QUIETLY,
	/* Answered with 0 or 1. */
	AGENT_WANTED,
	/* Answered with 0. */
	AGENT_STOP_ASKING,
	AGENT_RELEASE,
	AGENT_RETIRE,
	AGENT_MAX
};

struct agent {
	pid_t pid;
	int fd;
};

/* As another user, if uid is not 0. */
void agent_start(struct agent *, const struct lock_maker *, const char *id,
    uid_t uid, gid_t gid);

/* Have one thing done; the answer, or -1 if the agent is dead. */
int agent_do(struct agent *, enum agent_command);

/* Until acquire() says something else than ERR_LOCKED, or ms have passed. */
int agent_lock_within(struct agent *, enum agent_command, int64_t ms);

/* Stopped means stopped: returns once the kernel says so. */
void agent_freeze(struct agent *);
void agent_thaw(struct agent *);

/* SIGKILL, and wait until it is gone. */
void agent_kill(struct agent *);

#endif
