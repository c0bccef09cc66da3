/*
 * field.c - any text as the value of every structured field.
 *
 * A value that is parsed and written again is parsed the same; an integer has
 * the form of RFC 9651; and the other parsers of fields stay within their text.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "rufh/digest_field.h"
#include "rufh/disposition.h"
#include "rufh/sf.h"
#include "tests/fuzz/fuzz.h"

static struct arena *arena;

static void
check_integer(const char *s)
{
	size_t white = strspn(s, " \t"), minus = s[white] == '-';
	const char *digits = s + white + minus;
	size_t len = strspn(digits, "0123456789");
	bool is_right = len >= 1 && len <= 15 &&
	    (!minus || strspn(digits, "0") == len) &&
	    (digits[len] == '\0' || digits[len] == ';' || digits[len] == ' ' ||
		digits[len] == '\t');
	int64_t n = -1;
	bool ok = sf_parse_integer(arena, s, &n);

	/* The text after it may still be invalid. */
	if (ok && !is_right)
		fuzz_bug("\"%s\" is %" PRId64, s, n);
	if (!ok && is_right && digits[len] == '\0')
		fuzz_bug("\"%s\" is no integer", s);
	if (ok && n != strtoll(digits, NULL, 10))
		fuzz_bug("\"%s\" is %" PRId64, s, n);
}

static const char *
write_string(const struct sf_item *item)
{
	const char *text = "\"", *s;

	for (s = item->bytes; *s != '\0'; s++)
		text = arena_printf(arena, "%s%s%c", text,
		    *s == '"' || *s == '\\' ? "\\" : "", *s);
	return arena_printf(arena, "%s\"", text);
}

static const char *
write_display_string(const struct sf_item *item)
{
	const char *text = "%\"";
	size_t i;

	for (i = 0; i < item->len; i++)
		text = arena_printf(arena, "%s%%%02x", text,
		    (unsigned)(unsigned char)item->bytes[i]);
	return arena_printf(arena, "%s\"", text);
}

/* NULL where the value was not kept. */
static const char *
write_item(const struct sf_item *item)
{
	switch (item->type) {
	case SF_INTEGER:
		return arena_printf(arena, "%" PRId64, item->number);
	case SF_BOOLEAN:
		return item->number != 0 ? "?1" : "?0";
	case SF_DATE:
		return arena_printf(arena, "@%" PRId64, item->number);
	case SF_TOKEN:
		return item->bytes;
	case SF_STRING:
		return write_string(item);
	case SF_DISPLAY_STRING:
		return write_display_string(item);
	case SF_BYTES:
		return strchr(
		    digest_field_format(arena, "x", item->bytes, item->len),
		    ':');
	case SF_DECIMAL:
	case SF_INNER_LIST:
		break;
	}
	return NULL;
}

static void
check_same(const char *text, const struct sf_item *a, const struct sf_item *b)
{
	if (a->type != b->type || a->number != b->number || a->len != b->len ||
	    (a->bytes == NULL) != (b->bytes == NULL) ||
	    (a->bytes != NULL && memcmp(a->bytes, b->bytes, a->len) != 0))
		fuzz_bug("\"%s\" is read differently", text);
}

static void
check_item(const char *s)
{
	struct sf_item item, again;
	const char *text;

	if (!sf_parse_item(arena, s, &item) ||
	    (text = write_item(&item)) == NULL)
		return;
	if (!sf_parse_item(arena, text, &again))
		fuzz_bug("\"%s\" is not read again", text);
	check_same(text, &item, &again);
}

static void
check_dictionary(const char *s)
{
	const struct sf_member *list, *m, *again;
	const char *text = "", *value;

	if (!sf_parse_dictionary(arena, s, &list)) {
		if (list != NULL)
			fuzz_bug("members of what is no dictionary");
		return;
	}
	for (m = list; m != NULL; m = m->next) {
		value = write_item(&m->value);
		text = arena_printf(arena, "%s%s%s=%s", text,
		    *text == '\0' ? "" : ", ", m->key,
		    value != NULL		       ? value :
			m->value.type == SF_INNER_LIST ? "()" :
							 "0.0");
	}
	if (!sf_parse_dictionary(arena, text, &again))
		fuzz_bug("\"%s\" is not read again", text);
	for (m = list; m != NULL; m = m->next, again = again->next) {
		if (again == NULL || strcmp(m->key, again->key) != 0)
			fuzz_bug("\"%s\" has other keys", text);
		check_same(text, &m->value, &again->value);
	}
	if (again != NULL)
		fuzz_bug("\"%s\" has more keys", text);
}

static void
check_digest(const char *s)
{
	struct digest_field f;
	enum digest_parsed parsed = digest_field_parse(arena, s, &f);
	size_t i;

	if (f.count > DIGEST_FIELD_MAX ||
	    (parsed == DIGEST_VALID && f.count == 0))
		fuzz_bug("\"%s\" has %zu digests", s, f.count);
	for (i = 0; parsed == DIGEST_VALID && i < f.count; i++)
		if (f.values[i].len !=
		    (strcmp(f.values[i].name, "sha-256") == 0 ? 32 : 64))
			fuzz_bug("\"%s\" has %zu bytes", s, f.values[i].len);
	(void)digest_field_wanted(arena, s);
}

static void
check_name(const char *s)
{
	const char *field = arena_printf(arena, "attachment; filename*=%s", s);
	const char *name = disposition_filename(arena, s);

	if (name != NULL && (*name == '\0' || strlen(name) > strlen(s)))
		fuzz_bug("\"%s\" names \"%s\"", s, name);
	(void)disposition_filename(arena, field);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *s;

	if (arena == NULL)
		arena = arena_new();
	/* Nobody's header is longer than the front end's buffer. */
	if (len > 8192)
		return 0;
	s = arena_memdup(arena, len > 0 ? (const void *)bytes : "", len);
	check_integer(s);
	check_item(s);
	check_dictionary(s);
	check_digest(s);
	check_name(s);
	arena_reset(arena);
	return 0;
}
