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
	/* Not there, or nothing in it that we know: nothing is to be verified.
	 */
	DIGEST_ABSENT,
	DIGEST_VALID,
	/* No Dictionary, or a known algorithm without a byte sequence. */
	DIGEST_MALFORMED,
	/* Of another number of bytes than the algorithm makes. */
	DIGEST_WRONG_SIZE
};

struct digest_value {
	/* As the field says it, "sha-256", and as core/digest.h does. */
	const char *name, *algorithm;
	const char *bytes;
	size_t len;
};

struct digest_field {
	/* All that can be verified; of DIGEST_WRONG_SIZE only those that are of
	 * the wrong size. */
	struct digest_value values[DIGEST_FIELD_MAX];
	size_t count;
};

/* Content-Digest or Repr-Digest as it came in, NULL if it did not. */
enum digest_parsed digest_field_parse(
    struct arena *, const char *, struct digest_field *);

/*
 * What the client wants most, by Want-Content-Digest or Want-Repr-Digest; NULL
 * if nothing that we have.  bytes is NULL.
 */
const struct digest_value *digest_field_wanted(struct arena *, const char *);

/* "sha-256" of "sha256"; NULL if it is none of those. */
const char *digest_field_name(const char *algorithm);

/* One member of such a field, "sha-256=:...:". */
const char *digest_field_format(
    struct arena *, const char *name, const void *bytes, size_t len);

#endif
