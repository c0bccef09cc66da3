/*
 * try.c - does the bucket allow the operations that uploads need?
 *
 * One of each is made, read, listed and removed, under names that are no
 * upload's.  What S3 refuses is said by the name of the permission, with what
 * to do about it.
 */
#include "config.h"

#include <openssl/rand.h>

#include <inttypes.h>
#include <string.h>

#include "store/s3/s3.h"

/* A clock that is so many seconds wrong spoils what expires. */
#define SKEW_MAX 300

/* A start must not take long. */
#define TIMEOUT 5000

void
s3_be_quick(struct s3_store *s)
{
	if (s->timeout > TIMEOUT)
		s->timeout = TIMEOUT;
	s->retries = 0;
}

struct trial {
	struct s3_store *s;
	/* An upload that is none, at the place of one. */
	struct s3_upload *u;
	const char *record;
	/* Of the call that went wrong. */
	struct s3_call c;
};

static enum err_code
put_record(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "PUT", t->record);
	t->c.body = "?";
	t->c.len = 1;
	return s3_call(t->s, &t->c, e);
}

static enum err_code
get_record(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "GET", t->record);
	return s3_call(t->s, &t->c, e);
}

static enum err_code
list(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "GET", NULL);
	s3_call_query(&t->c, "list-type", "2");
	s3_call_query(&t->c, "prefix", t->record);
	return s3_call(t->s, &t->c, e);
}

static enum err_code
create(struct trial *t, struct err *e)
{
	enum err_code rc;

	s3_call_init(&t->c, "POST", t->u->key);
	s3_call_query(&t->c, "uploads", "");
	s3_add_object_headers(t->u, &t->c);
	if ((rc = s3_call(t->s, &t->c, e)) != ERR_OK)
		return rc;
	return s3_answer_text(
	    &t->s->answer, "UploadId", t->u->a, &t->u->mpu, e);
}

static enum err_code
list_parts(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "GET", t->u->key);
	s3_call_query(&t->c, "uploadId", t->u->mpu);
	return s3_call(t->s, &t->c, e);
}

static enum err_code
list_uploads(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "GET", NULL);
	s3_call_query(&t->c, "uploads", "");
	s3_call_query(&t->c, "prefix", t->u->key);
	return s3_call(t->s, &t->c, e);
}

static enum err_code
abort_upload(struct trial *t, struct err *e)
{
	enum err_code rc;

	s3_call_init(&t->c, "DELETE", t->u->key);
	s3_call_query(&t->c, "uploadId", t->u->mpu);
	rc = s3_call(t->s, &t->c, e);
	t->u->mpu = NULL;
	return rc;
}

static enum err_code
delete_record(struct trial *t, struct err *e)
{
	s3_call_init(&t->c, "DELETE", t->record);
	return s3_call(t->s, &t->c, e);
}

/* In this order; of a bucket or of what is in it. */
static const struct {
	const char *permission;
	enum err_code (*run)(struct trial *, struct err *);
	bool is_of_bucket;
} steps[] = {
	{ "s3:ListBucket", list, true },
	{ "s3:PutObject", put_record, false },
	{ "s3:GetObject", get_record, false },
	{ "s3:PutObject", create, false },
	{ "s3:ListMultipartUploadParts", list_parts, false },
	{ "s3:ListBucketMultipartUploads", list_uploads, true },
	{ "s3:AbortMultipartUpload", abort_upload, false },
	{ "s3:DeleteObject", delete_record, false },
};

/* --- What to do about it. --- */

static bool
is_code(const struct trial *t, const char *code)
{
	return strcmp(t->c.code, code) == 0;
}

static enum err_code
explain_region(struct trial *t, struct err *e)
{
	const char *region = t->c.region;
	struct err ignored;

	if (*region == '\0' &&
	    s3_answer_text(
		&t->s->answer, "Region", t->u->a, &region, &ignored) != ERR_OK)
		region = "";
	return err_set(e, ERR_INVALID,
	    "s3.region: bucket %s is not in \"%s\"%s%s%s", t->s->bucket,
	    t->s->region, *region != '\0' ? "; set s3.region = \"" : "", region,
	    *region != '\0' ? "\"" : "");
}

static enum err_code
explain_clock(const struct trial *t, struct err *e)
{
	int64_t skew = t->s->skew;

	return err_set(e, ERR_INVALID,
	    "the clock of this machine is %" PRId64 " s %s that of S3: set it, "
	    "as timedatectl set-ntp true does",
	    skew < 0 ? -skew : skew, skew < 0 ? "ahead of" : "behind");
}

