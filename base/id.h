/*
 * id.h - upload ids: made with libuuid, checked before any use as a name.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>

#define ID_MAX 64

/*
 * A new id: 32 lower-case hexadecimal digits, 122 of the 128 bits random.  The
 * id is the capability to write an upload, so it is never derived from time or
 * address.
 */
void id_new(char id[ID_MAX + 1]);

/*
 * Does it match ^[A-Za-z0-9_-]{1,64}$? No such string can be a path, a hidden
 * file, or the name of an upload's side file.  Validated where ids come in, and
 * again where a file name is made of one.
 */
bool id_is_valid(const char *);

/* Could id_new() have made this id? */
bool id_is_ours(const char *);

#endif
