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
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "store/s3/s3.h"

/* The end of the last byte that is safe, whatever becomes of the spool. */
static int64_t
safe_offset(const struct s3_upload *u)
{
	return u->prefix > u->start ? u->prefix : u->start;
}

/* --- Parts. --- */

/* The last part is for the finish alone: until then a hook may refuse. */
static bool
has_full_part(const struct s3_upload *u)
{
	return u->mpu != NULL && !upload_is_whole(&u->base) &&
	    u->base.info.offset >= s3_part_end(u, u->n_parts + u->n_ahead + 1);
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

	while (at < start && (g = s3_segment_at(u, at)) != NULL) {
		if (++n > S3_SEGMENTS_MAX / 2 &&
		    u->n_segments >= S3_SEGMENTS_MAX)
			return at;
		at = g->end;
	}
	return start;
}

/* Remove the segments whose bytes a new segment contains. */
static void
drop_inner(struct s3_upload *u, int64_t start, int64_t end)
{
	struct err ignored;
	struct s3_call c;
	size_t i, kept = 0;

	for (i = 0; i < u->n_segments; i++) {
		if (u->segments[i].start < start || u->segments[i].end > end) {
			u->segments[kept++] = u->segments[i];
			continue;
		}
		s3_call_init(&c, "DELETE", u->segments[i].key);
		(void)!s3_call(u->s, &c, &ignored);
	}
	u->n_segments = kept;
}

static enum err_code
put_one_segment(struct s3_upload *u, struct s3_segment *g, struct err *e)
{
	const char *prefix = s3_segment_prefix(u->s, u->a, u->base.info.id);
	uint32_t random = 0;
	enum err_code rc;
	struct s3_call c;

	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	g->key = arena_printf(u->a, "%s%016" PRIx64 "-%08" PRIx32, prefix,
	    (uint64_t)g->start, random);
	s3_call_init(&c, "PUT", g->key);
	c.fd = u->spool;
	c.at = s3_spool_at(u, g->start);
	c.len = (size_t)(g->end - g->start);
	if ((rc = s3_call(u->s, &c, e)) != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
	drop_inner(u, g->start, g->end);
	add_segment(u, g);
	return ERR_OK;
}

/* One, unless the bytes go round in the spool. */
enum err_code
s3_put_segment(struct s3_upload *u, int64_t end, struct err *e)
{
	struct s3_segment g = { .end = segment_start(u) };
	enum err_code rc;

	if (safe_offset(u) >= end)
		return ERR_OK;
	if ((rc = s3_load_tail(u, g.end, e)) != ERR_OK)
		return rc;
	while (rc == ERR_OK && g.end < end) {
		g.start = g.end;
		g.end = end;
		if (u->ring > 0 &&
		    g.start + u->ring - s3_spool_at(u, g.start) < end)
			g.end = g.start + u->ring - s3_spool_at(u, g.start);
		rc = put_one_segment(u, &g, e);
	}
	return rc;
}

/* --- Writing. --- */

static void
make_ring(struct s3_upload *u)
{
	u->spool_base = u->prefix;
	u->ring = s3_ring_size(u);
}

/* Full parts that could not be sent when they came are in segments. */
static enum err_code
send_backlog(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!has_full_part(u))
		return ERR_OK;
	while (rc == ERR_OK && has_full_part(u))
		rc = s3_send_part(u, e);
	return rc == ERR_OK ? s3_begin_spool(u, e) : rc;
}

enum err_code
s3_write_begin(struct upload *up, bool on_probation, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc;

	assert(!upload_is_finished(up));
	u->start = up->info.offset;
	u->on_probation = on_probation;
	u->is_kept = false;
	u->before = up->info;
	rc = s3_begin_spool(u, e);
	if (rc != ERR_OK || on_probation || u->mpu == NULL)
		return rc;
	if ((rc = send_backlog(u, e)) == ERR_OK)
		make_ring(u);
	return rc;
}

static enum err_code
spool(struct s3_upload *u, const void *buf, size_t len, struct err *e)
{
	enum err_code rc;
	size_t done;

	rc = fs_pwrite(
	    u->spool, buf, len, s3_spool_at(u, u->base.info.offset), &done, e);
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
	left =
	    s3_part_end(u, u->n_parts + u->n_ahead + 1) - u->base.info.offset;
	return (int64_t)len < left ? len : (size_t)left;
}

/* Begin to send what is full; parts of another size need other places. */
static enum err_code
make_way(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (rc == ERR_OK && has_full_part(u))
		rc = s3_start_part(u, e);
	if (rc == ERR_OK && u->ring != s3_ring_size(u))
		rc = s3_settle_parts(u, e);
	if (rc == ERR_OK && u->prefix == u->base.info.offset) {
		make_ring(u);
		u->spool_from = u->prefix;
	}
	return rc;
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
		if (!u->on_probation && u->mpu != NULL &&
		    (rc = make_way(u, e)) != ERR_OK)
			break;
		n = room_of(u, len);
		rc = spool(u, buf, n, e);
		buf = (const char *)buf + n;
		len -= n;
	}
	if (rc == ERR_OK && !u->on_probation && has_full_part(u) &&
	    s3_can_start_part(u))
		rc = s3_start_part(u, e);
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
	while (rc == ERR_OK && has_full_part(u))
		rc = s3_start_part(u, e);
	rc = s3_settle_parts(u, e);
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

	s3_drop_parts(u);
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
