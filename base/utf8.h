/*
 * utf8.h - text, as opposed to bytes.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/*
 * The length of the UTF-8 character that len > 0 bytes begin with; 0 if they
 * begin with none (RFC 3629: no overlong forms, no surrogates, nothing beyond
 * U+10FFFF).
 */
size_t utf8_char(const void *, size_t len);

/* The number of the character of n bytes, as utf8_char() said. */
unsigned utf8_code(const void *, size_t n);

/*
 * Is the character of n bytes, as utf8_char() said, no text but an order to
 * what shows it?  Controls (C0, DEL, C1), separators of lines and paragraphs,
 * and what turns the direction of the text around.
 */
bool utf8_is_control(const void *, size_t n);

/* A copy with U+FFFD in place of every byte that belongs to no character. */
char *utf8_clean(struct arena *, const char *, size_t len, size_t *clean);

#endif
