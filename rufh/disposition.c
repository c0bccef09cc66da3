/*
 * disposition.c - parse Content-Disposition by RFC 6266 section 4.1.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "rufh/disposition.h"

#define WHITE " \t"
#define TOKEN                                                                  \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"       \
	"!#$%&'*+-.^_`|~"

static const char *
skip_white(const char *p)
{
	return p + strspn(p, WHITE);
}

static char *
take_token(struct arena *a, const char **p)
{
	size_t len = strspn(*p, TOKEN);
	char *token = len > 0 ? arena_memdup(a, *p, len) : NULL;

	*p += len;
	return token;
}

/* After a quote: read up to the next one that is not escaped. */
static char *
take_quoted(struct arena *a, const char **p)
{
	const char *s = *p;
	char *out, *end;
	size_t n;

	for (n = 0; s[n] != '"'; n++)
		if (s[n] == '\0' || (s[n] == '\\' && s[++n] == '\0'))
			return NULL;
	out = end = arena_alloc(a, n + 1);
	for (*p += n + 1; *s != '"'; s++) {
		if (*s == '\\')
			s++;
		*end++ = *s;
	}
	return out;
}

static int
hex_digit(char ch)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *p = ch != '\0' ? strchr(digits, ch) : NULL;

	return p != NULL ? (int)(p - digits) % 16 : -1;
}

/* ISO-8859-1 is the beginning of Unicode. */
static char *
put_latin1(char *to, unsigned char byte)
{
	if (byte >= 0x80) {
		*to++ = (char)(0xc0 | byte >> 6);
		byte = (unsigned char)(0x80 | (byte & 0x3f));
	}
	*to++ = (char)byte;
	return to;
}

static bool
is_utf8(const char *s)
{
	size_t n;

	for (; *s != '\0'; s += n)
		if ((n = utf8_char(s, strlen(s))) == 0)
			return false;
	return true;
}

/* UTF-8'en'%e2%82%ac%20rates (RFC 8187 section 3.2); NULL if it is not that. */
static const char *
decode_extended(struct arena *a, const char *value)
{
	const char *lang = strchr(value, '\''), *s;
	char *out = arena_alloc(a, 2 * strlen(value) + 1), *end = out;
	int high, low;
	bool is_latin1;

	if (lang == NULL || (s = strchr(lang + 1, '\'')) == NULL)
		return NULL;
	is_latin1 = strncasecmp(value, "ISO-8859-1'", 11) == 0;
	if (!is_latin1 && strncasecmp(value, "UTF-8'", 6) != 0)
		return NULL;
	for (s++; *s != '\0'; s++) {
		high = *s;
		if (*s == '%') {
			high = hex_digit(s[1]);
			low = high >= 0 ? hex_digit(s[2]) : -1;
			if (low < 0 || (high = high * 16 + low) == 0)
				return NULL;
			s += 2;
		}
		if (is_latin1)
			end = put_latin1(end, (unsigned char)high);
		else
			*end++ = (char)high;
	}
	return is_utf8(out) ? out : NULL;
}

/* ";" name "=" value; false if it is anything else. */
static bool
take_parameter(
    struct arena *a, const char **p, const char **name, const char **value)
{
	if (*(*p)++ != ';')
		return false;
	*p = skip_white(*p);
	*value = *name = take_token(a, p);
	/* Many clients send a semicolon at the end. */
	if (*name == NULL)
		return **p == '\0' || **p == ';';
	*p = skip_white(*p);
	if (*(*p)++ != '=')
		return false;
	*p = skip_white(*p);
	if (**p == '"') {
		(*p)++;
		*value = take_quoted(a, p);
	} else {
		*value = take_token(a, p);
	}
	*p = skip_white(*p);
	return *value != NULL;
}

const char *
disposition_filename(struct arena *a, const char *field)
{
	const char *plain = NULL, *extended = NULL, *name, *value, *p = field;

	if (field == NULL)
		return NULL;
	p = skip_white(p);
	if (take_token(a, &p) == NULL)
		return NULL;
	for (p = skip_white(p); *p != '\0';) {
		if (!take_parameter(a, &p, &name, &value))
			return NULL;
		if (name == NULL)
			continue;
		if (plain == NULL && strcasecmp(name, "filename") == 0)
			plain = value;
		if (extended == NULL && strcasecmp(name, "filename*") == 0)
			extended = decode_extended(a, value);
	}
	name = extended != NULL ? extended : plain;
	return name != NULL && *name != '\0' ? name : NULL;
}
