/*
 * call.h - one request in the making; private to tus/.
 *
 * A method's handler is called by web_begin(), again and again while it says
 * STEP_WAIT, and leaves what it has found out in the call.  tus_refuse() and
 * tus_done() record what is to be answered; the handler returns their
 * STEP_DONE at once, and end.c makes the response and lets go of all that is
 * open.
 */
#ifndef TUS_CALL_H
#define TUS_CALL_H

#include "core/digest.h"
#include "core/pending.h"
#include "tus/parse.h"
#include "tus/tus.h"

enum tus_method {
	TUS_POST,
	TUS_HEAD,
	TUS_PATCH,
	TUS_DELETE,
	TUS_GET,
	TUS_OPTIONS,
	TUS_METHOD_MAX
};

/* Why a request is refused; refuse.c has status, code and text of each. */
enum tus_refusal {
	TUS_UNSUPPORTED_VERSION,
	TUS_ORIGIN_NOT_ALLOWED,
	TUS_OWNER_UNKNOWN,
	TUS_METHOD_NOT_ALLOWED,
	TUS_NOT_FOUND,
	TUS_GONE,
	TUS_LOCKED,
	TUS_INTERRUPTED,
	TUS_TIMED_OUT,
	TUS_SHUTTING_DOWN,
	TUS_TOO_BUSY,
	TUS_STORE_UNAVAILABLE,
	TUS_LOCK_UNAVAILABLE,
	TUS_BAD_CONTENT_TYPE,
	TUS_BAD_CONTENT_LENGTH,
	TUS_BAD_LENGTH,
	TUS_LENGTH_MISSING,
	TUS_LENGTH_AMBIGUOUS,
	TUS_BAD_DEFER_LENGTH,
	TUS_LENGTH_CHANGED,
	TUS_LENGTH_TOO_SMALL,
	TUS_TOO_LARGE,
	TUS_BEYOND_LENGTH,
	TUS_BAD_OFFSET,
	TUS_WRONG_OFFSET,
	TUS_BAD_METADATA,
	TUS_METADATA_TOO_LARGE,
	TUS_NO_CONCATENATION,
	TUS_BAD_CONCAT,
	TUS_PART_NOT_FINISHED,
	TUS_PART_NOT_PARTIAL,
	TUS_FINAL_WITH_LENGTH,
	TUS_FINAL_WITH_BODY,
	TUS_MODIFY_FINAL,
	TUS_KEEP_FINISHED,
	TUS_BAD_CHECKSUM,
	TUS_UNKNOWN_ALGORITHM,
	TUS_CHECKSUM_TRAILER,
	TUS_CHECKSUM_MISMATCH,
	TUS_UNEXPECTED_END,
	TUS_BAD_RANGE,
	TUS_PRECONDITION_FAILED,
	TUS_OVER_QUOTA,
	TUS_NO_SPACE,
	TUS_REJECTED,
	TUS_STOPPED,
	TUS_TERMINATION_REJECTED,
	TUS_INTERNAL,
	TUS_REFUSAL_MAX
};

/* What the body is for. */
enum tus_body {
	/* Append it to up. */
	TUS_BODY_APPEND,
	/* Likewise, but the upload is made when the body shows itself. */
	TUS_BODY_CREATE,
	/* There should be none: the upload is finished. */
	TUS_BODY_EMPTY
};

struct web_call {
	const struct web_server *srv;
	const struct web_request *req;
	struct arena *arena;

	struct web_response res;
	struct pair **header_end;

	enum tus_method method;
	const struct tus_route *route;
	/* "" where the collection is meant. */
	char id[ID_MAX + 1];

	/* What is to be answered, once is_done. */
	bool is_done, is_refused;
	int status;
	enum tus_refusal why;

	/* What is open.  asked: the locker still asks for us. */
	struct upload *up;
	struct lock *lock;
	bool asked;
	/* Nobody will lock it again. */
	bool is_over;
	int64_t locked_at;

	/* From the headers; -1 where absent. */
	int64_t content_length;
	int64_t length;
	int64_t offset;
	int64_t max_size;
	struct sum sum;
	bool has_sum;
	bool has_type;

	/* Creation: what the upload will be. */
	struct file_info create;
	struct tus_concat concat;
	/* The id that a final upload gets unless a hook chooses one. */
	const char *derived;

	/*
	 * The body.  limit is the offset that it must not pass.  Where nobody
	 * knows how long it is, the byte that would make the upload whole is
	 * kept in last until the end has been seen: a kill before that must
	 * not leave a whole upload of which the rest was yet to be refused.
	 */
	enum tus_body body;
	bool is_writing;
	int64_t limit;
	int64_t received;
	char last;
	bool has_last;
	struct digest *digest;

	/* What the ledger holds for the upload while its length is not known;
	 * -1 if that was not asked.  The entry of one that is being made. */
	int64_t reserved;
	struct store_entry *entry;

	/* Bytes of the content that went out. */
	int64_t sent;

	/*
	 * Hooks: what they want the client to be told; what was reported last
	 * and when; the uploads that were created or terminated, as they were
	 * then; and what is to be told after the response.
	 */
	struct hook_reply reply;
	int64_t reported, reported_at;
	struct file_info created, gone;
	struct hook_notice *notices[HOOK_POINT_MAX];

	/* What this request has yet to do for the upload that it finished; as
	 * long as there is something, up and lock are kept. */
	unsigned pending;
};

/* handle.c: the routes.  dispatch: to the method's handler. */
enum step tus_dispatch(struct web_call *);
const char *tus_allow(const struct web_call *);
bool tus_has_concat(const struct web_server *);
bool tus_has_defer(const struct web_server *);
bool tus_has_expiry(const struct web_server *);

