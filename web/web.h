/*
 * web.h - a request over HTTP, without a web server.
 *
 * One request is one struct web_call.  The transport begins it, passes the body
 * slice by slice if the call wants one, says why the body ended, sends the
 * response and closes the call.  The call calls nothing back, keeps nothing
 * between two calls and has no globals, so a test or a fuzzer drives it just as
 * the FastCGI worker does:
 *
 *	call = web_call_new(server, request, arena);
 *	while ((step = web_begin(call)) == STEP_WAIT)
 *		wait as web_wait(call) says, or web_give_up(call)
 *	if (step == STEP_RECEIVE)
 *		web_receive() ... web_tick() ... web_end()
 *	send web_response(call), read and send its content
 *	web_close(call)
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "core/core.h"

/*
 * A request as it was received: borrowed strings, NULL where a header was
 * absent, nothing validated yet.
 */
struct web_request {
	const char *method;

	/*
	 * The endpoint as the client sees it, "/files", without a slash at its
	 * end; and the rest of the request's path, without the query: "", "/"
	 * or "/ID".  Unreserved characters are decoded, others are not.  path
	 * is NULL if the request is outside the endpoint.
	 */
	const char *base;
	const char *path;

	/* For Location: the path that a trusted proxy removes before base,
	 * "/here", NULL if none; and host and scheme for an absolute one. */
	const char *prefix;
	const char *host, *scheme;

	const char *origin;

	/* The owner on whose behalf the client asks, where ownership is
	 * enforced; NULL if none is known. */
	const char *owner;

	/* As sent by the front end; NULL or "" if absent. */
	const char *content_length;
	const char *content_type;

	const char *method_override;
	const char *tus_resumable;
	const char *upload_length;
	const char *upload_defer_length;
	const char *upload_offset;
	const char *upload_metadata;
	const char *upload_concat;
	const char *upload_checksum;
	const char *trailer;
	const char *range;
	const char *if_match;
	const char *if_none_match;
	const char *if_range;

	/* NULL where only tus is accepted. */
	const char *upload_complete;
	const char *upload_incomplete;
	const char *interop_version;
	const char *content_disposition;
	const char *content_encoding;
	const char *content_digest;
	const char *repr_digest;
	const char *want_repr_digest;

	/* An interim response would reach the client. */
	bool takes_interim;

	/* All of the request has arrived, its body too. */
	bool is_here;

	/* The data of the request for hooks. */
	struct hook_request shown;

	/* The administrator's limit for this request instead of the server's
	 * max_size; -1 if there is none. */
	int64_t max_size;

	/* Seconds that an upload created by this request is kept after its
	 * finish, or KEPT_FOR_EVER; 0: as configured. */
	int64_t retention;
};

/* The result of a request, for the log and the metrics. */
struct web_outcome {
	/* After the override; NULL if unknown. */
	const char *method;

	/* The upload, NULL if none; its offset or -1. */
	const char *id;
	int64_t offset;

	/* Bytes of the body that were received, kept or not. */
	int64_t received;

	/* "ERR_...", NULL on success; is_soft: the code belongs to a 5xx that
	 * was answered with 423. */
	const char *code;
	bool is_soft;

	bool created, finished, terminated;

	/* The name of the protocol, NULL if only one is configured; and the
	 * version that the client names, -1 if none. */
	const char *protocol;
	int64_t version;

	/* The request waited for a lock; it gave its lock to another
	 * request. */
	bool waited, interrupted;
	/* The host that it waited for; NULL: this one, or unknown. */
	const char *lock_host;
};

struct web_response {
	int status;
	const char *reason;

	/* In the order of sending; neither Status nor Content-Length. */
	const struct pair *headers;

	/* A short text, or the content of an upload, or neither. */
	const char *text;
	struct stream *content;

	/* For HEAD, before or after the override, 204 and 304: send no body,
	 * and Content-Length only if there is a content. */
	bool bodiless;

	/* To be logged, if its code is not ERR_OK. */
	const struct err *err;

	struct web_outcome outcome;
};

/* Cross-origin requests (Fetch standard, CORS protocol). */
struct web_cors {
	/* Compared as whole strings, NULL-terminated; "*" is any.  NULL: no
	 * Access-Control header is ever sent, no origin is ever refused. */
	const char *const *origins;
	bool credentials;
	int64_t max_age;
	/* Further names for Access-Control-Allow-Headers, NULL-terminated. */
	const char *const *extra_headers;
};

enum web_location {
	/* "/files/ID": correct behind any proxy. */
	WEB_LOCATION_PATH,
	/* From Host and the scheme. */
	WEB_LOCATION_ABSOLUTE,
	/* Appended to web_server.location_base. */
	WEB_LOCATION_BASE
};

struct web_protocol;

/* Everything a request needs that is not in the request; set up once. */
struct web_server {
	/* The part that does not depend on HTTP. */
	struct core core;

	/* The protocols that are accepted, NULL after the last.  The first one
	 * answers requests that no protocol claims. */
	const struct web_protocol *const *protocols;

