/*
 * s3.h - what the files of store/s3/ share; private to them.
 *
 * An upload is a multipart upload on a fixed grid, and behind its last full
 * part segments with names of their own.  Everything that is written only adds
 * bytes which the client sent for that place, so that requests may be repeated,
 * come late and meet each other: tests/s3/model.py goes through it.
 *
 *     P + ID                  the finished object
 *     R + ID.info             the record, JSON as in a directory
 *     R + ID.part.START-N     a segment: START in 16 hexadecimal digits, N is
 *                             random; immutable
 *     R + ID.part             tusd's tail, see adopt.c; not there otherwise
 *     R + .store, R + .sweep  notes, see note.c and walk.c
 *
 * prefix is the bytes of part 1, 2, ... while each is as long as the grid
 * says; the offset is where the chain of segments leads from there.
 */
#ifndef STORE_S3_S3_H
#define STORE_S3_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/http.h"
#include "base/id.h"
#include "store/s3/cred.h"
#include "store/s3/sign.h"
#include "store/store.h"

/* What S3 takes. */
#define S3_PARTS_MAX 10000

/* Five TiB. */
#define S3_SIZE_MAX ((int64_t)5 << 40)

/* With growing parts, so many have one size, and the next twice as much. */
#define S3_GROWS_EACH 1000

/* A record's or a list's answer is never longer. */
#define S3_ANSWER_MAX ((size_t)4 << 20)

/* A concatenation has so many parts copied at a time. */
#define S3_COPIES 4

/* An upload has so many segments at most. */
#define S3_SEGMENTS_MAX 16

/* Does the engine take If-Match, and in which words? */
enum s3_condition {
	S3_CONDITION_UNKNOWN,
	/* It ignores it: a late PUT can bring an old record back. */
	S3_CONDITION_NONE,
	S3_CONDITION_QUOTED,
	S3_CONDITION_BARE
};

/* A text that grows, with a NUL behind it. */
struct s3_text {
	char *text;
	size_t len, room;
};

struct s3_store {
	struct data_store base;
	/* As long as the store; and as long as a request. */
	struct arena *arena, *scratch;
	const struct http_lib *http;

	/* keys point into the lease where they are lent, or it is NULL. */
	struct s3_keys keys;
	struct s3_lease *lease;
	unsigned lease_generation;
	struct s3_signer signer;
	const char *region, *bucket;
	/* "https://host" and "host", with the port if it is not the scheme's;
	 * root is "/bucket" where the bucket is not in the host. */
	const char *origin, *host, *root;
	const char *prefix, *record_prefix;

	/* For tusctl, which shows and checks what records say. */
	bool is_kept;

	/* While walk_next() goes on: the records without an upload that
	 * get_upload() met. */
	bool is_walking;
	struct s3_lost *lost;

	int64_t part_size;
	bool part_growth;
	bool has_metadata;
	bool sign_payload;

	/* s3.key; and what objects are stored with, "" is nothing. */
	const char *key;
	const char *encryption, *encryption_key, *storage_class, *acl, *tags;
	int64_t timeout, retries;
	/* Seconds that a link is valid. */
	int64_t presign;
	const char *ca_file, *proxy;
	bool verify;

	/* expiration.after in seconds, where bytes that arrive renew it. */
	int64_t renewed_for;

	enum s3_condition condition;
	bool can_create_once;

	/* The clock of S3 less ours, in seconds. */
	int64_t skew;

	/* Of the process that made it. */
	CURL *curl;
	pid_t owner;

	/* When the last request was over, by clock_ms(); 0: nothing is kept
	 * for the next one. */
	int64_t used;

	/* The body of the last answer. */
	struct s3_text answer;

	/* So many parts are sent at a time, by this, which is NULL before the
	 * first. */
	size_t parallel;
	struct s3_sender *sender;

	/* The folder where unlinked files are made, and one that is free
	 * now. */
	const char *spool_dir;
	int spare;
	int64_t min_free;
};

/* A request and its answer.  key NULL is the bucket. */
struct s3_call {
	const char *method;
	const char *key;
	struct s3_field query[6];
	size_t n_query;
	struct s3_field headers[S3_MAX_HEADERS];
	size_t n_headers;

