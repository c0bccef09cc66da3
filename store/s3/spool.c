/*
 * spool.c - bytes that wait to be sent, in a file without a name; and a part
 * out of it.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/s3/s3.h"

/* AWS copies a part of 5 GiB in a minute or two. */
#define COPY_PATIENCE 300000

static int
open_unlinked(const char *dir, struct err *e)
{
	char name[PATH_MAX];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd != -1)
		return fd;
	/* Not every file system can make a file without a name. */
	(void)snprintf(name, sizeof(name), "%s/tusfcgi-XXXXXX", dir);
	if ((fd = mkostemp(name, O_CLOEXEC)) == -1)
		(void)err_sys(e, "s3.spool: %s", dir);
	else
		(void)unlink(name);
	return fd;
}

/* A spool that another process opened is shared with that process. */
static void
take_spare(struct s3_upload *u)
{
	struct s3_store *s = u->s;

	if (s->spare != -1 && s->owner == getpid()) {
		u->spool = s->spare;
		s->spare = -1;
	}
}

/* Other uploads need room on the file system, too. */
static enum err_code
check_room(const struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	int64_t bytes;

	if ((rc = fs_free_space(u->spool, &bytes, e)) != ERR_OK ||
	    bytes >= u->s->min_free)
		return rc;
	return err_set(e, ERR_NO_SPACE,
	    "s3.spool: %s has less than store.min_free left", u->s->spool_dir);
}

enum err_code
s3_begin_spool(struct s3_upload *u, struct err *e)
{
	u->spool_base = u->prefix;
	u->spool_from = u->base.info.offset;
	u->ring = 0;
	if (u->spool == -1)
		take_spare(u);
	if (u->spool == -1)
		u->spool = open_unlinked(u->s->spool_dir, e);
	if (u->spool == -1)
		return e->code;
	if (ftruncate(u->spool, 0) == -1)
		return err_sys(e, "s3.spool: %s", u->s->spool_dir);
	return check_room(u, e);
}

int64_t
s3_spool_at(const struct s3_upload *u, int64_t byte)
{
	int64_t at = byte - u->spool_base;

	return u->ring > 0 ? at % u->ring : at;
}

int64_t
s3_ring_size(const struct s3_upload *u)
{
	return ((int64_t)u->abreast + 1) *
	    s3_part_size(u, u->n_parts + u->n_ahead + 1);
}

void
s3_end_spool(struct s3_upload *u)
{
	struct s3_store *s = u->s;

	if (u->spool == -1)
		return;
	/* A process that does nothing keeps no space. */
	if (s->spare == -1 && s->owner == getpid() &&
	    ftruncate(u->spool, 0) == 0)
		s->spare = u->spool;
	else
		(void)close(u->spool);
	u->spool = -1;
}

static enum err_code
fetch(struct s3_upload *u, const struct s3_segment *g, int64_t from, int64_t to,
    struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", g->key);
	s3_call_header(&c, "range",
	    arena_printf(u->a, "bytes=%" PRId64 "-%" PRId64, from - g->start,
		to - g->start - 1));
	c.answer_fd = u->spool;
	c.answer_at = s3_spool_at(u, from);
	c.patience = ((to - from) >> 20) * 1000;
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_OK && c.length != to - from)
		rc =
		    err_set(e, ERR_UNAVAILABLE, "S3: %.80s: cut short", g->key);
	/* Another process has put the segment into a part meanwhile. */
	if (rc == ERR_NOT_FOUND)
		rc = err_set(e, ERR_UNAVAILABLE, "S3: %.80s: is gone", g->key);
	return rc;
}

const struct s3_segment *
s3_segment_at(const struct s3_upload *u, int64_t at)
{
	const struct s3_segment *best = NULL, *g;
	size_t i;

	for (i = 0; i < u->n_segments; i++) {
		g = &u->segments[i];
		if (g->start <= at && at < g->end &&
		    (best == NULL || g->end > best->end))
			best = g;
	}
	return best;
}

