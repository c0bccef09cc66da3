/*
 * body.c - receive a request's body and hand it to the core in large slices.
 *
 * Input is gathered in one buffer.  The buffer is handed on when it is full, at
 * the end of the body, or when no input is waiting: a fast client causes large
 * writes, and of a slow client's body hardly anything is ever unwritten.
 */
#include "config.h"

#include <poll.h>
#include <sys/mman.h>

#include <fcgios.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fcgi/body.h"
#include "fcgi/os_read.h"
#include "fcgi/stop.h"
#include "fcgi/work.h"

#define GATHER_SIZE (1024 * 1024)

/* How much of the buffer body_trim() leaves mapped. */
#define GATHER_KEPT (16 * 1024)

/* Up to this much input is not gathered: see goes_straight_on(). */
#define LITTLE (4 * 1024)

/* A body up to this size is taken even by a worker without a permit. */
#define SMALL_BODY (8 * 1024)

/* The most bytes that are read to be discarded. */
#define DRAIN_MAX (64 * 1024 * 1024)

/* The longest wait for more bytes to discard, in ms. */
#define DRAIN_SILENCE 1000

/* Ms of silence after which a body is parked.  A body that is known to be slow
 * is not waited for at all. */
#define PATIENCE 100

/* A body that has flowed for so many ms, or has brought so much, takes a permit
 * or lets others have the worker. */
#define FLOW_MS	   100
#define FLOW_BYTES ((int64_t)1 << 20)

struct body {
	FCGX_Request *fcgi;
	const struct settings *settings;
	struct web_call *call;

	/* Bytes still to come; -1 if unknown. */
	int64_t left;

	/* How many bytes are in the buffer. */
	size_t held;
	/* The read whose bytes were last handed on without the buffer. */
	unsigned straight;

	/* The core needs no more of the body. */
	bool is_done;
	/* The body ended early, for this reason. */
	bool is_ended;
	enum body_end why;

	/* Take the bytes that have arrived, and do not wait for more. */
	bool at_once;

	int64_t last_tick, tick_received;
	/* Periodic work is due as soon as all that is here was read: before
	 * that, a client would seem to be slow whose bytes wait. */
	bool is_due;

	/* The time and the byte count at which measuring the rate began. */
	int64_t rate_since, received, rate_received;

	struct os_read_watch watch;

	/* NULL: it stays here until it is over. */
	const struct body_exit *exit;
	bool is_parked, has_permit;
	/* Ms of silence until it is parked. */
	int64_t patience;
	/* When the last byte came, while this process has seen none; 0. */
	int64_t last_byte;
	/* When it came here, or last had its turn, and with how much. */
	int64_t turn_began, turn_received;
};

/* Stays mapped after the first body; untouched pages cost nothing. */
static char *gather;
static size_t touched;

static void
end_with(struct body *b, enum body_end why)
{
	b->is_ended = true;
	b->why = why;
}

/* Act on the result of a step.  While the store is busy nothing is read, so
 * that the client is slowed down and no input piles up. */
static void
settle(struct body *b, enum step step)
{
	const struct wait *wait = web_wait(b->call);

	while (step == STEP_WAIT && !b->is_ended) {
		struct pollfd pfd = { .fd = wait->fd, .events = wait->events };

		(void)poll(
		    &pfd, 1, wait->ms < OS_READ_STEP ? wait->ms : OS_READ_STEP);
		if (stop_is_wanted())
			end_with(b, END_SHUTDOWN);
		else
			step = web_tick(b->call);
	}
	b->is_done = step == STEP_DONE;
	b->watch.fd = wait->fd;
	b->watch.events = step == STEP_RECEIVE ? wait->events : 0;
}

/* The store has something to do while the client is silent. */
static bool
is_store_due(const struct body *b)
{
	struct pollfd pfd = { .fd = b->watch.fd, .events = b->watch.events };

	return b->watch.events != 0 && poll(&pfd, 1, 0) > 0;
}

static void
take(struct body *b, const void *p, size_t len)
{
	enum work_phase before = work_enter(WORK_DISK);

	settle(b, web_receive(b->call, p, len));
	(void)work_enter(before);
}

static void
hand_on(struct body *b)
{
	if (b->held == 0 || b->is_done)
		return;
	take(b, gather, b->held);
	b->held = 0;
}

/* The rate is averaged over the time for which a client may be silent. */
static bool
is_too_slow(struct body *b, int64_t now)
{
	int64_t elapsed = now - b->rate_since;
	int64_t came = b->received - b->rate_received;

	if (b->settings->min_rate == 0 || elapsed < b->settings->read_timeout)
		return false;
	b->rate_since = now;
	b->rate_received = b->received;
	return came * 1000 / elapsed < b->settings->min_rate;
}

void
body_trim(void)
{
	os_read_trim();
	if (touched <= GATHER_KEPT)
		return;
	(void)madvise(gather, GATHER_SIZE, MADV_DONTNEED);
	touched = 0;
}