	/* The body: memory, or len bytes of a file from at; fd is -1 without.
	 */
	const void *body;
	size_t len;
	int fd;
	int64_t at;

	/* Not to be tried again if it is not known whether it was done. */
	bool once;
	/* Milliseconds more than s3.timeout. */
	int64_t patience;

	/* The answer goes to a file, at this place; -1: to memory. */
	int answer_fd;
	int64_t answer_at;

	/* status is 0 if there was no answer; code is S3's, or "". */
	long status;
	char code[64];
	char etag[80];
	char tus_id[80];
	/* That of the bucket, where S3 says it; and when it answered. */
	char region[40];
	char date[40];
	int64_t length;
	/* Bytes of the bodies. */
	int64_t sent, received;
	/* Last-Modified, as it was sent, or "". */
	char modified[40];
};

/* Begin to describe a request: the rest is 0. */
void s3_call_init(struct s3_call *, const char *method, const char *key);
void s3_call_query(struct s3_call *, const char *name, const char *value);
void s3_call_header(struct s3_call *, const char *name, const char *value);

/*
 * Perform it; the answer is in the call and in s->answer, until the next one.
 * A temporary failure is tried again.  ERR_NOT_FOUND: 404 of an object or an
 * upload.  ERR_CONFLICT: 412.  ERR_UNAVAILABLE: S3 does not answer, or not now;
 * whether it was done is not known.  ERR_NO_SPACE, ERR_SYSTEM.
 */
MUST_CHECK enum err_code s3_call(
    struct s3_store *, struct s3_call *, struct err *);

/*
 * One try of a request, while libcurl has it; what goes into it is set first,
 * and stays.  begin() is false where there are no keys: nothing is to be sent,
 * and end() is told CURLE_LOGIN_DENIED.  end() returns whether the result is
 * final; if it is not, the request may be tried again after *wait ms.
 */
struct s3_try {
	struct s3_store *s;
	struct s3_call *c;
	CURL *curl;
	/* Takes the body of the answer. */
	struct s3_text *answer;
	/* How many tries there were before. */
	int64_t n;

	struct curl_slist *headers;
	int64_t began, answered;
};
MUST_CHECK bool s3_try_begin(struct s3_try *);
MUST_CHECK bool s3_try_end(struct s3_try *, CURLcode, int64_t *wait);

/* The result of the last try. */
MUST_CHECK enum err_code s3_try_judge(
    const struct s3_try *, CURLcode, struct err *);

/* A handle for requests. */
CURL *s3_new_handle(struct s3_store *);

/* The URL with which any client may get an object for s3.presign, answered with
 * these headers.  ERR_UNAVAILABLE: there are no keys now. */
MUST_CHECK enum err_code s3_presign(struct s3_store *, const char *key,
    const char *type, const char *disposition, struct arena *, const char **url,
    struct err *);

struct s3_part {
	const char *etag;
	int64_t size;
};

struct s3_segment {
	const char *key;
	int64_t start, end;
	/* Does the chain of segments need this one? */
	bool is_used;
};

/* A record whose upload is gone, or was being removed. */
struct s3_lost {
	struct s3_lost *next;
	int64_t changed;
	char id[ID_MAX + 1];
};

struct s3_upload {
	struct upload base;
	struct s3_store *s;
	struct arena *a;

	/* From the record. */
	const char *key;
	const char *mpu;
	int64_t part_size;
	bool part_growth;
	bool is_terminated;

	/* So many bytes are in so many parts that tusd has made, of any size;
	 * the grid begins behind them.  Its object does not say whose it is. */
	bool is_adopted;
	int64_t adopted;
	size_t adopted_parts;

	/* A record of tusd's: not even the grid is known. */
	bool is_foreign;
	/* The record is written so that tusd finds what it needs. */
	bool is_for_tusd;

	/* The record as it was read; NULL if there is none yet.  And as the
	 * last list of its segments shows it, NULL if it does not.  is_found:
	 * nothing but the record was read. */
	const char *etag, *listed_etag;
	bool is_found;

	/* Finished, and the record does not say so. */
	bool is_unmarked;

	/* Not seen by others before there is something in it. */
	bool is_hidden;

