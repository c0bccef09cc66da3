/*
 * disposition.h - the file name in Content-Disposition (RFC 6266, RFC 8187).
 */
#ifndef RUFH_DISPOSITION_H
#define RUFH_DISPOSITION_H

#include <stddef.h>

#include "base/arena.h"

/*
 * The file name as UTF-8 or, from a plain filename, as the bytes received;
 * filename* is preferred.  Of any disposition type.  NULL if there is none, or
 * if the field is not well-formed.  Not safe as a path: it may contain any byte
 * but NUL.
 */
const char *disposition_filename(struct arena *, const char *field);

#endif
