/*
 * worker_answer.c - send an answer, log one line, read what is left of the
 * body.
 */
#include "config.h"

#include <sys/socket.h>

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fcgi/body.h"
#include "fcgi/os_read.h"
#include "fcgi/reply.h"
#include "fcgi/status.h"
#include "fcgi/stop.h"
#include "fcgi/worker_parts.h"

/* Content of this size fits into the buffers of a socket. */
#define SHORT_CONTENT (64 * 1024)

/* In ms: in a process without a pool, signals are checked after each request
 * that took at least this long. */
#define LONG_REQUEST 100

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
	const struct note *from = job->handover.from;
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
		{ from != NULL ? "parks" : NULL, NULL,
		    from != NULL ? from->parks : 0 },
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
 * that sends a body does: then the worker needs a permit as well.
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
 * Return the permit before the answer is sent, unless there is more to do: the
 * client may send its next request at once.
 */
static void
send_response(struct job *job, struct web_call *call, struct err *e)
{
	struct board *board = job->worker->board;
	size_t slot = job->worker->slot;
	bool takes_long = is_long(job, web_response(call));

	if (takes_long && board_take_permit(board, slot)) {
		board_set(board, slot, WORKER_RECEIVING);
	} else {
		if (takes_long)
			web_turn_away(call);
		if (!web_has_to_tell(call))
			board_return_permit(board, slot);
	}
	(void)reply_send(&job->fcgi, job->settings, call, job->arena, e);
	if (takes_long)
		board_return_permit(board, slot);
}

/*
 * The answer is sent with the end of the request before the rest of the body is
 * read: most front ends then stop sending.  But where the connection is kept
 * open, the bytes after the end of the request are the next one.
 */
void
worker_end_response(struct job *job)
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

void
worker_answer(
    struct job *job, const struct web_request *req, struct web_call *call)
{
	struct err e = { .code = ERR_OK };

	send_response(job, call, &e);
	metrics_count(&job->worker->board->metrics, web_response(call));
	follow_log(job);
	log_request(job, req, web_response(call), &e);
	worker_end_response(job);
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
bool
worker_answer_reader(struct job *job, const struct web_request *req)
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
	worker_end_response(job);
	return true;
}
