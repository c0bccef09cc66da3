/*
 * read.c - the finished object on its way out, piece by piece.
 *
 * Each piece is a request with a Range, so that a slow client holds no
 * connection to S3.  An upload that is removed meanwhile ends with its piece.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3/s3.h"

/* Large enough that the requests do not count. */
#define PIECE ((int64_t)1 << 20)

struct s3_stream {
	struct stream base;
	struct s3_store *s;
	struct arena *a;
	const char *key;
	int64_t at, end;

	/* The piece that is here: len bytes, of which used are gone. */
	char *piece;
	size_t len, used;
};

static enum err_code
get_piece(struct s3_stream *r, struct err *e)
{
	int64_t end = r->end - r->at > PIECE ? r->at + PIECE : r->end;
	enum err_code rc;
	struct s3_call c;

	arena_reset(r->a);
	s3_call_init(&c, "GET", r->key);
	s3_call_header(&c, "range",
	    arena_printf(r->a, "bytes=%" PRId64 "-%" PRId64, r->at, end - 1));
	if ((rc = s3_call(r->s, &c, e)) != ERR_OK)
		return rc;
	if (r->s->answer.len != (size_t)(end - r->at))
		return err_set(
		    e, ERR_UNAVAILABLE, "S3: %.80s: cut short", r->key);
	if (r->piece == NULL)
		r->piece = must_alloc((size_t)PIECE);
	memcpy(r->piece, r->s->answer.text, r->s->answer.len);
	r->len = r->s->answer.len;
	r->used = 0;
	r->at = end;
	return ERR_OK;
}

/* The first piece comes now, so that an error has an answer of its own. */
static enum err_code
open_stream(struct upload *up, int64_t from, struct arena *a,
    struct stream **stream, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	struct s3_stream *r;
	enum err_code rc;

	if (from < 0 || from > up->info.offset)
		return err_set(e, ERR_INVALID, "%s: no byte %lld", up->info.id,
		    (long long)from);
	r = arena_alloc(a, sizeof(*r));
	r->s = u->s;
	r->a = arena_new();
	r->key = arena_strdup(a, u->key);
	r->at = from;
	r->end = up->info.size;
	r->base.length = r->end - from;
	r->base.fd = -1;
	if (r->base.length > 0 && (rc = get_piece(r, e)) != ERR_OK) {
		arena_free(r->a);
		return rc;
	}
	*stream = &r->base;
	return ERR_OK;
}

static ssize_t
read_stream(struct stream *stream, void *buf, size_t size, struct err *e)
{
	struct s3_stream *r = OUTER(stream, struct s3_stream, base);

	if (r->used == r->len && r->at == r->end)
		return 0;
	if (r->used == r->len && get_piece(r, e) != ERR_OK)
		return -1;
	size = size < r->len - r->used ? size : r->len - r->used;
	memcpy(buf, r->piece + r->used, size);
	r->used += size;
	return (ssize_t)size;
}

static void
close_stream(struct stream *stream)
{
	struct s3_stream *r = OUTER(stream, struct s3_stream, base);

	free(r->piece);
	arena_free(r->a);
}

static enum err_code
link_to(struct upload *up, const char *type, const char *disposition,
    struct arena *a, const char **url, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);

	return s3_presign(u->s, u->key, type, disposition, a, url, e);
}

const struct store_linker s3_linker = {
	.link = link_to,
};

const struct store_reader s3_reader = {
	.open = open_stream,
	.read = read_stream,
	.close = close_stream,
};