enum err_code
s3_load_tail(struct s3_upload *u, int64_t from, struct err *e)
{
	const struct s3_segment *g;
	enum err_code rc;
	int64_t at, to;

	for (at = from; at < u->spool_from; at = to) {
		if ((g = s3_segment_at(u, at)) == NULL)
			return err_set(e, ERR_UNAVAILABLE,
			    "%s: no segment has byte %" PRId64, u->base.info.id,
			    at);
		to = g->end < u->spool_from ? g->end : u->spool_from;
		if ((rc = fetch(u, g, at, to, e)) != ERR_OK)
			return rc;
	}
	if (from < u->spool_from)
		u->spool_from = from;
	return ERR_OK;
}

/* --- Parts. --- */

void
s3_add_part(struct s3_upload *u, const char *etag, int64_t size)
{
	struct s3_part *more;

	if (u->n_parts == u->room) {
		u->room = u->room > 0 ? 2 * u->room : 16;
		more = arena_alloc(u->a, u->room * sizeof(*more));
		if (u->n_parts > 0)
			memcpy(more, u->parts, u->n_parts * sizeof(*more));
		u->parts = more;
	}
	u->parts[u->n_parts].etag = etag;
	u->parts[u->n_parts++].size = size;
	u->prefix += size;
}

enum err_code
s3_describe_part(
    struct s3_upload *u, size_t n, struct s3_call *c, struct err *e)
{
	int64_t from = s3_part_end(u, n - 1);

	if (n > S3_PARTS_MAX)
		return err_set(e, ERR_INVALID, "%s: S3 takes %d parts",
		    u->base.info.id, S3_PARTS_MAX);
	s3_call_init(c, "PUT", u->key);
	s3_call_query(c, "uploadId", u->mpu);
	s3_call_query(c, "partNumber", arena_printf(u->a, "%zu", n));
	c->fd = u->spool;
	c->at = s3_spool_at(u, from);
	c->len = (size_t)(s3_part_end(u, n) - from);
	return ERR_OK;
}

void
s3_describe_copy(struct s3_upload *u, size_t n, const char *key,
    const char *range, struct s3_call *c)
{
	s3_call_init(c, "PUT", u->key);
	s3_call_query(c, "uploadId", u->mpu);
	s3_call_query(c, "partNumber", arena_printf(u->a, "%zu", n));
	s3_call_header(c, "x-amz-copy-source",
	    arena_printf(
		u->a, "/%s/%s", u->s->bucket, s3_encode_path(u->a, key)));
	s3_call_header(c, "x-amz-copy-source-range", range);
	c->patience = COPY_PATIENCE;
}

static bool
is_copy(const struct s3_call *c)
{
	return c->fd == -1;
}

/* The answer to a copy has it in its body. */
static enum err_code
etag_of(struct s3_upload *u, const struct s3_call *c,
    const struct s3_text *answer, const char **etag, struct err *e)
{
	const char *text = c->etag;
	enum err_code rc;

	if (is_copy(c) &&
	    (rc = s3_answer_text(answer, "ETag", u->a, &text, e)) != ERR_OK)
		return rc;
	text += *text == '"';
	*etag = arena_memdup(u->a, text, strcspn(text, "\""));
	if (**etag == '\0')
		return err_set(e, ERR_UNAVAILABLE, "S3: a part without ETag");
	return ERR_OK;
}

enum err_code
s3_take_part(struct s3_upload *u, const struct s3_call *c,
    const struct s3_text *answer, enum err_code rc, struct err *e)
{
	const char *etag;

	if (rc == ERR_NOT_FOUND && !is_copy(c))
		return err_set(e, ERR_UNAVAILABLE,
		    "%s: its multipart upload is gone", u->base.info.id);
	if (rc != ERR_OK || (rc = etag_of(u, c, answer, &etag, e)) != ERR_OK)
		return rc;
	s3_add_part(u, etag, s3_part_end(u, u->n_parts + 1) - u->prefix);
	return ERR_OK;
}

enum err_code
s3_send_part(struct s3_upload *u, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	if ((rc = s3_load_tail(u, u->prefix, e)) != ERR_OK ||
	    (rc = s3_describe_part(u, u->n_parts + 1, &c, e)) != ERR_OK)
		return rc;
	rc = s3_call(u->s, &c, e);
	return s3_take_part(u, &c, &u->s->answer, rc, e);
}
