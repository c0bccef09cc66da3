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
#include "fcgi/status.h"
#include "fcgi/tell.h"
#include "fcgi/work.h"
#include "fcgi/worker.h"

/* FCGI_RESPONDER of the FastCGI specification. */
#define RESPONDER 1

/* Content of this size fits into the buffers of a socket. */
#define SHORT_CONTENT (64 * 1024)

/* The interval at which a request that waits for a place tries again. */
static const struct wait place_step = { .fd = -1, .ms = 10 };

/* In ms: a holder that works properly hands an upload over in less. */
#define HAND_OVER 600

/* In ms: most requests that hold a place end in less. */
#define SOON_FREE 100

/* In ms: how long a worker waits for the next request on a connection that the
 * front end keeps open. */
#define KEPT_OPEN 2000

/* In ms: how long an idle worker keeps the memory of its last body. */
#define KEPT_WARM 1000

/* In ms: how long an incomplete request may still take when the process
 * stops. */
#define STOPPING 500

/* In ms: in a process without a pool, signals are checked after each request
 * that took at least this long. */
#define LONG_REQUEST 100

struct job {
	const struct worker *worker;
	const struct settings *settings;
	FCGX_Request fcgi;
	struct arena *arena;
	int64_t began;

	/* The last request left its connection open. */
	bool is_kept;

	/* The last request had a body, whose memory is still mapped. */
	bool is_warm;

	/* This worker holds a place. */
	bool has_place;

	int64_t served;

	/* The board's reloads when the log was last opened. */
	unsigned reloads;
};

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

/*
 * May this request wait a little longer?  If no other worker is idle, for at
 * most so many ms in total: short requests need a worker too.
 */
