/*
 * time.c - when the file of an upload was last changed, according to its
 * client.
 *
 * Clients agree neither on a key nor on a format: browsers have
 * File.lastModified, in milliseconds; other programs send mtime, in seconds or
 * as a date.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/file/file.h"

/* Larger numbers are milliseconds: as seconds they would be after the year
 * 5138. */
#define MILLISECONDS_FROM INT64_C(100000000000)

/* The last second of the year 9999: programs cannot show later dates. */
#define LAST	 INT64_C(253402300799)

#define NS_PER_S INT64_C(1000000000)

/* Read up to nine digits after a point and skip further ones; *text is advanced
 * past them. */
static int64_t
take_fraction(const char **text)
{
	int64_t ns = 0, weight = NS_PER_S / 10;

	if (**text != '.')
		return 0;
	for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
		ns += weight * (**text - '0');
		weight /= 10;
	}
	return ns;
}

/* "1764500000", "1764500000.25", "1764500000123" */
static bool
read_number(const char *text, struct timespec *when)
{
	size_t digits = strspn(text, "0123456789");
	int64_t n, ns;

	if (digits == 0 || digits > 15)
		return false;
	n = strtoll(text, NULL, 10);
	text += digits;
	ns = take_fraction(&text);
	if (*text != '\0')
		return false;
	if (n >= MILLISECONDS_FROM) {
		ns = n % 1000 * 1000000 + ns / 1000;
		n /= 1000;
	}
	*when = (struct timespec){ .tv_sec = (time_t)n, .tv_nsec = (long)ns };
	return true;
}

/* "Z", "+01:00"; *seconds is the offset from UTC. */
static bool
read_zone(const char *text, int64_t *seconds)
{
	struct tm tm = { 0 };
	const char *end;

	*seconds = 0;
	if (strcmp(text, "Z") == 0)
		return true;
	if (*text != '+' && *text != '-')
		return false;
	end = strptime(text + 1, "%H:%M", &tm);
	if (end == NULL || *end != '\0')
		return false;
	*seconds = (tm.tm_hour * 60 + tm.tm_min) * (*text == '-' ? -60 : 60);
	return true;
}

/* "2026-11-30T10:00:00.5+01:00" (RFC 3339) */
static bool
read_date(const char *text, struct timespec *when)
{
	struct tm tm = { 0 };
	int64_t ns, ahead;

	text = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (text == NULL)
		return false;
	ns = take_fraction(&text);
	if (!read_zone(text, &ahead))
		return false;
	*when = (struct timespec){ .tv_sec = timegm(&tm) - (time_t)ahead,
		.tv_nsec = (long)ns };
	return true;
}

/* 0 is not accepted: for a moved file it means that there is no time. */
static bool
is_possible(const struct timespec *when)
{
	return when->tv_sec > 0 && (int64_t)when->tv_sec <= LAST;
}

bool
file_time_of(const struct file_info *info, struct timespec *when)
{
	static const char *const keys[] = { "lastModified", "mtime" };
	const struct pair *p;
	size_t i;

	for (i = 0; i < NITEMS(keys); i++)
		for (p = info->metadata; p != NULL; p = p->next)
			if (strcmp(p->key, keys[i]) == 0 &&
			    strlen(p->value) == p->value_len &&
			    (read_number(p->value, when) ||
				read_date(p->value, when)) &&
			    is_possible(when))
				return true;
	return false;
}
