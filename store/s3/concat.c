/*
 * concat.c - one object of several, which S3 copies itself.
 *
 * The grid is that of the new upload.  A part that lies within one source is
 * copied in the bucket; one that spans several goes through the spool, so that
 * a part for each source is downloaded at most.  Several are on their way at a
 * time; one that fails ends all, for the copied bytes are nowhere but in the
 * sources.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "store/s3/s3.h"

/* The bytes from begin to end of the new upload are this object. */
struct source {
	const char *key;
	int64_t begin, end;
};

struct sources {
	struct source *list;
	size_t n;
};

static enum err_code
find_source(struct s3_upload *u, const char *id, int64_t begin,
    struct source *src, struct err *e)
{
	struct upload *up;
	enum err_code rc;

	rc = s3_get_upload(&u->s->base, id, u->a, &up, e);
	if (rc == ERR_CORRUPT)
		return err_set(e, ERR_CONFLICT, "part %s: damaged", id);
	if (rc != ERR_OK)
		return rc;
	if (!upload_is_finished(up))
		return err_set(e, ERR_CONFLICT, "part %s: not finished", id);
	*src = (struct source){ s3_upload_of(up)->key, begin,
		begin + up->info.size };
	return ERR_OK;
}

static enum err_code
find_sources(struct s3_upload *u, struct sources *all, struct err *e)
{
	const char *const *parts = u->base.info.parts;
	enum err_code rc;
	int64_t at = 0;
	size_t n = 0;

	while (parts[n] != NULL)
		n++;
	all->list = arena_alloc(u->a, (n + 1) * sizeof(all->list[0]));
	for (all->n = 0; all->n < n; all->n++) {
		rc = find_source(u, parts[all->n], at, &all->list[all->n], e);
		if (rc != ERR_OK)
			return rc;
		at = all->list[all->n].end;
	}
	if (at != u->base.info.size)
		return err_set(e, ERR_CONFLICT,
		    "%s: the parts are not of the size that they had",
		    u->base.info.id);
	return ERR_OK;
}

static const struct source *
source_at(const struct sources *all, int64_t at)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->list[i].begin <= at && at < all->list[i].end)
			return &all->list[i];
	return NULL;
}

static const char *
range(struct s3_upload *u, const struct source *src, int64_t from, int64_t to)
{
	return arena_printf(u->a, "bytes=%" PRId64 "-%" PRId64,
	    from - src->begin, to - src->begin - 1);
}

/* --- Through the spool. --- */

static enum err_code
fetch(struct s3_upload *u, const struct source *src, int64_t from, int64_t to,
    struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", src->key);
	s3_call_header(&c, "range", range(u, src, from, to));
	c.answer_fd = u->spool;
	c.answer_at = s3_spool_at(u, from);
	c.patience = ((to - from) >> 20) * 1000;
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_OK && c.length != to - from)
		rc = err_set(
		    e, ERR_UNAVAILABLE, "S3: %.80s: cut short", src->key);
	return rc;
}

/*
 * Bring these bytes into the spool, into a place that is none of a part on its
 * way.  They are all that it has to have: what comes before them is copied.
 */
static enum err_code
gather(struct s3_upload *u, const struct sources *all, int64_t from, int64_t to,
    struct err *e)
{
	enum err_code rc = ERR_OK;
	const struct source *src;
	int64_t at, end;

	if (u->spool == -1 && (rc = s3_begin_spool(u, e)) == ERR_OK)
		u->ring = u->mpu != NULL ? s3_ring_size(u) : 0;
	for (at = from; rc == ERR_OK && at < to; at = end) {
		src = source_at(all, at);
		end = src->end < to ? src->end : to;
		rc = fetch(u, src, at, end, e);
	}
	u->spool_from = from;
	return rc;
}

/* Begin with the part behind those that are on their way. */
static enum err_code
make_part(struct s3_upload *u, const struct sources *all, int64_t from,
    int64_t to, struct err *e)
{
	const struct source *src = source_at(all, from);
	enum err_code rc;

	if (to <= src->end)
		return s3_start_copy(u, src->key, range(u, src, from, to), e);
	if ((rc = gather(u, all, from, to, e)) != ERR_OK)
		return rc;
	return s3_start_part(u, e);
}

static enum err_code
make_parts(struct s3_upload *u, const struct sources *all, struct err *e)
{
	enum err_code rc = ERR_OK;
	int64_t at, end;

	u->abreast = S3_COPIES;
	for (at = u->prefix; rc == ERR_OK && at < u->base.info.size; at = end) {
		end = s3_part_end(u, u->n_parts + u->n_ahead + 1);
		rc = make_part(u, all, at, end, e);
	}
	return rc == ERR_OK ? s3_await_parts(u, e) : rc;
}

/* A small one is put together when it is finished, in one piece. */
static enum err_code
fill(struct s3_upload *u, const struct sources *all, struct err *e)
{
	enum err_code rc;

	if (u->mpu != NULL) {
		rc = make_parts(u, all, e);
	} else {
		rc = gather(u, all, 0, u->base.info.size, e);
		u->start = 0;
		u->is_kept = true;
	}
	u->base.info.offset = u->base.info.size;
	return rc;
}

static enum err_code
concat(struct data_store *ds, const struct file_info *info, struct arena *a,
    struct upload **up, struct err *e)
{
	enum err_code rc = s3_new_hidden(ds, info, a, up, e);
	struct sources all;
	struct s3_upload *u;

	if (rc != ERR_OK)
		return rc;
	u = s3_upload_of(*up);
	if ((rc = find_sources(u, &all, e)) == ERR_OK)
		rc = fill(u, &all, e);
	if (rc == ERR_OK)
		return ERR_OK;
	s3_drop_parts(u);
	if (u->mpu != NULL)
		s3_drop_mpu(u);
	s3_end_spool(u);
	*up = NULL;
	return rc;
}

const struct store_concater s3_concater = {
	.concat = concat,
};
