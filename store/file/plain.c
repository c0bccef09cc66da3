/*
 * plain.c - the keys of a record, written and read without the JSON library.
 *
 * Nearly every record has its keys in one order, no white space, and no string
 * with an escape.  That takes a tenth of what the library needs.  Whatever is
 * different is left to the library, which alone says what is damaged.
 */
#include "config.h"

#include <string.h>

#include "base/digits.h"
#include "base/utf8.h"
#include "store/file/info.h"

/* More digits than that may be more than a number holds. */
#define NUMBER_DIGITS 18

/* With more keys, to compare each with all takes as long as the library. */
#define KEYS_MAX 16

/* --- Reading. --- */

struct scan {
	const char *p, *end;
	struct arena *a;
};

static bool
take(struct scan *s, const char *literal)
{
	size_t len = strlen(literal);

	if (len > (size_t)(s->end - s->p) || memcmp(s->p, literal, len) != 0)
		return false;
	s->p += len;
	return true;
}

/* How many bytes of [p, end) stand for themselves in a string of JSON. */
static size_t
plain_length(const char *p, const char *end)
{
	const char *begin = p;
	size_t n;

	while (
	    p < end && *p != '"' && *p != '\\' && ((unsigned char)*p >= ' ')) {
		n = (unsigned char)*p < 0x80 ? 1 :
					       utf8_char(p, (size_t)(end - p));
		if (n == 0)
			break;
		p += n;
	}
	return (size_t)(p - begin);
}

static bool
take_text(struct scan *s, const char **text, size_t *len)
{
	if (!take(s, "\""))
		return false;
	*len = plain_length(s->p, s->end);
	*text = arena_memdup(s->a, s->p, *len);
	s->p += *len;
	return take(s, "\"");
}

/* The text behind a key, which need not be there. */
static bool
take_optional(struct scan *s, const char *key, const char **text)
{
	size_t len;

	return !take(s, key) || take_text(s, text, &len);
}

static bool
take_flag(struct scan *s, const char *key, bool *flag)
{
	if (!take(s, key))
		return false;
	*flag = take(s, "true");
	return *flag || take(s, "false");
}

static bool
take_number(struct scan *s, int64_t *number)
{
	int n = 0;

	*number = 0;
	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, n++)
		if (n < NUMBER_DIGITS)
			*number = *number * 10 + (*s->p - '0');
	return n > 0 && n <= NUMBER_DIGITS && (s->p[-n] != '0' || n == 1);
}

static bool
take_optional_number(struct scan *s, const char *key, int64_t *number)
{
	return !take(s, key) || take_number(s, number);
}

static bool
has_key(const struct pair *p, const char *key)
{
	for (; p != NULL; p = p->next)
		if (strcmp(p->key, key) == 0)
			return true;
	return false;
}

static bool
take_metadata(struct scan *s, const struct pair **pairs)
{
	struct pair *first = NULL, **end = &first, *p;
	size_t len, n = 0;

	while (!take(s, "}")) {
		p = arena_alloc(s->a, sizeof(*p));
		if ((n > 0 && !take(s, ",")) || ++n > KEYS_MAX ||
		    !take_text(s, &p->key, &len) || has_key(first, p->key) ||
		    !take(s, ":") || !take_text(s, &p->value, &p->value_len))
			return false;
		*end = p;
		end = &p->next;
	}
	*pairs = first;
	return true;
}

bool
info_read_plain(const char *buf, size_t len, const char *id, struct arena *a,
    struct file_info *info)
{
	struct scan s = { buf, buf + len, a };
	struct file_info i = { .id = arena_strdup(a, id) };

