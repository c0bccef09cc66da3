/*
 * write.c - bytes on their way to S3.
 *
 * They are spooled until a part is full, and sent then; what is left at the
 * end becomes one segment.  So a request that was sent can be sent again, and
 * bytes on probation are not sent before they are verified.
 */
#include "config.h"

#include <openssl/rand.h>

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/s3/s3.h"

/* The end of the last byte that is safe, whatever becomes of the spool. */
static int64_t
safe_offset(const struct s3_upload *u)
{
	return u->prefix > u->start ? u->prefix : u->start;
}

/* --- The spool. --- */

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

void
s3_end_spool(struct s3_upload *u)
{
	struct s3_store *s = u->s;

	if (u->spool == -1)
		return;
	if (s->spare == -1 && s->owner == getpid())
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
	c.answer_at = from - u->spool_base;
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

/* The segment with this byte that goes farthest. */
static const struct s3_segment *
segment_at(const struct s3_upload *u, int64_t at)
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
		if ((g = segment_at(u, at)) == NULL)
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
	u->parts[u->n_parts].etag = arena_strdup(u->a, etag);
	u->parts[u->n_parts++].size = size;
	u->prefix += size;
}

enum err_code
s3_send_part(struct s3_upload *u, struct err *e)
{
	int64_t end = s3_part_end(u, u->n_parts + 1);
	enum err_code rc;
	struct s3_call c;

	if (u->n_parts == S3_PARTS_MAX)
		return err_set(e, ERR_INVALID, "%s: S3 takes %d parts",
		    u->base.info.id, S3_PARTS_MAX);
	if ((rc = s3_load_tail(u, u->prefix, e)) != ERR_OK)
		return rc;
	s3_call_init(&c, "PUT", u->key);
	s3_call_query(&c, "uploadId", u->mpu);
	s3_call_query(
	    &c, "partNumber", arena_printf(u->a, "%zu", u->n_parts + 1));
	c.fd = u->spool;
	c.at = u->prefix - u->spool_base;
	c.len = (size_t)(end - u->prefix);
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_NOT_FOUND)
		return err_set(e, ERR_UNAVAILABLE,
		    "%s: its multipart upload is gone", u->base.info.id);
	if (rc == ERR_OK && c.etag[0] == '\0')
		return err_set(e, ERR_UNAVAILABLE, "S3: a part without ETag");
	if (rc == ERR_OK)
		s3_add_part(u, c.etag, end - u->prefix);
	return rc;
}

/* The last part is for the finish alone: until then a hook may refuse. */
static bool
has_full_part(const struct s3_upload *u)
{
	return u->mpu != NULL && !upload_is_whole(&u->base) &&
	    u->base.info.offset >= s3_part_end(u, u->n_parts + 1);
}

/* --- Segments. --- */

void
s3_drop_segments(struct s3_upload *u, int64_t below)
{
	struct err ignored;
	struct s3_call c;
	size_t i, kept = 0;

	for (i = 0; i < u->n_segments; i++) {
		if (u->segments[i].end > below) {
			u->segments[kept++] = u->segments[i];
			continue;
		}
		s3_call_init(&c, "DELETE", u->segments[i].key);
		(void)!s3_call(u->s, &c, &ignored);
	}
	u->n_segments = kept;
}

static void
add_segment(struct s3_upload *u, const struct s3_segment *g)
{
	struct s3_segment *more =
	    arena_alloc(u->a, (u->n_segments + 1) * sizeof(*more));

	if (u->n_segments > 0)
		memcpy(more, u->segments, u->n_segments * sizeof(*more));
	more[u->n_segments++] = *g;
	u->segments = more;
}

/* Where the new segment begins: with too many, it takes in the last ones. */
static int64_t
segment_start(const struct s3_upload *u)
{
	int64_t start = safe_offset(u), at = u->prefix;
	const struct s3_segment *g;
	size_t n = 0;

	while (at < start && (g = segment_at(u, at)) != NULL) {
		if (++n > S3_SEGMENTS_MAX / 2 &&
		    u->n_segments >= S3_SEGMENTS_MAX)
			return at;
		at = g->end;
	}
	return start;
}

/* Remove the segments whose bytes a new segment contains. */
static void
drop_inner(struct s3_upload *u, int64_t start)
{
	struct err ignored;
	struct s3_call c;
	size_t i, kept = 0;

	for (i = 0; i < u->n_segments; i++) {
		if (u->segments[i].start < start) {
			u->segments[kept++] = u->segments[i];
			continue;
		}
		s3_call_init(&c, "DELETE", u->segments[i].key);
		(void)!s3_call(u->s, &c, &ignored);
	}
	u->n_segments = kept;
}