	/* Bytes that one request may contain, 0 is no limit; and whether a
	 * request that no protocol claims may be an upload: for the protocol
	 * that supports that. */
	int64_t max_append;
	bool takes_plain;

	/* Bytes of Upload-Metadata; 0 is no limit. */
	int64_t max_metadata;

	/* Whole files only, in web_response.content: the web server sends them,
	 * and handles ranges itself. */
	bool offload_download;

	/* Where the store has links: the internal location of the web server
	 * behind which their paths are; NULL sends clients to the link. */
	const char *link_root;

	/* Of the uploads that were moved out of the store, the web server sends
	 * those below this directory; NULL: none of them. */
	const char *offload_moved;

	/* What follows a plus sign in the last segment is not of the id. */
	bool takes_tusd_urls;

	enum web_location location;
	const char *location_base;

	struct web_cors cors;
};

/* The name for the log and for records. */
const char *web_protocol_name(const struct web_protocol *);

struct web_call;
struct task_note;

/* Server, request and arena must outlive the call. */
struct web_call *web_call_new(
    const struct web_server *, const struct web_request *, struct arena *);

/*
 * May web_begin() take long?  Hooks may take as long as hooks.timeout, before
 * the response or in web_close(), and concatenating copies.
 */
bool web_may_take_long(struct web_call *);

/* After STEP_RECEIVE: may the whole upload be copied when this body has
 * arrived? */
bool web_may_move(const struct web_call *);

MUST_CHECK enum step web_begin(struct web_call *);

/*
 * After STEP_RECEIVE: the headers of a response with status 104, to be sent
 * before the body is read; NULL if none is to be sent.  From now on the client
 * knows the upload that it is creating, which stays even if the connection
 * breaks.
 */
const struct pair *web_interim(struct web_call *);

/* After STEP_WAIT: what to wait for.  After web_receive() or web_tick()
 * returned STEP_RECEIVE, if events is not 0: web_tick() is due as well when fd
 * has one of them. */
const struct wait *web_wait(const struct web_call *);

/* After web_begin() returned STEP_WAIT: the wait took too long, the response is
 * a 423. */
void web_give_up(struct web_call *);

/* Instead of web_begin(), after STEP_RECEIVE, or when the response has a
 * content: no worker is free for a long request, the response is a 503. */
void web_turn_away(struct web_call *);

/* How many bytes of the body are still to come; -1 if unknown.  Bytes beyond
 * that may be passed and are ignored. */
int64_t web_wanted(const struct web_call *);

/*
 * Take a slice of any size.  STEP_DONE if the body is refused: the rest of it
 * need not be passed.  STEP_WAIT: the slice was taken, and no other may be
 * passed before web_tick() returns STEP_RECEIVE.
 */
MUST_CHECK enum step web_receive(struct web_call *, const void *, size_t);

/*
 * To be called at least every 250 ms from STEP_RECEIVE on, after passing the
 * bytes that are held back; and when a wait is over.  STEP_DONE if the body
 * ends here, for example because another request waits for the upload and gets
 * it.
 */
MUST_CHECK enum step web_tick(struct web_call *);

/* The body has ended.  Not to be called after web_receive() or web_tick()
 * returned STEP_DONE. */
void web_end(struct web_call *, enum body_end);

/*
 * As task_park(), task_parted() and task_resume(): a call in the middle of its
 * body goes on in another process.  There it is made of the same request, and
 * resumed instead of begun.
 */
bool web_park(struct web_call *, struct task_note *);
void web_parted(struct web_call *);
MUST_CHECK enum step web_resume(struct web_call *, const struct task_note *);

/* Is there something that the hook of progress has not been told? */
bool web_has_to_report(const struct web_call *);

/* What can be shown of a call that is under way; the strings belong to it. */
struct web_sight {
	/* NULL if unknown, or none. */
	const char *method, *id;
	const struct pair *metadata;

	/* Of the upload; -1 if unknown. */
	int64_t offset, size;
};

/* After web_begin(), and before the call is done. */
void web_look_at(const struct web_call *, struct web_sight *);

/* Set once the call is done; belongs to the call. */
const struct web_response *web_response(const struct web_call *);

/* Read the next piece of response.content: the number of bytes, 0 at its end,
 * -1 on an error, which should be logged. */
ssize_t web_content(struct web_call *, void *, size_t, struct err *);

/*
 * Close a call, whatever its state.  Call this after the response was sent, and
 * after the connection was given back if web_has_to_tell() or
 * web_has_to_move(): then post-hooks run, which may take as long as they want,
 * and a finished upload is moved, which may take as long as a copy.  The
 * request is not needed any more.
 */
bool web_has_to_tell(const struct web_call *);
bool web_has_to_move(const struct web_call *);
void web_close(struct web_call *);

/* Like web_close(), but without hooks and moves: for a process whose child does
 * these, or if they are left to the sweep. */
void web_forget(struct web_call *);

/* The text beside a status, "Not Found". */
const char *web_reason(int status);

#endif
