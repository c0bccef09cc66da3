/*
 * clock.h - clocks, and the id of the boot.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds since the epoch. */
int64_t clock_now(void);

/* Milliseconds of a clock that only increases; its zero has no meaning. */
int64_t clock_ms(void);

/* The same clock in nanoseconds. */
int64_t clock_ns(void);

/* Seconds since the boot, including suspended time. */
int64_t clock_boottime(void);

/*
 * When this boot began, in seconds since 1970, by the clock as it is set now.
 * The same in every process, until the clock is set.
 */
int64_t clock_boot_moment(void);

#define CLOCK_HTTP_DATE_MAX 32

/*
 * Format "Thu, 01 Jan 2026 00:00:00 GMT" (RFC 9110 §5.6.7), independent of
 * locale and time zone.
 */
void clock_http_date(int64_t when, char buf[CLOCK_HTTP_DATE_MAX]);

/* Seconds since the epoch of "2026-01-31T12:00:00Z", whatever follows the
 * seconds; 0 if it is no such date. */
int64_t clock_read_date(const char *);

#define CLOCK_BOOT_ID_LEN 36

/*
 * The kernel's id of this boot, 36 characters and a NUL; false if it is not
 * available, as in a systemd service with ProcSubset=pid.  A file system that
 * lost its cache was usually mounted under another boot id than the one in
 * which its files were written.
 */
bool clock_boot_id(char id[CLOCK_BOOT_ID_LEN + 1]);

/* A new random id; false if the kernel has no random bytes. */
bool clock_new_boot_id(char id[CLOCK_BOOT_ID_LEN + 1]);

#endif
