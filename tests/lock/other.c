/*
 * other.c - another host: a process that locks on command, with a lock agent of
 * its own.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/id.h"
#include "tests/lock/other.h"

struct command {
	enum {
		TAKE,
		STATE,
		RELEASE,
		STOP
	} what;
	char id[ID_MAX + 1];
};

static pid_t pid;
static int line;

static int
carry_out(struct locker *l, struct arena *a, const struct command *c)
{
	static struct lock *lock;
	struct err e;

	switch (c->what) {
	case TAKE:
		return (int)l->ops->acquire(
		    l, c->id, LOCK_QUIETLY, a, &lock, &e);
	case STATE:
		return (int)l->ops->state(lock);
	case RELEASE:
		l->ops->release(lock, true);
		return 0;
	case STOP:
		break;
	}
	abort();
}

static _Noreturn void
serve(int fd, struct locker *(*begin)(void))
{
	struct locker *l;
	struct arena *a = arena_new();
	struct command c;
	int rc;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	l = begin();
	while (
	    read(fd, &c, sizeof(c)) == (ssize_t)sizeof(c) && c.what != STOP) {
		rc = carry_out(l, a, &c);
		if (write(fd, &rc, sizeof(rc)) != (ssize_t)sizeof(rc))
			break;
	}
	l->ops->shutdown(l);
	locker_stop();
	_exit(0);
}

void
other_start(struct locker *(*begin)(void))
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1 ||
	    (pid = fork()) == -1)
		abort();
	if (pid == 0) {
		(void)close(pair[0]);
		serve(pair[1], begin);
	}
	(void)close(pair[1]);
	line = pair[0];
}

static void
tell(const struct command *c)
{
	if (write(line, c, sizeof(*c)) != (ssize_t)sizeof(*c))
		abort();
}

static int
ask(const struct command *c)
{
	int rc;

	tell(c);
	if (read(line, &rc, sizeof(rc)) != (ssize_t)sizeof(rc))
		abort();
	return rc;
}

int
other_take(const char *id)
{
	struct command c = { .what = TAKE };

	(void)snprintf(c.id, sizeof(c.id), "%s", id);
	return ask(&c);
}

int
other_state(void)
{
	return ask(&(struct command){ .what = STATE });
}

void
other_release(void)
{
	(void)ask(&(struct command){ .what = RELEASE });
}

/* The end of the line would not do: our agent has it, too. */
void
other_stop(void)
{
	tell(&(struct command){ .what = STOP });
	(void)waitpid(pid, NULL, 0);
}
