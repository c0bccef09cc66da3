/*
 * tus.h - the tus 1.0.0 protocol, without a web server.
 *
 * One request is one struct tus_call.  The transport begins it, hands it the
 * body slice by slice if it wants one, tells it why the body ended, sends the
 * response and closes the call.  The core calls nobody back, keeps nothing
 * between two calls and has no globals, so a test or a fuzzer drives it just
 * as the FastCGI worker does:
 *
 *	call = tus_call_new(server, request, arena);
 *	while ((step = tus_begin(call)) == TUS_BUSY)
 *		wait 10 ms, or tus_give_up(call) after server->lock_timeout
 *	if (step == TUS_RECEIVE)
 *		tus_receive() ... tus_tick() ... tus_end()
 *	send tus_response(call), read and send its content
 *	tus_close(call)
 */
#ifndef TUS_TUS_H
#define TUS_TUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/id.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/hooks.h"

#define TUS_VERSION "1.0.0"
#define TUS_ID_MAX  ID_MAX

/*
 * A request as it came in: borrowed strings, NULL where a header was absent,
 * nothing validated yet.
 */
struct tus_request {
	const char *method;

	/*
	 * The endpoint as the client sees it, "/files", without a slash at
	 * its end; and what follows it in the request, without the query: "",
	 * "/" or "/ID".  Unreserved characters are decoded, others are not.
	 * path is NULL if the request is outside the endpoint.
	 */
	const char *base;
	const char *path;

	/* For Location: what a trusted proxy takes away before base, "/here",
	 * NULL if nothing; and for an absolute one. */
	const char *prefix;
	const char *host, *scheme;

	const char *origin;

	/* Who asks, where ownership is enforced; NULL if nobody is known. */
	const char *owner;

	/* As the front end said it; NULL or "" if it did not. */
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

	/*
	 * For hooks: what the client asked for and from where ("host:port"),
	 * and all headers as the front end handed them on, by their usual
	 * names.  request_id is found in the log, too.
	 */
	const char *uri;
	const char *remote;
	const struct pair *headers;
	const char *request_id;

	/* The administrator's limit for this request instead of the server's
	 * max_size; -1 if there is none. */
	int64_t max_size;
};

/* What became of a request, for the log and the metrics. */
struct tus_outcome {
	/* After the override; NULL if it is none we know. */
	const char *method;

	/* The upload in question, NULL if none; its offset or -1. */
	const char *id;
	int64_t offset;

	/* Bytes of the body that were taken in, kept or not. */
	int64_t received;

	/* "ERR_...", NULL if all went well; is_soft: that of a 5xx of which
	 * the client was told 423. */
	const char *code;
	bool is_soft;

	bool created, finished, terminated;

	/* We waited for a lock; ours was taken over. */
	bool waited, interrupted;
};

struct tus_response {
	int status;
	const char *reason;

	/* In the order of sending; neither Status nor Content-Length. */
	const struct pair *headers;

	/* A short text, or the content of an upload, or neither. */
	const char *text;
	struct stream *content;

	/* To HEAD, before or after the override, or 204, or 304: send no body,
	 * and Content-Length only if there is a content. */
	bool bodiless;

	/* What to log, if err.code is not ERR_OK. */
	struct err err;

	struct tus_outcome outcome;
};

/* Cross-origin requests (Fetch standard, CORS protocol). */
struct tus_cors {
	/* Compared as whole strings, NULL-terminated; "*" is any.  NULL: no
	 * Access-Control header is ever sent, no origin is ever refused. */
	const char *const *origins;
	bool credentials;
	int64_t max_age;
	/* More names for Access-Control-Allow-Headers, NULL-terminated. */
	const char *const *extra_headers;
};

enum tus_location {
	/* "/files/ID": right behind any proxy. */
	TUS_LOCATION_PATH,
	/* From Host and the scheme. */
	TUS_LOCATION_ABSOLUTE,
	/* Behind tus_server.location_base. */
	TUS_LOCATION_BASE
};

/* Everything a request needs that is not in the request; set up once. */
struct tus_server {
	struct data_store *store;

	/* NULL if nobody else works on this store. */
	struct locker *locker;

	/* NULL if nobody is told of anything. */
	struct tus_hooks *hooks;

	/* Bytes; 0 is no limit. */
	int64_t max_size;
	int64_t max_metadata;

	/* Seconds, 0 is never; sliding: counted from the last PATCH, else
	 * from creation. */
	int64_t expire_after;
	bool expire_sliding;

	/* What the administrator allows, if the store is able. */
	bool allow_download, allow_terminate, allow_concat, allow_defer;
	bool allow_checksum, allow_terminate_finished;

	/* Names for Upload-Checksum, NULL-terminated, a subset of
	 * tus_checksum_name(); NULL is all of them. */
	const char *const *checksums;

