/*
 * upload.c - copy the data of an upload, and encode its metadata.
 */
#include "config.h"

#include <openssl/evp.h>

#include <string.h>

#include "store/upload.h"

bool
store_is_metadata_key(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e || *s == ',')
			return false;
	return true;
}

const char *
store_encode_metadata(struct arena *a, const struct pair *pairs)
{
	const struct pair *p;
	size_t room = 1, at = 0;
	char *raw;

	for (p = pairs; p != NULL; p = p->next)
		room += strlen(p->key) + 2 + (p->value_len + 2) / 3 * 4;
	raw = arena_alloc(a, room);
	for (p = pairs; p != NULL; p = p->next) {
		if (!store_is_metadata_key(p->key))
			continue;
		if (at > 0)
			raw[at++] = ',';
		memcpy(raw + at, p->key, strlen(p->key));
		at += strlen(p->key);
		if (p->value_len > 0)
			raw[at++] = ' ';
		at += (size_t)EVP_EncodeBlock((unsigned char *)raw + at,
		    (const unsigned char *)p->value, (int)p->value_len);
	}
	return at > 0 ? raw : NULL;
}

static const struct pair *
copy_pairs(struct arena *a, const struct pair *from)
{
	struct pair *first = NULL, **end = &first;

	for (; from != NULL; from = from->next) {
		*end = arena_alloc(a, sizeof(**end));
		(*end)->key = arena_strdup(a, from->key);
		(*end)->value = arena_memdup(a, from->value, from->value_len);
		(*end)->value_len = from->value_len;
		end = &(*end)->next;
	}
	return first;
}

static const char *const *
copy_list(struct arena *a, const char *const *from)
{
	const char **to;
	size_t i, n = 0;

	if (from == NULL)
		return NULL;
	while (from[n] != NULL)
		n++;
	to = arena_alloc(a, (n + 1) * sizeof(*to));
	for (i = 0; i < n; i++)
		to[i] = arena_strdup(a, from[i]);
	return to;
}

void
file_info_copy(
    struct arena *a, struct file_info *to, const struct file_info *from)
{
	*to = *from;
	to->id = arena_strdup(a, from->id);
	to->metadata = copy_pairs(a, from->metadata);
	to->metadata_raw = arena_strdup(a, from->metadata_raw);
	to->parts = copy_list(a, from->parts);
	to->concat_raw = arena_strdup(a, from->concat_raw);
	to->owner = arena_strdup(a, from->owner);
	to->protocol = arena_strdup(a, from->protocol);
	to->digest = arena_strdup(a, from->digest);
	to->move_to = arena_strdup(a, from->move_to);
	to->path = arena_strdup(a, from->path);
	to->storage = copy_pairs(a, from->storage);
}
