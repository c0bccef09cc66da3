/*
 * digest.h - the digests that a client may send with its bytes.
 */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "store/store.h"

/* As long as the longest of them, in bytes. */
#define DIGEST_MAX 64

struct digest;

/* What a client says the digest is. */
struct sum {
	const char *algorithm;
	const char *digest;
	size_t len;
};

/* The algorithms that are built in, NULL after the last. */
const char *digest_name(size_t n);

/* Does libcrypto have the algorithm?  Called at the start, when there is
 * memory: an algorithm that fails then never works. */
bool digest_works(const char *name);

/*
 * Start a digest; NULL if the algorithm is not built in.  One that works can
 * only fail for want of memory.  It must be ended with digest_end(),
 * whatever happens.
 */
struct digest *digest_new(struct arena *, const char *algorithm);

void digest_update(struct digest *, const void *, size_t);

/* End the digest and copy it to out; returns its length in bytes. */
size_t digest_take(struct digest *, unsigned char out[DIGEST_MAX]);

/* End the digest: is it the sum that the client sent?  sum may be NULL, only to
 * free the digest. */
bool digest_end(struct digest *, const struct sum *sum);

/* --- Of all bytes of an upload. --- */

/*
 * For file_info.digest: what is there already, or NULL, and one more.  The
 * text is "sha256=HEX", with a comma between two of them.
 */
const char *whole_format(struct arena *, const char *before,
    const char *algorithm, const void *bytes, size_t len);

/* Read the upload to its offset; bytes has room for DIGEST_MAX.  The store can
 * be read from, and the algorithm is built in. */
MUST_CHECK enum err_code whole_digest(struct upload *, const char *algorithm,
    struct arena *, unsigned char *bytes, size_t *len, struct err *);

/*
 * Do the bytes of the upload match info.digest?  *wrong is NULL, or the
 * algorithm whose digest differs.  With a store that cannot read unfinished
 * uploads nothing is checked, which is no error; an error is one of the store.
 */
MUST_CHECK enum err_code whole_check(
    struct upload *, struct arena *, const char **wrong, struct err *);

#endif
