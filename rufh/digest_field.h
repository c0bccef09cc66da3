/*
 * digest_field.h - Content-Digest, Repr-Digest and their Want- (RFC 9530).
 */
#ifndef RUFH_DIGEST_FIELD_H
#define RUFH_DIGEST_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* sha-256 and sha-512: the RFC has deprecated all others. */
#define DIGEST_FIELD_MAX 2

enum digest_parsed {
	/* Absent, or without a known algorithm: nothing is to be verified. */
	DIGEST_ABSENT,
	DIGEST_VALID,
	/* Not a Dictionary, or a known algorithm without a byte sequence. */
	DIGEST_MALFORMED,
	/* The number of bytes is not that of the algorithm. */
	DIGEST_WRONG_SIZE
};

struct digest_value {
	/* The names in the field, "sha-256", and in core/digest.h. */
	const char *name, *algorithm;
	const char *bytes;
	size_t len;
};

struct digest_field {
	/* All digests that can be verified; with DIGEST_WRONG_SIZE, those of
	 * the wrong size. */
	struct digest_value values[DIGEST_FIELD_MAX];
	size_t count;
};

/* Content-Digest or Repr-Digest as received, NULL if absent. */
enum digest_parsed digest_field_parse(
    struct arena *, const char *, struct digest_field *);

/*
 * The algorithm that the client prefers, by Want-Content-Digest or
 * Want-Repr-Digest; NULL if we have none of them.  bytes is NULL.
 */
const struct digest_value *digest_field_wanted(struct arena *, const char *);

/* "sha-256" for "sha256"; NULL if it is neither algorithm. */
const char *digest_field_name(const char *algorithm);

/* One member of such a field, "sha-256=:...:". */
const char *digest_field_format(
    struct arena *, const char *name, const void *bytes, size_t len);

#endif
