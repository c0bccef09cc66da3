/*
 * worker.c - accept a request, answer it, log one line, free all memory.
 */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "fcgi/body.h"
#include "fcgi/os_read.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"
#include "fcgi/stop.h"
#include "fcgi/tell.h"
#include "fcgi/work.h"
#include "fcgi/worker_parts.h"

/* FCGI_RESPONDER of the FastCGI specification. */
#define RESPONDER 1

/* In ms: a holder that works properly hands an upload over in less. */
#define HAND_OVER 600

/* In ms: how long a worker waits for the next request on a connection that the
 * front end keeps open. */
#define KEPT_OPEN 2000

/* In ms: how long an idle worker keeps the memory of its last body. */
#define KEPT_WARM 1000

/* In ms: how long an incomplete request may still take when the process
 * stops. */
#define STOPPING 500

/* In ms: how soon a worker that stops sees that the parking process is gone. */
#define PARKED_STEP 20

/* In ms: most requests that have a permit end in less. */
#define SOON_FREE 100

/* The interval at which a request that waits for a permit tries again. */
static const struct wait permit_step = { .fd = -1, .ms = 10 };

static bool
may_still_come(const struct job *job, int64_t silence)
{
	if (stop_is_due() && (job->is_kept || silence >= STOPPING))
		return false;
	if (job->is_kept && silence >= KEPT_OPEN)
		return false;
	return os_read_age() < job->settings->read_timeout;
}

/*
 * The watch between two requests and until all parameters of one have arrived.
 * The head of a request as a whole may take as long as a client may be silent,
 * however slowly its bytes come.
 */
static bool
wait_on_params(void *arg, int64_t silence)
{
	const struct job *job = arg;

	if (may_still_come(job, silence))
		return true;
	/* Without this, libfcgi would keep reading as long as input comes. */
	(void)shutdown(job->fcgi.ipcFd, SHUT_RD);
	return false;
}

/* Wait; true if the connection was closed.  Nothing is read from it. */
static bool
is_hung_up(int fd, const struct wait *wait)
{
	struct pollfd pfd[] = { { .fd = fd, .events = 0 },
		{ .fd = wait->fd, .events = wait->events } };

	return poll(pfd, NITEMS(pfd), wait->ms) > 0 && pfd[0].revents != 0;
}

/* May this request wait a little longer?  If no other worker is idle, for at
 * most so many ms in total: short requests need a worker too. */
static bool
may_wait(const struct job *job, int64_t at_most, const struct wait *wait)
{
	int64_t waited = clock_ms() - job->began;

	return waited < job->settings->lock_timeout &&
	    (waited < at_most || board_may_wait(job->worker->board)) &&
	    !stop_is_wanted() && !is_hung_up(job->fcgi.ipcFd, wait);
}

static bool
take_permit(const struct job *job)
{
	return board_take_permit(job->worker->board, job->worker->slot);
}

/* Wait as long as a hook or the like has a permit, not a body. */
static bool
wait_for_permit(const struct job *job)
{
	enum work_phase before = work_enter(WORK_LOCK);
	bool is_ours;

	while (!(is_ours = take_permit(job)))
		if (!board_may_free(job->worker->board) ||
		    !may_wait(job, SOON_FREE, &permit_step))
			break;
	(void)work_enter(before);
	return is_ours;
}

/* Note on the board that the client decides how long this takes. */
static void
is_receiving(const struct job *job, bool it_is)
{
	const struct worker *w = job->worker;

	board_set(w->board, w->slot, it_is ? WORKER_RECEIVING : WORKER_BUSY);
}

/* Begin the call; repeat until it has the lock or has waited long enough. */
static enum step
begin(struct job *job, struct web_call *call)
{
	enum step step;

	(void)work_enter(WORK_DISK);
	while ((step = web_begin(call)) == STEP_WAIT) {
		(void)work_enter(WORK_LOCK);
		if (may_wait(job, HAND_OVER, web_wait(call)))
			continue;
		web_give_up(call);
		step = STEP_DONE;
		break;
	}
	(void)work_enter(WORK_CLIENT);
	return step;
}

static bool
park(void *arg, struct note *n)
{
	struct job *job = arg;

	job->is_gone = handover_give(&job->handover, &job->fcgi, job->call, n,
	    job->began, job->fcgi.keepConnection != 0);
	return job->is_gone;
}