/* There was no answer; e has the words of libcurl. */
static enum err_code
explain_silence(const struct trial *t, struct err *e)
{
	static const struct {
		const char *words, *advice;
	} rows[] = {
		{ "certificate", "; is s3.ca_file right?" },
		{ "SSL", "; does it speak http:// only?" },
	};
	const char *advice = "";
	size_t i;

	for (i = NITEMS(rows); i-- > 0;)
		if (strstr(e->text, rows[i].words) != NULL)
			advice = rows[i].advice;
	return err_within(
	    e, "s3.endpoint: no answer from %s%s", t->s->origin, advice);
}

static enum err_code
explain(struct trial *t, size_t i, enum err_code rc, struct err *e)
{
	const struct s3_store *s = t->s;

	if (rc == ERR_UNAVAILABLE && t->c.status == 0 &&
	    *s->keys.access != '\0')
		return explain_silence(t, e);
	if (rc == ERR_UNAVAILABLE || rc == ERR_NO_SPACE)
		return rc;
	if (is_code(t, "NoSuchBucket") ||
	    (steps[i].is_of_bucket && t->c.status == 404))
		return err_set(e, ERR_INVALID,
		    "s3.bucket: there is no bucket \"%s\" at %s: make it, or "
		    "mend the name",
		    s->bucket, s->origin);
	if (is_code(t, "AuthorizationHeaderMalformed") || t->c.status == 301 ||
	    t->c.status == 307 || *t->c.region != '\0')
		return explain_region(t, e);
	if (is_code(t, "RequestTimeTooSkewed"))
		return explain_clock(t, e);
	if (is_code(t, "InvalidAccessKeyId"))
		return err_set(e, ERR_INVALID,
		    "S3 does not know the access key %.40s: mend it, or the "
		    "endpoint",
		    s->keys.access);
	if (is_code(t, "SignatureDoesNotMatch"))
		return err_set(e, ERR_INVALID,
		    "the secret key is not that of the access key %.40s",
		    s->keys.access);
	if (t->c.status == 403)
		return err_set(e, ERR_INVALID,
		    "%s is refused: allow it to these keys for "
		    "arn:aws:s3:::%s%s%s%s",
		    steps[i].permission, s->bucket,
		    steps[i].is_of_bucket ? "" : "/",
		    steps[i].is_of_bucket ? "" : s->prefix,
		    steps[i].is_of_bucket ? "" : "*");
	e->code = ERR_INVALID;
	if (steps[i].run == create)
		return err_within(e,
		    "S3 does not take what s3.encryption, s3.encryption_key, "
		    "s3.storage_class, s3.acl or s3.tags says");
	return err_within(e, "S3 cannot do it");
}

/* Remove the objects that a failed trial left. */
static void
clear_up(struct trial *t)
{
	struct err ignored;

	if (t->u->mpu != NULL && *t->u->mpu != '\0')
		(void)!abort_upload(t, &ignored);
	(void)!delete_record(t, &ignored);
}

static enum err_code
run(struct trial *t, struct err *e)
{
	enum err_code rc;
	size_t i;

	for (i = 0; i < NITEMS(steps); i++) {
		rc = steps[i].run(t, e);
		if (t->s->skew > SKEW_MAX || t->s->skew < -SKEW_MAX)
			rc = explain_clock(t, e);
		else if (rc != ERR_OK)
			rc = explain(t, i, rc, e);
		if (rc == ERR_OK)
			continue;
		if (rc != ERR_UNAVAILABLE && i > 0)
			clear_up(t);
		return rc;
	}
	return ERR_OK;
}

enum err_code
s3_try_out(struct data_store *ds, struct err *e)
{
	struct s3_store *s = s3_store_of(ds);
	int64_t timeout = s->timeout, retries = s->retries;
	struct trial t = { .s = s };
	uint64_t random = 0;
	enum err_code rc;
	struct arena *a;

	if (s->lease != NULL &&
	    (rc = s3_open_lease(s->http, s->region, e)) != ERR_OK)
		return rc;
	a = arena_new();
	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	t.u =
	    s3_upload_new(s, arena_printf(a, ".probe-%016" PRIx64, random), a);
	t.record = arena_printf(
	    a, "%s.probe-%016" PRIx64 "r", s->record_prefix, random);
	s3_be_quick(s);
	rc = run(&t, e);
	s->timeout = timeout;
	s->retries = retries;
	arena_free(a);
	return rc;
}
