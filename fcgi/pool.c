/*
 * pool.c - the master and its workers.
 *
 * The master serves no requests.  It wakes up when a worker dies, when spare
 * workers run low, when a signal comes, and once a second; then it reads the
 * board and forks, retires or replaces workers.  Signals are blocked except in
 * the one place where it sleeps, ppoll(), so that none is missed.
 */
#include "config.h"

#include <sys/types.h>
#include <sys/wait.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "fcgi/board.h"
#include "fcgi/hook_count.h"
#include "fcgi/notify.h"
#include "fcgi/parking.h"
#include "fcgi/pool.h"
#include "fcgi/sandbox.h"
#include "fcgi/stop.h"
#include "fcgi/sweeper.h"
#include "fcgi/worker.h"
#include "store/store.h"

enum {
	/* Milliseconds between two looks at the board: while nothing happens,
	 * while the pool changes, and while it stops. */
	TICK_QUIET = 1000,
	TICK_GROWING = 50,
	TICK_STOPPING = 200,

	/* After this time without growth, the next growth begins with one
	 * worker. */
	GROWTH_ENDS = 500,

	/* While requests are parked, a worker that gets one of them is mostly
	 * idle again in no time, and what comes from the parking process can
	 * wait.  So there are too few workers only if they are few at so many
	 * looks in a row, or none is idle while a connection waits for one.
	 * Nor are there too few while short requests go through the hands of
	 * few: the more workers take turns, the more each request costs. */
	LOOK_AGAIN = 20,
	LOOKS_FEW = 250,
	LOOKS_NONE = 2,

	/* The most workers that are forked in one tick. */
	STEP_MAX = 64,
	/* The most workers that are replaced at a time after SIGHUP. */
	REPLACE_STEP = 8,

	/* The pause after a failed start; doubled after each further
	 * failure. */
	BACKOFF_MIN = 100,
	BACKOFF_MAX = 5000
};

struct child {
	/* 0: the slot is free. */
	pid_t pid;
	unsigned generation;
	/* SIGUSR1 was sent. */
	bool is_leaving;
};

struct pool {
	struct settings *settings;
	const struct settings_source *source;
	const struct listener *listener;
	struct board *board;
	pid_t master;

	struct child *children;
	/* No slot from here on was ever used. */
	size_t used;
	int live;

	/* Incremented by each reload: workers of an older generation are
	 * replaced. replacing: how many replacements were forked last. */
	unsigned generation;
	int replacing;

	int wake[2];
	sigset_t waiting;

	/* How many workers to fork next, and the earliest time for it. */
	int step;
	int64_t next_growth;

	/* At how many looks in a row few workers were idle, and none, while
	 * that may pass by itself. */
	int few, none;
	struct board_pace pace;

	/* After a failed start: the pause, and its end. */
	int backoff;
	int64_t backoff_until;

	/* Since when there are more than min_spare idle workers, and the
	 * smallest surplus since then. */
	int64_t surplus_since;
	int surplus;

	struct sweeper sweeper;
	struct parking parking;

	bool is_stopping;
	int64_t stop_until;
	char status[96];
};

static volatile sig_atomic_t got_term, got_hup;

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hup = 1;
	else if (sig != SIGCHLD)
		got_term = 1;
}

static enum worker_state
state_of(const struct pool *p, size_t slot)
{
	return (enum worker_state)atomic_load(&p->board->slots[slot].state);
}

static int
least(int a, int b)
{
	return a < b ? a : b;
}

/* Block the signals; only ppoll() lets them through. */
static void
take_signals(struct pool *p)
{
	/* mod_fcgid sends SIGUSR1 to end a program. */
	const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1 };
	struct sigaction sa;
	sigset_t blocked;
	size_t i;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	(void)sigemptyset(&sa.sa_mask);
	(void)sigemptyset(&blocked);
	for (i = 0; i < NITEMS(signals); i++)
		(void)sigaddset(&blocked, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &blocked, &p->waiting);
	for (i = 0; i < NITEMS(signals); i++) {
		(void)sigaction(signals[i], &sa, NULL);
		(void)sigdelset(&p->waiting, signals[i]);
	}
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, NULL);
	if (!p->listener->inherited)
		(void)sigaction(SIGUSR1, &sa, NULL);
}

/* A worker whose master died must not accept any more. */
static void
die_with_master(const struct pool *p)
{
#ifdef HAVE_SYS_PRCTL_H
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != p->master)
		_exit(1);
}

