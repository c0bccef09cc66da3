/*
 * sf.h - structured fields (RFC 9651): items and dictionaries.
 *
 * The grammar is strict, as the RFC requires: a value that does not match it is
 * invalid, however close it comes.  White space around a value is ignored.
 * Parameters are parsed and dropped: no field of ours has any.
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
	/* Well-formed; its members are not kept. */
	SF_INNER_LIST
};

struct sf_item {
	enum sf_type type;

	/* For SF_INTEGER and SF_DATE; 0 or 1 for SF_BOOLEAN. */
	int64_t number;

	/* Without quotes and escapes, or decoded from base64; a NUL follows
	 * that is not counted.  NULL for all other types. */
	const char *bytes;
	size_t len;
};

struct sf_member {
	const char *key;
	struct sf_item value;
	struct sf_member *next;
};

/*
 * Parse the whole text as one Item.  False if it is not one; NULL is not one.
 * The item's strings come from the arena.
 */
bool sf_parse_item(struct arena *, const char *, struct sf_item *);

/*
 * Parse the whole text as a Dictionary, in the order in which keys first
 * appear; the last value of a key counts.  NULL and "" are a Dictionary without
 * members.  False if it is not one, or has more than SF_MEMBERS_MAX members.
 */
#define SF_MEMBERS_MAX 64
bool sf_parse_dictionary(
    struct arena *, const char *, const struct sf_member **);

/* Parse an Item of one type.  False: the field counts as absent.  The integer
 * is never negative. */
bool sf_parse_integer(struct arena *, const char *, int64_t *);
bool sf_parse_boolean(struct arena *, const char *, bool *);

#endif
