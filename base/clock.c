/*
 * clock.c - clocks, and the id of the boot.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static struct timespec
read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) == -1)
		memset(&ts, 0, sizeof(ts));
	return ts;
}

int64_t
clock_now(void)
{
	int64_t now = (int64_t)read_clock(CLOCK_REALTIME).tv_sec;

	return now > 0 ? now : 1;
}

int64_t
clock_ms(void)
{
	struct timespec ts = read_clock(CLOCK_MONOTONIC);

	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_ns(void)
{
	struct timespec ts = read_clock(CLOCK_MONOTONIC);

	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
clock_boottime(void)
{
#ifdef CLOCK_BOOTTIME
	return (int64_t)read_clock(CLOCK_BOOTTIME).tv_sec;
#else
	return (int64_t)read_clock(CLOCK_MONOTONIC).tv_sec;
#endif
}

int64_t
clock_boot_moment(void)
{
	return (int64_t)read_clock(CLOCK_REALTIME).tv_sec - clock_boottime();
}

void
clock_http_date(int64_t when, char buf[CLOCK_HTTP_DATE_MAX])
{
	static const char day[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char month[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	/* The format has four digits for the year. */
	const int64_t last = 253402300799;
	time_t t = (time_t)(when < 0 ? 0 : when > last ? last : when);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	(void)snprintf(buf, CLOCK_HTTP_DATE_MAX,
	    "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    day[(unsigned)tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
	    month[(unsigned)tm.tm_mon % 12],
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
	    (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

int64_t
clock_read_date(const char *text)
{
	struct tm tm = { 0 };

	if (strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
		return 0;
	return (int64_t)timegm(&tm);
}

static bool
read_boot_id(char id[CLOCK_BOOT_ID_LEN + 1])
{
	ssize_t n;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return false;
	n = read(fd, id, CLOCK_BOOT_ID_LEN);
	(void)close(fd);
	if (n != CLOCK_BOOT_ID_LEN)
		return false;
	id[CLOCK_BOOT_ID_LEN] = '\0';
	return strspn(id, "0123456789abcdef-") == CLOCK_BOOT_ID_LEN;
}

bool
clock_boot_id(char id[CLOCK_BOOT_ID_LEN + 1])
{
	/* Kept, because a process in the sandbox cannot read it any more. */
	static char known[CLOCK_BOOT_ID_LEN + 1];

	if (*known == '\0' && !read_boot_id(known))
		*known = '\0';
	memcpy(id, known, sizeof(known));
	return *known != '\0';
}

bool
clock_new_boot_id(char id[CLOCK_BOOT_ID_LEN + 1])
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return false;
	/* A version 4 UUID of RFC 9562. */
	(void)snprintf(id, CLOCK_BOOT_ID_LEN + 1,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], (r[6] & 0x0fu) | 0x40u, r[7],
	    (r[8] & 0x3fu) | 0x80u, r[9], r[10], r[11], r[12], r[13], r[14],
	    r[15]);
	return true;
}