	if (!take(&s, "\"ID\":\"") || !take(&s, id) ||
	    !take(&s, "\",\"MetaData\":{") || !take_metadata(&s, &i.metadata) ||
	    !take_optional(&s, ",\"MetadataRaw\":", &i.metadata_raw) ||
	    !take_flag(&s, ",\"IsPartial\":", &i.is_partial) ||
	    !take_flag(&s, ",\"IsFinal\":", &i.is_final) ||
	    /* One that was made of parts is not plain. */
	    !take(&s, ",\"PartialUploads\":null") ||
	    !take_optional(&s, ",\"Owner\":", &i.owner) ||
	    !take_optional(&s, ",\"Protocol\":", &i.protocol) ||
	    /* tus has no such thing. */
	    (i.protocol != NULL &&
		!take_optional(&s, ",\"ReprDigest\":", &i.digest)) ||
	    !take_optional(&s, ",\"MoveTo\":", &i.move_to) ||
	    !take_optional_number(&s, ",\"MaxSize\":", &i.max_size) ||
	    !take_optional_number(&s, ",\"Retention\":", &i.retention) ||
	    !take(&s, ",\"Created\":") || !take_number(&s, &i.created) ||
	    !take(&s, "}") || s.p != s.end)
		return false;
	*info = i;
	return true;
}

/* --- Writing. --- */

/* p is NULL once there was no room, or something was not plain. */
struct sheet {
	char *p, *end;
};

static void
put(struct sheet *s, const char *text, size_t len)
{
	if (s->p == NULL || len > (size_t)(s->end - s->p)) {
		s->p = NULL;
		return;
	}
	memcpy(s->p, text, len);
	s->p += len;
}

static void
put_literal(struct sheet *s, const char *text)
{
	put(s, text, strlen(text));
}

static void
put_text(struct sheet *s, const char *text, size_t len)
{
	if (plain_length(text, text + len) != len)
		s->p = NULL;
	put(s, "\"", 1);
	put(s, text, len);
	put(s, "\"", 1);
}

static void
put_optional(struct sheet *s, const char *key, const char *text)
{
	if (text == NULL)
		return;
	put_literal(s, key);
	put_text(s, text, strlen(text));
}

static void
put_number(struct sheet *s, const char *key, int64_t number)
{
	char text[DIGITS_MAX], *end = text + sizeof(text);
	const char *p = digits_before(end, number);

	put_literal(s, key);
	put(s, p, (size_t)(end - p));
}

static void
put_pairs(struct sheet *s, const struct pair *first)
{
	const struct pair *p, *q;
	size_t n = 0;

	for (p = first; p != NULL && s->p != NULL; p = p->next) {
		for (q = first; q != p; q = q->next)
			if (strcmp(q->key, p->key) == 0)
				s->p = NULL;
		if (++n > KEYS_MAX)
			s->p = NULL;
		put_literal(s, n > 1 ? "," : "");
		put_text(s, p->key, strlen(p->key));
		put_literal(s, ":");
		put_text(s, p->value, p->value_len);
	}
}

size_t
info_write_plain(char *buf, size_t room, const struct file_info *i)
{
	struct sheet s = { buf, buf + room };

	if (i->parts != NULL || i->concat_raw != NULL)
		return 0;
	put_literal(&s, "{\"ID\":");
	put_text(&s, i->id, strlen(i->id));
	put_literal(&s, ",\"MetaData\":{");
	put_pairs(&s, i->metadata);
	put_literal(&s, "}");
	put_optional(&s, ",\"MetadataRaw\":", i->metadata_raw);
	put_literal(&s, ",\"IsPartial\":");
	put_literal(&s, i->is_partial ? "true" : "false");
	put_literal(&s, ",\"IsFinal\":");
	put_literal(&s, i->is_final ? "true" : "false");
	put_literal(&s, ",\"PartialUploads\":null");
	put_optional(&s, ",\"Owner\":", i->owner != NULL ? i->owner : "");
	put_optional(&s, ",\"Protocol\":", i->protocol);
	put_optional(&s, ",\"ReprDigest\":", i->digest);
	put_optional(&s, ",\"MoveTo\":", i->move_to);
	if (i->max_size > 0)
		put_number(&s, ",\"MaxSize\":", i->max_size);
	if (i->retention > 0)
		put_number(&s, ",\"Retention\":", i->retention);
	put_number(&s, ",\"Created\":", i->created);
	put_literal(&s, ",\"Storage\":{");
	put_pairs(&s, i->storage);
	put_literal(&s, "}}");
	return s.p != NULL ? (size_t)(s.p - buf) : 0;
}
