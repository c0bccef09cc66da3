/*
 * parse.h - the grammar of header fields and paths, one function each.
 *
 * Every function takes the value as it was received, any bytes up to the NUL,
 * and ignores white space (SP, HTAB) at both ends.  Results come from the
 * arena.  These functions do not know what the server allows.
 */
#ifndef WEB_PARSE_H
#define WEB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/store.h"

/* A header value without the white space around it; NULL stays NULL. */
const char *web_parse_trim(struct arena *, const char *);

/* The byte for which "%XX" at the beginning of a string stands; -1 if it does
 * not begin so. */
int web_parse_escape(const char *);

/*
 * Decode the %XX of unreserved characters in a path, once: they are equivalent
 * (RFC 3986 §6.2.2.2); all others stay.
 */
char *web_parse_unreserved(struct arena *, const char *);

/* ^[0-9]{1,19}$ and at most 2^63-1: Upload-Length, Upload-Offset. */
bool web_parse_int64(const char *, int64_t *);

/*
 * Decode the padded base64 of RFC 4648 §4.  A NUL follows the decoded bytes and
 * is not counted.  NULL if it is anything else.
 */
char *web_parse_base64(
    struct arena *, const char *, size_t len, size_t *decoded);

enum web_parsed {
	WEB_ABSENT,
	WEB_VALID,
	WEB_MALFORMED,
	/* More than WEB_KEYS_MAX of them. */
	WEB_TOO_MANY
};

/* The most keys that Upload-Metadata may have. */
#define WEB_KEYS_MAX 256

/*
 * Upload-Metadata (tus 1.0.0, Creation): "key base64,key".  Keys are unique
 * printable ASCII; a value may be missing.  Empty elements are ignored, and a
 * header without other elements counts as absent.
 */
enum web_parsed web_parse_metadata(
    struct arena *, const char *, const struct pair **);

/*
 * The id in a reference to an upload of the endpoint base: a bare id, a path or
 * a URL with any scheme and host or "//host", with or without a query and a
 * slash at the end; unreserved characters may be escaped.  NULL if it is not
 * ours.
 */
const char *web_parse_reference(
    struct arena *, const char *ref, const char *base);

enum web_range {
	/* No range, several, or not understood: send all of it. */
	WEB_RANGE_WHOLE,
	WEB_RANGE_PART,
	WEB_RANGE_UNSATISFIABLE
};

/* Range: bytes=... (RFC 9110 §14.2) of size bytes; last is inclusive. */
enum web_range web_parse_range(
    const char *, int64_t size, int64_t *first, int64_t *last);

/*
 * Is the name one of the elements of a comma-separated list?  Compared without
 * regard to case.
 */
bool web_parse_has_token(const char *list, const char *name);

/* Tokens (RFC 9110) between commas and white space, at least one. */
bool web_parse_is_token_list(const char *);

/* Is the media type, without its parameters, this one? */
bool web_parse_is_type(const char *value, const char *type);

#endif
