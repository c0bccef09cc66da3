/*
 * conf_key.h - the table of configuration keys and the values they accept.
 *
 * There is one parser per kind of value, used for defaults, for the file and
 * for the command line.  Private to base/conf.c, and to tests that iterate over
 * the table.
 */
#ifndef BASE_CONF_KEY_H
#define BASE_CONF_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)

/*
 * Less than 2^63-1, so that the sum of two values does not overflow, and a
 * number that was clamped while parsing is noticed.
 */
#define SIZE_LIMIT (((int64_t)1 << 62) - 1)

#define SECONDS(n) ((int64_t)(n)*1000)
#define HOURS(n)   SECONDS((n)*3600)
#define DAYS(n)	   HOURS((n)*24)

enum conf_kind {
	CONF_BOOL,
	CONF_INT,
	/* Bytes; "10M" is 10 * 1024 * 1024. */
	CONF_SIZE,
	/* Seconds in the text, milliseconds in the value. */
	CONF_DURATION,
	/* Permission bits: octal text. */
	CONF_MODE,
	CONF_STRING,
	CONF_LIST,
	CONF_KIND_MAX
};

/* A test for strings, and its description. */
struct conf_syntax {
	bool (*fits)(const char *);
	const char *rule;
};

struct conf_key {
	const char *name;
	/* The offset of its value in struct conf. */
	size_t offset;
	enum conf_kind kind;
	const char *fallback;
	/* For a mode: the bits that must be set, and those that may be. */
	int64_t min;
	int64_t max;
	/* For a string, or each element of a list; at most one of the two is
	 * set. */
	const char *const *choices;
	const struct conf_syntax *syntax;
	/* The key keeps its value as long as the program runs: with another
	 * value the uploads, or the locks that guard them, would be others than
	 * those in use. */
	bool is_fixed;
};

struct conf;

/* The n-th key, NULL after the last. */
const struct conf_key *conf_key(size_t n);

/* How many there are. */
size_t conf_key_count(void);

/* The index of a key in the table, or conf_key_count(). */
size_t conf_key_find(const char *name);

/* The key that a misspelt name was most likely meant to be. */
const struct conf_key *conf_key_nearest(const char *name);

/* Is there a key "NAME.something"? */
bool conf_key_is_group(const char *name);

/* Does the key accept the number in text?  (For all kinds up to CONF_MODE.) */
bool conf_key_number(const struct conf_key *, const char *text, int64_t *);

/* Does the key accept text as a string, or as an element of a list? */
bool conf_key_takes(const struct conf_key *, const char *text);

/* Describe the values that the key accepts, in words that end a sentence. */
void conf_key_rule(const struct conf_key *, char *buf, size_t size);

/*
 * In conf.c: get values by the name of their key.  A name that is not in the
 * table, or a key of another kind, ends the program.
 */
bool conf_bool(const struct conf *, const char *key);
/* Whole numbers, sizes and modes. */
int64_t conf_int(const struct conf *, const char *key);
/* Durations, in milliseconds. */
int64_t conf_ms(const struct conf *, const char *key);
const char *conf_str(const struct conf *, const char *key);
/* The n-th element of a list, NULL after the last. */
const char *conf_item(const struct conf *, const char *key, size_t n);
/* Was the key set, or does it have its default? */
bool conf_key_is_set(const struct conf *, const char *key);

#endif
