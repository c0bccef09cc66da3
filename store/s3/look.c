/*
 * look.c - make an upload, find it, and find out its offset.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "store/s3/s3.h"

/* --- Creating. --- */

enum err_code
s3_create_mpu(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "POST", u->key);
	s3_call_query(&c, "uploads", "");
	s3_add_object_headers(u, &c);
	if ((rc = s3_call(u->s, &c, e)) != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
	rc = s3_answer_text(&u->s->answer, "UploadId", u->a, &u->mpu, e);
	if (rc == ERR_OK && *u->mpu == '\0')
		rc = err_set(e, ERR_UNAVAILABLE, "S3: no UploadId");
	return rc;
}

void
s3_drop_mpu(struct s3_upload *u)
{
	struct err ignored;
	struct s3_call c;

	s3_call_init(&c, "DELETE", u->key);
	s3_call_query(&c, "uploadId", u->mpu);
	(void)!s3_call(u->s, &c, &ignored);
}

static enum err_code
make(struct data_store *ds, const struct file_info *info, struct arena *a,
    struct upload **up, struct err *e)
{
	struct s3_store *s = s3_store_of(ds);
	struct s3_upload *u = s3_upload_new(s, info->id, a);
	enum err_code rc;

	file_info_copy(a, &u->base.info, info);
	u->base.info.offset = 0;
	if ((rc = s3_place(u, e)) != ERR_OK)
		return rc;
	u->is_hidden = true;
	u->part_growth = info->size_deferred && s->part_growth;
	if ((u->part_size = s3_choose_part_size(s, info)) == 0)
		return err_set(
		    e, ERR_INVALID, "%s: S3 takes 5 TiB at most", info->id);
	s3_limit_size(u);
	if (info->size_deferred || info->size > u->part_size)
		if ((rc = s3_create_mpu(u, e)) != ERR_OK)
			return rc;
	*up = &u->base;
	return ERR_OK;
}

/* Its object comes before its record: no other upload may have that id. */
enum err_code
s3_new_hidden(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "HEAD", s3_record_key(s3_store_of(ds), a, info->id));
	rc = s3_call(s3_store_of(ds), &c, e);
	if (rc == ERR_OK)
		return err_set(e, ERR_EXISTS, "%s: exists", info->id);
	if (rc != ERR_NOT_FOUND)
		return rc;
	return make(ds, info, a, up, e);
}

enum err_code
s3_new_upload(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	enum err_code rc = make(ds, info, a, up, e);
	struct s3_upload *u;

	if (rc != ERR_OK)
		return rc;
	u = s3_upload_of(*up);
	if ((rc = s3_put_record(u, e)) == ERR_OK) {
		u->is_hidden = false;
		return ERR_OK;
	}
	*up = NULL;
	if (u->mpu != NULL)
		s3_drop_mpu(u);
	return rc;
}

/* --- Looking. --- */

static void
set_finished(struct s3_upload *u)
{
	struct file_info *info = &u->base.info;

	info->offset = info->size;
	if (info->finished == 0) {
		info->finished = clock_now();
		u->is_unmarked = true;
	}
}

/* May the record be that of a request which came after a removal?  Any PUT is
 * taken without conditions; and the one that makes a record is always taken,
 * which matters where the id of a concatenation is that of the next try. */
static bool
may_have_come_late(const struct s3_upload *u)
{
	return u->base.info.is_final ||
	    (u->s->condition != S3_CONDITION_QUOTED &&
		u->s->condition != S3_CONDITION_BARE);
}

/* The record says that it is finished; where it may lie, the object tells. */
static enum err_code
look_at_finished(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	bool is_there;

	u->base.info.offset = u->base.info.size;
	if (u->s->is_kept || !may_have_come_late(u))
		return ERR_OK;
	rc = s3_find_object(u, &is_there, e);
	if (rc != ERR_OK || is_there)
		return rc;
	return err_set(e, ERR_NOT_FOUND, "%s: has no object", u->base.info.id);
}

/*
 * Segments before parts: the other way round, a part that is completed and a
 * segment that is deleted in between both go unseen.  With to_claim the object
 * of a small upload is not looked for: one that a killed process has made
 * without writing so is made again, of the same bytes.
 */
