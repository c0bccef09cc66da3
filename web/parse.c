/*
 * parse.c - the grammar of header fields and paths.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/id.h"
#include "web/parse.h"

#define OWS " \t"
#define BASE64                                                                 \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* A piece of a string that belongs to the caller. */
struct piece {
	const char *s;
	size_t len;
};

static struct piece
trim(const char *s, size_t len)
{
	while (len > 0 && strchr(OWS, s[0]) != NULL) {
		s++;
		len--;
	}
	while (len > 0 && strchr(OWS, s[len - 1]) != NULL)
		len--;
	return (struct piece){ s, len };
}

const char *
web_parse_trim(struct arena *a, const char *s)
{
	struct piece p;

	if (s == NULL)
		return NULL;
	p = trim(s, strlen(s));
	return arena_memdup(a, p.s, p.len);
}

static int
hex_digit(char ch)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *p = ch != '\0' ? strchr(digits, ch) : NULL;

	return p != NULL ? (int)(p - digits) % 16 : -1;
}

int
web_parse_escape(const char *s)
{
	if (s[0] != '%' || hex_digit(s[1]) < 0 || hex_digit(s[2]) < 0)
		return -1;
	return hex_digit(s[1]) * 16 + hex_digit(s[2]);
}

static bool
is_unreserved(int ch)
{
	return ch > 0 &&
	    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		   "0123456789-._~",
		ch) != NULL;
}

