/*
 * log.c - one line per event, written at once.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/log.h"
#include "base/sink.h"
#include "base/utf8.h"

/* Bytes reserved to end a line: three dots, quote, brace, newline. */
#define RESERVE 8

/* With less room than this a field is left out. */
#define FIELD_MIN 32

struct line {
	size_t len;
	char text[LOG_LINE_MAX];
};

struct format {
	void (*begin)(struct line *, enum log_level, const char *msg);
	void (*field)(struct line *, const struct log_field *);
	void (*end)(struct line *);
};

static const struct format text_format, json_format;

/* The whole state of this module. */
static struct {
	enum log_level level;
	bool verbose;
	struct sink sink;
	/* Lines that could not be written. */
	unsigned long lost;
	const struct format *format;
	log_listener *listener;
} out = { LOG_LEVEL_INFO, false, { .kind = SINK_SHARED, .fd = STDERR_FILENO },
	0, &text_format, NULL };

static const char *const level_name[LOG_LEVEL_MAX] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* --- Building a line. --- */

/* Append all of the text or nothing; false if there is no room. */
static bool
put(struct line *l, const char *text, size_t len)
{
	if (len > sizeof(l->text) - RESERVE - l->len)
		return false;
	memcpy(l->text + l->len, text, len);
	l->len += len;
	return true;
}

static bool
put_string(struct line *l, const char *text)
{
	return put(l, text, strlen(text));
}

static bool PRINTF_LIKE(2, 3) put_format(struct line *l, const char *fmt, ...)
{
	char buf[64];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return len > 0 && (size_t)len < sizeof(buf) && put(l, buf, (size_t)len);
}

static void
put_int(struct line *l, int64_t number)
{
	char text[DIGITS_MAX];
	char *end = text + sizeof(text);
	const char *p = digits_before(end, number);

	(void)put(l, p, (size_t)(end - p));
}