static enum err_code
look_at_bytes(struct s3_upload *u, bool to_claim, struct err *e)
{
	bool is_there = false, has_parts = false;
	enum err_code rc;

	if ((rc = s3_list_segments(u, e)) != ERR_OK)
		return rc;
	u->n_parts = 0;
	if (u->mpu != NULL) {
		rc = s3_list_parts(u, e);
		has_parts = rc == ERR_OK;
		if (rc != ERR_OK && rc != ERR_NOT_FOUND)
			return rc;
	}
	s3_judge(u);
	/* Swift lists parts even of an upload that is complete, and those that
	 * do not fit are another server's. */
	if (u->has_stray_parts ||
	    (!has_parts && (u->mpu != NULL || !to_claim))) {
		if ((rc = s3_find_object(u, &is_there, e)) != ERR_OK)
			return rc;
		if (is_there) {
			set_finished(u);
			return ERR_OK;
		}
	}
	if (!has_parts && u->mpu != NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: neither parts nor an object", u->base.info.id);
	if (u->n_parts < u->adopted_parts)
		return err_set(e, ERR_UNAVAILABLE,
		    "%s: the parts that were adopted are not all there",
		    u->base.info.id);
	return ERR_OK;
}

/* A PATCH renews the time by the age of the parts and segments that it adds. */
static void
renew(struct s3_upload *u)
{
	struct file_info *info = &u->base.info;

	if (u->s->renewed_for > 0 && info->expires != 0 &&
	    u->changed + u->s->renewed_for > info->expires)
		info->expires = u->changed + u->s->renewed_for;
}

/* The age of its present parts and segments decides when an upload expires. */
static bool
may_be_expired(const struct s3_upload *u)
{
	int64_t expires = u->base.info.expires;

	return expires != 0 && expires <= clock_now();
}

/* The record, and what it speaks of; to_claim: of an unfinished upload the
 * record alone. */
static enum err_code
look(struct s3_upload *u, bool to_claim, struct err *e)
{
	enum err_code rc = s3_get_record(u, e);

	u->prefix = 0;
	u->n_parts = u->n_segments = 0;
	u->is_unmarked = u->is_found = false;
	if (rc != ERR_OK)
		return rc;
	u->base.settled = true;
	if (u->is_foreign)
		return s3_look_at_foreign(u, e);
	if (u->base.info.finished != 0)
		return look_at_finished(u, e);
	if (to_claim && !may_be_expired(u)) {
		u->base.info.offset = -1;
		u->base.settled = false;
		u->is_found = true;
		return ERR_OK;
	}
	if ((rc = look_at_bytes(u, false, e)) == ERR_OK)
		renew(u);
	return rc;
}

/*
 * Of an upload that was found: the list that shows the bytes shows the record,
 * too.  Where it is not the one that was read, all is read anew.
 */
static enum err_code
look_again(struct s3_upload *u, struct err *e)
{
	enum err_code rc;

	if (!u->is_found)
		return look(u, false, e);
	u->is_found = false;
	rc = look_at_bytes(u, true, e);
	if (u->listed_etag == NULL || strcmp(u->listed_etag, u->etag) != 0)
		return look(u, false, e);
	u->base.settled = true;
	if (rc == ERR_OK)
		renew(u);
	return rc;
}

static enum err_code
open_upload(struct data_store *ds, const char *id, bool to_claim,
    struct arena *a, struct upload **up, struct err *e)
{
	struct s3_upload *u = s3_upload_new(s3_store_of(ds), id, a);
	enum err_code rc = look(u, to_claim, e);

	*up = NULL;
	if (rc == ERR_NOT_FOUND)
		s3_lose(u->s, u);
	if (rc == ERR_CORRUPT)
		u->base.info = (struct file_info){ .id = arena_strdup(a, id) };
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		*up = &u->base;
	return rc;
}

enum err_code
s3_get_upload(struct data_store *ds, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	return open_upload(ds, id, false, a, up, e);
}

enum err_code
s3_find_upload(struct data_store *ds, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	return open_upload(ds, id, true, a, up, e);
}

enum err_code
s3_claim(struct upload *up, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = look_again(u, e);

	if (rc == ERR_OK && u->is_foreign && !upload_is_finished(up))
		return err_set(e, ERR_UNAVAILABLE,
		    "%s: is tusd's, and was not adopted: run tusctl adopt",
		    up->info.id);
	/* The object that holds the tail for tusd is out of date once bytes
	 * come. */
	if (rc == ERR_OK && !u->is_foreign && u->tail >= 0)
		rc = s3_remove_tail(u, e);
	/* The process that completed the object died: note the finish in the
	 * record, once. */
	if (rc == ERR_OK && u->is_unmarked) {
		up->info.expires = 0;
		up->info.pending = STORE_TO_TELL | STORE_TO_REMOVE;
		if ((rc = s3_put_record(u, e)) == ERR_OK) {
			u->is_unmarked = false;
			s3_drop_segments(u, up->info.size);
		}
	}
	return rc;
}
