/*
 * whole.c - read an upload once to see what it is.
 */
#include "config.h"

#include <string.h>

#include "core/whole.h"

#define PIECE (64 * 1024)

const char *
whole_format(struct arena *a, const char *before, const char *algorithm,
    const void *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	char *text = arena_alloc(a, 2 * len + 1);
	size_t i;

	for (i = 0; i < len; i++) {
		text[2 * i] = hex[p[i] >> 4];
		text[2 * i + 1] = hex[p[i] & 15];
	}
	return arena_printf(a, "%s%s%s=%s", before != NULL ? before : "",
	    before != NULL ? "," : "", algorithm, text);
}

enum err_code
whole_digest(struct upload *up, const char *algorithm, struct arena *a,
    unsigned char *bytes, size_t *len, struct err *e)
{
	const struct store_reader *reader = up->store->reader;
	char *piece = arena_alloc(a, PIECE);
	int64_t left = up->info.offset;
	struct digest *d;
	struct stream *s;
	enum err_code rc;
	ssize_t n = 0;

	if ((rc = reader->open(up, 0, a, &s, e)) != ERR_OK)
		return rc;
	d = digest_new(a, algorithm);
	while (left > 0 && (n = reader->read(s, piece, PIECE, e)) > 0) {
		digest_update(d, piece, (size_t)n);
		left -= n;
	}
	reader->close(s);
	*len = digest_take(d, bytes);
	if (n < 0)
		return e->code;
	return left == 0 ?
	    ERR_OK :
	    err_set(e, ERR_SYSTEM, "%s: bytes are missing", up->info.id);
}

/* The name at the beginning of a member; NULL if it is none that we know. */
static const char *
algorithm_of(const char *member)
{
	size_t i, len = strcspn(member, "=");

	for (i = 0; digest_name(i) != NULL; i++)
		if (strlen(digest_name(i)) == len &&
		    memcmp(digest_name(i), member, len) == 0)
			return digest_name(i);
	return NULL;
}

static bool
is_same(const char *member, const char *ours)
{
	size_t len = strcspn(member, ",");

	return strlen(ours) == len && memcmp(member, ours, len) == 0;
}

enum err_code
whole_check(
    struct upload *up, struct arena *a, const char **wrong, struct err *e)
{
	const char *member = up->info.digest, *algorithm;
	unsigned char bytes[DIGEST_MAX];
	enum err_code rc;
	size_t len;

	*wrong = NULL;
	while (member != NULL && up->store->reads_unfinished) {
		algorithm = algorithm_of(member);
		if (algorithm != NULL) {
			rc = whole_digest(up, algorithm, a, bytes, &len, e);
			if (rc != ERR_OK)
				return rc;
			if (!is_same(member,
				whole_format(a, NULL, algorithm, bytes, len)))
				*wrong = algorithm;
		}
		member = strchr(member, ',');
		if (member != NULL)
			member++;
	}
	return ERR_OK;
}
