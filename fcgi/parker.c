/*
 * parker.c - the parking process.
 *
 * It reads nothing that a client sends.  SO_RCVLOWAT means nothing to poll() on
 * a Unix socket, so one event comes for each arrival, and SIOCINQ tells how
 * much is readable.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <linux/sockios.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "fcgi/lot.h"
#include "fcgi/parker.h"

enum {
	EVENTS_MAX = 256,
	/* Connection and lock. */
	DESCRIPTORS_EACH = 2,
	/* For our own ones. */
	DESCRIPTORS_LEFT = 64,
	/* Requests that may come beyond the room that was told: those that come
	 * back, and those of workers that look at the same time. */
	ROOM_LEFT = 64,
	/* For each request there is so much memory for parameters: one that has
	 * more takes the room of several. */
	PARAMS_EACH = 4096,
	/* So many requests are with workers at a time: what became ready at the
	 * same moment would have all of them, and all processors.  One that a
	 * worker has had for so many ms counts no longer. */
	TURNS = 8,
	TURN = 20,
	/* The longest sleep in ms; while locks are to be asked; while more is
	 * ready than the workers get. */
	SLEEP = 1000,
	SLEEP_LOCKS = 50,
	SLEEP_BLOCKED = 20
};

static volatile sig_atomic_t got_term;

struct keeper {
	const struct parker *parker;
	struct lot lot;
	int epoll_fd;
	/* How many are asked for, and how many can be kept. */
	size_t max, capacity;
	/* More is ready: the workers took no more, or had enough, when they
	 * were last tried. */
	bool is_blocked;
	/* There may be notes that were not read for want of room. */
	bool is_full;
	/* As many as board->parking.taken when the workers have taken all. */
	unsigned given;
	/* The log says so. */
	bool is_blind;
	struct note_box box;
};

static void
on_term(int sig)
{
	(void)sig;
	got_term = 1;
}

static void
take_signals(void)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGUSR1, SIGPIPE };
	struct sigaction sa;
	sigset_t held;
	size_t i;

	memset(&sa, 0, sizeof(sa));
	(void)sigemptyset(&sa.sa_mask);
	sa.sa_handler = SIG_IGN;
	for (i = 0; i < NITEMS(ignored); i++)
		(void)sigaction(ignored[i], &sa, NULL);
	sa.sa_handler = on_term;
	(void)sigaction(SIGTERM, &sa, NULL);
	/* Let in only while we sleep, so that none is missed. */
	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &held, NULL);
}

/* As many as there can be descriptors for. */
static size_t
find_capacity(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	if (limit.rlim_cur <= DESCRIPTORS_LEFT)
		return 0;
	return (limit.rlim_cur - DESCRIPTORS_LEFT) / DESCRIPTORS_EACH;
}

static void
find_max(struct keeper *k)
{
	size_t wanted = k->parker->max;

	k->capacity = find_capacity();
	k->max = k->capacity > ROOM_LEFT ? k->capacity - ROOM_LEFT : 0;
	if (k->max < wanted)
		log_info("pool.max_parked: %zu of %zu requests can be parked, "
			 "for want of descriptors (RLIMIT_NOFILE)",
		    k->max, wanted);
	else
		k->max = wanted;
}

