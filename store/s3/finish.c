/*
 * finish.c - the object, and then the record that says so.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "store/s3/s3.h"

/* AWS puts large objects together for minutes, and sends blanks meanwhile. */
#define COMPLETE_PATIENCE 300000

/* A finish that finds its parts replaced looks at them once more. */
#define TRIES 2

static char *
manifest(const struct s3_upload *u)
{
	const size_t row = strlen("<Part><PartNumber>10000</PartNumber>"
				  "<ETag>\"\"</ETag></Part>") +
	    80;
	char *text = arena_alloc(u->a, u->n_parts * row + 128), *p = text;
	size_t i;

	p = stpcpy(p, "<CompleteMultipartUpload>");
	for (i = 0; i < u->n_parts; i++) {
		p = stpcpy(p,
		    arena_printf(
			u->a, "<Part><PartNumber>%zu</PartNumber>", i + 1));
		p = stpcpy(p,
		    arena_printf(u->a, "<ETag>\"%.70s\"</ETag></Part>",
			u->parts[i].etag));
	}
	(void)stpcpy(p, "</CompleteMultipartUpload>");
	return text;
}

/* A multipart upload that is gone may be complete: only the object tells. */
static enum err_code
complete_mpu(struct s3_upload *u, bool *again, struct err *e)
{
	enum err_code rc;
	struct s3_call c;
	bool is_there;

	s3_call_init(&c, "POST", u->key);
	s3_call_query(&c, "uploadId", u->mpu);
	s3_call_header(&c, "content-type", "application/xml");
	c.body = manifest(u);
	c.len = strlen(c.body);
	c.patience = COMPLETE_PATIENCE;
	rc = s3_call(u->s, &c, e);
	*again = strcmp(c.code, "InvalidPart") == 0;
	if (rc != ERR_NOT_FOUND)
		return rc;
	if ((rc = s3_find_object(u, &is_there, e)) != ERR_OK || is_there)
		return rc;
	return err_set(e, ERR_UNAVAILABLE, "%s: its multipart upload is gone",
	    u->base.info.id);
}

static enum err_code
send_rest(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (rc == ERR_OK && u->prefix < u->base.info.size)
		rc = s3_send_part(u, e);
	return rc;
}

static enum err_code
make_of_parts(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	bool again = false;
	int i;

	for (i = 0; i < TRIES; i++) {
		if ((rc = send_rest(u, e)) != ERR_OK)
			return rc;
		rc = complete_mpu(u, &again, e);
		if (rc == ERR_OK || !again)
			break;
		if (s3_list_parts(u, e) != ERR_OK)
			return e->code;
		s3_judge(u);
		u->base.info.offset = u->base.info.size;
	}
	return rc;
}

static enum err_code
make_at_once(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	if ((rc = s3_load_tail(u, 0, e)) != ERR_OK)
		return rc;
	s3_call_init(&c, "PUT", u->key);
	s3_add_object_headers(u, &c);
	c.fd = u->spool;
	c.len = (size_t)u->base.info.size;
	rc = s3_call(u->s, &c, e);
	return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
}

/* Claimed after a crash: nothing is in the spool. */
static enum err_code
begin_anew(struct s3_upload *u, struct err *e)
{
	if (u->start != -1)
		return ERR_OK;
	u->start = u->base.info.offset;
	return s3_begin_spool(u, e);
}

static enum err_code
finish(struct upload *up, unsigned pending, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc;

	assert(upload_is_whole(up));
	if (up->info.finished != 0)
		return ERR_OK;
	if ((rc = begin_anew(u, e)) != ERR_OK)
		return rc;
	if (u->mpu != NULL && up->info.size > 0)
		rc = make_of_parts(u, e);
	else
		rc = make_at_once(u, e);
	if (rc != ERR_OK)
		return rc;
	u->start = -1;
	/* One of deferred length that has no bytes has no part. */
	if (u->mpu != NULL && up->info.size == 0)
		s3_drop_mpu(u);
	up->info.finished = clock_now();
	up->info.pending = pending;
	up->info.expires = 0;
	if ((rc = s3_put_record(u, e)) != ERR_OK) {
		up->info.finished = 0;
		return rc;
	}
	u->is_hidden = false;
	s3_drop_segments(u, up->info.size);
	return ERR_OK;
}

static enum err_code
done(struct upload *up, unsigned what, struct err *e)
{
	if ((up->info.pending & what) == 0)
		return ERR_OK;
	up->info.pending &= ~what;
	return s3_put_record(s3_upload_of(up), e);
}

/* All but the last byte become a segment; after a crash they are one. */
static enum err_code
refuse(struct upload *up, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = ERR_OK;

	assert(upload_is_whole(up) && up->info.size > 0);
	if (u->start != -1)
		rc = s3_put_segment(u, up->info.size - 1, e);
	u->start = -1;
	up->info.offset = up->info.size - 1;
	if (rc == ERR_OK && u->is_hidden) {
		rc = s3_put_record(u, e);
		u->is_hidden = rc != ERR_OK;
	}
	return rc;
}

const struct store_finisher s3_finisher = {
	.finish = finish,
	.done = done,
	.refuse = refuse,
};