/* The body of a new process. */
static int
run_worker(struct pool *p, size_t slot)
{
	struct worker w = { p->settings, p->listener->fd, p->parking.up[0],
		p->parking.down[1], p->board, slot, false, NULL };
	struct err e;

	die_with_master(p);
	(void)close(p->wake[0]);
	stop_install(false);
	if (settings_open_store(p->settings, &e) != ERR_OK) {
		log_error("worker cannot start: %s", e.text);
		return 1;
	}
	p->settings->server.core.hooks =
	    hook_count(&p->board->metrics, p->settings->server.core.hooks);
	sandbox_enter(p->settings->conf, false);
	return worker_run(&w) == WORKER_LEFT ? 0 : 1;
}

static size_t
free_slot(const struct pool *p)
{
	size_t i;

	for (i = 0; i < BOARD_SLOTS; i++)
		if (p->children[i].pid == 0)
			break;
	return i;
}

/*
 * _Fork() skips the fork handlers of libraries and the resetting of libc's
 * locks, which would copy five pages for every worker.  Of our libraries only
 * those of libcurl need the handlers, for TLS; and without threads no lock can
 * be held.
 */
static pid_t
fork_lean(const struct pool *p)
{
#ifdef HAVE__FORK
	if (!p->settings->has_hosts)
		return _Fork();
#else
	(void)p;
#endif
	return fork();
}

static bool
fork_worker(struct pool *p)
{
	size_t slot = free_slot(p);
	struct child *c;
	pid_t pid;

	if (slot == BOARD_SLOTS)
		return false;
	board_set(p->board, slot, WORKER_STARTING);
	pid = fork_lean(p);
	if (pid == 0)
		exit(run_worker(p, slot));
	if (pid == -1) {
		log_error("fork: %s", strerror(errno));
		board_wipe(p->board, slot);
		p->backoff_until = clock_ms() + TICK_QUIET;
		return false;
	}
	c = &p->children[slot];
	*c = (struct child){ .pid = pid, .generation = p->generation };
	if (p->used <= slot)
		p->used = slot + 1;
	p->live++;
	return true;
}

/* Returns how many workers were forked. */
static int
fork_workers(struct pool *p, int n)
{
	int i = 0;

	if (clock_ms() < p->backoff_until)
		return 0;
	while (i < n && fork_worker(p))
		i++;
	return i;
}

/*
 * Lengthen the pause before the next fork while workers fail to start.  A
 * worker that was killed while serving does not count: the cause may have been
 * the request.
 */
static void
note_death(struct pool *p, size_t slot, int status)
{
	long pid = (long)p->children[slot].pid;

	if (WIFSIGNALED(status) && !p->is_stopping)
		log_error("worker %ld was killed by signal %d (%s)", pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_error(
		    "worker %ld left with status %d", pid, WEXITSTATUS(status));
	if (state_of(p, slot) != WORKER_STARTING &&
	    !(WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
		p->backoff = 0;
		return;
	}
	p->backoff =
	    p->backoff == 0 ? BACKOFF_MIN : least(p->backoff * 2, BACKOFF_MAX);
	p->backoff_until = clock_ms() + p->backoff;
}

static void
reap(struct pool *p)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < p->used; i++)
			if (p->children[i].pid == pid)
				break;
		if (i == p->used) {
			if (!locker_reap(pid, status) &&
			    !parking_reap(&p->parking, pid, status))
				(void)sweeper_reap(&p->sweeper, pid, status);
			continue;
		}
		note_death(p, i, status);
		board_wipe(p->board, i);
		p->children[i].pid = 0;
		p->live--;
	}
}

/* Signals go to each process by its id, never to a process group: the group may
 * contain processes of others. */
static void
tell_all(const struct pool *p, int sig)
{
	size_t i;

	for (i = 0; i < p->used; i++)
		if (p->children[i].pid > 0)
			(void)kill(p->children[i].pid, sig);
}

static void
dismiss(struct pool *p, size_t slot)
{
	(void)kill(p->children[slot].pid, SIGUSR1);
	p->children[slot].is_leaving = true;
}

/* Count the workers that stay and are idle or starting; correct the board's
 * hint. */
static int
count_spare(struct pool *p)
{
	int idle = 0, starting = 0;
	size_t i;

	for (i = 0; i < p->used; i++) {
		if (p->children[i].pid == 0 || p->children[i].is_leaving)
			continue;
		if (state_of(p, i) == WORKER_IDLE)
			idle++;
		else if (state_of(p, i) == WORKER_STARTING)
			starting++;
	}
	atomic_store(&p->board->idle, idle);
	return idle + starting;
}

static int
room(const struct pool *p)
{
	return p->settings->max_workers - p->live;
}

/* Would there be enough workers if those were idle that are busy with short
 * requests, and are these short indeed?  That shows at the second look; a pool
 * that grows has looked before. */