/* Called every 250 ms, whether input arrives or not. */
static void
tick(struct body *b, int64_t now)
{
	b->last_tick = now;
	b->is_due = false;
	hand_on(b);
	/* A client that was fast and is now slow may stay slow for hours. */
	if (b->received - b->tick_received < GATHER_KEPT)
		body_trim();
	b->tick_received = b->received;
	if (!b->is_done)
		settle(b, web_tick(b->call));
	if (!b->is_done)
		work_look(b->call, b->received);
	if (b->is_ended)
		return;
	if (stop_is_wanted())
		end_with(b, END_SHUTDOWN);
	else if (is_too_slow(b, now))
		end_with(b, END_TIMED_OUT);
}

static bool
came_with(const struct body *b, enum note_why why)
{
	const struct note *from = b->exit != NULL ? b->exit->from : NULL;

	return from != NULL && from->why == why;
}

/* True: it is gone.  If not, it has another turn here. */
static bool
park(struct body *b, enum note_why why, int64_t now, int64_t silence)
{
	struct note n = { .why = why,
		.left = b->left,
		.last_byte = now - silence,
		.rate_since = b->rate_since,
		.rate_received = b->rate_received,
		.patience = b->settings->read_timeout,
		.is_due = web_has_to_report(b->call) };

	n.is_soon = b->left < 0 || n.is_due;
	b->is_parked = b->exit->park(b->exit->arg, &n);
	if (b->is_parked)
		return true;
	if (!b->has_permit)
		b->has_permit = b->exit->claim(b->exit->arg);
	b->watch.step = 0;
	b->watch.is_asked_first = false;
	b->turn_began = now;
	b->turn_received = b->received;
	return false;
}

/* Nothing more is here, or others are to have their turn. */
static bool
may_park(struct body *b, int64_t now, int64_t silence)
{
	if (b->exit == NULL)
		return false;
	if (b->watch.is_asked_first)
		return park(b, NOTE_NO_PLACE, now, silence);
	return (silence >= b->patience || b->exit->is_needed(b->exit->arg)) &&
	    park(b, NOTE_DRY, now, silence);
}

/* Called when there is nothing to read. */
static bool
wait_on(void *arg, int64_t silence)
{
	struct body *b = arg;
	int64_t now = clock_ms();

	if (b->at_once)
		return false;
	hand_on(b);
	if (b->last_byte != 0)
		silence = now - b->last_byte;
	if (b->is_due || now - b->last_tick >= OS_READ_STEP)
		tick(b, now);
	else if (!b->is_done && is_store_due(b))
		settle(b, web_tick(b->call));
	if (silence >= b->settings->read_timeout && !b->is_ended)
		end_with(b, END_TIMED_OUT);
	if (came_with(b, NOTE_STOP) && !b->is_done && !b->is_ended)
		end_with(b, END_SHUTDOWN);
	return !b->is_done && !b->is_ended && !may_park(b, now, silence);
}

/* The bytes that libfcgi has buffered, without a copy; 0 at the end of the
 * body. */
static size_t
next_window(FCGX_Request *fcgi, const unsigned char **p)
{
	FCGX_Stream *in = fcgi->in;
	size_t len;
	int ch;

	os_read_enter(fcgi->ipcFd, in->rdNext == in->stop);
	ch = FCGX_GetChar(in);
	os_read_leave();
	if (ch == EOF)
		return 0;
	*p = in->rdNext - 1;
	len = (size_t)(in->stop - *p);
	in->rdNext = in->stop;
	return len;
}

/*
 * Should these bytes go to the core without being gathered?  Yes at the end of
 * the body, and for the small amounts that a slow client sends: gathering them
 * would only touch another page.  Once for each read, because one read may
 * bring many small records.  Not where all has come already: nginx makes two
 * records of a small body, and to write twice costs more than a page.
 */
static bool
goes_straight_on(struct body *b, size_t len)
{
	unsigned read = os_read_count();

	if (b->held > 0)
		return false;
	if (b->left == 0)
		return true;
	if (len > LITTLE || b->at_once || os_read_is_ahead() ||
	    os_read_is_over() || b->straight == read)
		return false;
	b->straight = read;
	return true;
}

static void
add(struct body *b, const unsigned char *p, size_t len)
{
	if (b->left >= 0 && (int64_t)len > b->left)
		len = (size_t)b->left;
	if (b->left >= 0)
		b->left -= (int64_t)len;
	b->received += (int64_t)len;
	b->last_byte = 0;
	if (goes_straight_on(b, len)) {
		take(b, p, len);
		return;
	}
	if (b->held + len > GATHER_SIZE)
		hand_on(b);
	memcpy(gather + b->held, p, len);
	b->held += len;
	if (touched < b->held)
		touched = b->held;
}

/* A body that flows takes a permit.  Where there is none, it leaves with the
 * next read. */
static void
take_permit(struct body *b, int64_t now)
{
	if (now - b->turn_began < FLOW_MS &&
	    b->received - b->turn_received < FLOW_BYTES)
		return;
	b->has_permit = b->exit->claim(b->exit->arg);
	b->watch.is_asked_first = !b->has_permit;
}

