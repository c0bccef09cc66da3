/*
 * info.c - any bytes as the record of an upload, and as what is to be written
 * into one: what is accepted makes sense, and parse(format(record)) = record.
 */
#include "config.h"

#include <string.h>

#include "base/compat.h"
#include "store/file/info.h"
#include "tests/fuzz/fuzz.h"

#define ID "0d7e18102c1a1896f45a1fc9a11d1815"

static struct arena *arena;

static void
check_head(const uint8_t *bytes, size_t len)
{
	char again[INFO_WHOLE_HEAD];
	size_t n;
	struct info_head head;

	if (!info_read_head((const char *)bytes, len, &head))
		return;
	n = info_write_head(again, &head);
	if (memcmp(again, bytes, n) != 0)
		fuzz_bug("a head that nobody writes: %.*s", (int)n, bytes);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_pairs(const struct pair *a, const struct pair *b)
{
	for (; a != NULL && b != NULL; a = a->next, b = b->next)
		if (strcmp(a->key, b->key) != 0 ||
		    a->value_len != b->value_len ||
		    memcmp(a->value, b->value, a->value_len) != 0)
			return false;
	return a == b;
}

static bool
same_list(const char *const *a, const char *const *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (; *a != NULL && *b != NULL; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return *a == *b;
}

static void
check_sense(const struct info_record *r)
{
	const struct info_head *h = &r->head;

	if (h->offset < 0 || h->size < 0 || h->finished < 0 || h->expires < 0 ||
	    h->hold < -1 || (!h->size_deferred && h->offset > h->size))
		fuzz_bug("numbers that make no sense");
	if (!same_text(r->info.id, ID))
		fuzz_bug("the record of %s", r->info.id);
	if (r->info.is_partial && r->info.is_final)
		fuzz_bug("both partial and final");
}

static bool
same_record(const struct info_record *a, const struct info_record *b)
{
	const struct file_info *x = &a->info, *y = &b->info;

	return a->foreign == b->foreign &&
	    same_pairs(x->metadata, y->metadata) && same_text(x->id, y->id) &&
	    same_text(x->metadata_raw, y->metadata_raw) &&
	    same_text(x->concat_raw, y->concat_raw) &&
	    same_list(x->parts, y->parts) && x->is_partial == y->is_partial &&
	    x->is_final == y->is_final && same_text(x->owner, y->owner) &&
	    same_text(x->protocol, y->protocol) &&
	    same_text(x->digest, y->digest) &&
	    same_text(x->move_to, y->move_to) && x->max_size == y->max_size &&
	    x->retention == y->retention && x->created == y->created;
}

/* A space before the last brace changes nothing but that the JSON library has
 * to read what is else read without it: both must see the same. */
static void
check_both_readers(
    const uint8_t *bytes, size_t len, enum err_code rc, struct info_record *r)
{
	struct info_record other;
	enum err_code rc2;
	struct err e;
	char *text;

	if (len == 0 || bytes[len - 1] != '}')
		return;
	text = arena_alloc(arena, len + 1);
	(void)memcpy(text, bytes, len - 1);
	(void)memcpy(text + len - 1, " }", 2);
	rc2 = info_parse(text, len + 1, ID, arena, &other, &e);
	if (rc != rc2)
		fuzz_bug("%d and %d: %.*s", rc, rc2, (int)len, bytes);
	if (rc == ERR_OK && !same_record(r, &other))
		fuzz_bug("two readers: %.*s", (int)len, bytes);
}

/* Format, parse, compare; the texts are only told apart where they matter. */
static void
check_round_trip(const struct info_record *r)
{
	struct info_record back;
	struct err e;
	const char *text;
	char *scratch;
	size_t len;

	if (info_format(r, arena, &text, &len, &e) != ERR_OK)
		return;
	if (len > INFO_MAX)
		fuzz_bug("a record of %zu bytes", len);
	scratch = arena_memdup(arena, text, len);
	if (info_parse(scratch, len, ID, arena, &back, &e) != ERR_OK)
		fuzz_bug("%s: %s", e.text, text);
	check_both_readers((const uint8_t *)text, len, ERR_OK, &back);
	check_sense(&back);
	if (back.foreign)
		fuzz_bug("our own is foreign: %s", text);
	if (r->head.offset != back.head.offset ||
	    r->head.size != back.head.size ||
	    r->head.size_deferred != back.head.size_deferred ||
	    r->head.finished != back.head.finished ||
	    r->head.expires != back.head.expires ||
	    r->head.hold != back.head.hold ||
	    strcmp(r->head.boot, back.head.boot) != 0)
		fuzz_bug("another head: %s", text);
	if (!same_pairs(r->info.metadata, back.info.metadata) ||
	    !same_text(r->info.metadata_raw, back.info.metadata_raw) ||
	    !same_text(r->info.concat_raw, back.info.concat_raw) ||
	    !same_list(r->info.parts, back.info.parts) ||
	    r->info.is_partial != back.info.is_partial ||
	    r->info.is_final != back.info.is_final ||
	    r->info.created != back.info.created)
		fuzz_bug("another record: %s", text);
	if (!same_text(r->info.owner, back.info.owner) &&
	    !(same_text(r->info.owner, "") && back.info.owner == NULL))
		fuzz_bug("another owner: %s", text);
}

static void
try_parse(const uint8_t *bytes, size_t len)
{
	char *text =
	    arena_memdup(arena, len > 0 ? (const void *)bytes : "", len);
	struct info_record r;
	enum err_code rc;
	struct err e;

	memset(&r, 0, sizeof(r));
	rc = info_parse(text, len, ID, arena, &r, &e);
	if (rc != ERR_OK && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
		fuzz_bug("code %d: %s", rc, e.text);
	check_both_readers(bytes, len, rc, &r);
	if (rc != ERR_OK)
		return;
	check_sense(&r);
	check_round_trip(&r);
}

/* The next line of the input, NULL if it is over; any byte but LF and NUL. */
static const char *
next_line(const uint8_t **p, size_t *left)
{
	const uint8_t *end;
	const char *line;
	size_t n;

	if (*left == 0)
		return NULL;
	end = memchr(*p, '\n', *left);
	n = end != NULL ? (size_t)(end - *p) : *left;
	line = arena_strdup(arena, arena_memdup(arena, *p, n));
	n += end != NULL;
	*p += n;
	*left -= n;
	return line;
}

static const struct pair *
next_metadata(const uint8_t **p, size_t *left)
{
	struct pair *list = NULL, *pair;
	const char *key;
	size_t i;

	for (i = 0; i < 3; i++) {
		key = next_line(p, left);
		if (key == NULL || *key == '\0')
			break;
		pair = arena_alloc(arena, sizeof(*pair));
		pair->key = key;
		pair->value = next_line(p, left);
		if (pair->value == NULL)
			pair->value = "";
		pair->value_len = strlen(pair->value);
		pair->next = list;
		list = pair;
	}
	return list;
}

/* A record whose strings are whatever came. */
static void
try_format(const uint8_t *p, size_t left)
{
	struct info_record r;
	const char **parts = arena_alloc(arena, 3 * sizeof(*parts));

	memset(&r, 0, sizeof(r));
	r.head.size = 1000;
	r.head.offset = left > 0 ? p[0] : 0;
	r.head.hold = left > 1 && p[1] % 2 != 0 ? p[1] : -1;
	r.head.expires = left > 2 ? p[2] : 0;
	(void)memcpy(r.head.boot, INFO_NO_BOOT, sizeof(r.head.boot));
	r.info.id = ID;
	r.info.size = r.head.size;
	r.info.created = 1700000000;
	r.info.expires = r.head.expires;
	r.info.owner = next_line(&p, &left);
	r.info.metadata_raw = next_line(&p, &left);
	r.info.metadata = next_metadata(&p, &left);
	parts[0] = ID;
	parts[1] = "b";
	r.info.concat_raw = next_line(&p, &left);
	if (r.info.concat_raw != NULL) {
		r.info.is_final = true;
		r.info.parts = parts;
	}
	check_round_trip(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (arena == NULL) {
		info_set_up();
		arena = arena_new();
	}
	check_head(bytes, len);
	try_parse(bytes, len);
	try_format(bytes, len);
	arena_reset(arena);
	return 0;
}