static bool
claim_permit(void *arg)
{
	const struct job *job = arg;

	if (!take_permit(job))
		return false;
	is_receiving(job, true);
	return true;
}

/* Would the master fork another worker, although this one only waits?  Where it
 * may fork none, does a connection wait?  And a worker that is to leave keeps
 * nothing that can go on elsewhere. */
static bool
is_needed(void *arg)
{
	const struct job *job = arg;
	const struct board *board = job->worker->board;
	struct pollfd pfd = { .fd = job->worker->listen_fd, .events = POLLIN };

	return stop_is_due() || board_is_short(board) ||
	    (!board_may_wait(board) && poll(&pfd, 1, 0) > 0);
}

static void
receive_or_park(struct job *job, struct web_call *call, bool has_permit)
{
	const struct body_exit exit = { .park = park,
		.claim = claim_permit,
		.is_needed = is_needed,
		.arg = job,
		.has_permit = has_permit,
		.from = job->handover.from };

	job->call = call;
	(void)body_receive_or_park(&job->fcgi, job->settings, call, &exit);
}

/* A small body that has already arrived needs no permit, unless its last byte
 * causes a copy of the whole upload. */
static void
receive_without_permit(struct job *job, struct web_call *call)
{
	if (web_may_move(call))
		web_turn_away(call);
	else
		body_receive_at_once(&job->fcgi, job->settings, call);
}

/* Nothing of the body has to be waited for, nor does its end take long. */
static void
receive_what_is_here(struct job *job, struct web_call *call)
{
	reply_interim(&job->fcgi, web_interim(call));
	body_receive(&job->fcgi, job->settings, call);
}

/* A body that can be parked needs a permit only once it has flowed; one that
 * has a permit may find room later. */
static void
receive_what_comes(struct job *job, struct web_call *call)
{
	const struct note *from = job->handover.from;
	bool has_permit = from == NULL ?
	    take_permit(job) :
	    board_has_permit(job->worker->board, job->worker->slot);

	if (from == NULL && !has_permit && !handover_has_room(&job->handover)) {
		receive_without_permit(job, call);
		return;
	}
	is_receiving(job, has_permit);
	if (from == NULL)
		reply_interim(&job->fcgi, web_interim(call));
	if (job->handover.up != -1)
		receive_or_park(job, call, has_permit);
	else
		body_receive(&job->fcgi, job->settings, call);
	is_receiving(job, false);
}

static void
receive(struct job *job, const struct web_request *req, struct web_call *call)
{
	const struct note *from = job->handover.from;

	job->is_warm = true;
	work_look(call, from != NULL ? from->task.past.received : 0);
	if (from == NULL && req->is_here && !web_may_move(call))
		receive_what_is_here(job, call);
	else
		receive_what_comes(job, call);
}

static const struct {
	const char *what, *answer;
} faults[] = {
	[REQUEST_INCOMPLETE] = { "no",
	    "ERR_BAD_REQUEST: incomplete FastCGI parameters\n" },
	[REQUEST_AMBIGUOUS] = { "two values of",
	    "ERR_AMBIGUOUS_PARAMETER: the web server passed two values of a "
	    "parameter; the log says of which\n" },
};

/* False if there is no valid request: it has been answered. */
static bool
read_request(struct job *job, struct web_request *req)
{
	enum request_fault fault;
	const char *why;

	fault =
	    request_read(job->fcgi.envp, job->settings, job->arena, req, &why);
	if (os_read_has_nul()) {
		fault = REQUEST_INCOMPLETE;
		why = "whole parameter: a NUL byte is in one";
	}
	if (fault == REQUEST_OK)
		return true;
	log_warn("request refused: the front end passed %s %s",
	    faults[fault].what, why);
	reply_error(&job->fcgi, 400, faults[fault].answer);
	worker_end_response(job);
	return false;
}

/* May the request run hooks, or copy a large upload? */
static bool
may_be_slow(struct job *job)
{
	return (!job->worker->is_alone || tell_has_room()) &&
	    wait_for_permit(job);
}

/*
 * A request that was parked and may run hooks goes back while there is no
 * permit for it.  False: it is gone.
 */
static bool
has_time(struct job *job, struct web_call *call)
{
	if (job->handover.from == NULL || !web_may_take_long(call) ||
	    take_permit(job))
		return true;
	job->is_gone = handover_give_back(&job->handover, &job->fcgi);
	if (job->is_gone)
		web_forget(call);
	return !job->is_gone;
}