/* answer.c: record the response.  All say STEP_DONE, and nothing may be done
 * for the request after that. */
enum step tus_done(struct web_call *, int status);
enum step tus_refuse(struct web_call *, enum tus_refusal);
/* Refuse because a hook says so, in its own words where it has any. */
enum step tus_reject(
    struct web_call *, enum tus_refusal, const struct hook_reply *);
/* Refuse as res.err says. */
enum step tus_fail(struct web_call *);
/* A later reply over an earlier one. */
void tus_merge(struct web_call *, const struct hook_reply *);
void tus_header(struct web_call *, const char *key, const char *value);
/* Instead of the value that is there, if there is one. */
void tus_header_set(struct web_call *, const char *key, const char *value);
bool tus_has_header(struct web_call *, const char *key);
void tus_header_int(struct web_call *, const char *key, int64_t value);
void tus_header_expires(struct web_call *);
/* The path or URL of an upload, as web_server.location wants it. */
const char *tus_location(const struct web_call *, const char *id);
/* The id of the upload that a client refers to, by its path here or by any form
 * of its Location; NULL if it is none of ours. */
const char *tus_reference(const struct web_call *, const char *ref);

/* refuse.c */
struct tus_answer {
	int status;
	const char *code;
	const char *text;
};
const struct tus_answer *tus_answer(enum tus_refusal);
enum tus_refusal tus_refusal_for(enum err_code);

/* receive.c: the n-th algorithm that the server takes, NULL after the last. */
const char *tus_checksum_offered(const struct web_server *, size_t n);

/* cors.c: false if the origin is refused. */
bool tus_cors_allows(const struct web_call *);
void tus_cors_headers(struct web_call *);

/*
 * open.c: these answer and have already refused.  look: open without a lock;
 * claim: lock and read again, STEP_RECEIVE when that is done.  With
 * LOCK_EXISTING, or where there is no room for a lock, it says so with no lock
 * held: then nobody else has one either.
 */
bool tus_look(struct web_call *);
/* With the lock: has something been left of this id by somebody who died, and
 * is gone now? */
bool tus_clear(struct web_call *, const char *id);
enum step tus_claim(struct web_call *, enum lock_how);
bool tus_is_expired(const struct web_call *);
/* For good: nobody who is at work may be about to renew it. */
bool tus_is_over(const struct web_call *);
bool tus_finish(struct web_call *);
void tus_let_go(struct web_call *);

/* The lock of an upload that is being made.  unlock: for good, if is_over. */
MUST_CHECK enum err_code tus_lock_new(struct web_call *, const char *id);
void tus_unlock(struct web_call *);

/*
 * hooks.c.  The pre-hooks, and report, which is post-receive, answer false if
 * they have refused.  report_progress: report if it is time.  note: before the
 * response, tell: after it, which is when a finished upload is moved, too.
 */
bool tus_wants(const struct web_call *, enum hook_point);
bool tus_pre_create(struct web_call *);
bool tus_pre_finish(struct web_call *);
bool tus_pre_terminate(struct web_call *);
bool tus_report(struct web_call *);
bool tus_report_progress(struct web_call *);
void tus_note(struct web_call *);
void tus_tell(struct web_call *);

/* What will be pending when such an upload is finished. */
unsigned tus_sequel(const struct web_call *, const struct file_info *);

/* receive.c: append a body to c->up, from c->up->info.offset on. */
#define TUS_BODY_TYPE "application/offset+octet-stream"
bool tus_check_content_length(struct web_call *);
bool tus_check_sum_header(struct web_call *);
/* No body has a checksum, too. */
bool tus_check_sum_of_nothing(struct web_call *);
bool tus_check_size(struct web_call *);
/* The upload may not become larger than that, either; 0 says nothing. */
void tus_limit(struct web_call *, int64_t max);
enum step tus_start_body(struct web_call *);
enum step tus_body_slice(struct web_call *, const void *, size_t);
enum step tus_body_tick(struct web_call *);
enum step tus_body_end(struct web_call *, enum body_end);

/*
 * quota.c.  enter: before an upload is made; entered: it was made, or not, and
 * this request writes no more to it.  What has no length yet grows: reserve,
 * before a PATCH, what its headers announce; grow, before so many bytes are
 * written; shrink, when all is over, to what came.  The first two of these
 * answer false if there is no room.
 */
MUST_CHECK enum err_code tus_enter(struct web_call *);
void tus_entered(struct web_call *, bool is_made);
bool tus_reserve(struct web_call *);
MUST_CHECK enum err_code tus_grow(struct web_call *, size_t len);
void tus_shrink(struct web_call *);

/* create.c: tus_create_upload() makes c->create, tus_uncreate() removes it.
 * fail_creation: refuse as it failed, be it with the record, which may come
 * after the bytes. */
enum step tus_fail_creation(struct web_call *, enum err_code);
bool tus_create_upload(struct web_call *);
enum step tus_answer_created(struct web_call *);
void tus_uncreate(struct web_call *);

/* One file per method. */
enum step tus_options(struct web_call *);
enum step tus_post(struct web_call *);
enum step tus_concat(struct web_call *);
enum step tus_head(struct web_call *);
enum step tus_patch(struct web_call *);
enum step tus_delete(struct web_call *);
enum step tus_get(struct web_call *);
/* HEAD without Tus-Resumable: as GET, of what that would serve. */
enum step tus_plain_head(struct web_call *);

#endif