/* NULL: it is no request. */
static bool
watch(struct keeper *k, int fd, uint32_t events, struct lot_item *what)
{
	struct epoll_event ev = { .events = events, .data.ptr = what };

	if (epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return true;
	if (!k->is_blind)
		log_error("parking: epoll: %s", strerror(errno));
	k->is_blind = true;
	return false;
}

/* The open file lives on in another process: to close it would leave it
 * registered, with a pointer to memory that is free. */
static void
forget(struct keeper *k, struct lot_item *i)
{
	(void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, i->connection, NULL);
	lot_remove(&k->lot, i);
}

/* A connection that is readable already causes an event at once.  One that
 * cannot be watched is looked at by a worker, after the time that a byte of it
 * would wait. */
static void
take_note(struct keeper *k)
{
	int64_t now = clock_ms();
	struct lot_item *i = lot_add(&k->lot, &k->box, now);

	work_show(&k->parker->board->shelf, i->note.shelf, true);
	if (!watch(k, i->connection, EPOLLIN | EPOLLRDHUP | EPOLLET, i))
		lot_see(&k->lot, i, 1, false, now);
}

/* What there are no descriptors for stays in the socket, where nothing is
 * lost. */
static void
take_notes(struct keeper *k)
{
	while (
	    k->lot.used < k->capacity && note_receive(k->parker->up, &k->box))
		take_note(k);
	k->is_full = k->lot.used >= k->capacity;
	explicit_bzero(&k->box, sizeof(k->box.note));
}

static void
look_at(struct keeper *k, struct lot_item *i, uint32_t events, int64_t now)
{
	bool is_over = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	int bytes = 0;

	if (!is_over && ioctl(i->connection, SIOCINQ, &bytes) == -1)
		is_over = true;
	lot_see(&k->lot, i, bytes, is_over, now);
}

static void
ask_locks(struct keeper *k, int64_t now)
{
	const struct locker_lender *lender = k->parker->lender;
	struct lot_item *i;

	while (lender != NULL && (i = lot_ask(&k->lot, now)) != NULL)
		if (lender->is_wanted(&i->note.task.loan))
			lot_want(&k->lot, i);
}

/* How many are on their way to workers. */
static int
count_given(struct keeper *k)
{
	unsigned taken = atomic_load(&k->parker->board->parking.taken);
	int bytes = 0;

	/* A worker that was killed may have taken one without a word. */
	if (ioctl(k->parker->down, SIOCOUTQ, &bytes) == 0 && bytes == 0)
		k->given = taken;
	return (int)(k->given - taken);
}

/* How many may be given away now.  A worker whose turn ends later wakes us. */
static int
count_free_turns(struct keeper *k, int64_t now)
{
	struct board *board = k->parker->board;

	atomic_store(&board->parking.is_waiting, true);
	if (k->lot.is_stopping)
		return INT_MAX;
	return TURNS - count_given(k) - board_count_turns(board, now - TURN);
}

/* EAGAIN, ETOOMANYREFS: later. */
static void
give_away(struct keeper *k, int64_t now)
{
	struct metrics *m = &k->parker->board->metrics;
	struct work_shelf *shelf = &k->parker->board->shelf;
	struct lot_item *i = lot_first(&k->lot);
	int turns = i != NULL ? count_free_turns(k, now) : 0;

	for (; i != NULL && turns > 0; i = lot_first(&k->lot), turns--) {
		/* Or the worker might be done with it before. */
		work_show(shelf, i->note.shelf, false);
		if (note_send(
			k->parker->down, &i->note, i + 1, i->connection) != 0) {
			work_show(shelf, i->note.shelf, true);
			break;
		}
		k->given++;
		metrics_count_handover(m, i->note.why);
		forget(k, i);
	}
	k->is_blocked = i != NULL;
	if (i == NULL)
		atomic_store(&k->parker->board->parking.is_waiting, false);
}

static int
find_room(const struct keeper *k)
{
	size_t used = k->lot.bytes / PARAMS_EACH;

	if (used < k->lot.used)
		used = k->lot.used;
	return used < k->max ? (int)(k->max - used) : 0;
}

static void
publish(const struct keeper *k)
{
	struct board_parking *p = &k->parker->board->parking;

	atomic_store(&p->parked, (int)k->lot.used);
	atomic_store(&p->room, got_term ? -1 : find_room(k));
	atomic_store(&p->beat, clock_ms());
}

/* No request is here, or on its way to a worker or to us.  The socket is looked
 * at after the workers that may have sent one. */
static bool
is_done(const struct keeper *k)
{
	int out = 0, in = 0;

	return k->lot.used == 0 && !board_is_giving(k->parker->board) &&
	    ioctl(k->parker->down, SIOCOUTQ, &out) == 0 && out == 0 &&
	    ioctl(k->parker->up, SIOCINQ, &in) == 0 && in == 0;
}

static int
how_long(struct keeper *k, int64_t now)
{
	int64_t ms = lot_turn(&k->lot, now, SLEEP);

	if (k->is_full && k->lot.used < k->capacity)
		return 0;
	if (k->lot.used > 0 && k->parker->lender != NULL && ms > SLEEP_LOCKS)
		ms = SLEEP_LOCKS;
	if ((k->is_blocked || got_term) && ms > SLEEP_BLOCKED)
		ms = SLEEP_BLOCKED;
	/* A ms that has begun is not over. */
	return ms < 0 ? 0 : (int)ms + 1;
}

/*
 * An event may be of an item that the same round forgets: so first all events,
 * then what follows from them.  A worker whose turn is over has ended it before
 * it sends the note that wakes us: so that is looked at after the notes, which
 * cause no event any more once they were read.
 */
static void
go_round(struct keeper *k)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t now = clock_ms();
	sigset_t none;
	int i, n;

	(void)sigemptyset(&none);
	n = epoll_pwait(
	    k->epoll_fd, events, EVENTS_MAX, how_long(k, now), &none);
	now = clock_ms();
	for (i = 0; i < n; i++)
		if (events[i].data.ptr != NULL)
			look_at(k, events[i].data.ptr, events[i].events, now);
	if (got_term && !k->lot.is_stopping)
		lot_stop(&k->lot);
	take_notes(k);
	ask_locks(k, now);
	(void)lot_turn(&k->lot, now, SLEEP);
	give_away(k, now);
	publish(k);
}

void
parker_run(const struct parker *parker)
{
	struct keeper *k = must_alloc(sizeof(*k));

	*k = (struct keeper){ .parker = parker };
	find_max(k);
	lot_init(&k->lot, clock_ms());
	take_signals();
#ifdef PR_SET_DUMPABLE
	/* Notes have the header fields of clients. */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!watch(k, parker->up, EPOLLIN | EPOLLET, NULL))
		return;
	publish(k);
	do
		go_round(k);
	while (!got_term || !is_done(k));
	(void)close(k->epoll_fd);
	free(k);
}