/* Begin the call, or go on with it. */
static enum step
start(struct job *job, struct web_call *call)
{
	const struct note *from = job->handover.from;
	enum step step;

	if (from != NULL) {
		work_unshelve(&job->worker->board->shelf, from->shelf);
		step = web_resume(call, &from->task);
		handover_adopted(&job->handover);
		return step;
	}
	if (!web_may_take_long(call) || may_be_slow(job))
		return begin(job, call);
	web_turn_away(call);
	return STEP_DONE;
}

/* Returns the call, to be closed after the connection was given back, or
 * NULL. */
static struct web_call *
handle(struct job *job, struct web_request *req)
{
	struct web_call *call;
	int keeps;

	/* Where no body is read, the beginning of the next request is
	 * unknown. */
	keeps = os_read_may_keep() ? job->fcgi.keepConnection : 0;
	job->fcgi.keepConnection = 0;
	/* libfcgi takes a connection closed between two parameters for the end
	 * of the parameters. */
	if (FCGX_GetError(job->fcgi.in) != 0)
		return NULL;
	if (job->fcgi.role != RESPONDER) {
		/* For an authorizer any 200 would mean "access granted". */
		log_warn("request refused: FastCGI role %d", job->fcgi.role);
		reply_error(&job->fcgi, 500,
		    "ERR_BAD_REQUEST: this program is a FastCGI responder "
		    "only\n");
		worker_end_response(job);
		return NULL;
	}
	if (!read_request(job, req))
		return NULL;
	req->is_here = os_read_is_over();
	if (worker_answer_reader(job, req))
		return NULL;
	job->fcgi.keepConnection = keeps;
	work_begin(req, job->began);
	call = web_call_new(&job->settings->server, req, job->arena);
	if (!has_time(job, call))
		return NULL;
	os_read_begin(job->fcgi.ipcFd);
	if (start(job, call) == STEP_RECEIVE)
		receive(job, req, call);
	if (job->is_gone)
		return NULL;
	worker_answer(job, req, call);
	if (!os_read_end() || web_has_to_tell(call))
		job->fcgi.keepConnection = 0;
	return call;
}

/*
 * libfcgi would shut down its side of the connection and read as long as input
 * comes.  worker_end_response() has read to the end of the request or has
 * waited long enough, so the connection is detached and simply closed.
 */
static void
finish(struct job *job)
{
	if (job->fcgi.keepConnection == 0)
		(void)FCGX_Detach(&job->fcgi);
	FCGX_Finish_r(&job->fcgi);
}

/* The shorter of two times; a negative one has no end. */
static int64_t
sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How long to sleep at most, in ms; -1 is no limit. */
static int
nap(const struct job *job)
{
	const struct worker *w = job->worker;
	struct data_store *store = w->settings->server.core.store;
	int64_t ms = job->is_warm ? KEPT_WARM : -1;

	if (job->has_agent)
		locker_look();
	if (store->rester != NULL)
		ms = sooner(ms, store->rester->rest(store));
	if (w->sweeper != NULL)
		ms = sooner(ms,
		    sweeper_look(
			w->sweeper, w->settings, w->board, w->listen_fd));
	return (int)ms;
}

/* The socket that a request waits at; -1: there is none. */
static int
wait_idle(struct job *job)
{
	const struct worker *w = job->worker;
	int fd;

	board_set(w->board, w->slot, WORKER_IDLE);
	fd = stop_or_wait_for(w->listen_fd, w->down, nap(job));
	if (fd != -1)
		return fd;
	body_trim();
	job->is_warm = false;
	return -1;
}

/* A child has the lock of the upload only where locks are inherited over
 * fork(). */
static bool
tells_by_child(const struct job *job)
{
	const struct locker *locker = job->settings->server.core.locker;

	return job->worker->is_alone && locker->is_inherited;
}

/*
 * Copying an upload takes as long as receiving one, and hooks may take long
 * too.  Without a permit the work is left to the sweep: even a HEAD may have
 * found an upload to be finished after a crash.
 */
static void
close_call(
    struct job *job, const struct web_request *req, struct web_call *call)
{
	const struct worker *w = job->worker;

