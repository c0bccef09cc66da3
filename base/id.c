/*
 * id.c - upload ids.
 */
#include "config.h"

#include <sys/random.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"

/* The number of digits that id_new() writes. */
#define OUR_LEN 32

/* getrandom() gives so few bytes whole, once the kernel has its entropy. */
static void
draw(unsigned char *bytes, size_t len)
{
	ssize_t n;

	do
		n = getrandom(bytes, len, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)len) {
		log_error("getrandom: %s", strerror(errno));
		abort();
	}
}

void
id_new(char id[ID_MAX + 1])
{
	static const char digit[] = "0123456789abcdef";
	unsigned char u[OUR_LEN / 2];
	size_t i;

	draw(u, sizeof(u));
	/* A UUID of version 4 (RFC 9562 §5.4), without its dashes. */
	u[6] = (unsigned char)((u[6] & 0x0f) | 0x40);
	u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
	for (i = 0; i < sizeof(u); i++) {
		id[2 * i] = digit[u[i] >> 4];
		id[2 * i + 1] = digit[u[i] & 15];
	}
	id[OUR_LEN] = '\0';
}

static bool
is_in_ids(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Each request asks several times: strspn() would make its table each time. */
bool
id_is_valid(const char *s)
{
	size_t len = 0;

	while (len <= ID_MAX && is_in_ids(s[len]))
		len++;
	return len >= 1 && len <= ID_MAX && s[len] == '\0';
}

bool
id_is_ours(const char *s)
{
	return strspn(s, "0123456789abcdef") == OUR_LEN && s[OUR_LEN] == '\0';
}