	/* The parts that make the prefix, from number 1. */
	struct s3_part *parts;
	size_t n_parts, room;
	int64_t prefix;
	/* There are parts behind these, which do not count. */
	bool has_stray_parts;
	/* The length of R + ID.part; -1: it is not there. */
	int64_t tail;
	struct s3_segment *segments;
	size_t n_segments;

	/* When the last of all that was stored. */
	int64_t changed;

	/* The chunk that is being written; start is -1 between chunks.  Byte B
	 * is in the spool, at s3_spool_at(), if it is not before spool_from. */
	int64_t start;
	bool on_probation;
	/* It came to its end, and what is spooled counts. */
	bool is_kept;

	/* An unlinked file; -1 while there is none.  Where ring is not 0, its
	 * bytes begin again after so many. */
	int spool;
	int64_t spool_base, spool_from, ring;

	/* So many parts behind the prefix are on their way, and so many may
	 * be. */
	size_t n_ahead, abreast;
	struct file_info before;
};

static inline struct s3_store *
s3_store_of(struct data_store *ds)
{
	return OUTER(ds, struct s3_store, base);
}

static inline struct s3_upload *
s3_upload_of(struct upload *up)
{
	return OUTER(up, struct s3_upload, base);
}

/* --- grid.c --- */

/* Where part n ends; the last of an upload whose size is known ends there. */
int64_t s3_part_end(const struct s3_upload *, size_t n);

/* How large part n is, unless it is the last one. */
int64_t s3_part_size(const struct s3_upload *, size_t n);

/* A new upload of deferred length has no more bytes than its grid. */
void s3_limit_size(struct s3_upload *);

/* What a new upload is cut into; 0 if it is too long. */
int64_t s3_choose_part_size(const struct s3_store *, const struct file_info *);

/* The same for what comes behind the parts that were adopted. */
int64_t s3_choose_rest_size(const struct s3_upload *);

/* From the parts and segments that were listed: prefix and offset. */
void s3_judge(struct s3_upload *);

/* --- object.c --- */

/* ERR_INVALID: s3.key could make the key of a record. */
MUST_CHECK enum err_code s3_check_key(const struct conf *, struct err *);

/* Set the place of an upload that hooks are shown. */
void s3_show(struct s3_upload *);

/* Set the key of a new upload's object.  ERR_INVALID: it is too long. */
MUST_CHECK enum err_code s3_place(struct s3_upload *, struct err *);

/* Can the object with this key be no other upload's? */
bool s3_key_is_own(const struct s3_upload *);

/* Is it the object of this upload, as the answer to a HEAD says? */
bool s3_is_object_of(const struct s3_upload *, const struct s3_call *);

/* The object as the finish makes it: *is_there. */
MUST_CHECK enum err_code s3_find_object(
    struct s3_upload *, bool *is_there, struct err *);

/* The headers of the finished object. */
void s3_add_object_headers(struct s3_upload *, struct s3_call *);

/* Keys that a hook chooses; nothing is moved. */
extern const struct store_mover s3_mover;

/* --- record.c --- */

/* An open upload, of which nothing is known but the id. */
struct s3_upload *s3_upload_new(
    struct s3_store *, const char *id, struct arena *);

const char *s3_record_key(struct s3_store *, struct arena *, const char *id);
const char *s3_tail_key(struct s3_store *, struct arena *, const char *id);
const char *s3_segment_prefix(
    struct s3_store *, struct arena *, const char *id);

/* ERR_NOT_FOUND also if it says that the upload was terminated. */
MUST_CHECK enum err_code s3_get_record(struct s3_upload *, struct err *);

/* When an object was changed last, as the answer to a GET or HEAD says; 0 if it
 * does not. */
int64_t s3_call_time(const struct s3_call *);

/* Make or change it.  ERR_EXISTS; ERR_FENCED if it was changed by another one
 * meanwhile. */
MUST_CHECK enum err_code s3_put_record(struct s3_upload *, struct err *);

/* --- note.c --- */

/*
 * Compare our locks with those of all others that use the bucket; the first to
 * come writes them down if it may.  Sets id, of all uploads here. ERR_CONFLICT:
 * others lock elsewhere.  ERR_NOT_FOUND: there is no note, and none was
 * written.
 */