static bool
goes_briskly(struct pool *p, int spare, int64_t now)
{
	int count[WORKER_STATE_MAX];
	bool is_brisk = board_is_brisk(p->board, &p->pace, now);

	board_count(p->board, count);
	if (spare + count[WORKER_BUSY] < p->settings->min_spare)
		return false;
	if (!is_brisk && (p->few > 0 || p->step > 1))
		return false;
	p->few = 1;
	return true;
}

static bool
may_pass(struct pool *p, int spare, int64_t now)
{
	struct pollfd pfd = { .fd = p->listener->fd, .events = POLLIN };

	if (atomic_load(&p->board->parking.parked) == 0)
		return goes_briskly(p, spare, now);
	p->few++;
	p->none = spare == 0 && poll(&pfd, 1, 0) > 0 ? p->none + 1 : 0;
	return p->few < LOOKS_FEW && p->none < LOOKS_NONE;
}

/* Fork in doubling steps while fewer than min_spare are idle. */
static void
grow(struct pool *p, int spare, int64_t now)
{
	int lack = p->settings->min_spare - spare;
	int n;

	if (p->settings->fixed)
		lack = room(p);
	if (lack > 0 && (now < p->next_growth || may_pass(p, spare, now)))
		return;
	p->few = p->none = 0;
	if (lack <= 0) {
		/* Workers that were just forked are not busy yet. */
		if (now >= p->next_growth + GROWTH_ENDS)
			p->step = 1;
		return;
	}
	n = lack > p->step ? lack : p->step;
	(void)fork_workers(p, least(n, room(p)));
	p->step = least(p->step * 2, STEP_MAX);
	p->next_growth = now + TICK_GROWING;
}

/* Dismiss workers that were not needed for as long as pool.idle. */
static void
shrink(struct pool *p, int spare, int64_t now)
{
	int surplus = spare - p->settings->min_spare;
	size_t i;

	if (surplus <= 0 || p->settings->fixed) {
		p->surplus_since = 0;
		return;
	}
	if (p->surplus_since == 0 || surplus < p->surplus)
		p->surplus = surplus;
	if (p->surplus_since == 0)
		p->surplus_since = now;
	if (now - p->surplus_since < p->settings->idle)
		return;
	for (i = p->used; i-- > 0 && p->surplus > 0;)
		if (p->children[i].pid > 0 && !p->children[i].is_leaving &&
		    state_of(p, i) == WORKER_IDLE) {
			dismiss(p, i);
			p->surplus--;
		}
	p->surplus_since = 0;
}

static bool
is_old(const struct pool *p, size_t slot)
{
	return p->children[slot].pid > 0 && !p->children[slot].is_leaving &&
	    p->children[slot].generation != p->generation;
}

/* Numbers of workers that were not dismissed: those of an older generation, and
 * those of the current one that are ready or starting. */
struct stay {
	int old, ready, starting;
};

static struct stay
count_stay(const struct pool *p)
{
	struct stay n = { 0 };
	size_t i;

	for (i = 0; i < p->used; i++)
		if (is_old(p, i))
			n.old++;
		else if (p->children[i].pid == 0 || p->children[i].is_leaving)
			continue;
		else if (state_of(p, i) < WORKER_IDLE)
			n.starting++;
		else
			n.ready++;
	return n;
}

static void
dismiss_old(struct pool *p, int n)
{
	size_t i;

	for (i = 0; i < p->used && n > 0; i++)
		if (is_old(p, i)) {
			dismiss(p, i);
			n--;
		}
}

/* How many to fork next.  At least one: an old idle worker leaves as soon as
 * its replacement is ready. */
static int
replacements(const struct pool *p, int old)
{
	int n = least(room(p) + REPLACE_STEP, REPLACE_STEP);

	return least(n > 0 ? n : 1, old);
}

/*
 * Replace old workers after SIGHUP. A busy worker leaves after its request,
 * however long that takes.  Idle ones are replaced in steps: some new ones are
 * forked, and when these are ready as many old ones are dismissed.  So there
 * are never fewer workers than before, and hardly more than REPLACE_STEP above
 * pool.max_workers.
 */
static bool
replace(struct pool *p)
{
	struct stay n;
	int surplus;
	size_t i;

	for (i = 0; i < p->used; i++)
		if (is_old(p, i) && state_of(p, i) > WORKER_IDLE)
			dismiss(p, i);
	n = count_stay(p);
	if (n.old == 0 || n.starting > 0)
		return n.old > 0;
	surplus = n.old + n.ready - p->settings->max_workers;
	if (surplus < least(p->replacing, n.ready))
		surplus = least(p->replacing, n.ready);
	surplus = least(surplus, n.old);
	dismiss_old(p, surplus);
	p->replacing = fork_workers(p, replacements(p, n.old - surplus));
	return true;
}