static bool
may_wait(const struct job *job, int64_t at_most, const struct wait *wait)
{
	int64_t waited = clock_ms() - job->began;

	return waited < job->settings->lock_timeout &&
	    (waited < at_most || board_may_wait(job->worker->board)) &&
	    !stop_is_wanted() && !is_hung_up(job->fcgi.ipcFd, wait);
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

/* A worker that may be busy for long needs a place, so that some workers never
 * are. */
static bool
take_place(struct job *job)
{
	const struct worker *w = job->worker;

	if (!job->has_place)
		job->has_place = board_claim(w->board, w->slot);
	return job->has_place;
}

/* Wait as long as a place is held by a hook or the like, not by a body. */
static bool
wait_for_place(struct job *job)
{
	enum work_phase before = work_enter(WORK_LOCK);
	bool is_ours;

	while (!(is_ours = take_place(job)))
		if (!board_may_free(job->worker->board) ||
		    !may_wait(job, SOON_FREE, &place_step))
			break;
	(void)work_enter(before);
	return is_ours;
}

static void
leave_place(struct job *job)
{
	const struct worker *w = job->worker;

	if (!job->has_place)
		return;
	board_unclaim(w->board, w->slot);
	board_set(w->board, w->slot, WORKER_BUSY);
	job->has_place = false;
}

/* Note on the board that the client decides how long this takes. */
static void
is_receiving(const struct job *job, bool it_is)
{
	const struct worker *w = job->worker;

	board_set(w->board, w->slot, it_is ? WORKER_RECEIVING : WORKER_BUSY);
}

/* A small body that has already arrived needs no place, unless its last byte
 * causes a copy of the whole upload. */
static void
receive(struct job *job, struct web_call *call)
{
	job->is_warm = true;
	work_look(call, 0);
	if (take_place(job)) {
		is_receiving(job, true);
		reply_interim(&job->fcgi, web_interim(call));
		body_receive(&job->fcgi, job->settings, call);
		is_receiving(job, false);
	} else if (web_may_move(call)) {
		web_turn_away(call);
	} else {
		body_receive_at_once(&job->fcgi, job->settings, call);
	}
}

/* Reopen the log if it was rotated while this request was handled. */
static void
follow_log(struct job *job)
{
	const struct worker *w = job->worker;
	unsigned reloads = atomic_load(&w->board->reloads);
	bool is_new = reloads != job->reloads;

	if (w->is_alone && clock_ms() - job->began >= LONG_REQUEST)
		is_new = stop_reload_is_due();
	if (is_new)
		log_follow(job->settings->conf);
	job->reloads = reloads;
}

static void
log_request(const struct job *job, const struct web_request *req,
    const struct web_response *res, const struct err *sending)
{
	const struct web_outcome *o = &res->outcome;
	const struct err *err = sending->code != ERR_OK ? sending : res->err;
	bool is_bad =
	    sending->code != ERR_OK || res->status >= 500 || o->is_soft;
	/* These two codes are recorded in passing and are no reason for a
	 * 5xx. */
	bool has_err = is_bad && err->code != ERR_OK &&
	    err->code != ERR_NOT_FOUND && err->code != ERR_LOCKED;
	enum log_level level = has_err ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
	const struct log_field fields[] = {
		{ "method", o->method != NULL ? o->method : "-", 0 },
		{ o->id != NULL ? "id" : NULL, o->id, 0 },
		{ "status", NULL, res->status },
		{ o->protocol != NULL ? "proto" : NULL, o->protocol, 0 },
		{ o->version >= 0 ? "n" : NULL, NULL, o->version },
		{ o->code != NULL ? "code" : NULL, o->code, 0 },
		{ res->err != NULL && res->err->code == ERR_FENCED ? "fenced" :
								     NULL,
		    NULL, 1 },
		{ o->lock_host != NULL ? "lock_host" : NULL, o->lock_host, 0 },
		{ o->offset >= 0 ? "offset" : NULL, NULL, o->offset },
		{ "bytes", NULL, o->received },
		{ "ms", NULL, clock_ms() - job->began },
		{ has_err ? "err" : NULL, err->text, 0 },
		{ req->shown.request_id != NULL ? "request_id" : NULL,
		    req->shown.request_id, 0 },
	};

	if (log_wants(level))
		log_event(level, "request", fields, NITEMS(fields));
}

/* Read the rest of the body, up to a limit. */
static void
drain(struct job *job)
{
	if (body_drain(&job->fcgi, job->settings, job->worker->board))
		return;
	/* Without this, libfcgi would keep reading as long as input comes. */
	(void)shutdown(job->fcgi.ipcFd, SHUT_RD);
	job->fcgi.keepConnection = 0;
}

/*
 * A client may read a long response slowly and so keep a worker busy, as one
 * that sends a body does: then the worker needs a place as well.
 */
static bool
is_long(const struct job *job, const struct web_response *res)
{
	return res->content != NULL && !res->bodiless &&
	    res->content->length > SHORT_CONTENT &&
	    (job->settings->sendfile == SENDFILE_NONE ||
		res->content->path == NULL);
}

/*
 * Give the place back before the answer is sent, unless there is more to do:
 * the client may send its next request at once.
 */
static void
send_response(struct job *job, struct web_call *call, struct err *e)
{
	bool takes_long = is_long(job, web_response(call));

	if (takes_long && !take_place(job))
		web_turn_away(call);
	if (takes_long && job->has_place)
		is_receiving(job, true);
	else if (!web_has_to_tell(call))
		leave_place(job);
	(void)reply_send(&job->fcgi, job->settings, call, job->arena, e);
	if (takes_long)
		leave_place(job);
}

/*
 * The answer is sent with the end of the request before the rest of the body is
 * read: most front ends then stop sending.  But where the connection is kept
 * open, the bytes after the end of the request are the next one.
 */
static void
end_response(struct job *job)
{
	bool is_last = job->fcgi.keepConnection == 0;

	if (!is_last && !os_read_is_over()) {
		(void)FCGX_FFlush(job->fcgi.out);
		drain(job);
	}
	(void)FCGX_FClose(job->fcgi.err);
	(void)FCGX_FClose(job->fcgi.out);
	if (is_last && !os_read_is_over()) {
		/* nginx passes an early answer on only when our side of the
		 * connection is closed. */
		(void)shutdown(job->fcgi.ipcFd, SHUT_WR);
		drain(job);
	}
}

static void
answer(struct job *job, const struct web_request *req, struct web_call *call)
{
	struct err e = { .code = ERR_OK };

	send_response(job, call, &e);
	metrics_count(&job->worker->board->metrics, web_response(call));
	follow_log(job);
	log_request(job, req, web_response(call), &e);
	end_response(job);
}

static void
answer_metrics(struct job *job, const struct web_request *req)
{
	const struct worker *w = job->worker;

	(void)req;
	reply_text(&job->fcgi, "", "text/plain; version=0.0.4; charset=utf-8",
	    metrics_text(w->board, job->settings->conf,
		job->settings->server.core.locker, job->arena));
}

static void
answer_status(struct job *job, const struct web_request *req)
{
	const struct worker *w = job->worker;
	struct status_answer answer;

	status_answer(w->board, job->settings, strchr(req->shown.uri, '?'),
	    FCGX_GetParam("HTTP_ACCEPT", job->fcgi.envp), job->arena, &answer);
	reply_text(&job->fcgi, answer.headers, answer.type, answer.text);
}

/* For any method: this path never leads to uploads. */
static bool
is_at(const char *path, const struct web_request *req)
{
	size_t len;

	if (path == NULL || req->shown.uri == NULL)
		return false;
	len = strlen(path);
	return strncmp(req->shown.uri, path, len) == 0 &&
	    (req->shown.uri[len] == '\0' || req->shown.uri[len] == '?');
}

/* Answer requests for the metrics and the status page; false for any other. */
static bool
answer_reader(struct job *job, const struct web_request *req)
{
	const struct settings *s = job->settings;
	const struct {
		const char *path;
		void (*answer)(struct job *, const struct web_request *);
	} pages[] = {
		{ s->metrics_path, answer_metrics },
		{ s->status_path, answer_status },
	};
	size_t i = 0;

	while (i < NITEMS(pages) && !is_at(pages[i].path, req))
		i++;
	if (i == NITEMS(pages))
		return false;
	if (strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0)
		pages[i].answer(job, req);
	else
		reply_error(&job->fcgi, 405,
		    "ERR_METHOD_NOT_ALLOWED: this can only be read\n");
	end_response(job);
	return true;
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
	end_response(job);
	return false;
}

/* May the request run hooks, or copy a large upload? */
static bool
may_be_slow(struct job *job)
{
	return (!job->worker->is_alone || tell_has_room()) &&
	    wait_for_place(job);
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
		end_response(job);
		return NULL;
	}
	if (!read_request(job, req))
		return NULL;
	if (answer_reader(job, req))
		return NULL;
	job->fcgi.keepConnection = keeps;
	work_begin(req, job->began);
	call = web_call_new(&job->settings->server, req, job->arena);
	os_read_begin(job->fcgi.ipcFd);
	if (web_may_take_long(call) && !may_be_slow(job))
		web_turn_away(call);
	else if (begin(job, call) == STEP_RECEIVE)
		receive(job, call);
	answer(job, req, call);
	if (!os_read_end() || web_has_to_tell(call))
		job->fcgi.keepConnection = 0;
	return call;
}

