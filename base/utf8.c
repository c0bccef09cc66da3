/*
 * utf8.c - UTF-8 text.
 */
#include "config.h"

#include <string.h>

#include "base/compat.h"
#include "base/utf8.h"

unsigned
utf8_code(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	unsigned c = n == 1 ? p[0] : p[0] & (0x7fU >> n);
	size_t i;

	for (i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3fU);
	return c;
}

size_t
utf8_char(const void *bytes, size_t len)
{
	static const unsigned least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = bytes;
	size_t i, n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	unsigned c;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	c = utf8_code(p, n);
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

bool
utf8_is_control(const void *bytes, size_t n)
{
	static const struct {
		unsigned first, last;
	} controls[] = {
		{ 0x00, 0x1f },
		{ 0x7f, 0x9f },
		{ 0x61c, 0x61c },
		{ 0x200e, 0x200f },
		{ 0x2028, 0x202e },
		{ 0x2066, 0x2069 },
	};
	unsigned c = utf8_code(bytes, n);
	size_t i;

	for (i = 0; i < NITEMS(controls); i++)
		if (c >= controls[i].first && c <= controls[i].last)
			return true;
	return false;
}

char *
utf8_clean(struct arena *a, const char *s, size_t len, size_t *clean)
{
	static const char instead[] = "\xef\xbf\xbd";
	char *copy = arena_alloc(a, 3 * len + 1), *to = copy;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = utf8_char(s + i, len - i);
		if (n > 0) {
			memcpy(to, s + i, n);
			to += n;
			continue;
		}
		memcpy(to, instead, 3);
		to += 3;
		n = 1;
	}
	*clean = (size_t)(to - copy);
	return copy;
}