enum err_code
s3_put_segment(struct s3_upload *u, int64_t end, struct err *e)
{
	struct s3_segment g = { .start = segment_start(u), .end = end };
	const char *prefix = s3_segment_prefix(u->s, u->a, u->base.info.id);
	uint32_t random = 0;
	enum err_code rc;
	struct s3_call c;

	if (safe_offset(u) >= end)
		return ERR_OK;
	if ((rc = s3_load_tail(u, g.start, e)) != ERR_OK)
		return rc;
	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	g.key = arena_printf(u->a, "%s%016" PRIx64 "-%08" PRIx32, prefix,
	    (uint64_t)g.start, random);
	s3_call_init(&c, "PUT", g.key);
	c.fd = u->spool;
	c.at = g.start - u->spool_base;
	c.len = (size_t)(end - g.start);
	if ((rc = s3_call(u->s, &c, e)) != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
	drop_inner(u, g.start);
	add_segment(u, &g);
	return ERR_OK;
}

/* --- Writing. --- */

enum err_code
s3_write_begin(struct upload *up, bool on_probation, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);

	assert(!upload_is_finished(up));
	u->start = up->info.offset;
	u->on_probation = on_probation;
	u->is_kept = false;
	u->before = up->info;
	return s3_begin_spool(u, e);
}

static enum err_code
spool(struct s3_upload *u, const void *buf, size_t len, struct err *e)
{
	enum err_code rc;
	size_t done;

	rc = fs_pwrite(
	    u->spool, buf, len, u->base.info.offset - u->spool_base, &done, e);
	u->base.info.offset += (int64_t)done;
	return rc;
}

/* Bytes up to the end of the part; on probation all of them. */
static size_t
room_of(const struct s3_upload *u, size_t len)
{
	int64_t left;

	if (u->on_probation || u->mpu == NULL)
		return len;
	left = s3_part_end(u, u->n_parts + 1) - u->base.info.offset;
	return (int64_t)len < left ? len : (size_t)left;
}

enum err_code
s3_write(struct upload *up, const void *buf, size_t len, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = ERR_OK;
	size_t n;

	if (!up->info.size_deferred &&
	    len > (size_t)(up->info.size - up->info.offset))
		return err_set(
		    e, ERR_INVALID, "%s: longer than announced", up->info.id);
	while (len > 0 && rc == ERR_OK) {
		/* A part that could not be sent is tried again. */
		if (!u->on_probation && has_full_part(u) &&
		    (rc = s3_send_part(u, e)) != ERR_OK)
			break;
		if (u->prefix == up->info.offset)
			u->spool_base = u->spool_from = u->prefix;
		n = room_of(u, len);
		rc = spool(u, buf, n, e);
		buf = (const char *)buf + n;
		len -= n;
	}
	return rc;
}

/* Where the store counts the time itself, it is not written. */
static bool
record_changed(const struct s3_upload *u)
{
	const struct file_info *info = &u->base.info, *before = &u->before;

	return info->size_deferred != before->size_deferred ||
	    (info->expires != before->expires && u->s->renewed_for == 0);
}

static enum err_code
keep_bytes(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!u->is_hidden && record_changed(u) &&
	    (rc = s3_put_record(u, e)) != ERR_OK)
		return rc;
	/* The bytes that make the upload whole are left to the finish. */
	if (upload_is_whole(&u->base))
		return ERR_OK;
	while (rc == ERR_OK && has_full_part(u))
		rc = s3_send_part(u, e);
	/* A part that cannot be sent may be kept as a segment. */
	if (s3_put_segment(u, u->base.info.offset, e) != ERR_OK)
		return e->code;
	if (u->is_hidden && (rc = s3_put_record(u, e)) != ERR_OK)
		return rc;
	u->is_hidden = false;
	s3_drop_segments(u, u->prefix);
	return ERR_OK;
}

enum err_code
s3_write_end(struct upload *up, bool keep, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc = keep ? keep_bytes(u, e) : ERR_OK;

	if (!keep || rc != ERR_OK) {
		int64_t offset = safe_offset(u);

		up->info = u->before;
		up->info.offset = offset;
	}
	/* The finish goes on with what is in the spool. */
	u->is_kept = keep && rc == ERR_OK;
	if (!u->is_kept || !upload_is_whole(up))
		u->start = -1;
	return rc;
}

/* --- Changes after the creation.  --- */

enum err_code
s3_set_expiry(struct upload *up, int64_t when, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);

	up->info.expires = when;
	if (u->start != -1 || u->is_hidden)
		return ERR_OK;
	return s3_put_record(u, e);
}

static enum err_code
declare_length(struct upload *up, int64_t size, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);

	if (size < up->info.offset)
		return err_set(e, ERR_INVALID, "%s: it has more bytes already",
		    up->info.id);
	up->info.size = size;
	up->info.size_deferred = false;
	if (u->start != -1 || u->is_hidden)
		return ERR_OK;
	return s3_put_record(u, e);
}

const struct store_length_declarer s3_length_declarer = {
	.declare_length = declare_length,
};
