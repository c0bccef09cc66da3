/*
 * sf.c - structured fields, the algorithms of RFC 9651 section 4.2.
 *
 * One cursor moves over the text.  Every function advances it past the text it
 * has parsed and returns true, or returns false and leaves it anywhere: the
 * whole text is invalid then.
 */
#include "config.h"

#include <string.h>

#include "base/utf8.h"
#include "rufh/sf.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define BASE64 UPPER LOWER DIGITS "+/"

/* The digits of an Integer; those of a Decimal before and after the point. */
enum {
	INTEGER_DIGITS = 15,
	WHOLE_DIGITS = 12,
	FRACTION_DIGITS = 3
};

struct cursor {
	const char *p;
	struct arena *arena;
};

static bool
is_in(char ch, const char *set)
{
	return ch != '\0' && strchr(set, ch) != NULL;
}

static bool
skip(struct cursor *c, char ch)
{
	if (*c->p != ch)
		return false;
	c->p++;
	return true;
}

static void
skip_all(struct cursor *c, const char *set)
{
	c->p += strspn(c->p, set);
}

/* At most INTEGER_DIGITS digits, so the number cannot overflow. */
static int64_t
value_of(const char *digits, size_t len)
{
	int64_t n = 0;

	for (; len > 0; len--)
		n = n * 10 + (*digits++ - '0');
	return n;
}

static bool
parse_number(struct cursor *c, struct sf_item *item)
{
	bool is_negative = skip(c, '-');
	const char *digits = c->p;
	size_t len = strspn(digits, DIGITS), fraction;

	c->p += len;
	if (len == 0 || len > INTEGER_DIGITS)
		return false;
	if (!skip(c, '.')) {
		item->type = SF_INTEGER;
		item->number = value_of(digits, len);
		if (is_negative)
			item->number = -item->number;
		return true;
	}
	fraction = strspn(c->p, DIGITS);
	c->p += fraction;
	item->type = SF_DECIMAL;
	return len <= WHOLE_DIGITS && fraction >= 1 &&
	    fraction <= FRACTION_DIGITS;
}

static bool
parse_date(struct cursor *c, struct sf_item *item)
{
	c->p++;
	if (!parse_number(c, item) || item->type != SF_INTEGER)
		return false;
	item->type = SF_DATE;
	return true;
}

static bool
parse_boolean(struct cursor *c, struct sf_item *item)
{
	c->p++;
	item->type = SF_BOOLEAN;
	item->number = *c->p == '1';
	return skip(c, '0') || skip(c, '1');
}

/* The distance to the quote that ends a string: no more memory is allocated for
 * it, because a field may contain thousands of strings.  escape: '\0' if there
 * is none. */
static size_t
find_quote(const char *s, char escape)
{
	size_t n;

	for (n = 0; s[n] != '"' && s[n] != '\0'; n++)
		if (s[n] == escape && s[n + 1] != '\0')
			n++;
	return n;
}

static bool
parse_string(struct cursor *c, struct sf_item *item)
{
	char *out, *end;

	c->p++;
	out = end = arena_alloc(c->arena, find_quote(c->p, '\\') + 1);
	item->type = SF_STRING;
	for (; *c->p != '"'; c->p++) {
		if (*c->p == '\\' && !is_in(*++c->p, "\"\\"))
			return false;
		if ((unsigned char)*c->p < 0x20 || (unsigned char)*c->p > 0x7e)
			return false;
		*end++ = *c->p;
	}
	item->bytes = out;
	item->len = (size_t)(end - out);
	return skip(c, '"');
}

static bool
parse_token(struct cursor *c, struct sf_item *item)
{
	size_t len = strspn(c->p, UPPER LOWER DIGITS "!#$%&'*+-.^_`|~:/");

	item->type = SF_TOKEN;
	item->bytes = arena_memdup(c->arena, c->p, len);
	item->len = len;
	c->p += len;
	return true;
}

/* Padding may be missing, and the unused bits may have any value: the RFC asks
 * to accept that (section 4.2.7). */
static bool
parse_bytes(struct cursor *c, struct sf_item *item)
{
	size_t len = strspn(++c->p, BASE64), pad, i;
	unsigned char *out = arena_alloc(c->arena, len / 4 * 3 + 3);
	unsigned bits = 0;

	item->type = SF_BYTES;
	item->bytes = (const char *)out;
	for (i = 0; i < len; i++) {
		bits = bits << 6 | (unsigned)(strchr(BASE64, c->p[i]) - BASE64);
		if (i % 4 != 0)
			out[item->len++] =
			    (unsigned char)(bits >> (6 - i % 4 * 2) & 0xff);
	}
	c->p += len;
	pad = strspn(c->p, "=");
	c->p += pad;
	return len % 4 != 1 && (pad == 0 || (len + pad) % 4 == 0) && pad <= 2 &&
	    skip(c, ':');
}

static int
hex_digit(char ch)
{
	static const char digits[] = DIGITS "abcdef";

	return is_in(ch, digits) ? (int)(strchr(digits, ch) - digits) : -1;
}

static bool
is_utf8(const char *s, size_t len)
{
	size_t n;

	for (; len > 0; s += n, len -= n)
		if ((n = utf8_char(s, len)) == 0)
			return false;
	return true;
}

