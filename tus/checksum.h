/*
 * checksum.h - the digests of the checksum extension (tus 1.0.0, Checksum).
 */
#ifndef TUS_CHECKSUM_H
#define TUS_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "tus/parse.h"

struct tus_digest;

/*
 * Start a digest; NULL if the algorithm is not built in.  One that works can
 * only fail for want of memory.  It must be ended with tus_digest_end(),
 * whatever happens.
 */
struct tus_digest *tus_digest_new(struct arena *, const char *algorithm);

void tus_digest_update(struct tus_digest *, const void *, size_t);

/* Was it the sum that the client sent?  sum may be NULL, to let go only. */
bool tus_digest_end(struct tus_digest *, const struct tus_sum *sum);

#endif
