/*
 * whole.h - the digest of all bytes of an upload.
 */
#ifndef CORE_WHOLE_H
#define CORE_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/digest.h"
#include "store/store.h"

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
 * Is the upload what its info.digest says?  wrong is NULL, or the algorithm
 * that says something else.  A store that cannot read what is not finished
 * cannot say, and that is no error; an error is one of the store.
 */
MUST_CHECK enum err_code whole_check(
    struct upload *, struct arena *, const char **wrong, struct err *);

#endif
