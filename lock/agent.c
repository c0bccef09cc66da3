/*
 * agent.c - the locker of a process that gets its locks from an agent.
 *
 * The agent is a child of the master, or of a process without a master that
 * needs locks; lock.agent names one that another program runs.  What changes
 * while a lock is held is on the board, in shared memory; everything else is
 * one message to the agent and one back.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "lock/agentd.h"

enum {
	BACKLOG = 1024,
	/* In ms: the pause before the next agent, if the last one lived
	 * shorter. */
	AGAIN_MS = 500,
	/* In ms: how long an agent that ends may take to release its locks. */
	LEAVE_MS = 4000
};

struct agent_locker {
	struct locker base;
	/* -1: not connected. */
	int fd;
	/* Increases with each connection: locks of earlier ones are lost. */
	unsigned connection;
	int64_t reply_ms;
	const struct agent_board *board;
};

struct agent_lock {
	struct lock base;
	unsigned connection;
	int slot;
	/* This process has found the lock lost.  It stays so, even if the agent
	 * moves the end of the session on. */
	bool is_lost;
};

/* The agent that this process, or an ancestor, has started. */
static struct {
	struct sockaddr_un address;
	socklen_t address_len;
	int listen_fd, board_fd;
	/* Only this mapping of the board can be written to, and only the agent
	 * inherits it. */
	struct agent_board *board;
	pid_t pid;
	int64_t started;
	const struct engine_ops *engine;
	/* The configuration at the start: a reload does not change locks. */
	struct conf *conf;
	void (*confine)(const struct conf *);
	/* What this process tells the agent; "": nothing. */
	char store[ID_MAX + 1];
	bool is_guest;
} ours = { .listen_fd = -1, .board_fd = -1 };

/* --- The connection. --- */

static void
hang_up(struct agent_locker *l)
{
	if (l->fd != -1)
		(void)close(l->fd);
	l->fd = -1;
	if (l->board != NULL)
		(void)munmap((void *)(uintptr_t)l->board, sizeof(*l->board));
	l->board = NULL;
}

static bool
read_board(struct agent_locker *l)
{
	int board = agent_receive_board(l->fd);
	void *p;

	if (board == -1)
		return false;
	p = mmap(NULL, sizeof(*l->board), PROT_READ, MAP_SHARED, board, 0);
	(void)close(board);
	if (p == MAP_FAILED)
		return false;
	l->board = p;
	return true;
}

static bool
exchange(
    struct agent_locker *l, struct agent_request *q, struct agent_answer *a)
{
	errno = 0;
	return send(l->fd, q, sizeof(*q), MSG_NOSIGNAL) ==
	    (ssize_t)sizeof(*q) &&
	    recv(l->fd, a, sizeof(*a), 0) == (ssize_t)sizeof(*a);
}

static enum err_code
hear_nothing(struct agent_locker *l, struct err *e)
{
	hang_up(l);
	return err_set(e, ERR_UNAVAILABLE, "the lock agent does not answer");
}

/* Which store it is that we lock. */
static enum err_code
say_hello(struct agent_locker *l, struct err *e)
{
	struct agent_request q = { .op = AGENT_HELLO };
	struct agent_answer a;

	if (*ours.store == '\0')
		return ERR_OK;
	(void)stpcpy(q.id, ours.store);
	if (!exchange(l, &q, &a))
		return hear_nothing(l, e);
	if (a.rc == ERR_OK)
		return ERR_OK;
	hang_up(l);
	return err_set(e, ERR_UNAVAILABLE, "%s", a.text);
}

static enum err_code
call_up(struct agent_locker *l, struct err *e)
{
	/* An engine has lock.reply for one try, and for a second. */
	int64_t ms = 2 * l->reply_ms + 1000;
	struct timeval limit = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (l->fd != -1)
		return ERR_OK;
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (l->fd == -1 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		-1 ||
	    connect(l->fd, (const struct sockaddr *)&ours.address,
		ours.address_len) == -1 ||
	    !read_board(l))
		return hear_nothing(l, e);
	l->connection++;
	return say_hello(l, e);
}

