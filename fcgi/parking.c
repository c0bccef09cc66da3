/*
 * parking.c - the master's side of the parking process.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/wait.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fcgi/os_read.h"
#include "fcgi/parker.h"
#include "fcgi/parking.h"
#include "fcgi/sandbox.h"

enum {
	/* Ms until another one is started. */
	AGAIN = 100,
	/* It wakes up once a second.  After so many ms without that it is
	 * stuck. */
	STUCK = 30000
};

static bool
make_pair(int pair[2])
{
	return socketpair(AF_UNIX,
		   SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0;
}

bool
parking_set_up(struct parking *p, const struct settings *s, struct board *board)
{
	*p = (struct parking){ .board = board,
		.max = s->conf->pool.max_parked,
		.up = { -1, -1 },
		.down = { -1, -1 } };
	if (p->max == 0 || !os_read_may_keep())
		return true;
	if (make_pair(p->up) && make_pair(p->down))
		return true;
	log_error("cannot set up parking: %s", strerror(errno));
	return false;
}

/* In the new process. */
static void
run(const struct parking *p, const struct settings *s, pid_t master)
{
	const struct parker parker = { .up = p->up[1],
		.down = p->down[0],
		.board = p->board,
		.lender = locker_lender_of(s->conf),
		.max = (size_t)p->max };

#ifdef HAVE_SYS_PRCTL_H
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, PARKING_NAME);
#endif
	if (getppid() != master)
		_exit(1);
	sandbox_enter_bare(s->conf);
	parker_run(&parker);
}

static void
start(struct parking *p, const struct settings *s, pid_t master)
{
	pid_t pid = fork();

	if (pid == 0) {
		run(p, s, master);
		_exit(0);
	}
	if (pid == -1) {
		log_error("fork: %s", strerror(errno));
		p->start_at = clock_ms() + AGAIN;
		return;
	}
	p->pid = pid;
	atomic_store(&p->board->parking.beat, clock_ms());
	atomic_store(&p->board->parking.pid, (int)pid);
}

void
parking_look(struct parking *p, const struct settings *s, pid_t master)
{
	int64_t now = clock_ms();

	if (p->up[0] == -1 || p->is_stopping)
		return;
	if (p->pid == 0 && now >= p->start_at)
		start(p, s, master);
	if (p->pid == 0 || now - atomic_load(&p->board->parking.beat) < STUCK)
		return;
	log_error(
	    "the parking process %ld is stuck, and is killed", (long)p->pid);
	(void)kill(p->pid, SIGKILL);
	atomic_store(&p->board->parking.beat, now);
}

bool
parking_reap(struct parking *p, pid_t pid, int status)
{
	struct board_parking *b = &p->board->parking;

	if (pid != p->pid)
		return false;
	if (!p->is_stopping || !WIFEXITED(status))
		log_error("the parking process %ld died: what was parked is "
			  "cut off",
		    (long)pid);
	p->pid = 0;
	p->start_at = clock_ms() + AGAIN;
	atomic_store(&b->room, -1);
	atomic_store(&b->parked, 0);
	atomic_store(&b->pid, 0);
	work_clear(&p->board->shelf);
	return true;
}

void
parking_stop(struct parking *p, bool at_once)
{
	p->is_stopping = true;
	if (p->pid != 0)
		(void)kill(p->pid, at_once ? SIGKILL : SIGTERM);
}