MUST_CHECK enum err_code s3_agree(struct s3_store *, const struct conf_lock *,
    bool may_write, char id[ID_MAX + 1], struct err *);
MUST_CHECK enum err_code s3_end_agreement(struct s3_store *, struct err *);

/* --- list.c --- */

/* One page after the other; seen is called for every key, in order.  token NULL
 * begins, and is NULL after the last page. */
struct s3_listed {
	const char *key;
	const char *etag;
	int64_t size;
	int64_t changed;
};
typedef void s3_listed_fn(void *arg, const struct s3_listed *);
MUST_CHECK enum err_code s3_list_page(struct s3_store *, const char *prefix,
    const char **token, struct arena *, s3_listed_fn *, void *arg,
    struct err *);

/* Multipart uploads, in the same way; the token is two markers. */
struct s3_listed_mpu {
	const char *key;
	const char *id;
	int64_t started;
};
struct s3_mpu_token {
	const char *key, *id;
};
typedef void s3_listed_mpu_fn(void *arg, const struct s3_listed_mpu *);
MUST_CHECK enum err_code s3_list_mpus(struct s3_store *, const char *prefix,
    struct s3_mpu_token *, struct arena *, s3_listed_mpu_fn *, void *arg,
    struct err *);

/* With the record among them: listed_etag. */
MUST_CHECK enum err_code s3_list_segments(struct s3_upload *, struct err *);

/* ERR_NOT_FOUND: there is no such multipart upload. */
MUST_CHECK enum err_code s3_list_parts(struct s3_upload *, struct err *);

/* The text of an element of an answer, "" if there is none. */
MUST_CHECK enum err_code s3_answer_text(const struct s3_text *,
    const char *name, struct arena *, const char **, struct err *);

/* --- foreign.c --- */

MUST_CHECK enum err_code s3_look_at_foreign(struct s3_upload *, struct err *);

/* The sum of all parts that were listed; what tusd counts, the tail as well, is
 * no more than the size.  ERR_CORRUPT. */
MUST_CHECK enum err_code s3_count_bytes(
    const struct s3_upload *, int64_t *parts, struct err *);

/* Was it finished by tusd?  Then info says so, and since when. */
MUST_CHECK enum err_code s3_find_finished(
    struct s3_upload *, bool *is_there, struct err *);

/* Remove R + ID.part. */
MUST_CHECK enum err_code s3_remove_tail(struct s3_upload *, struct err *);

/* --- look.c --- */