/* The agent at the end of an idle connection may be gone. */
static enum err_code
ask(struct agent_locker *l, struct agent_request *q, const char *id,
    struct agent_answer *a, struct err *e)
{
	bool is_old = l->fd != -1;
	enum err_code rc;

	if (id != NULL)
		(void)snprintf(q->id, sizeof(q->id), "%s", id);
	if ((rc = call_up(l, e)) != ERR_OK)
		return rc;
	if (!exchange(l, q, a)) {
		if (!is_old || errno == EAGAIN)
			return hear_nothing(l, e);
		hang_up(l);
		if ((rc = call_up(l, e)) != ERR_OK)
			return rc;
		if (!exchange(l, q, a))
			return hear_nothing(l, e);
	}
	return a->rc == ERR_OK ? ERR_OK :
				 err_set(e, a->rc, "%s: %s", q->id, a->text);
}

/* --- The locker. --- */

static struct agent_locker *
locker_of(struct locker *base)
{
	return OUTER(base, struct agent_locker, base);
}

static enum err_code
agent_acquire(struct locker *base, const char *id, enum lock_how how,
    struct arena *arena, struct lock **out, struct err *e)
{
	struct agent_locker *l = locker_of(base);
	struct agent_request q = { .op = AGENT_TAKE,
		.may_ask = how == LOCK_CREATE || how == LOCK_EXISTING };
	struct agent_answer a;
	struct agent_lock *lock;
	enum err_code rc;

	if (!id_is_valid(id))
		return err_set(e, ERR_INVALID, "lock: not an upload id");
	rc = ask(l, &q, id, &a, e);
	base->held_by[0] = '\0';
	if (rc == ERR_LOCKED)
		(void)stpcpy(base->held_by, a.holder.host);
	if (rc != ERR_OK)
		return rc;
	lock = arena_alloc(arena, sizeof(*lock));
	*lock = (struct agent_lock){ .base = { base, a.token },
		.connection = l->connection,
		.slot = a.slot };
	*out = &lock->base;
	return ERR_OK;
}

static void
agent_stop_asking(struct locker *base, const char *id)
{
	struct agent_locker *l = locker_of(base);
	struct agent_request q = { .op = AGENT_UNASK };
	struct agent_answer a;
	struct err e;

	if (l->fd != -1)
		(void)!ask(l, &q, id, &a, &e);
}

/* Was the lock taken on the current connection, and is the agent alive? */
static bool
is_connected(struct agent_lock *lock)
{
	struct agent_locker *l = locker_of(lock->base.locker);
	char byte;

	if (l->fd == -1 || l->connection != lock->connection)
		return false;
	return recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 &&
	    errno == EAGAIN;
}

static enum lock_state
agent_state(struct lock *base)
{
	struct agent_lock *lock = OUTER(base, struct agent_lock, base);
	const struct agent_board *board = locker_of(base->locker)->board;

	if (lock->is_lost || !is_connected(lock) ||
	    board->slots[lock->slot].is_lost ||
	    agent_clock() >= board->valid_until) {
		lock->is_lost = true;
		return LOCK_LOST;
	}
	return board->slots[lock->slot].is_wanted ? LOCK_WANTED : LOCK_HELD;
}

static void
agent_release(struct lock *base, bool for_good)
{
	struct agent_lock *lock = OUTER(base, struct agent_lock, base);
	struct agent_request q = { .op = AGENT_RELEASE, .slot = lock->slot };
	struct agent_answer a;
	struct err e;

	(void)for_good;
	if (is_connected(lock))
		(void)!ask(locker_of(base->locker), &q, NULL, &a, &e);
}