static bool
parse_display_string(struct cursor *c, struct sf_item *item)
{
	char *out, *end;
	int high, low;

	item->type = SF_DISPLAY_STRING;
	if (strncmp(c->p, "%\"", 2) != 0)
		return false;
	c->p += 2;
	out = end = arena_alloc(c->arena, find_quote(c->p, '\0') + 1);
	for (; *c->p != '"'; c->p++) {
		if ((unsigned char)*c->p < 0x20 || (unsigned char)*c->p > 0x7e)
			return false;
		if (*c->p != '%') {
			*end++ = *c->p;
			continue;
		}
		high = hex_digit(c->p[1]);
		low = high >= 0 ? hex_digit(c->p[2]) : -1;
		if (low < 0)
			return false;
		*end++ = (char)(high * 16 + low);
		c->p += 2;
	}
	item->bytes = out;
	item->len = (size_t)(end - out);
	return skip(c, '"') && is_utf8(item->bytes, item->len);
}

static bool
parse_bare_item(struct cursor *c, struct sf_item *item)
{
	static const struct {
		const char *first;
		bool (*parse)(struct cursor *, struct sf_item *);
	} kinds[] = {
		{ "-" DIGITS, parse_number },
		{ "\"", parse_string },
		{ UPPER LOWER "*", parse_token },
		{ ":", parse_bytes },
		{ "?", parse_boolean },
		{ "@", parse_date },
		{ "%", parse_display_string },
	};
	size_t i;

	*item = (struct sf_item){ 0 };
	for (i = 0; i < NITEMS(kinds); i++)
		if (is_in(*c->p, kinds[i].first))
			return kinds[i].parse(c, item);
	return false;
}

static bool
parse_key(struct cursor *c, const char **key)
{
	size_t len;

	if (!is_in(*c->p, LOWER "*"))
		return false;
	len = strspn(c->p, LOWER DIGITS "_-.*");
	*key = arena_memdup(c->arena, c->p, len);
	c->p += len;
	return true;
}

static bool
skip_parameters(struct cursor *c)
{
	struct sf_item ignored;
	const char *key;

	while (skip(c, ';')) {
		skip_all(c, " ");
		if (!parse_key(c, &key))
			return false;
		if (skip(c, '=') && !parse_bare_item(c, &ignored))
			return false;
	}
	return true;
}

static bool
parse_item(struct cursor *c, struct sf_item *item)
{
	return parse_bare_item(c, item) && skip_parameters(c);
}

static bool
parse_inner_list(struct cursor *c, struct sf_item *list)
{
	struct sf_item ignored;

	*list = (struct sf_item){ .type = SF_INNER_LIST };
	c->p++;
	for (;;) {
		skip_all(c, " ");
		if (skip(c, ')'))
			return skip_parameters(c);
		if (!parse_item(c, &ignored) || !is_in(*c->p, " )"))
			return false;
	}
}

/* A key alone is a Boolean true, which may have parameters. */
static bool
parse_member_value(struct cursor *c, struct sf_item *value)
{
	if (!skip(c, '=')) {
		*value = (struct sf_item){ .type = SF_BOOLEAN, .number = 1 };
		return skip_parameters(c);
	}
	return *c->p == '(' ? parse_inner_list(c, value) : parse_item(c, value);
}

static struct sf_member *
find_member(struct sf_member *m, const char *key)
{
	while (m != NULL && strcmp(m->key, key) != 0)
		m = m->next;
	return m;
}

static bool
parse_member(struct cursor *c, struct sf_member **list)
{
	struct sf_member *m, **end;
	struct sf_item value;
	const char *key;
	int count = 0;

	if (!parse_key(c, &key) || !parse_member_value(c, &value))
		return false;
	m = find_member(*list, key);
	if (m != NULL) {
		m->value = value;
		return true;
	}
	for (end = list; *end != NULL; end = &(*end)->next)
		count++;
	if (count == SF_MEMBERS_MAX)
		return false;
	m = *end = arena_alloc(c->arena, sizeof(*m));
	m->key = key;
	m->value = value;
	return true;
}

static bool
parse_members(struct cursor *c, struct sf_member **list)
{
	while (*c->p != '\0') {
		if (!parse_member(c, list))
			return false;
		skip_all(c, " \t");
		if (*c->p == '\0')
			return true;
		if (!skip(c, ','))
			return false;
		skip_all(c, " \t");
		/* A comma must be followed by a member. */
		if (*c->p == '\0')
			return false;
	}
	return true;
}

bool
sf_parse_dictionary(
    struct arena *a, const char *text, const struct sf_member **list)
{
	struct cursor c = { text != NULL ? text : "", a };
	struct sf_member *members = NULL;
	bool is_valid;

	skip_all(&c, " \t");
	is_valid = parse_members(&c, &members);
	*list = is_valid ? members : NULL;
	return is_valid;
}

bool
sf_parse_item(struct arena *a, const char *text, struct sf_item *item)
{
	struct cursor c = { text != NULL ? text : "", a };

	skip_all(&c, " \t");
	if (!parse_item(&c, item))
		return false;
	skip_all(&c, " \t");
	return *c.p == '\0';
}

bool
sf_parse_integer(struct arena *a, const char *text, int64_t *n)
{
	struct sf_item item;

	if (!sf_parse_item(a, text, &item) || item.type != SF_INTEGER ||
	    item.number < 0)
		return false;
	*n = item.number;
	return true;
}

bool
sf_parse_boolean(struct arena *a, const char *text, bool *b)
{
	struct sf_item item;

	if (!sf_parse_item(a, text, &item) || item.type != SF_BOOLEAN)
		return false;
	*b = item.number != 0;
	return true;
}
