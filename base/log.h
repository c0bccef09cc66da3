/*
 * log.h - one line per event, written with one write(2).
 *
 * Lines go to stderr until log_open() is called.  Text lines are
 * "2026-01-31T12:00:00.123Z info [1234] message key=value", where 1234 is the
 * process id, and a value with a blank, a quote or a = in it is quoted; JSON
 * lines are objects with "time", "level", "pid", "msg" and the fields.  syslog
 * adds time, level and pid itself, so text lines for it begin with the message.
 *
 * Bytes that are not printable ASCII are escaped, so that no client can forge a
 * line: as \xNN in text, as \uNNNN in JSON, where well-formed UTF-8 becomes the
 * characters it stands for and any other byte NN becomes \u00NN.
 *
 * A line has at most LOG_LINE_MAX bytes, so that writers to one pipe do not
 * mix; message and values are cut after LOG_VALUE_MAX bytes, or when the line
 * is full, and then end in "...".  A field for which there is no room is left
 * out.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"
#include "base/conf.h"
#include "base/err.h"

#define LOG_LINE_MAX  4096
#define LOG_VALUE_MAX 1024

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX
};

/* A field of a structured line: text is used unless it is NULL. */
struct log_field {
	const char *key;
	const char *text;
	int64_t number;
};

/*
 * Use log.level, log.format and log.target.  Calling this again after SIGHUP
 * reopens a log file, which is how rotation works.  If the file cannot be
 * opened, nothing changes.
 */
MUST_CHECK enum err_code log_open(const struct conf *, struct err *);

/*
 * If the log file was renamed and its name belongs to another file now,
 * continue in that one, if it can be opened.
 */
void log_follow(const struct conf *);

/* Could log_open() succeed?  Creates no file. */
MUST_CHECK enum err_code log_check(const struct conf *, struct err *);

/*
 * Called before each line of level error or warn is written, with its message
 * and fields as in a text line, len bytes without a NUL.  NULL: call nothing.
 */
typedef void log_listener(enum log_level, const char *text, size_t len);
void log_listen(log_listener *);

/* Write debug lines whatever the configuration says. */
void log_verbose(void);

bool log_wants(enum log_level);

/* A message in the format of printf(). */
void log_text(enum log_level, const char *, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_text(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_text(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_text(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_text(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* A message with fields; fields with a NULL key are left out. */
void log_event(
    enum log_level, const char *msg, const struct log_field *, size_t n);

#endif
