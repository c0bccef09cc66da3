/*
 * sf.h - structured fields (RFC 9651): items and dictionaries.
 *
 * The grammar is strict, as the RFC wants it: a value that does not match is
 * no value at all, however near it comes.  White space around a value is
 * ignored.  Parameters are read, and then dropped: no field of ours has any.
 */
#ifndef RUFH_SF_H
#define RUFH_SF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* The largest integer that a structured field can hold: fifteen digits. */
#define SF_INTEGER_MAX INT64_C(999999999999999)

enum sf_type {
	SF_INTEGER,
	SF_DECIMAL,
	SF_STRING,
	SF_TOKEN,
	SF_BYTES,
	SF_BOOLEAN,
	SF_DATE,
	SF_DISPLAY_STRING,
	/* Was well-formed; what is in it is not kept. */
	SF_INNER_LIST
};

struct sf_item {
	enum sf_type type;

	/* SF_INTEGER and SF_DATE; 0 or 1 of SF_BOOLEAN. */
	int64_t number;

	/* Without quotes and escapes, or decoded from base64; a NUL is behind
	 * it that does not count.  NULL for all other types. */
	const char *bytes;
	size_t len;
};

struct sf_member {
	const char *key;
	struct sf_item value;
	struct sf_member *next;
};

/*
 * The whole text as one Item.  False if it is none; NULL is none.  What the
 * item refers to comes from the arena.
 */
bool sf_parse_item(struct arena *, const char *, struct sf_item *);

/*
 * The whole text as a Dictionary, in the order of the keys' first appearance;
 * the last value of a key counts.  NULL and "" are a Dictionary without
 * members.  False if it is none, or has more than SF_MEMBERS_MAX members.
 */
#define SF_MEMBERS_MAX 64
bool sf_parse_dictionary(
    struct arena *, const char *, const struct sf_member **);

/* Items of one type, for the fields that are such.  False: the field counts as
 * absent.  The integer is never negative. */
bool sf_parse_integer(struct arena *, const char *, int64_t *);
bool sf_parse_boolean(struct arena *, const char *, bool *);

#endif