/*
 * libfcgi would shut down its side of the connection and read as long as input
 * comes.  end_response() has read to the end of the request or has waited long
 * enough, so the connection is detached and simply closed.
 */
static void
finish(struct job *job)
{
	if (job->fcgi.keepConnection == 0)
		(void)FCGX_Detach(&job->fcgi);
	FCGX_Finish_r(&job->fcgi);
}

/* How long to sleep at most, in ms; -1 is no limit. */
static int
nap(const struct job *job)
{
	const struct worker *w = job->worker;
	int64_t ms = w->sweeper == NULL ?
	    -1 :
	    sweeper_look(w->sweeper, w->settings, w->board, w->listen_fd);

	if (w->is_alone)
		locker_look();
	if (job->is_warm && (ms < 0 || ms > KEPT_WARM))
		ms = KEPT_WARM;
	return (int)ms;
}

/* False if no connection came. */
static bool
wait_idle(struct job *job)
{
	const struct worker *w = job->worker;

	board_set(w->board, w->slot, WORKER_IDLE);
	if (stop_or_wait_for(w->listen_fd, nap(job)))
		return true;
	body_trim();
	job->is_warm = false;
	return false;
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
 * too.  Without a place the work is left to the sweep: even a HEAD may have
 * found an upload to be finished after a crash.
 */
static void
close_call(
    struct job *job, const struct web_request *req, struct web_call *call)
{
	const struct worker *w = job->worker;

	(void)work_enter(WORK_DISK);
	if (web_has_to_tell(call) && !take_place(job))
		web_forget(call);
	else
		tell_and_close(call, tells_by_child(job), w->listen_fd);
	work_end(web_response(call), req, job->settings->slow);
	leave_place(job);
}

/* Serve one request, or none if a signal came first.  False: accept() fails. */
static bool
serve_one(struct job *job)
{
	struct os_read_watch watch = { wait_on_params, job };
	const struct worker *w = job->worker;
	struct web_request req;
	struct web_call *call;
	int rc;

	/* A worker that keeps a connection open for one client is not spare. */
	if (!job->is_kept && !wait_idle(job))
		return true;
	os_read_expect();
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
	board_set(w->board, w->slot, WORKER_BUSY);
	job->began = clock_ms();
	call = handle(job, &req);
	finish(job);
	job->is_kept = job->fcgi.ipcFd >= 0;
	if (call != NULL)
		close_call(job, &req, call);
	job->served++;
	arena_reset(job->arena);
	return true;
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
		.reloads = atomic_load(&w->board->reloads) };
	enum worker_end end = WORKER_LEFT;

	if (FCGX_InitRequest(&job.fcgi, w->listen_fd, 0) != 0)
		return WORKER_FAILED;
	work_join(settings_watch(s) ? &w->board->work[w->slot] : NULL,
	    &w->board->past);
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
	FCGX_Free(&job.fcgi, 1);
	arena_free(job.arena);
	return end;
}
