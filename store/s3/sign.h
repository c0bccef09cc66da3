/*
 * sign.h - requests to S3, signed with AWS's Signature Version 4.
 *
 * Nothing here uses the network.  Strings come from the arena.
 */
#ifndef STORE_S3_SIGN_H
#define STORE_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* The credentials; token is NULL for keys that do not expire. */
struct s3_keys {
	const char *access;
	const char *secret;
	const char *token;
};

/* Of a query or a header, whose name is in lower case. */
struct s3_field {
	const char *name;
	const char *value;
};

/* "20130524T000000Z" */
#define S3_STAMP_MAX 17

/* Signs one request after the other; starts with keys and region. */
struct s3_signer {
	const struct s3_keys *keys;
	const char *region;
	char stamp[S3_STAMP_MAX];

	/* The key that is derived from the secret for this day; day is "" if
	 * none is, or if the keys have changed since. */
	char day[9];
	unsigned char key[32];
};

/* The parts of a request to be signed.  path and query are as s3_encode() and
 * s3_query() made them; payload is the body's SHA-256, or S3_UNSIGNED. */
struct s3_signed {
	const char *method;
	const char *path;
	const char *query;
	const struct s3_field *headers;
	size_t n_headers;
	const char *payload;
};

#define S3_UNSIGNED    "UNSIGNED-PAYLOAD"
#define S3_MAX_HEADERS 40

/* The hexadecimal SHA-256 of some bytes. */
#define S3_DIGEST_MAX 65
void s3_digest(const void *, size_t, char hex[S3_DIGEST_MAX]);

/* Seconds since the epoch as a signer wants them. */
void s3_set_time(struct s3_signer *, int64_t when);

/* Every byte percent-encoded that is neither a letter, a digit, nor one of
 * "-._~"; s3_encode_path() also leaves slashes alone. */
char *s3_encode(struct arena *, const char *);
char *s3_encode_path(struct arena *, const char *);

/* The query "a=1&b=", sorted and encoded; "" for none. */
char *s3_query(struct arena *, const struct s3_field *, size_t n);

/* The value of the header Authorization.  All headers are signed,
 * S3_MAX_HEADERS at most; host, x-amz-date and x-amz-content-sha256 have to be
 * among them. */
char *s3_authorization(
    struct arena *, struct s3_signer *, const struct s3_signed *);

/*
 * The query with which any client may send this request for so many seconds:
 * fields and what signs them.  host is the only header, and the payload is not
 * signed.
 */
char *s3_presigned_query(struct arena *, struct s3_signer *,
    const struct s3_signed *, const struct s3_field *, size_t n,
    int64_t seconds);

#endif
