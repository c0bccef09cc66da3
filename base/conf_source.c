/*
 * conf_source.c - join a configuration file and its includes into one text.
 *
 * This file knows only as much of libconfig's grammar as is needed to tell a
 * directive or a number from the inside of a string or a comment.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf_source.h"

/* Lines of the text from `first` on are lines of file from `line` on. */
struct part {
	const char *file;
	unsigned first;
	unsigned line;
	struct part *before;
};

struct conf_source {
	struct arena *arena;
	char *text;
	size_t len;
	size_t size;
	unsigned line;
	unsigned depth;
	struct part *last;
	struct err *err;
	char buf[CONF_SOURCE_MAX + 1];
};

/* The file that is being copied: [at, end) is left to do, at is on line
 * `line`. */
struct input {
	const char *file;
	const char *at;
	const char *end;
	unsigned line;
	bool line_start;
};

static enum err_code copy_file(
    struct conf_source *, const char *file, size_t len);

static void
start_part(struct conf_source *s, const char *file, unsigned line)
{
	struct part *part;

	part = arena_alloc(s->arena, sizeof(*part));
	part->file = file;
	part->first = s->line;
	part->line = line;
	part->before = s->last;
	s->last = part;
}

static void
put(struct conf_source *s, char c)
{
	char *text;

	if (s->len + 1 >= s->size) {
		s->size = 2 * s->size + 4096;
		text = arena_alloc(s->arena, s->size);
		if (s->len > 0)
			memcpy(text, s->text, s->len);
		s->text = text;
	}
	s->text[s->len++] = c;
	s->text[s->len] = '\0';
	if (c == '\n')
		s->line++;
}

static void
copy(struct conf_source *s, struct input *in, size_t n)
{
	for (; n > 0; n--) {
		if (*in->at == '\n')
			in->line++;
		put(s, *in->at++);
	}
}

static size_t
left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

static bool
starts_with(const struct input *in, const char *prefix)
{
	size_t len = strlen(prefix);

	return left(in) >= len && memcmp(in->at, prefix, len) == 0;
}

static enum err_code
refuse(const struct conf_source *s, const struct input *in, const char *what)
{
	return err_set(
	    s->err, ERR_INVALID, "%s:%u: %s", in->file, in->line, what);
}

/* Read a file of any type; one byte above the limit is enough to refuse it. */
static enum err_code
read_all(struct conf_source *s, const char *file, size_t *len, struct err *e)
{
	enum err_code rc = ERR_OK;
	ssize_t n = 1;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, "%s", file);
	for (*len = 0; n != 0 && *len < sizeof(s->buf);) {
		n = read(fd, s->buf + *len, sizeof(s->buf) - *len);
		if (n > 0)
			*len += (size_t)n;
		if (n == -1 && errno != EINTR) {
			rc = err_sys(e, "%s", file);
			break;
		}
	}
	(void)close(fd);
	return rc;
}

static enum err_code
copy_string(struct conf_source *s, struct input *in)
{
	struct input from = *in;

	copy(s, in, 1);
	while (left(in) > 0 && *in->at != '"')
		copy(s, in, *in->at == '\\' && left(in) > 1 ? 2 : 1);
	if (left(in) == 0)
		return refuse(s, &from, "this string is never closed");
	copy(s, in, 1);
	return ERR_OK;
}

static enum err_code
copy_block_comment(struct conf_source *s, struct input *in)
{
	struct input from = *in;

	copy(s, in, 2);
	while (left(in) > 0 && !starts_with(in, "*/"))
		copy(s, in, 1);
	if (left(in) == 0)
		return refuse(s, &from, "this comment is never closed");
	copy(s, in, 2);
	return ERR_OK;
}

static void
copy_line_comment(struct conf_source *s, struct input *in)
{
	while (left(in) > 0 && *in->at != '\n')
		copy(s, in, 1);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '_' || c == '*' || c == '-' ||
	    c == '+' || c == '.';
}

/* Write a whole number in a form that every libconfig reads alike. */
static void
put_number(struct conf_source *s, unsigned long long value)
{
	const char *digit = arena_printf(s->arena, "%lluL", value);

	for (; *digit != '\0'; digit++)
		put(s, *digit);
}

/*
 * Copy a whole number: base 10, or base 16 after 0x, perhaps with L or LL at
 * its end.  libconfig 1.8 would also take 0770 for octal, 0b11 for binary, and
 * 0xffffffff for -1.
 */
static enum err_code
copy_number(struct conf_source *s, struct input *in, size_t n)
{
	unsigned long long value;
	char *end, word[64];

	if (n >= sizeof(word))
		return refuse(s, in, "this number is too long");
	memcpy(word, in->at, n);
	word[n] = '\0';
	/* ULLONG_MAX if it has more than 64 bits. */
	value =
	    strtoull(word, &end, word[1] == 'x' || word[1] == 'X' ? 16 : 10);
	if (*end == '.' || *end == 'e' || *end == 'E') {
		copy(s, in, n);
		return ERR_OK;
	}
	if (value > INT64_MAX)
		return refuse(s, in, "this number is too large");
	if (strcmp(end, "") != 0 && strcmp(end, "L") != 0 &&
	    strcmp(end, "LL") != 0)
		return refuse(
		    s, in, "this is not a number; a unit needs quotes");
	put_number(s, value);
	in->at += n;
	return ERR_OK;
}

