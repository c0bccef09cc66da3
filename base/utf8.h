/*
 * utf8.h - UTF-8 text.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/*
 * The length of the UTF-8 character at the beginning of len > 0 bytes; 0 if
 * they do not begin with one (RFC 3629: no overlong forms, no surrogates,
 * nothing beyond U+10FFFF).
 */
size_t utf8_char(const void *, size_t len);

/* The code of the character of n bytes, as returned by utf8_char(). */
unsigned utf8_code(const void *, size_t n);

/*
 * Would a terminal or browser obey the character of n bytes instead of showing
 * it?  These are controls (C0, DEL, C1), separators of lines and paragraphs,
 * and those that change the direction of text.
 */
bool utf8_is_control(const void *, size_t n);

/* A copy in which every byte that belongs to no character becomes U+FFFD. */
char *utf8_clean(struct arena *, const char *, size_t len, size_t *clean);

#endif