/* Whether another host has the lock is found out by trying to take it. */
static bool
agent_holder(struct locker *base, const char *id, struct lock_holder *holder)
{
	struct agent_locker *l = locker_of(base);
	struct agent_request q = { .op = AGENT_TAKE };
	struct agent_answer a;
	struct err e;
	enum err_code rc = ERR_INVALID;

	*holder = (struct lock_holder){ .pid = -1 };
	if (id_is_valid(id))
		rc = ask(l, &q, id, &a, &e);
	if (rc == ERR_OK) {
		q = (struct agent_request){ .op = AGENT_RELEASE,
			.slot = a.slot };
		(void)!ask(l, &q, NULL, &a, &e);
	}
	holder->is_unknown = rc == ERR_UNAVAILABLE;
	if (rc != ERR_LOCKED)
		return false;
	q.op = AGENT_HOLDER;
	if (ask(l, &q, id, &a, &e) == ERR_OK)
		*holder = a.holder;
	return true;
}

/*
 * --- Lending: the lock is the connection's, whichever process has that.  A
 * worker has one lock at a time, so the connection goes with the lock, and the
 * next one gets a connection of its own. ---
 */

static void
agent_lend(struct lock *base, struct lock_loan *loan)
{
	struct agent_lock *lock = OUTER(base, struct agent_lock, base);

	*loan = (struct lock_loan){ .fd = locker_of(base->locker)->fd,
		.slot = lock->slot,
		.token = base->token };
}

static void
agent_parted(struct lock *base)
{
	hang_up(locker_of(base->locker));
}

/* The board comes with a connection of our own, and is the same for all. */
static enum err_code
agent_adopt(struct locker *base, const char *id, const struct lock_loan *loan,
    struct arena *arena, struct lock **out, struct err *e)
{
	struct agent_locker *l = locker_of(base);
	struct agent_lock *lock;
	enum err_code rc = ERR_OK;

	if (loan->slot < 0 || loan->slot >= AGENT_SLOTS)
		rc = err_set(e, ERR_INVALID, "%s: no such lock", id);
	else
		rc = call_up(l, e);
	if (rc != ERR_OK) {
		(void)close(loan->fd);
		return rc;
	}
	(void)close(l->fd);
	l->fd = loan->fd;
	l->connection++;
	lock = arena_alloc(arena, sizeof(*lock));
	*lock = (struct agent_lock){ .base = { base, loan->token },
		.connection = l->connection,
		.slot = loan->slot };
	*out = &lock->base;
	return ERR_OK;
}

/* Mapped once in the process that asks. */
static bool
agent_is_wanted(const struct lock_loan *loan)
{
	static const struct agent_board *board;
	void *p;

	if (loan->slot < 0 || loan->slot >= AGENT_SLOTS)
		return true;
	if (board == NULL) {
		p = mmap(NULL, sizeof(*board), PROT_READ, MAP_SHARED,
		    ours.board_fd, 0);
		if (p == MAP_FAILED)
			return false;
		board = p;
	}
	return board->slots[loan->slot].is_wanted ||
	    board->slots[loan->slot].is_lost ||
	    agent_clock() >= board->valid_until;
}

const struct locker_lender agent_lender = {
	.lend = agent_lend,
	.parted = agent_parted,
	.adopt = agent_adopt,
	.is_wanted = agent_is_wanted,
};

static void
agent_shutdown(struct locker *base)
{
	struct agent_locker *l = locker_of(base);

	hang_up(l);
	free(l);
}

static bool
agent_figures(struct locker *base, struct lock_figures *f)
{
	struct agent_locker *l = locker_of(base);
	struct agent_request q = { .op = AGENT_HOLDER };
	struct agent_answer a;
	struct err e;
	size_t i;

	*f = (struct lock_figures){ 0 };
	/* An answer at all says that it is there. */
	(void)!ask(l, &q, "", &a, &e);
	if (l->fd == -1)
		return false;
	f->session_ms = l->board->valid_until - agent_clock();
	if (f->session_ms < 0)
		f->session_ms = 0;
	f->is_claimed = l->board->is_claimed;
	f->held = l->board->held;
	f->lost = l->board->lost;
	f->errors = l->board->errors;
	f->us = l->board->us;
	for (i = 0; i <= LOCK_CALL_LIMITS; i++)
		f->calls[i] = l->board->calls[i];
	if (l->board->is_refused)
		(void)snprintf(
		    f->refusal, sizeof(f->refusal), "%s", l->board->refusal);
	return true;
}

