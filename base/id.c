/*
 * id.c - upload ids.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/id.h"

/* The number of digits that id_new() writes. */
#define OUR_LEN 32

void
id_new(char id[ID_MAX + 1])
{
	static const char digit[] = "0123456789abcdef";
	uuid_t u;
	size_t i;

	/* Not uuid_generate(), which may fall back to time and address. */
	uuid_generate_random(u);
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
