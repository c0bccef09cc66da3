/*
 * end.c - remove an upload, in whatever state it is.
 *
 * The mark comes first: from then on no request finds the upload, however far
 * the rest gets.  The record goes last, so that a sweep can carry on.
 */
#include "config.h"

#include <string.h>

#include "store/s3/s3.h"

/* What arrives while it is aborted may stay; then once more. */
#define ABORTS_MAX 3

static enum err_code
abort_mpu(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct s3_call c;
	int i;

	for (i = 0; i < ABORTS_MAX && rc == ERR_OK; i++) {
		s3_call_init(&c, "DELETE", u->key);
		s3_call_query(&c, "uploadId", u->mpu);
		rc = s3_call(u->s, &c, e);
		if (rc != ERR_OK)
			break;
		rc = s3_list_parts(u, e);
	}
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code
remove_key(struct s3_upload *u, const char *key, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "DELETE", key);
	rc = s3_call(u->s, &c, e);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Where the key does not tell which upload the object belongs to, the object
 * itself does. */
static enum err_code
delete_object(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	if (s3_key_is_own(u))
		return remove_key(u, u->key, e);
	s3_call_init(&c, "HEAD", u->key);
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_OK && s3_is_object_of(u, &c))
		return remove_key(u, u->key, e);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code
s3_remove_record(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	size_t i;

	if ((rc = s3_list_segments(u, e)) != ERR_OK)
		return rc;
	for (i = 0; i < u->n_segments; i++)
		if ((rc = remove_key(u, u->segments[i].key, e)) != ERR_OK)
			return rc;
	if (u->tail >= 0 && (rc = s3_remove_tail(u, e)) != ERR_OK)
		return rc;
	return remove_key(u, s3_record_key(u->s, u->a, u->base.info.id), e);
}

enum err_code
s3_remove_all(struct s3_upload *u, struct err *e)
{
	enum err_code rc;

	if ((u->mpu != NULL && (rc = abort_mpu(u, e)) != ERR_OK) ||
	    (rc = delete_object(u, e)) != ERR_OK)
		return rc;
	return s3_remove_record(u, e);
}

static enum err_code
terminate(struct upload *up, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = ERR_OK;

	/* No client has seen the upload, or its record cannot be read. */
	if (u->etag != NULL && u->part_size > 0 && !u->is_terminated) {
		u->is_terminated = true;
		if ((rc = s3_put_record(u, e)) != ERR_OK) {
			u->is_terminated = false;
			return rc;
		}
	}
	return s3_remove_all(u, e);
}

/* A removal that died is carried on; what a creation left has no record. */
static enum err_code
clear(struct data_store *ds, const char *id, bool only_look, struct err *e)
{
	struct arena *a = arena_new();
	struct s3_upload *u = s3_upload_new(s3_store_of(ds), id, a);
	enum err_code rc = s3_get_record(u, e);

	if (rc == ERR_OK || rc == ERR_CORRUPT)
		rc = err_set(e, ERR_EXISTS, "%s: exists", id);
	else if (rc == ERR_NOT_FOUND &&
	    (rc = s3_list_segments(u, e)) == ERR_OK) {
		if (!u->is_terminated && u->n_segments == 0)
			rc = err_set(e, ERR_NOT_FOUND, "%s: not there", id);
		else if (!only_look)
			rc = s3_remove_all(u, e);
	}
	arena_free(a);
	return rc;
}

const struct store_terminater s3_terminater = {
	.terminate = terminate,
	.clear = clear,
};