static const struct locker_service service = {
	.figures = agent_figures,
};

static const struct locker_ops ops = {
	.acquire = agent_acquire,
	.stop_asking = agent_stop_asking,
	.release = agent_release,
	.state = agent_state,
	.holder = agent_holder,
	.shutdown = agent_shutdown,
};

/* The board of an agent that serves other programs, too, is not at hand in a
 * process that only looks. */
static const struct locker_lender *
agent_can_lend(void)
{
	return ours.board_fd != -1 ? &agent_lender : NULL;
}

enum err_code
agent_open(const char *name, const struct conf *conf, struct locker **locker,
    struct err *e)
{
	struct agent_locker *l;

	if (ours.address_len == 0)
		return err_set(e, ERR_INVALID, "no lock agent was started");
	l = must_alloc(sizeof(*l));
	*l = (struct agent_locker){ .base = { .name = name,
					.ops = &ops,
					.service = &service,
					.lender = agent_can_lend(),
					.can_lose = true },
		.fd = -1,
		.reply_ms = conf->lock.reply };
	*locker = &l->base;
	return ERR_OK;
}

/* --- The agent's start and end. --- */

/* Use any free abstract name: forked processes know it, and tusctl has an agent
 * of its own. */
static enum err_code
make_socket(struct err *e)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(ours.address);
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) ==
		-1 ||
	    listen(fd, BACKLOG) == -1 ||
	    getsockname(fd, (struct sockaddr *)&ours.address, &len) == -1) {
		(void)err_sys(e, "socket of the lock agent");
		if (fd != -1)
			(void)close(fd);
		return e->code;
	}
	ours.address_len = len;
	ours.listen_fd = fd;
	return ERR_OK;
}

/*
 * Every process that locks gets the descriptor of the board, and one that was
 * taken over must not write to it: a deadline moved on makes others write
 * without a lock.  A descriptor that is read only would not do, because /proc
 * opens it anew for writing.  A kernel before Linux 5.1 has no such seal.
 */
