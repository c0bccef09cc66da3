/*
 * header.c - any text as the value of every header that tus has.
 *
 * What a parser accepts must have the form that the protocol gives it, however
 * the parser came to its opinion; and no position is outside of what it names.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "base/id.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"
#include "tus/parse.h"

static void
check_int64(const char *s)
{
	const char *digits = web_parse_trim(arena, s);
	size_t len = strspn(digits, "0123456789");
	int64_t value = -1;
	bool is_right = len >= 1 && len <= 19 && digits[len] == '\0' &&
	    strtoull(digits, NULL, 10) <= INT64_MAX;

	if (web_parse_int64(s, &value) != is_right)
		fuzz_bug("\"%s\" as a number", s);
	if (is_right && value != strtoll(digits, NULL, 10))
		fuzz_bug("\"%s\" is %" PRId64, s, value);
}

static void
check_key(const struct pair *p)
{
	const struct pair *q;
	const char *k;

	if (*p->key == '\0')
		fuzz_bug("an empty key");
	for (k = p->key; *k != '\0'; k++)
		if (*k < 0x21 || *k > 0x7e || *k == ',')
			fuzz_bug("byte %#x in a key", (unsigned)*k);
	for (q = p->next; q != NULL; q = q->next)
		if (strcmp(p->key, q->key) == 0)
			fuzz_bug("key \"%s\" twice", p->key);
}

/* A list that was parsed and written again is parsed the same. */
static void
check_metadata(const char *s)
{
	const struct pair *list, *again, *p;
	const char *text = "";

	if (web_parse_metadata(arena, s, &list) != WEB_VALID) {
		if (list != NULL)
			fuzz_bug("pairs of a header that is none");
		return;
	}
	for (p = list; p != NULL; p = p->next) {
		check_key(p);
		text = arena_printf(arena, "%s%s%s %s", text,
		    *text == '\0' ? "" : ",", p->key,
		    to_base64(p->value, p->value_len));
	}
	if (web_parse_metadata(arena, text, &again) != WEB_VALID)
		fuzz_bug("\"%s\" is not read again", text);
	for (p = list; p != NULL; p = p->next, again = again->next)
		if (again == NULL || strcmp(p->key, again->key) != 0 ||
		    p->value_len != again->value_len ||
		    memcmp(p->value, again->value, p->value_len) != 0)
			fuzz_bug("\"%s\" is read differently", text);
	if (again != NULL)
		fuzz_bug("\"%s\" is read longer", text);
}

/* An id stands at the end of what names it, at most a slash follows, and a
 * query. */
static void
check_reference(const char *ref)
{
	const char *id = web_parse_reference(arena, ref, "/files/deep");
	char *path = web_parse_unreserved(arena, ref);
	size_t len, n;

	if (id == NULL)
		return;
	if (!id_is_valid(id))
		fuzz_bug("\"%s\" names \"%s\"", ref, id);
	n = strlen(id);
	len = strcspn(path, "?#");
	if (len > 0 && path[len - 1] == '/')
		len--;
	if (len < n || memcmp(path + len - n, id, n) != 0)
		fuzz_bug("\"%s\" names \"%s\"", ref, id);
	if (len > n && path[len - n - 1] != '/')
		fuzz_bug("\"%s\" names \"%s\"", ref, id);
	path[len] = '\0';
	if (strstr(path, "/..") != NULL && strstr(path, "//") == NULL)
		fuzz_bug("\"%s\" names \"%s\"", ref, id);
}

static void
check_concat(const char *s)
{
	struct tus_concat c;
	size_t i;

	if (tus_parse_concat(arena, s, &c) != WEB_VALID)
		return;
	if (c.is_partial == c.is_final || c.is_partial != (c.nrefs == 0) ||
	    c.nrefs > TUS_PARTS_MAX)
		fuzz_bug("\"%s\" has %zu parts", s, c.nrefs);
	for (i = 0; i < c.nrefs; i++) {
		if (*c.refs[i] == '\0' || strpbrk(c.refs[i], " \t") != NULL)
			fuzz_bug("\"%s\" is a reference", c.refs[i]);
		check_reference(c.refs[i]);
	}
	if (c.is_final && c.refs[c.nrefs] != NULL)
		fuzz_bug("no end of the references");
}

static void
check_sum(const char *s)
{
	struct sum sum;

	if (tus_parse_sum(arena, s, &sum) != WEB_VALID)
		return;
	if (*sum.algorithm == '\0' || sum.len == 0 ||
	    strpbrk(sum.algorithm, " \t,ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL ||
	    strncmp(web_parse_trim(arena, s), sum.algorithm,
		strlen(sum.algorithm)) != 0)
		fuzz_bug("\"%s\" is a checksum", s);
}

static void
check_range(const char *s, int64_t size)
{
	int64_t first = -1, last = -1;

	if (web_parse_range(s, size, &first, &last) == WEB_RANGE_PART &&
	    (first < 0 || first > last || last >= size))
		fuzz_bug("\"%s\" of %" PRId64 " is %" PRId64 "-%" PRId64, s,
		    size, first, last);
}

static void
check_lists(const char *s)
{
	const char *list = arena_printf(arena, "x,%s, upload-CHECKSUM", s);

	if (!web_parse_has_token(list, "Upload-Checksum"))
		fuzz_bug("the last of \"%s\" is not found", list);
	if (web_parse_is_type(s, "a/b") && strpbrk(s, "aA") == NULL)
		fuzz_bug("\"%s\" is a/b", s);
	(void)web_parse_has_token(s, "*");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const int64_t sizes[] = { 0, 1, 10, INT64_MAX };
	const char *s;
	size_t i;

	if (arena == NULL)
		arena = arena_new();
	s = arena_memdup(arena, len > 0 ? (const void *)bytes : "", len);
	check_int64(s);
	check_metadata(s);
	check_concat(s);
	check_reference(s);
	check_sum(s);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_range(s, sizes[i]);
	check_lists(s);
	arena_reset(arena);
	return 0;
}