/* RESERVE makes sure that there is room. */
static void
put_last(struct line *l, const char *text)
{
	size_t len = strlen(text);

	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void
put_time(struct line *l)
{
	static char second[] = "0000-00-00T00:00:00.";
	static time_t last = -1;
	char ms[] = "000Z";
	struct timespec ts;
	struct tm tm;

	if (clock_gettime(CLOCK_REALTIME, &ts) == -1)
		return;
	/* A busy process writes many lines in a second. */
	if (ts.tv_sec != last && gmtime_r(&ts.tv_sec, &tm) != NULL &&
	    strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S.", &tm) > 0)
		last = ts.tv_sec;
	(void)digits_before(ms + 3, ts.tv_nsec / 1000000);
	(void)(put_string(l, second) && put_string(l, ms));
}

/* --- Text. --- */

/* A quote is escaped only inside quotes; a message has none around it. */
static bool
put_text_byte(struct line *l, char c, bool quoted)
{
	if (c == '\\' || (c == '"' && quoted))
		return put_format(l, "\\%c", c);
	if (c < ' ' || c > '~')
		return put_format(l, "\\x%02x", (unsigned char)c);
	return put(l, &c, 1);
}

static void
put_text(struct line *l, const char *text, bool quoted)
{
	size_t n;

	for (n = 0; text[n] != '\0'; n++)
		if (n == LOG_VALUE_MAX || !put_text_byte(l, text[n], quoted)) {
			put_last(l, "...");
			return;
		}
}

static void
begin_text(struct line *l, enum log_level level, const char *msg)
{
	if (out.sink.kind != SINK_SYSLOG) {
		put_time(l);
		(void)(put_string(l, " ") && put_string(l, level_name[level]) &&
		    put_string(l, " ["));
		put_int(l, getpid());
		(void)put_string(l, "] ");
	}
	put_text(l, msg, false);
}

static void
field_text(struct line *l, const struct log_field *f)
{
	bool quoted;

	(void)(put_string(l, " ") && put_string(l, f->key) &&
	    put_string(l, "="));
	if (f->text == NULL) {
		put_int(l, f->number);
		return;
	}
	quoted = *f->text == '\0' || strpbrk(f->text, " \"=\\") != NULL;
	if (quoted)
		(void)put_string(l, "\"");
	put_text(l, f->text, quoted);
	if (quoted)
		put_last(l, "\"");
}

static void
end_text(struct line *l)
{
	put_last(l, "\n");
}

static const struct format text_format = { begin_text, field_text, end_text };

/* --- JSON. --- */

/* Returns how many bytes the escape stands for; 0 if there is no room. */
static size_t
put_json_char(struct line *l, const char *text)
{
	unsigned c = (unsigned char)*text;
	size_t len;

	if (c == '\\' || c == '"')
		return put_format(l, "\\%c", *text) ? 1 : 0;
	if (c >= ' ' && c <= '~')
		return put(l, text, 1) ? 1 : 0;
	len = utf8_char(text, strnlen(text, 4));
	if (len > 0)
		c = utf8_code(text, len);
	if (c < 0x10000)
		return put_format(l, "\\u%04x", c) ? (len > 0 ? len : 1) : 0;
	c -= 0x10000;
	return put_format(l, "\\u%04x\\u%04x", 0xd800 + (c >> 10),
		   0xdc00 + (c & 0x3ff)) ?
	    len :
	    0;
}

static void
put_json(struct line *l, const char *text)
{
	size_t len, n;

	for (n = 0; text[n] != '\0'; n += len) {
		len = n < LOG_VALUE_MAX ? put_json_char(l, text + n) : 0;
		if (len == 0) {
			put_last(l, "...");
			return;
		}
	}
}

static void
begin_json(struct line *l, enum log_level level, const char *msg)
{
	(void)put_string(l, "{\"time\":\"");
	put_time(l);
	(void)put_format(l, "\",\"level\":\"%s\",\"pid\":%ld,\"msg\":\"",
	    level_name[level], (long)getpid());
	put_json(l, msg);
	put_last(l, "\"");
}

static void
field_json(struct line *l, const struct log_field *f)
{
	(void)(put_string(l, ",\"") && put_string(l, f->key) &&
	    put_string(l, "\":"));
	if (f->text == NULL) {
		put_int(l, f->number);
		return;
	}
	(void)put_string(l, "\"");
	put_json(l, f->text);
	put_last(l, "\"");
}

static void
end_json(struct line *l)
{
	put_last(l, "}\n");
}

static const struct format json_format = { begin_json, field_json, end_json };

/* --- Sending it. --- */

static bool
send_line(struct line *l, enum log_level level)
{
	static const int priority[LOG_LEVEL_MAX] = {
		[LOG_LEVEL_ERROR] = LOG_ERR,
		[LOG_LEVEL_WARN] = LOG_WARNING,
		[LOG_LEVEL_INFO] = LOG_INFO,
		[LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};
	int saved = errno;
	bool is_sent = sink_write(&out.sink, priority[level], l->text, l->len);

	errno = saved;
	return is_sent;
}

static void
say_lost(void)
{
	unsigned long lost = out.lost;

	out.lost = 0;
	log_warn("%lu lines of the log could not be written", lost);
	if (out.lost > 0)
		out.lost = lost;
}

static void
put_fields(struct line *l, const struct format *format,
    const struct log_field *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (f[i].key != NULL &&
		    sizeof(l->text) - l->len >= RESERVE + FIELD_MIN + 48)
			format->field(l, &f[i]);
}

/* Pass the line on without time, level and process id. */
static void
tell_listener(struct line *l, enum log_level level, const char *msg,
    const struct log_field *f, size_t n)
{
	if (out.listener == NULL || level > LOG_LEVEL_WARN)
		return;
	l->len = 0;
	put_text(l, msg, false);
	put_fields(l, &text_format, f, n);
	out.listener(level, l->text, l->len);
}

void
log_event(
    enum log_level level, const char *msg, const struct log_field *f, size_t n)
{
	/* Static, because a large stack frame would cost each worker a page. */
	static struct line l;

	if (!log_wants(level))
		return;
	tell_listener(&l, level, msg, f, n);
	l.len = 0;
	out.format->begin(&l, level, msg);
	put_fields(&l, out.format, f, n);
	out.format->end(&l);
	if (!send_line(&l, level))
		out.lost++;
	else if (out.lost > 0)
		say_lost();
}

void
log_text(enum log_level level, const char *fmt, ...)
{
	char msg[LOG_VALUE_MAX + 2];
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_event(level, msg, NULL, 0);
}

/* --- Settings. --- */

static enum log_level
find_level(const char *name)
{
	enum log_level level = LOG_LEVEL_ERROR;

	while (level < LOG_LEVEL_DEBUG && strcmp(level_name[level], name) != 0)
		level++;
	return level;
}

enum err_code
log_open(const struct conf *conf, struct err *e)
{
	struct sink sink;
	enum err_code rc;

	rc = sink_open(&sink, conf->log.target, e);
	if (rc != ERR_OK)
		return rc;
	sink_close(&out.sink);
	out.sink = sink;
	out.level = find_level(conf->log.level);
	out.format =
	    strcmp(conf->log.format, "json") == 0 ? &json_format : &text_format;
	return ERR_OK;
}

void
log_follow(const struct conf *conf)
{
	const char *target = conf->log.target;
	struct sink sink;
	struct err e;

	if (strchr(target, '/') == NULL ||
	    sink_open(&sink, target, &e) != ERR_OK)
		return;
	sink_close(&out.sink);
	out.sink = sink;
}

enum err_code
log_check(const struct conf *conf, struct err *e)
{
	return sink_check(conf->log.target, e);
}

void
log_listen(log_listener *listener)
{
	out.listener = listener;
}

void
log_verbose(void)
{
	out.verbose = true;
}

bool
log_wants(enum log_level level)
{
	return level <= out.level || out.verbose;
}