/* A name is copied as it is. */
static enum err_code
copy_word(struct conf_source *s, struct input *in)
{
	size_t n = 0;

	while (n < left(in) && is_word(in->at[n]))
		n++;
	if (is_digit(*in->at))
		return copy_number(s, in, n);
	copy(s, in, n);
	return ERR_OK;
}

/* A relative name is relative to the directory of the including file. */
static const char *
resolve(struct arena *a, const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');

	if (name[0] == '/' || slash == NULL)
		return name;
	return arena_printf(a, "%.*s/%s", (int)(slash - file), file, name);
}

static enum err_code
include(struct conf_source *s, const struct input *in, const char *name)
{
	enum err_code rc;
	const char *file;
	struct err e;
	size_t len;

	if (s->depth == CONF_SOURCE_DEPTH)
		return refuse(s, in, "includes nest too deeply");
	file = resolve(s->arena, in->file, name);
	if (read_all(s, file, &len, &e) != ERR_OK)
		return err_set(s->err, ERR_INVALID, "%s:%u: cannot include %s",
		    in->file, in->line, e.text);
	s->depth++;
	rc = copy_file(s, file, len);
	s->depth--;
	return rc;
}

/* Copy the file of an @include "NAME" at the start of a line; then go on with
 * the rest of the line. */
static enum err_code
copy_include(struct conf_source *s, struct input *in)
{
	static const char blanks[] = " \t\r";
	enum err_code rc;
	size_t len, n;
	char *name;

	in->at += strlen("@include");
	while (left(in) > 0 && memchr(blanks, *in->at, 3) != NULL)
		in->at++;
	if (left(in) == 0 || *in->at++ != '"')
		return refuse(s, in, "write @include \"FILE\"");
	name = arena_alloc(s->arena, left(in) + 1);
	for (n = 0, len = 0; n < left(in) && in->at[n] != '"'; n++) {
		if (in->at[n] == '\\' && n + 1 < left(in))
			n++;
		if (in->at[n] == '\n')
			break;
		name[len++] = in->at[n];
	}
	if (n == left(in) || in->at[n] != '"')
		return refuse(s, in, "write @include \"FILE\"");
	if ((rc = include(s, in, name)) != ERR_OK)
		return rc;
	in->at += n + 1;
	start_part(s, in->file, in->line);
	return ERR_OK;
}

static enum err_code
copy_next(struct conf_source *s, struct input *in)
{
	bool line_start = in->line_start;

	in->line_start = *in->at == '\n' ||
	    (line_start && (*in->at == ' ' || *in->at == '\t'));
	if (line_start && starts_with(in, "@include"))
		return copy_include(s, in);
	if (*in->at == '"')
		return copy_string(s, in);
	if (starts_with(in, "/*"))
		return copy_block_comment(s, in);
	if (*in->at == '#' || starts_with(in, "//"))
		copy_line_comment(s, in);
	else if (is_word(*in->at) && *in->at != '-' && *in->at != '+')
		return copy_word(s, in);
	else
		copy(s, in, 1);
	return ERR_OK;
}

/* libconfig would take a NUL for the end of the text. */
static enum err_code
refuse_nul(const struct conf_source *s, struct input in)
{
	for (; left(&in) > 0 && *in.at != '\0'; in.at++)
		if (*in.at == '\n')
			in.line++;
	return left(&in) == 0 ? ERR_OK :
				refuse(s, &in, "there is a NUL byte here");
}

static enum err_code
copy_file(struct conf_source *s, const char *file, size_t len)
{
	const char *bytes = arena_memdup(s->arena, s->buf, len);
	struct input in = { file, bytes, bytes + len, 1, true };
	enum err_code rc;

	if (s->len + len > CONF_SOURCE_MAX)
		return refuse(s, &in, "the configuration is too large");
	if ((rc = refuse_nul(s, in)) != ERR_OK)
		return rc;
	start_part(s, file, 1);
	while (left(&in) > 0)
		if ((rc = copy_next(s, &in)) != ERR_OK)
			return rc;
	if (s->len == 0 || s->text[s->len - 1] != '\n')
		put(s, '\n');
	return ERR_OK;
}

enum err_code
conf_source_read(struct arena *a, const char *file, struct conf_source **source,
    struct err *e)
{
	struct conf_source *s;
	enum err_code rc;
	size_t len;

	s = arena_alloc(a, sizeof(*s));
	s->arena = a;
	s->line = 1;
	s->err = e;
	if ((rc = read_all(s, file, &len, e)) != ERR_OK)
		return rc;
	*source = s;
	return copy_file(s, file, len);
}

const char *
conf_source_text(const struct conf_source *s)
{
	return s->text;
}

/* The text ends with a newline, after which there is no line. */
bool
conf_source_is_end(const struct conf_source *s, unsigned line)
{
	return line >= s->line;
}

static const struct part *
find_part(const struct conf_source *s, unsigned line)
{
	const struct part *part = s->last;

	if (conf_source_is_end(s, line))
		line = s->line - 1;
	while (part->before != NULL && part->first > line)
		part = part->before;
	return part;
}

const char *
conf_source_file(const struct conf_source *s, unsigned line)
{
	return find_part(s, line)->file;
}

unsigned
conf_source_line(const struct conf_source *s, unsigned line)
{
	const struct part *part = find_part(s, line);

	if (conf_source_is_end(s, line))
		line = s->line - 1;
	return line < part->first ? 1 : part->line + line - part->first;
}