static void
seal_board(void)
{
	(void)fcntl(ours.board_fd, F_ADD_SEALS,
	    F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static enum err_code
make_board(struct err *e)
{
	void *p;

	ours.board_fd =
	    memfd_create("tusfcgi-locks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ours.board_fd == -1 ||
	    ftruncate(ours.board_fd, sizeof(struct agent_board)) == -1)
		return err_sys(e, "memory for locks");
	p = mmap(NULL, sizeof(struct agent_board), PROT_READ | PROT_WRITE,
	    MAP_SHARED, ours.board_fd, 0);
	if (p == MAP_FAILED ||
	    madvise(p, sizeof(struct agent_board), MADV_DONTFORK) == -1)
		return err_sys(e, "memory for locks");
	ours.board = p;
	seal_board();
	return ERR_OK;
}

static void
be_the_agent(pid_t parent, bool is_soon)
{
	const struct timespec nap = { .tv_nsec = AGAIN_MS * 1000000L };
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1,
		SIGPIPE };
	sigset_t none;
	size_t i;

#ifdef HAVE_SYS_PRCTL_H
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != parent)
		_exit(1);
	/* It ends when all processes that may hold locks are gone. */
	for (i = 0; i < NITEMS(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	agent_limit();
	if (ours.confine != NULL)
		ours.confine(ours.conf);
	if (ours.is_guest)
		claim_as_guest();
	if (is_soon)
		(void)nanosleep(&nap, NULL);
	agent_serve(
	    ours.engine, ours.conf, ours.listen_fd, ours.board_fd, ours.board);
}

static enum err_code
fork_agent(struct err *e)
{
	bool is_soon = clock_ms() - ours.started < AGAIN_MS;
	pid_t parent = getpid();

	ours.started = clock_ms() + (is_soon ? AGAIN_MS : 0);
	if (madvise(ours.board, sizeof(*ours.board), MADV_DOFORK) == -1)
		return err_sys(e, "memory for locks");
	ours.pid = fork();
	if (ours.pid == 0)
		be_the_agent(parent, is_soon);
	(void)madvise(ours.board, sizeof(*ours.board), MADV_DONTFORK);
	return ours.pid == -1 ? err_sys(e, "fork the lock agent") : ERR_OK;
}

/* Find the socket of an agent that another program starts. */
static enum err_code
find_socket(const char *path, struct err *e)
{
	struct sockaddr_un *a = &ours.address;

	if (strlen(path) >= sizeof(a->sun_path))
		return err_set(e, ERR_INVALID,
		    "lock.agent: %s is too long for a socket: %zu characters "
		    "at most",
		    path, sizeof(a->sun_path) - 1);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)stpcpy(a->sun_path, path);
	ours.address_len = sizeof(*a);
	return ERR_OK;
}

static enum err_code
start(const struct engine_ops *engine, const struct conf *conf, struct err *e)
{
	struct engine *probe;
	enum err_code rc;

	ours.engine = engine;
	if ((rc = agent_copy_conf(conf, &ours.conf, e)) != ERR_OK)
		return rc;
	/* Errors in the configuration are reported here. */
	rc = engine_open(engine, conf, "none", &probe, e);
	if (rc == ERR_OK) {
		engine_close(probe);
		rc = agent_try_hosts(engine, conf, e);
	}
	if (rc == ERR_OK && ours.listen_fd == -1)
		rc = make_socket(e);
	if (rc == ERR_OK)
		rc = make_board(e);
	return rc == ERR_OK ? fork_agent(e) : rc;
}

enum err_code
agent_begin(
    const struct engine_ops *engine, const struct conf *conf, struct err *e)
{
	if (*conf->lock.agent != '\0')
		return find_socket(conf->lock.agent, e);
	return ours.listen_fd != -1 ? ERR_OK : start(engine, conf, e);
}

enum err_code
agent_begin_for_all(const struct engine_ops *engine, const struct conf *conf,
    int listen_fd, struct err *e)
{
	ours.listen_fd = listen_fd;
	return start(engine, conf, e);
}

void
agent_know_store(const char *id, bool is_guest)
{
	(void)snprintf(ours.store, sizeof(ours.store), "%s", id);
	ours.is_guest = is_guest;
}

void
agent_confine(void (*confine)(const struct conf *))
{
	ours.confine = confine;
}

bool
agent_reap(pid_t pid, int status)
{
	struct err e;

	if (pid != ours.pid || pid <= 0)
		return false;
	if (WIFSIGNALED(status))
		log_error("the lock agent died of signal %d: its locks are "
			  "lost",
		    WTERMSIG(status));
	else
		log_error("the lock agent left with status %d: its locks are "
			  "lost",
		    WEXITSTATUS(status));
	if (fork_agent(&e) != ERR_OK)
		log_error("%s", e.text);
	return true;
}

void
agent_look(void)
{
	int status;

	if (ours.pid > 0 && waitpid(ours.pid, &status, WNOHANG) == ours.pid)
		(void)agent_reap(ours.pid, status);
}

void
agent_follow_log(void)
{
	if (ours.pid > 0)
		(void)kill(ours.pid, SIGHUP);
}

void
agent_end(void)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	int64_t end = clock_ms() + LEAVE_MS;
	pid_t pid = ours.pid;

	ours.pid = 0;
	if (pid <= 0)
		return;
	(void)kill(pid, SIGUSR2);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		(void)nanosleep(&nap, NULL);
		if (clock_ms() >= end)
			(void)kill(pid, SIGKILL);
	}
}