static void
take_all(struct body *b)
{
	const unsigned char *p;
	int64_t now;
	size_t len;

	while (b->left != 0 && !b->is_done && !b->is_ended) {
		len = next_window(b->fcgi, &p);
		if (len == 0)
			break;
		if (b->at_once && b->held + len > SMALL_BODY) {
			b->held = SMALL_BODY + 1;
			break;
		}
		add(b, p, len);
		now = clock_ms();
		if (now - b->last_tick >= OS_READ_STEP && !b->at_once)
			tick(b, now);
		if (!b->has_permit)
			take_permit(b, now);
	}
}

static void
start(struct body *b)
{
	if (gather == NULL) {
		gather = mmap(NULL, GATHER_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (gather == MAP_FAILED)
			out_of_memory();
	}
	b->left = web_wanted(b->call);
	b->last_tick = b->rate_since = b->turn_began = clock_ms();
	b->watch = (struct os_read_watch){ .wait_on = wait_on, .arg = b };
}

/* Continue where the process before stopped.  Periodic work is due at once,
 * because this turn may be over soon. */
static void
go_on(struct body *b, const struct note *from)
{
	b->received = b->tick_received = b->turn_received =
	    from->task.past.received;
	b->last_byte = from->last_byte;
	b->rate_since = from->rate_since;
	b->rate_received = from->rate_received;
	b->is_due = true;
	if (from->why != NOTE_BYTES || b->left <= LITTLE)
		b->patience = 0;
}

static void
start_turn(struct body *b)
{
	b->patience = PATIENCE;
	b->has_permit = b->exit->has_permit;
	if (b->exit->from != NULL)
		go_on(b, b->exit->from);
	b->watch.step = b->patience > 0 ? PATIENCE : 0;
}

static bool
is_over(const struct body *b)
{
	return b->left == 0 || (b->left < 0 && FCGX_GetError(b->fcgi->in) == 0);
}

static void
finish(struct body *b)
{
	enum body_end why = END_COMPLETE;
	enum work_phase before;

	hand_on(b);
	if (b->is_done)
		return;
	if (b->is_ended)
		why = b->why;
	else if (b->left != 0 && FCGX_GetError(b->fcgi->in) != 0)
		why = END_CLIENT_GONE;
	before = work_enter(WORK_DISK);
	web_end(b->call, why);
	(void)work_enter(before);
}

static void
receive(struct body *b)
{
	start(b);
	b->has_permit = true;
	if (b->exit != NULL)
		start_turn(b);
	os_read_watch(&b->watch);
	take_all(b);
	os_read_watch(NULL);
}

void
body_receive(
    FCGX_Request *fcgi, const struct settings *s, struct web_call *call)
{
	struct body b = { .fcgi = fcgi, .settings = s, .call = call };

	receive(&b);
	finish(&b);
}

bool
body_receive_or_park(FCGX_Request *fcgi, const struct settings *s,
    struct web_call *call, const struct body_exit *exit)
{
	struct body b = {
		.fcgi = fcgi, .settings = s, .call = call, .exit = exit
	};

	receive(&b);
	if (!b.is_parked)
		finish(&b);
	return b.is_parked;
}

void
body_receive_at_once(
    FCGX_Request *fcgi, const struct settings *s, struct web_call *call)
{
	struct body b = {
		.fcgi = fcgi, .settings = s, .call = call, .at_once = true
	};

	if (web_wanted(call) <= SMALL_BODY)
		receive(&b);
	else
		b.left = 1;
	if (b.is_done)
		return;
	if (is_over(&b) && b.held <= SMALL_BODY) {
		finish(&b);
		return;
	}
	web_turn_away(call);
}

struct drain {
	const struct board *board;
	int64_t until;
};

/* While draining, a stalled client would only block the worker, so it gets
 * little patience. */
static bool
wait_on_drain(void *arg, int64_t silence)
{
	const struct drain *d = arg;

	return silence < DRAIN_SILENCE && clock_ms() < d->until &&
	    board_may_wait(d->board) && !stop_is_wanted();
}

/*
 * Read some bytes and discard them.  Where our watch ended a read, libfcgi
 * believes that the stream is over and may be in the middle of a header; then
 * the socket is read directly.
 */
static ssize_t
skip(FCGX_Request *fcgi)
{
	static char waste[SMALL_BODY];
	const unsigned char *p;

	if (FCGX_GetError(fcgi->in) == 0)
		return (ssize_t)next_window(fcgi, &p);
	return OS_Read(fcgi->ipcFd, waste, sizeof(waste));
}

bool
body_drain(
    FCGX_Request *fcgi, const struct settings *s, const struct board *board)
{
	struct drain d = { board, clock_ms() + s->drain_timeout };
	struct os_read_watch watch = { .wait_on = wait_on_drain, .arg = &d };
	int64_t drained = 0;
	ssize_t len;

	os_read_watch(&watch);
	do {
		len = skip(fcgi);
		drained += len;
	} while (len > 0 && drained < DRAIN_MAX && clock_ms() < d.until);
	os_read_watch(NULL);
	return len == 0 && FCGX_GetError(fcgi->in) == 0;
}