static void
apply(const struct pool *p)
{
	const struct settings *s = p->settings;

	atomic_store(&p->board->min_spare, s->fixed ? 0 : s->min_spare);
	atomic_store(&p->board->permits, s->max_workers - s->reserve);
}

/* The master needs no store; its workers open it. */
static void
reload_pool(struct pool *p)
{
	notify_reloading();
	heap_empty();
	if (settings_reload(p->settings, p->source)) {
		settings_close_store(p->settings);
		p->generation++;
		atomic_fetch_add(&p->board->reloads, 1);
		apply(p);
		locker_follow_log();
		log_info("configuration read, replacing the workers");
	}
	heap_fill();
	notify_send("READY=1");
}

static void
tell_status(struct pool *p)
{
	int count[WORKER_STATE_MAX];
	char status[sizeof(p->status)];

	board_count(p->board, count);
	(void)snprintf(status, sizeof(status),
	    "%d workers: %d idle, %d busy, %d receiving; %d parked", p->live,
	    count[WORKER_IDLE], count[WORKER_BUSY], count[WORKER_RECEIVING],
	    atomic_load(&p->board->parking.parked));
	if (strcmp(status, p->status) == 0)
		return;
	memcpy(p->status, status, sizeof(status));
	notify_send("STATUS=%s", status);
}

/* Sleep until something happens.  A worker that is no longer idle is nothing
 * new while the shortage of such workers may pass. */
static void
sleep_for(struct pool *p, int64_t ms)
{
	struct pollfd pfd = { .fd = p->wake[0], .events = POLLIN };
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000 };
	bool is_deaf = p->few > 0;
	char trash[64];

	if (ppoll(&pfd, is_deaf ? 0 : 1, &ts, &p->waiting) > 0 || is_deaf)
		(void)!read(p->wake[0], trash, sizeof(trash));
	atomic_store(&p->board->is_woken, false);
}

static void
stop_workers(struct pool *p, int64_t now)
{
	if (!p->is_stopping) {
		p->is_stopping = true;
		p->stop_until = now + p->settings->shutdown_timeout;
		sweeper_stop(&p->sweeper);
		notify_send("STOPPING=1");
		log_info("stopping");
	}
	if (now >= p->stop_until && p->live > 0)
		log_warn("%d workers did not leave in time", p->live);
	tell_all(p, now < p->stop_until ? SIGTERM : SIGKILL);
	parking_stop(&p->parking, now >= p->stop_until);
}

/* Do all that is due; returns how long to sleep. */
static int64_t
look(struct pool *p)
{
	int64_t now = clock_ms();
	bool is_changing;
	int spare;

	reap(p);
	if (got_term) {
		stop_workers(p, now);
		return TICK_STOPPING;
	}
	if (got_hup) {
		got_hup = 0;
		reload_pool(p);
	}
	parking_look(&p->parking, p->settings, p->master);
	is_changing = replace(p);
	spare = count_spare(p);
	grow(p, spare, now);
	shrink(p, spare, now);
	atomic_store(&p->board->is_full, room(p) <= 0);
	tell_status(p);
	/* This function runs often enough for the sweeper's result not to
	 * matter. */
	(void)sweeper_look(&p->sweeper, p->settings, p->board, p->listener->fd);
	if (p->few > 0)
		return LOOK_AGAIN;
	if (now < p->backoff_until)
		return p->backoff_until - now;
	return is_changing || p->step > 1 ? TICK_GROWING : TICK_QUIET;
}

static bool
set_up(struct pool *p)
{
	p->board = board_new();
	p->children = must_alloc(BOARD_SLOTS * sizeof(*p->children));
	memset(p->children, 0, BOARD_SLOTS * sizeof(*p->children));
	if (p->board == NULL || pipe2(p->wake, O_CLOEXEC | O_NONBLOCK) == -1) {
		log_error("cannot set up the pool: %s", strerror(errno));
		return false;
	}
	p->board->wake_fd = p->wake[1];
	if (!parking_set_up(&p->parking, p->settings, p->board))
		return false;
	work_listen(&p->board->past);
	apply(p);
	worker_prepare();
	heap_fill();
	return true;
}

int
pool_run(struct settings *s, const struct settings_source *source,
    const struct listener *l)
{
	struct pool p = { .settings = s,
		.source = source,
		.listener = l,
		.master = getpid(),
		.step = 1 };

	if (!set_up(&p))
		return 1;
	take_signals(&p);
	log_info("listening on %s", l->name);
	notify_send("READY=1");
	do
		sleep_for(&p, look(&p));
	while (!got_term || p.live > 0 || p.parking.pid != 0);
	log_info("stopped");
	free(p.children);
	return 0;
}
