/*
 * adopt.c - uploads of tusd's s3store, taken over and given back.
 *
 * tusd's record names its multipart upload in the id, ID+MULTIPART.  The parts
 * have any size; the offset is their sum and the length of the one tail,
 * R + ID.part.  Finished is an upload whose object is there.
 *
 * Such a finished upload is served as it is.  An unfinished one is looked at,
 * and not written to before it is adopted: its parts become the base on which
 * the grid begins, its tail a segment.  The way back is a tail beside the
 * segments, and a multipart upload also for the small.  As long as only we
 * have written since, the segments have all its bytes, so that the first claim
 * removes the tail.
 */
#include "config.h"

#include <string.h>

#include "store/s3/s3.h"

/* --- From tusd. --- */

/* Has another server written since we did? */
static bool
is_as_we_left_it(struct s3_upload *u)
{
	size_t n;

	if (u->is_foreign || u->tail >= 0)
		return false;
	s3_judge(u);
	if (!u->has_stray_parts)
		return true;
	/* Parts are sent at the same time: behind a hole, those of ours have
	 * the size of the grid. */
	if (s3_list_parts(u, &(struct err){ 0 }) != ERR_OK)
		return true;
	for (n = u->adopted_parts; n < u->n_parts; n++)
		if (u->parts[n].size != 0 &&
		    u->parts[n].size !=
			s3_part_end(u, n + 1) - s3_part_end(u, n))
			return false;
	return true;
}

/* The tail is where the parts end. */
static enum err_code
keep_tail(struct s3_upload *u, struct err *e)
{
	struct s3_segment tail = {
		.key = s3_tail_key(u->s, u->a, u->base.info.id),
		.start = u->prefix,
		.end = u->prefix + u->tail,
	};
	enum err_code rc;

	u->base.info.offset = tail.end;
	u->segments = &tail;
	u->n_segments = 1;
	u->start = u->prefix;
	rc = s3_begin_spool(u, e);
	if (rc == ERR_OK)
		rc = s3_put_segment(u, tail.end, e);
	s3_end_spool(u);
	u->start = -1;
	u->n_segments = 0;
	return rc;
}

static enum err_code
take_over(struct s3_upload *u, struct err *e)
{
	enum err_code rc = s3_count_bytes(u, &u->adopted, e);

	if (rc != ERR_OK)
		return rc;
	u->is_adopted = true;
	u->adopted_parts = u->n_parts;
	u->prefix = u->base.info.offset = u->adopted;
	u->part_size = s3_choose_rest_size(u);
	u->part_growth = u->base.info.size_deferred && u->s->part_growth;
	s3_limit_size(u);
	if (u->tail > 0 && (rc = keep_tail(u, e)) != ERR_OK)
		return rc;
	if ((rc = s3_put_record(u, e)) != ERR_OK)
		return rc;
	u->is_foreign = false;
	return u->tail >= 0 ? s3_remove_tail(u, e) : ERR_OK;
}

enum err_code
s3_adopt(struct upload *up, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = s3_get_record(u, e);
	bool is_there = false;

	if (rc != ERR_OK || up->info.finished != 0 || u->mpu == NULL)
		return rc;
	if ((rc = s3_list_segments(u, e)) != ERR_OK)
		return rc;
	rc = s3_list_parts(u, e);
	if (rc == ERR_NOT_FOUND || u->is_foreign) {
		if (s3_find_finished(u, &is_there, e) != ERR_OK)
			return e->code;
		if (is_there)
			return ERR_OK;
	}
	if (rc != ERR_OK || is_as_we_left_it(u))
		return rc;
	up->settled = true;
	return take_over(u, e);
}

/* --- To tusd. --- */

static enum err_code
put_tail(struct s3_upload *u, struct err *e)
{
	const int64_t end = u->base.info.offset;
	enum err_code rc;
	struct s3_call c;

	if (end == u->prefix)
		return ERR_OK;
	if ((rc = s3_begin_spool(u, e)) != ERR_OK ||
	    (rc = s3_load_tail(u, u->prefix, e)) != ERR_OK)
		return rc;
	s3_call_init(&c, "PUT", s3_tail_key(u->s, u->a, u->base.info.id));
	c.fd = u->spool;
	c.at = s3_spool_at(u, u->prefix);
	c.len = (size_t)(end - u->prefix);
	rc = s3_call(u->s, &c, e);
	return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
}

/* The bytes are as safe as ever; only tusd needs something more. */
enum err_code
s3_settle(struct upload *up, bool for_tusd, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = ERR_OK;

	if (!for_tusd)
		return ERR_OK;
	if (u->has_stray_parts)
		return err_set(e, ERR_CONFLICT,
		    "%s: part %zu is missing, and tusd would not see that: "
		    "its client has to send more",
		    up->info.id, u->n_parts + 1);
	if (u->mpu == NULL)
		rc = s3_create_mpu(u, e);
	if (rc == ERR_OK)
		rc = put_tail(u, e);
	s3_end_spool(u);
	u->is_for_tusd = true;
	if (rc == ERR_OK)
		rc = s3_put_record(u, e);
	u->is_for_tusd = false;
	return rc;
}
