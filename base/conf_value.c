/*
 * conf_value.c - parse values of the configuration, and describe the values
 * that a key accepts.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/compat.h"
#include "base/conf_key.h"

/* --- Numbers, with and without a unit. --- */

struct unit {
	const char *suffix;
	int64_t factor;
};

/* From small to large; the one without a suffix is for a bare number. */
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit size_units[] = { { "", 1 }, { "K", KIB }, { "M", MIB },
	{ "G", 1024 * MIB }, { "T", MIB *MIB }, { NULL, 0 } };
static const struct unit duration_units[] = { { "ms", 1 }, { "", 1000 },
	{ "s", SECONDS(1) }, { "m", SECONDS(60) }, { "h", HOURS(1) },
	{ "d", DAYS(1) }, { NULL, 0 } };

static const struct unit *const units_of[CONF_KIND_MAX] = {
	[CONF_INT] = no_units,
	[CONF_SIZE] = size_units,
	[CONF_DURATION] = duration_units,
};

/* Parse digits; false if there are none or too many. */
static bool
take_digits(const char **text, int64_t *number)
{
	const char *p = *text;
	int64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, *p - '0', &n))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*number = n;
	return true;
}

/* Up to three digits after a point, as thousandths; 0 if there is none. */
static bool
take_thousandths(const char **text, int64_t *number)
{
	int64_t weight = 100;
	const char *p = *text;

	*number = 0;
	if (*p != '.')
		return true;
	for (p++; weight > 0 && *p >= '0' && *p <= '9'; p++, weight /= 10)
		*number += (*p - '0') * weight;
	if (p == *text + 1)
		return false;
	*text = p;
	return true;
}

static const struct unit *
find_unit(const struct unit *units, const char *suffix)
{
	const struct unit *u;

	for (u = units; u->suffix != NULL; u++)
		if (strcmp(u->suffix, suffix) == 0)
			return u;
	return NULL;
}

/* "90", "1.5h", "10M"; a fraction only if the result is a whole number. */
static bool
parse_scaled(const struct unit *units, const char *text, int64_t *number)
{
	const struct unit *u;
	int64_t whole, part;

	if (!take_digits(&text, &whole) || !take_thousandths(&text, &part))
		return false;
	u = find_unit(units, text);
	if (u == NULL || part * (u->factor % 1000) % 1000 != 0)
		return false;
	part = part * (u->factor / 1000) + part * (u->factor % 1000) / 1000;
	return !__builtin_mul_overflow(whole, u->factor, number) &&
	    !__builtin_add_overflow(*number, part, number);
}

static bool
parse_octal(const char *text, int64_t *number)
{
	size_t len = strspn(text, "01234567");

	if (len < 3 || len > 5 || text[len] != '\0')
		return false;
	for (*number = 0; *text != '\0'; text++)
		*number = *number * 8 + (*text - '0');
	return true;
}

static bool
parse_bool(const char *text, int64_t *number)
{
	*number = strcmp(text, "true") == 0;
	return *number == 1 || strcmp(text, "false") == 0;
}

bool
conf_key_number(const struct conf_key *k, const char *text, int64_t *number)
{
	switch (k->kind) {
	case CONF_BOOL:
		return parse_bool(text, number);
	case CONF_MODE:
		return parse_octal(text, number) &&
		    (*number & k->min) == k->min && (*number & ~k->max) == 0;
	default:
		return parse_scaled(units_of[k->kind], text, number) &&
		    *number >= k->min && *number <= k->max;
	}
}

bool
conf_key_takes(const struct conf_key *k, const char *text)
{
	size_t i;

	if (k->choices == NULL)
		return k->syntax->fits(text);
	for (i = 0; k->choices[i] != NULL; i++)
		if (strcmp(k->choices[i], text) == 0)
			return true;
	return false;
}

/* --- Saying what a key takes. --- */

/* With the largest unit that divides it. */
static void
write_scaled(const struct unit *units, int64_t number, char *buf, size_t size)
{
	const struct unit *u, *best = units;

	for (u = units; number != 0 && u->suffix != NULL; u++)
		if (number % u->factor == 0)
			best = u;
	(void)snprintf(buf, size, "%" PRId64 "%s", number / best->factor,
	    number == 0 ? "" : best->suffix);
}

static void
write_range(const struct conf_key *k, const char *what, char *buf, size_t size)
{
	char min[24], max[24];

	write_scaled(units_of[k->kind], k->min, min, sizeof(min));
	write_scaled(units_of[k->kind], k->max, max, sizeof(max));
	if (k->max == SIZE_LIMIT)
		(void)snprintf(buf, size, "%s", what);
	else
		(void)snprintf(buf, size, "%s from %s to %s", what, min, max);
}

static void
write_choices(const struct conf_key *k, char *buf, size_t size)
{
	size_t i, len = strlen(buf);

	for (i = 0; k->choices[i] != NULL && len < size; i++) {
		(void)snprintf(buf + len, size - len, "%s\"%s\"",
		    i == 0 ? "" : ", ", k->choices[i]);
		len = strlen(buf);
	}
}

void
conf_key_rule(const struct conf_key *k, char *buf, size_t size)
{
	static const char *const what[CONF_KIND_MAX] = {
		[CONF_BOOL] = "true or false",
		[CONF_INT] = "a whole number",
		[CONF_SIZE] = "a size such as 4096 or \"10M\"",
		[CONF_DURATION] = "a duration such as 30 or \"5m\"",
		[CONF_MODE] = "an octal mode such as",
		[CONF_STRING] = "",
		[CONF_LIST] = "a list of strings, each ",
	};

	if (units_of[k->kind] != NULL) {
		write_range(k, what[k->kind], buf, size);
		return;
	}
	(void)snprintf(buf, size, "%s", what[k->kind]);
	if (k->kind == CONF_MODE)
		(void)snprintf(buf, size,
		    "%s \"%s\", with no bits but %04o and at least %04o",
		    what[k->kind], k->fallback, (unsigned)k->max,
		    (unsigned)k->min);
	else if (k->choices != NULL)
		(void)snprintf(buf, size, "%s",
		    k->kind == CONF_LIST ? "a list out of " : "one of ");
	else if (k->syntax != NULL)
		(void)snprintf(
		    buf, size, "%s%s", what[k->kind], k->syntax->rule);
	if (k->choices != NULL)
		write_choices(k, buf, size);
}