	/* A partial upload is terminated when a final one was made of it. */
	bool concat_removes_parts;

	/* Whole files only, in tus_response.content: the web server sends
	 * them, and does ranges itself. */
	bool offload_download;

	/* Of what was moved out of the store only what is below this
	 * directory; NULL is nothing. */
	const char *offload_moved;

	enum tus_location location;
	const char *location_base;

	struct tus_cors cors;

	/*
	 * An upload with an owner exists for that owner only, whatever is said
	 * here.  One without is for everybody, unless an owner is required:
	 * then requests without one are refused, and such uploads are for
	 * nobody.  has_owners: some requests may have one, some not.
	 */
	bool has_owners, owner_required;

	/* For each owner; needs a store with a ledger. */
	struct store_quota quota;

	/* The outside world, so that a test can stand in for it. */
	int64_t (*now)(void);
	int64_t (*now_ms)(void);
	void (*new_id)(char id[TUS_ID_MAX + 1]);
};

/* What the transport does next. */
enum tus_step {
	/* Send tus_response(). */
	TUS_DONE,
	/* The upload is locked: call tus_begin() again in about 10 ms. */
	TUS_BUSY,
	/* Hand over the body. */
	TUS_RECEIVE
};

/* Why there are no more slices. */
enum tus_end {
	/* The front end said that this was all. */
	TUS_END_COMPLETE,
	/* The connection ended early. */
	TUS_END_CLIENT_GONE,
	/* Nothing arrived for too long, or the client is too slow. */
	TUS_END_TIMED_OUT,
	/* We are being shut down. */
	TUS_END_SHUTDOWN
};

struct tus_call;

/* Server, request and arena must outlive the call. */
struct tus_call *tus_call_new(
    const struct tus_server *, const struct tus_request *, struct arena *);

/*
 * May tus_begin() take long?  Hooks may take as long as hooks.timeout says,
 * before the response or in tus_close(), and to concatenate is to copy.
 */
bool tus_may_take_long(const struct tus_call *);

/* After TUS_RECEIVE: may all of the upload be copied when this body is here? */
bool tus_may_move(const struct tus_call *);

MUST_CHECK enum tus_step tus_begin(struct tus_call *);

/* After TUS_BUSY: the lock did not come in time, the response is a 423. */
void tus_give_up(struct tus_call *);

/* Instead of tus_begin(), after TUS_RECEIVE, or when the response has a
 * content: nobody is free for what takes long, the response is a 503. */
void tus_turn_away(struct tus_call *);

/* How many bytes of the body are still to come; -1 if nobody knows.  Bytes
 * beyond that may be handed over and are ignored. */
int64_t tus_wanted(const struct tus_call *);

/* Take a slice of any size.  TUS_DONE if it is refused: what has not been
 * handed over yet is of no interest any more. */
MUST_CHECK enum tus_step tus_receive(struct tus_call *, const void *, size_t);

/*
 * At least every 250 ms from TUS_RECEIVE on, after what is held back was
 * handed over: TUS_DONE if somebody else waits for the upload and gets it.
 */
MUST_CHECK enum tus_step tus_tick(struct tus_call *);

/* The body is over.  Not after tus_receive() or tus_tick() said TUS_DONE. */
void tus_end(struct tus_call *, enum tus_end);

/* Set once the call is done; belongs to the call. */
const struct tus_response *tus_response(const struct tus_call *);

/* The next piece of response.content: how many bytes, 0 at its end, -1 on an
 * error, which the log should tell of. */
ssize_t tus_content(struct tus_call *, void *, size_t, struct err *);

/*
 * Let go of all that is still open, wherever the call has got to.  After the
 * response was sent to its end, and the connection given back if
 * tus_has_to_tell(): this is when post-hooks are told, which may take as long
 * as they want, and when a finished upload is moved, which may take as long as
 * it takes to copy it: tus_has_to_move().  The request is not needed any more.
 */
bool tus_has_to_tell(const struct tus_call *);
bool tus_has_to_move(const struct tus_call *);
void tus_close(struct tus_call *);

/* As tus_close(), but nothing is told or moved: in a process whose child calls
 * that, or where it is left to the sweep. */
void tus_forget(struct tus_call *);

/*
 * What this server offers, for tusfcgi -t and the log: the value of
 * Tus-Extension, "" if there is none.
 */
const char *tus_extensions(const struct tus_server *, struct arena *);

/* What stands beside a status, "Not Found". */
const char *tus_reason(int status);

/* The algorithms that are built in, NULL after the last. */
const char *tus_checksum_name(size_t n);

/* Does libcrypto do it?  Asked at the start, when there is memory: what it
 * cannot set up once it cannot do ever after. */
bool tus_checksum_works(const char *name);

#endif