	(void)work_enter(WORK_DISK);
	if (!web_has_to_tell(call))
		web_close(call);
	else if (!take_permit(job))
		web_forget(call);
	else
		tell_and_close(call, tells_by_child(job), w->listen_fd);
	work_end(web_response(call), req, job->settings->slow);
	board_return_permit(w->board, w->slot);
}

/* The request goes on in another process, which answers and logs it. */
static void
part(struct job *job)
{
	handover_part(&job->fcgi);
	work_part();
	board_return_permit(job->worker->board, job->worker->slot);
	job->is_gone = false;
}

/* Serve the request whose connection FCGX_Accept_r() finds. */
static bool
accept_one(struct job *job)
{
	struct os_read_watch watch = { .wait_on = wait_on_params, .arg = job };
	const struct worker *w = job->worker;
	struct web_request req;
	struct web_call *call;
	int rc;

	os_read_watch(&watch);
	rc = FCGX_Accept_r(&job->fcgi);
	os_read_watch(NULL);
	job->is_kept = false;
	/* Another worker accepted the connection first. */
	if (rc == -EAGAIN || rc == -EINTR)
		return true;
	if (rc < 0) {
		log_error("accept: %s", rc > -4096 ? strerror(-rc) : "failed");
		return false;
	}
	handover_check(&job->handover, &job->fcgi);
	board_set(w->board, w->slot, WORKER_BUSY);
	job->began =
	    job->handover.from != NULL ? job->handover.from->began : clock_ms();
	call = handle(job, &req);
	if (job->is_gone)
		part(job);
	else
		finish(job);
	job->is_kept = job->fcgi.ipcFd >= 0;
	if (call != NULL)
		close_call(job, &req, call);
	job->served++;
	return true;
}

/* Serve a request that was parked; false: accept() fails. */
static bool
serve_parked(struct job *job)
{
	bool is_well = true;

	if (handover_take(&job->handover, &job->fcgi))
		is_well = accept_one(job);
	handover_end(&job->handover);
	return is_well;
}

/* Serve one request, or none if a signal came first.  False: accept() fails. */
static bool
serve_one(struct job *job)
{
	int fd = job->worker->listen_fd;
	bool is_well;

	/* A worker that keeps a connection open for one client is not spare. */
	if (!job->is_kept && (fd = wait_idle(job)) == -1)
		return true;
	os_read_expect();
	is_well = fd == job->worker->down ? serve_parked(job) : accept_one(job);
	arena_reset(job->arena);
	return is_well;
}

/* While all stop, the parking process gives everything away. */
static void
serve_all_parked(struct job *job)
{
	struct pollfd pfd = { .fd = job->worker->down, .events = POLLIN };
	const struct board_parking *p = &job->worker->board->parking;

	while (stop_is_wanted() && atomic_load(&p->pid) != 0) {
		if (poll(&pfd, 1, PARKED_STEP) <= 0)
			continue;
		os_read_expect();
		(void)serve_parked(job);
		arena_reset(job->arena);
	}
}

void
worker_prepare(void)
{
	/* The whole answer was sent with END_REQUEST, so there is nothing to
	 * wait for; but a front end that still writes must not get a reset. */
	(void)setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "100", 0);
	(void)FCGX_Init();
}

enum worker_end
worker_run(const struct worker *w)
{
	const struct settings *s = w->settings;
	struct job job = { .worker = w,
		.settings = s,
		.arena = arena_new(),
		.has_agent = w->is_alone && locker_is_far(s->conf),
		.handover = { .up = w->up,
		    .down = w->down,
		    .board = w->board,
		    .slot = w->slot },
		.reloads = atomic_load(&w->board->reloads) };
	enum worker_end end = WORKER_LEFT;

	if (FCGX_InitRequest(&job.fcgi, w->listen_fd, 0) != 0)
		return WORKER_FAILED;
	work_join(
	    s->is_watched ? &w->board->work[w->slot] : NULL, &w->board->past);
	/* Flushes during the start do not count for the first request. */
	(void)fs_take_sync_ns();
	while (end == WORKER_LEFT && !stop_let_in()) {
		if (stop_reload_is_wanted())
			end = WORKER_RELOAD;
		else if (!serve_one(&job))
			end = WORKER_FAILED;
		else if (job.served == s->max_requests && job.served > 0)
			break;
	}
	if (w->down != -1)
		serve_all_parked(&job);
	FCGX_Free(&job.fcgi, 1);
	arena_free(job.arena);
	return end;
}
