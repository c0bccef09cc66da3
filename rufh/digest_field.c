/*
 * digest_field.c - the digest fields of RFC 9530 are Dictionaries.
 */
#include "config.h"

#include <openssl/evp.h>
#include <string.h>

#include "rufh/digest_field.h"
#include "rufh/sf.h"

static const struct digest_value known[DIGEST_FIELD_MAX] = {
	{ "sha-256", "sha256", NULL, 32 },
	{ "sha-512", "sha512", NULL, 64 },
};

static const struct digest_value *
find_known(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

const char *
digest_field_name(const char *algorithm)
{
	size_t i;

	for (i = 0; i < NITEMS(known); i++)
		if (strcmp(known[i].algorithm, algorithm) == 0)
			return known[i].name;
	return NULL;
}

static void
add_value(struct digest_field *f, const struct digest_value *how,
    const struct sf_item *item)
{
	struct digest_value *v = &f->values[f->count++];

	*v = *how;
	v->bytes = item->bytes;
	v->len = item->len;
}

enum digest_parsed
digest_field_parse(struct arena *a, const char *text, struct digest_field *f)
{
	const struct digest_value *how;
	struct digest_field wrong = { 0 };
	const struct sf_member *m;

	*f = (struct digest_field){ 0 };
	if (!sf_parse_dictionary(a, text, &m))
		return DIGEST_MALFORMED;
	for (; m != NULL; m = m->next) {
		if ((how = find_known(m->key)) == NULL)
			continue;
		if (m->value.type != SF_BYTES)
			return DIGEST_MALFORMED;
		add_value(
		    m->value.len == how->len ? f : &wrong, how, &m->value);
	}
	if (wrong.count > 0) {
		*f = wrong;
		return DIGEST_WRONG_SIZE;
	}
	return f->count > 0 ? DIGEST_VALID : DIGEST_ABSENT;
}

/* A weight is 1 to 10; 0 means "not this one". */
const struct digest_value *
digest_field_wanted(struct arena *a, const char *text)
{
	const struct digest_value *how, *best = NULL;
	const struct sf_member *m;
	int64_t weight = 0;

	if (!sf_parse_dictionary(a, text, &m))
		return NULL;
	for (; m != NULL; m = m->next) {
		if (m->value.type != SF_INTEGER || m->value.number > 10 ||
		    m->value.number <= weight ||
		    (how = find_known(m->key)) == NULL)
			continue;
		best = how;
		weight = m->value.number;
	}
	return best;
}

const char *
digest_field_format(
    struct arena *a, const char *name, const void *bytes, size_t len)
{
	unsigned char *text = arena_alloc(a, (len + 2) / 3 * 4 + 1);

	(void)EVP_EncodeBlock(text, bytes, (int)len);
	return arena_printf(a, "%s=:%s:", name, (const char *)text);
}
