/*
 * conf_near.c - find the key that a misspelt name was meant to be.
 */
#include "config.h"

#include <string.h>

#include "base/conf_key.h"

/* No key is longer; of a longer name only this much is compared. */
#define NAME_MAX_COMPARED 48

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* How many letters must be inserted, deleted or replaced (Levenshtein). */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_COMPARED + 1];
	unsigned above, corner;
	size_t i, j, n = strnlen(b, NAME_MAX_COMPARED);

	for (j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (i = 0; i < NAME_MAX_COMPARED && a[i] != '\0'; i++) {
		corner = row[0]++;
		for (j = 0; j < n; j++) {
			above = row[j + 1];
			row[j + 1] = min3(above + 1, row[j] + 1,
			    corner + (a[i] != b[j] ? 1 : 0));
			corner = above;
		}
	}
	return row[n];
}

const struct conf_key *
conf_key_nearest(const char *name)
{
	const struct conf_key *k, *best = conf_key(0);
	unsigned d, least = distance(name, best->name);
	size_t i;

	for (i = 1; (k = conf_key(i)) != NULL; i++) {
		d = distance(name, k->name);
		if (d < least) {
			least = d;
			best = k;
		}
	}
	return best;
}
