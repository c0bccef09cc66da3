/*
 * foreign.c - what is there of an upload of tusd's s3store.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "store/s3/s3.h"

/* The sum of all parts; ERR_CORRUPT if one in between is missing. */
static enum err_code
sum_up(const struct s3_upload *u, int64_t *sum, struct err *e)
{
	size_t n;

	*sum = 0;
	for (n = 0; n < u->n_parts; n++) {
		if (u->parts[n].size == 0)
			return err_set(e, ERR_CORRUPT,
			    "%s: part %zu is missing, and later ones are there",
			    u->base.info.id, n + 1);
		*sum += u->parts[n].size;
	}
	return ERR_OK;
}

enum err_code
s3_count_bytes(const struct s3_upload *u, int64_t *parts, struct err *e)
{
	const struct file_info *info = &u->base.info;
	int64_t tail = u->tail > 0 ? u->tail : 0;
	enum err_code rc = sum_up(u, parts, e);

	if (rc == ERR_OK && !info->size_deferred && *parts + tail > info->size)
		return err_set(e, ERR_CORRUPT,
		    "%s: %" PRId64
		    " bytes are more than the announced %" PRId64,
		    info->id, *parts + tail, info->size);
	return rc;
}

enum err_code
s3_find_finished(struct s3_upload *u, bool *is_there, struct err *e)
{
	struct file_info *info = &u->base.info;
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "HEAD", u->key);
	rc = s3_call(u->s, &c, e);
	*is_there = rc == ERR_OK && !info->size_deferred &&
	    c.length == info->size && s3_is_object_of(u, &c);
	if (*is_there) {
		info->offset = info->size;
		info->finished = s3_call_time(&c) > 0 ? s3_call_time(&c) : 1;
	}
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code
s3_look_at_foreign(struct s3_upload *u, struct err *e)
{
	int64_t parts;
	enum err_code rc;
	bool is_there;

	if ((rc = s3_find_finished(u, &is_there, e)) != ERR_OK || is_there ||
	    (rc = s3_list_segments(u, e)) != ERR_OK ||
	    (rc = s3_list_parts(u, e)) != ERR_OK ||
	    (rc = s3_count_bytes(u, &parts, e)) != ERR_OK)
		return rc;
	u->base.info.offset = parts + (u->tail > 0 ? u->tail : 0);
	u->base.settled = false;
	return ERR_OK;
}

enum err_code
s3_remove_tail(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "DELETE", s3_tail_key(u->s, u->a, u->base.info.id));
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_OK || rc == ERR_NOT_FOUND)
		u->tail = -1;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}
