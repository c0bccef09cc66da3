/*
 * format.h - print uploads for people and for scripts.
 */
#ifndef CTL_FORMAT_H
#define CTL_FORMAT_H

#include <jansson.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/store.h"

enum ctl_state {
	STATE_UNFINISHED,
	STATE_FINISHED,
	STATE_EXPIRED,
	STATE_DAMAGED,
	STATE_MAX
};

/* "unfinished" and so on. */
const char *format_state(enum ctl_state);

/* The state of an upload that is not damaged. */
enum ctl_state state_of(const struct upload *, int64_t now);

/* "17", "1.5K", "12.0M": powers of 1024; "?" if negative. */
const char *format_size(struct arena *, int64_t bytes);

/* The time since when: "12s", "5m", "3h", "2d"; "-" if when is 0. */
const char *format_age(struct arena *, int64_t when, int64_t now);

/* Local date and time; "-" if when is 0. */
const char *format_time(struct arena *, int64_t when);

/* Replace each character that a terminal cannot show, or would obey, by '?'. */
const char *format_text(struct arena *, const char *, size_t len);

/* Cut a text to this many columns. */
const char *format_columns(struct arena *, const char *, int columns);

/* The pair with a metadata key, NULL if there is none. */
const struct pair *find_pair(const struct pair *, const char *key);

/* The protocol in which the upload was created: "tus" or "rufh". */
const char *format_protocol(const struct file_info *);

/* All data of an upload; the caller owns the object. */
json_t *upload_to_json(const struct upload *, enum ctl_state);

/* One line; takes ownership of the object. */
const char *format_json(struct arena *, json_t *);

#endif
