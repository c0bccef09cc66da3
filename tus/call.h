/*
 * call.h - one request in the making; private to tus/.
 *
 * A method's handler is called by tus_begin(), again and again while it says
 * TUS_BUSY, and leaves what it has found out in the call.  tus_refuse() and
 * tus_done() record what is to be answered; the handler returns their
 * TUS_DONE at once, and end.c makes the response and lets go of all that is
 * open.
 */
#ifndef TUS_CALL_H
#define TUS_CALL_H

#include "tus/checksum.h"
#include "tus/parse.h"
#include "tus/pending.h"
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

struct tus_call {
	const struct tus_server *srv;
	const struct tus_request *req;
	struct arena *arena;

	struct tus_response res;
	struct pair **header_end;

	enum tus_method method;
	const struct tus_route *route;
	/* "" where the collection is meant. */
	char id[TUS_ID_MAX + 1];

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
	struct tus_sum sum;
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
	struct tus_digest *digest;

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
	struct tus_reply reply;
	int64_t reported, reported_at;
	struct file_info created, gone;
	struct tus_notice *notices[TUS_HOOK_MAX];

	/* What this request has yet to do for the upload that it finished; as
	 * long as there is something, up and lock are kept. */
	unsigned pending;
};

/* handle.c: the routes.  dispatch: to the method's handler. */
enum tus_step tus_dispatch(struct tus_call *);
const char *tus_allow(const struct tus_call *);
bool tus_has_concat(const struct tus_server *);
bool tus_has_defer(const struct tus_server *);
bool tus_has_expiry(const struct tus_server *);

/* answer.c: record the response.  All say TUS_DONE, and nothing may be done
 * for the request after that. */
enum tus_step tus_done(struct tus_call *, int status);
enum tus_step tus_refuse(struct tus_call *, enum tus_refusal);
/* Refuse because a hook says so, in its own words where it has any. */
enum tus_step tus_reject(
    struct tus_call *, enum tus_refusal, const struct tus_reply *);
/* Refuse as res.err says. */
enum tus_step tus_fail(struct tus_call *);
/* A later reply over an earlier one. */
void tus_merge(struct tus_call *, const struct tus_reply *);
void tus_header(struct tus_call *, const char *key, const char *value);
/* Instead of the value that is there, if there is one. */
void tus_header_set(struct tus_call *, const char *key, const char *value);
bool tus_has_header(struct tus_call *, const char *key);
void tus_header_int(struct tus_call *, const char *key, int64_t value);
void tus_header_expires(struct tus_call *);
/* The path or URL of an upload, as tus_server.location wants it. */
const char *tus_location(const struct tus_call *, const char *id);
/* The id of the upload that a client refers to, by its path here or by any form
 * of its Location; NULL if it is none of ours. */
const char *tus_reference(const struct tus_call *, const char *ref);

/* refuse.c */
struct tus_answer {
	int status;
	const char *code;
	const char *text;
};
const struct tus_answer *tus_answer(enum tus_refusal);
enum tus_refusal tus_refusal_for(enum err_code);

/* receive.c: the n-th algorithm that the server takes, NULL after the last. */
const char *tus_checksum_offered(const struct tus_server *, size_t n);

/* cors.c: false if the origin is refused. */
bool tus_cors_allows(const struct tus_call *);
void tus_cors_headers(struct tus_call *);

/*
 * open.c: these answer and have already refused.  look: open without a lock;
 * claim: lock and read again, TUS_RECEIVE when that is done.  With
 * LOCK_EXISTING, or where there is no room for a lock, it says so with no lock
 * held: then nobody else has one either.
 */
bool tus_look(struct tus_call *);
/* With the lock: has something been left of this id by somebody who died, and
 * is gone now? */
bool tus_clear(struct tus_call *, const char *id);
enum tus_step tus_claim(struct tus_call *, enum lock_how);
bool tus_is_expired(const struct tus_call *);
/* For good: nobody who is at work may be about to renew it. */
bool tus_is_over(const struct tus_call *);
bool tus_finish(struct tus_call *);
void tus_let_go(struct tus_call *);

/* The lock of an upload that is being made.  unlock: for good, if is_over. */
MUST_CHECK enum err_code tus_lock_new(struct tus_call *, const char *id);
void tus_unlock(struct tus_call *);

/*
 * hooks.c.  The pre-hooks, and report, which is post-receive, answer false if
 * they have refused.  report_progress: report if it is time.  note: before the
 * response, tell: after it, which is when a finished upload is moved, too.
 */
bool tus_wants(const struct tus_call *, enum tus_hook);
bool tus_pre_create(struct tus_call *);
bool tus_pre_finish(struct tus_call *);
bool tus_pre_terminate(struct tus_call *);
bool tus_report(struct tus_call *);
bool tus_report_progress(struct tus_call *);
void tus_note(struct tus_call *);
void tus_tell(struct tus_call *);

/* What will be pending when such an upload is finished. */
unsigned tus_sequel(const struct tus_call *, const struct file_info *);

/* receive.c: append a body to c->up, from c->up->info.offset on. */
#define TUS_BODY_TYPE "application/offset+octet-stream"
bool tus_check_content_length(struct tus_call *);
bool tus_check_sum_header(struct tus_call *);
/* No body has a checksum, too. */
bool tus_check_sum_of_nothing(struct tus_call *);
bool tus_check_size(struct tus_call *);
/* The upload may not become larger than that, either; 0 says nothing. */
void tus_limit(struct tus_call *, int64_t max);
enum tus_step tus_start_body(struct tus_call *);
enum tus_step tus_body_slice(struct tus_call *, const void *, size_t);
enum tus_step tus_body_tick(struct tus_call *);
enum tus_step tus_body_end(struct tus_call *, enum tus_end);

/*
 * quota.c.  enter: before an upload is made; entered: it was made, or not, and
 * this request writes no more to it.  What has no length yet grows: reserve,
 * before a PATCH, what its headers announce; grow, before so many bytes are
 * written; shrink, when all is over, to what came.  The first two of these
 * answer false if there is no room.
 */
MUST_CHECK enum err_code tus_enter(struct tus_call *);
void tus_entered(struct tus_call *, bool is_made);
bool tus_reserve(struct tus_call *);
MUST_CHECK enum err_code tus_grow(struct tus_call *, size_t len);
void tus_shrink(struct tus_call *);

/* create.c: tus_create_upload() makes c->create, tus_uncreate() removes it.
 * fail_creation: refuse as it failed, be it with the record, which may come
 * after the bytes. */
enum tus_step tus_fail_creation(struct tus_call *, enum err_code);
bool tus_create_upload(struct tus_call *);
enum tus_step tus_answer_created(struct tus_call *);
void tus_uncreate(struct tus_call *);

/* One file per method. */
enum tus_step tus_options(struct tus_call *);
enum tus_step tus_post(struct tus_call *);
enum tus_step tus_concat(struct tus_call *);
enum tus_step tus_head(struct tus_call *);
enum tus_step tus_patch(struct tus_call *);
enum tus_step tus_delete(struct tus_call *);
enum tus_step tus_get(struct tus_call *);
/* HEAD without Tus-Resumable: as GET, of what that would serve. */
enum tus_step tus_plain_head(struct tus_call *);

#endif
