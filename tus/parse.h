/*
 * parse.h - the grammar of the tus headers, one function each.
 *
 * Every function takes the value as it came in, any bytes up to the NUL, and
 * ignores white space (SP, HTAB) at both ends.  What it hands out comes from
 * the arena.  None of them knows what the server allows.
 */
#ifndef TUS_PARSE_H
#define TUS_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "core/digest.h"
#include "store/store.h"

/* A header value without the white space around it; NULL stays NULL. */
const char *tus_parse_trim(struct arena *, const char *);

/* The byte that "%XX" at the beginning of a string stands for; -1 if it does
 * not begin with that. */
int tus_parse_escape(const char *);

/*
 * A path with the %XX of unreserved characters decoded, once: they mean the
 * same without (RFC 3986 §6.2.2.2), all others stay as they are.
 */
char *tus_parse_unreserved(struct arena *, const char *);

/* ^[0-9]{1,19}$ and at most 2^63-1: Upload-Length, Upload-Offset. */
bool tus_parse_int64(const char *, int64_t *);

/*
 * The padded base64 of RFC 4648 §4, nothing but that.  The decoded bytes have
 * a NUL behind them that does not count.  NULL if it is something else.
 */
char *tus_parse_base64(
    struct arena *, const char *, size_t len, size_t *decoded);

enum tus_parsed {
	TUS_ABSENT,
	TUS_VALID,
	TUS_MALFORMED,
	/* More than TUS_KEYS_MAX of them. */
	TUS_TOO_MANY
};

/* The most keys that Upload-Metadata may have. */
#define TUS_KEYS_MAX 256

/*
 * Upload-Metadata (tus 1.0.0, Creation): "key base64,key".  Keys are unique
 * printable ASCII; a value may be missing.  Empty elements are ignored, and a
 * header of nothing else is absent.
 */
enum tus_parsed tus_parse_metadata(
    struct arena *, const char *, const struct pair **);

/* The most uploads that one final upload may be made of. */
#define TUS_PARTS_MAX 1000

struct tus_concat {
	bool is_partial;
	bool is_final;
	/* References to the parts as they came in, NULL-terminated. */
	const char *const *refs;
	size_t nrefs;
};

/*
 * Upload-Concat (tus 1.0.0, Concatenation): "partial" or "final;" and
 * references separated by spaces.
 */
enum tus_parsed tus_parse_concat(
    struct arena *, const char *, struct tus_concat *);

/*
 * The id that a reference to an upload of the endpoint base names: a bare id,
 * a path or a URL with any scheme and host or "//host", with or without a query
 * and a slash at the end; unreserved characters may be escaped.  NULL if it is
 * none of ours.
 */
const char *tus_parse_reference(
    struct arena *, const char *ref, const char *base);

/* Upload-Checksum (tus 1.0.0, Checksum): "sha1 base64", one space. */
enum tus_parsed tus_parse_sum(struct arena *, const char *, struct sum *);

enum tus_range {
	/* No range, several, or nothing we understand: send it whole. */
	TUS_RANGE_WHOLE,
	TUS_RANGE_PART,
	TUS_RANGE_UNSATISFIABLE
};

/* Range: bytes=... (RFC 9110 §14.2) of size bytes; last is inclusive. */
enum tus_range tus_parse_range(
    const char *, int64_t size, int64_t *first, int64_t *last);

/*
 * Is the name one of the elements of a comma-separated list?  Compared without
 * regard to case.
 */
bool tus_parse_has_token(const char *list, const char *name);

/* Is the media type, without its parameters, this one? */
bool tus_parse_is_type(const char *value, const char *type);

#endif