MUST_CHECK enum err_code s3_new_upload(struct data_store *,
    const struct file_info *, struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code s3_new_hidden(struct data_store *,
    const struct file_info *, struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code s3_get_upload(struct data_store *, const char *id,
    struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code s3_find_upload(struct data_store *, const char *id,
    struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code s3_claim(struct upload *, struct err *);

MUST_CHECK enum err_code s3_create_mpu(struct s3_upload *, struct err *);

/* Abort the multipart upload of an upload whose creation failed; what cannot be
 * aborted now is a leftover. */
void s3_drop_mpu(struct s3_upload *);

/* --- spool.c --- */

/* Forget what is in the spool. */
MUST_CHECK enum err_code s3_begin_spool(struct s3_upload *, struct err *);
void s3_end_spool(struct s3_upload *);

/* Where the spool has this byte of the upload. */
int64_t s3_spool_at(const struct s3_upload *, int64_t byte);

/*
 * How long the ring is: one part is filled and all others are sent, in places
 * that are used again and again, so that hardly anything reaches the disk.
 */
int64_t s3_ring_size(const struct s3_upload *);

/* The segment with this byte that goes farthest; NULL if there is none. */
const struct s3_segment *s3_segment_at(const struct s3_upload *, int64_t at);

/* Bring the bytes from this offset on into the spool. */
MUST_CHECK enum err_code s3_load_tail(
    struct s3_upload *, int64_t from, struct err *);

/* Note that the next part is in the bucket. */
void s3_add_part(struct s3_upload *, const char *etag, int64_t size);

/* The request that sends part n from the spool, or has it copied from a range
 * of an object; and what came of it: the next part counts, or not. */
MUST_CHECK enum err_code s3_describe_part(
    struct s3_upload *, size_t n, struct s3_call *, struct err *);
void s3_describe_copy(struct s3_upload *, size_t n, const char *key,
    const char *range, struct s3_call *);
MUST_CHECK enum err_code s3_take_part(struct s3_upload *,
    const struct s3_call *, const struct s3_text *answer, enum err_code result,
    struct err *);

/* Send the next part, or the last one, from the spool. */
MUST_CHECK enum err_code s3_send_part(struct s3_upload *, struct err *);

/* --- write.c --- */

extern const struct store_length_declarer s3_length_declarer;
MUST_CHECK enum err_code s3_write_begin(
    struct upload *, bool on_probation, struct err *);
MUST_CHECK enum err_code s3_write(
    struct upload *, const void *, size_t, struct err *);
MUST_CHECK enum err_code s3_write_end(struct upload *, bool keep, struct err *);
MUST_CHECK enum err_code s3_set_expiry(
    struct upload *, int64_t when, struct err *);

/* Keep the spooled bytes up to end in a segment, if there are any. */
MUST_CHECK enum err_code s3_put_segment(
    struct s3_upload *, int64_t end, struct err *);

/* Remove those that lie wholly below; what cannot be removed stays. */
void s3_drop_segments(struct s3_upload *, int64_t below);

/* --- send.c --- */

/*
 * Begin to send the part behind those that are on their way, while more bytes
 * come, or to have it copied.  Waits for one of them if there are as many as
 * may be; fails if one of them has failed.
 */
MUST_CHECK enum err_code s3_start_part(struct s3_upload *, struct err *);
MUST_CHECK enum err_code s3_start_copy(
    struct s3_upload *, const char *key, const char *range, struct err *);

/* Can one more be begun without a wait? */
bool s3_can_start_part(const struct s3_upload *);

/* Wait for all that are on their way; one that failed is sent once more. */
MUST_CHECK enum err_code s3_settle_parts(struct s3_upload *, struct err *);

/* The same, and one that failed is the end: a copy has no bytes in the
 * spool. */
MUST_CHECK enum err_code s3_await_parts(struct s3_upload *, struct err *);

/* Leave them alone. */
void s3_drop_parts(struct s3_upload *);

/* Close what is kept for the next request. */
void s3_release(struct s3_store *);

extern const struct store_pacer s3_pacer;
extern const struct store_rester s3_rester;

/* --- end.c --- */

/* Remove all objects of an upload, the record last. */
MUST_CHECK enum err_code s3_remove_all(struct s3_upload *, struct err *);

/* The segments and the record alone. */
MUST_CHECK enum err_code s3_remove_record(struct s3_upload *, struct err *);

/* --- adopt.c, keep.c, walk.c --- */

MUST_CHECK enum err_code s3_adopt(struct upload *, struct err *);
MUST_CHECK enum err_code s3_settle(
    struct upload *, bool for_tusd, struct err *);
extern const struct store_keeper s3_keeper;

/* The id in R + ID + suffix; false if it is none. */
bool s3_id_in(const struct s3_store *, const char *key, const char *suffix,
    char id[ID_MAX + 1]);

/* Remember a record without an upload, if a walk is under way. */
void s3_lose(struct s3_store *, const struct s3_upload *);
void s3_forget_lost(struct s3_store *);

/* --- trust.c --- */

/* Read the certificates that are trusted, "" for those of the system, unless
 * this process or its parent has done so. */
void s3_read_trust(const char *ca_file);

/* Have a handle trust those; false if it has to read them itself. */
bool s3_share_trust(const struct http_lib *, CURL *);

/* --- try.c --- */

/* From now on, as at a start: five seconds for a call, and no second try. */
void s3_be_quick(struct s3_store *);

/* For struct store_class. */
MUST_CHECK enum err_code s3_try_out(struct data_store *, struct err *);

/* --- finish.c, end.c, read.c, concat.c, walk.c --- */

extern const struct store_finisher s3_finisher;
extern const struct store_terminater s3_terminater;
extern const struct store_reader s3_reader;
extern const struct store_linker s3_linker;
extern const struct store_concater s3_concater;
extern const struct store_expirer s3_expirer;

#endif
