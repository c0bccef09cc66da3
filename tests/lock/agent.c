/*
 * agent.c - a process that locks on command, to be killed or stopped.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lock/agent.h"

/* What the agent itself knows. */
struct duty {
	struct locker *locker;
	struct arena *arena;
	struct lock *lock;
	const char *id;
};

static int
acquire(struct duty *d, enum lock_how how)
{
	struct err e;
	enum err_code rc = d->locker->ops->acquire(
	    d->locker, d->id, how, d->arena, &d->lock, &e);

	if (rc == ERR_SYSTEM || rc == ERR_INVALID)
		(void)fprintf(stderr, "agent: %s\n", e.text);
	return (int)rc;
}

static int
do_command(struct duty *d, enum agent_command command)
{
	const struct locker_ops *ops = d->locker->ops;

	switch (command) {
	case AGENT_CREATE:
		return acquire(d, LOCK_CREATE);
	case AGENT_EXISTING:
		return acquire(d, LOCK_EXISTING);
	case AGENT_QUIETLY:
		return acquire(d, LOCK_QUIETLY);
	case AGENT_WANTED:
		return ops->state(d->lock) == LOCK_WANTED;
	case AGENT_STOP_ASKING:
		ops->stop_asking(d->locker, d->id);
		return 0;
	case AGENT_RELEASE:
		ops->release(d->lock, false);
		return 0;
	case AGENT_RETIRE:
		ops->release(d->lock, true);
		return 0;
	case AGENT_MAX:
		break;
	}
	abort();
}

static void
serve(int fd, struct duty *d)
{
	unsigned char c;

	while (read(fd, &c, 1) == 1) {
		c = (unsigned char)do_command(d, (enum agent_command)c);
		if (write(fd, &c, 1) != 1)
			break;
	}
}

static bool
become(uid_t uid, gid_t gid)
{
	return uid == 0 ||
	    (setgroups(1, &gid) == 0 && setgid(gid) == 0 && setuid(uid) == 0);
}

void
agent_start(struct agent *agent, const struct lock_maker *maker, const char *id,
    uid_t uid, gid_t gid)
{
	struct duty duty = { .id = id };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1 ||
	    (agent->pid = fork()) == -1)
		abort();
	if (agent->pid == 0) {
		(void)close(pair[0]);
		if (!become(uid, gid) || prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
			abort();
		duty.locker = maker->open();
		duty.arena = arena_new();
		serve(pair[1], &duty);
		_exit(0);
	}
	(void)close(pair[1]);
	agent->fd = pair[0];
}

int
agent_do(struct agent *agent, enum agent_command command)
{
	unsigned char c = (unsigned char)command;

	if (send(agent->fd, &c, 1, MSG_NOSIGNAL) != 1 ||
	    read(agent->fd, &c, 1) != 1)
		return -1;
	return c;
}

int
agent_lock_within(struct agent *agent, enum agent_command how, int64_t ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t end = clock_ms() + ms;
	int rc;

	while ((rc = agent_do(agent, how)) == ERR_LOCKED && clock_ms() < end)
		(void)nanosleep(&pause, NULL);
	return rc;
}

void
agent_freeze(struct agent *agent)
{
	int status;

	(void)kill(agent->pid, SIGSTOP);
	while (waitpid(agent->pid, &status, WUNTRACED) == -1 && errno == EINTR)
		;
}

void
agent_thaw(struct agent *agent)
{
	(void)kill(agent->pid, SIGCONT);
}

void
agent_kill(struct agent *agent)
{
	int status;

	(void)kill(agent->pid, SIGKILL);
	while (waitpid(agent->pid, &status, 0) == -1 && errno == EINTR)
		;
	(void)close(agent->fd);
}
