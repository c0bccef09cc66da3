/*
 * parse.c - the grammar of the headers that only tus has.
 */
#include "config.h"

#include <string.h>

#include "tus/parse.h"

#define OWS " \t"

/* Count the references, and collect them where refs is not NULL. */
static size_t
split_references(struct arena *a, const char *s, const char **refs)
{
	size_t n = 0, len;

	for (s += strspn(s, OWS); *s != '\0'; s += strspn(s, OWS)) {
		len = strcspn(s, OWS);
		if (refs != NULL)
			refs[n] = arena_memdup(a, s, len);
		n++;
		s += len;
	}
	return n;
}

/* Does it contain bytes that could not be sent back unchanged? */
static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return true;
	return false;
}

enum web_parsed
tus_parse_concat(struct arena *a, const char *s, struct tus_concat *concat)
{
	static const char final[] = "final;";
	const size_t flen = sizeof(final) - 1;
	const char **refs;

	memset(concat, 0, sizeof(*concat));
	if (s == NULL)
		return WEB_ABSENT;
	s = web_parse_trim(a, s);
	if (strcmp(s, "partial") == 0) {
		concat->is_partial = true;
		return WEB_VALID;
	}
	if (strncmp(s, final, flen) != 0 || has_control(s))
		return WEB_MALFORMED;
	s += flen;
	concat->is_final = true;
	concat->nrefs = split_references(a, s, NULL);
	if (concat->nrefs == 0 || concat->nrefs > TUS_PARTS_MAX)
		return WEB_MALFORMED;
	refs = arena_alloc(a, (concat->nrefs + 1) * sizeof(*refs));
	(void)split_references(a, s, refs);
	concat->refs = refs;
	return WEB_VALID;
}

enum web_parsed
tus_parse_sum(struct arena *a, const char *s, struct sum *sum)
{
	size_t name;

	if (s == NULL)
		return WEB_ABSENT;
	s = web_parse_trim(a, s);
	name = strcspn(s, " ");
	if (name == 0 || s[name] == '\0')
		return WEB_MALFORMED;
	sum->algorithm = arena_memdup(a, s, name);
	if (strspn(sum->algorithm, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
	    name)
		return WEB_MALFORMED;
	sum->digest =
	    web_parse_base64(a, s + name + 1, strlen(s + name + 1), &sum->len);
	return sum->digest != NULL && sum->len > 0 ? WEB_VALID : WEB_MALFORMED;
}