char *
web_parse_unreserved(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s);
	char *to = out;

	for (; *s != '\0'; s++) {
		int ch = web_parse_escape(s);

		if (is_unreserved(ch)) {
			*to++ = (char)ch;
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return out;
}

bool
web_parse_int64(const char *s, int64_t *value)
{
	struct piece p;
	uint64_t n = 0;
	size_t i;

	if (s == NULL)
		return false;
	p = trim(s, strlen(s));
	if (p.len < 1 || p.len > 19)
		return false;
	for (i = 0; i < p.len; i++) {
		if (p.s[i] < '0' || p.s[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(p.s[i] - '0');
	}
	/* 19 digits fit 64 bits, but not always 63. */
	if (n > INT64_MAX)
		return false;
	*value = (int64_t)n;
	return true;
}

char *
web_parse_base64(struct arena *a, const char *s, size_t len, size_t *decoded)
{
	size_t digits = 0, pad;
	char *out;

	while (digits < len && s[digits] != '\0' &&
	    strchr(BASE64, s[digits]) != NULL)
		digits++;
	pad = len - digits;
	if (len % 4 != 0 || pad > 2 || len > INT32_MAX ||
	    memcmp(s + digits, "==", pad) != 0)
		return NULL;
	out = arena_alloc(a, len / 4 * 3 + 1);
	if (len > 0 &&
	    EVP_DecodeBlock(
		(unsigned char *)out, (const unsigned char *)s, (int)len) < 0)
		return NULL;
	*decoded = len / 4 * 3 - pad;
	out[*decoded] = '\0';
	return out;
}

static bool
is_metadata_key(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	return len > 0;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct pair *const *p = a, *const *q = b;

	return strcmp((*p)->key, (*q)->key);
}

static bool
has_twins(struct arena *a, const struct pair *list, size_t n)
{
	const struct pair **keys = arena_alloc(a, (n + 1) * sizeof(*keys));
	size_t i;

	for (i = 0; i < n; i++, list = list->next)
		keys[i] = list;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n; i++)
		if (strcmp(keys[i - 1]->key, keys[i]->key) == 0)
			return true;
	return false;
}

/* One "key", "key " or "key base64"; NULL if it is not. */
static struct pair *
parse_pair(struct arena *a, struct piece p)
{
	struct pair *pair = arena_alloc(a, sizeof(*pair));
	struct piece value;
	size_t key = 0;

	while (key < p.len && strchr(OWS, p.s[key]) == NULL)
		key++;
	if (!is_metadata_key(p.s, key))
		return NULL;
	value = trim(p.s + key, p.len - key);
	pair->key = arena_memdup(a, p.s, key);
	pair->value = web_parse_base64(a, value.s, value.len, &pair->value_len);
	return pair->value != NULL ? pair : NULL;
}

enum web_parsed
web_parse_metadata(struct arena *a, const char *s, const struct pair **metadata)
{
	struct pair *first = NULL, **tail = &first;
	size_t len, n = 0;
	struct piece p;

	*metadata = NULL;
	if (s == NULL)
		return WEB_ABSENT;
	for (;; s += len + 1) {
		len = strcspn(s, ",");
		p = trim(s, len);
		if (p.len > 0) {
			if (n++ == WEB_KEYS_MAX)
				return WEB_TOO_MANY;
			*tail = parse_pair(a, p);
			if (*tail == NULL)
				return WEB_MALFORMED;
			tail = &(*tail)->next;
		}
		if (s[len] == '\0')
			break;
	}
	if (has_twins(a, first, n))
		return WEB_MALFORMED;
	*metadata = first;
	return first != NULL ? WEB_VALID : WEB_ABSENT;
}

/* The part of a URL after "scheme://host" or "//host"; NULL if it has
 * neither. */
static const char *
skip_authority(const char *ref)
{
	const char *slashes = strstr(ref, "//");

	if (slashes == NULL ||
	    (slashes != ref && slashes != ref + strcspn(ref, ":/?#") + 1))
		return NULL;
	return slashes + 2 + strcspn(slashes + 2, "/?#");
}

const char *
web_parse_reference(struct arena *a, const char *ref, const char *base)
{
	const char *rest = skip_authority(ref);
	const char *name = strrchr(base, '/');
	char *path = web_parse_unreserved(a, rest != NULL ? rest : ref);
	size_t len;

	path[strcspn(path, "?#")] = '\0';
	if (rest != NULL && path[0] != '/')
		return NULL;
	/* A relative reference is resolved against the endpoint: "ID" or
	 * "files/ID". */
	if (path[0] != '/' && name != NULL)
		base = name + 1;
	len = strlen(base);
	if (strncmp(path, base, len) == 0 && path[len] == '/')
		path += len + 1;
	len = strlen(path);
	if (len > 0 && path[len - 1] == '/')
		path[len - 1] = '\0';
	return id_is_valid(path) ? path : NULL;
}

/* Parse digits; larger numbers become 2^63-1.  False if there are no digits. */
static bool
parse_position(const char **s, int64_t *value)
{
	const char *p = *s;
	int64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		n = n > (INT64_MAX - 9) / 10 ? INT64_MAX : n * 10 + (*p - '0');
	*s = p;
	*value = n;
	return true;
}

enum web_range
web_parse_range(const char *s, int64_t size, int64_t *first, int64_t *last)
{
	bool has_first, has_last;

	if (s == NULL)
		return WEB_RANGE_WHOLE;
	s += strspn(s, OWS);
	if (strncasecmp(s, "bytes=", 6) != 0)
		return WEB_RANGE_WHOLE;
	s += 6;
	s += strspn(s, OWS);
	has_first = parse_position(&s, first);
	if (*s++ != '-')
		return WEB_RANGE_WHOLE;
	has_last = parse_position(&s, last);
	s += strspn(s, OWS);
	if (*s != '\0' || (!has_first && !has_last) ||
	    (has_first && has_last && *last < *first))
		return WEB_RANGE_WHOLE;
	if (!has_first) {
		/* The last *last bytes. */
		if (*last == 0 || size == 0)
			return WEB_RANGE_UNSATISFIABLE;
		*first = *last < size ? size - *last : 0;
		*last = size - 1;
		return WEB_RANGE_PART;
	}
	if (*first >= size)
		return WEB_RANGE_UNSATISFIABLE;
	if (!has_last || *last >= size)
		*last = size - 1;
	return WEB_RANGE_PART;
}

bool
web_parse_has_token(const char *list, const char *name)
{
	struct piece p;
	size_t len;

	if (list == NULL)
		return false;
	for (;; list += len + 1) {
		len = strcspn(list, ",");
		p = trim(list, len);
		if (p.len == strlen(name) && strncasecmp(p.s, name, p.len) == 0)
			return true;
		if (list[len] == '\0')
			return false;
	}
}

bool
web_parse_is_token_list(const char *s)
{
	bool has_any = false;
	size_t len, white;

	for (; s != NULL && *s != '\0'; s += len + white) {
		s += strspn(s, OWS ",");
		len = strspn(s,
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		    "0123456789!#$%&'*+-.^_`|~");
		white = strspn(s + len, OWS);
		if (s[len + white] != '\0' && s[len + white] != ',')
			return false;
		has_any |= len > 0;
	}
	return has_any;
}

bool
web_parse_is_type(const char *value, const char *type)
{
	struct piece p;

	if (value == NULL)
		return false;
	p = trim(value, strcspn(value, ";"));
	return p.len == strlen(type) && strncasecmp(p.s, type, p.len) == 0;
}
