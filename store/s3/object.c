/*
 * object.c - what the finished object is called, and what it is stored with.
 *
 * The record says the key from the creation on, so that a change of s3.key
 * counts for new uploads alone.
 */
#include "config.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/template.h"
#include "store/fill.h"
#include "store/s3/s3.h"

/* S3 takes so many bytes of a key, and so many of metadata, names included. */
#define KEY_MAX	     1024
#define METADATA_MAX 2048

/* Metadata that becomes headers of the object, so many at most. */
#define HEADERS_MAX 20

/* --- Its key. --- */

static bool
begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

enum err_code
s3_check_key(const struct conf *conf, struct err *e)
{
	const char *key = conf->s3.key, *prefix = conf->s3.prefix;
	const char *records = conf_is_set(conf, &conf->s3.record_prefix) ?
	    conf->s3.record_prefix :
	    prefix;
	struct arena *a;
	const char *head;
	bool is_apart;

	if (strcmp(key, "{id}") == 0)
		return ERR_OK;
	/* No record has a slash behind its prefix. */
	if (strcmp(records, prefix) == 0 && strchr(key, '/') != NULL)
		return ERR_OK;
	a = arena_new();
	head = arena_printf(a, "%s%.*s", prefix, (int)strcspn(key, "{"), key);
	is_apart = !begins_with(head, records) && !begins_with(records, head);
	arena_free(a);
	if (is_apart)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "s3.key = \"%.80s\": a client could choose a name that is a "
	    "record's; let no key begin as s3.record_prefix does, or put a "
	    "folder into s3.key, such as \"{id}/{filename}\"",
	    key);
}

static const char *
fill(struct s3_upload *u, const char *template)
{
	const char *path = arena_printf(u->a, "/%s", template);
	const char *rest = template_rest(path);

	return arena_printf(u->a, "%.*s%s", (int)(rest - path - 1), path + 1,
	    store_fill(u->a, rest, &u->base.info, u->base.info.created));
}

/* What hooks are shown: as tusd shows it. */
void
s3_show(struct s3_upload *u)
{
	const char *const texts[] = { "Type", "s3store", "Bucket", u->s->bucket,
		"Key", u->key };
	struct pair *first = NULL, **end = &first;
	size_t i;

	for (i = 0; i < NITEMS(texts); i += 2) {
		*end = arena_alloc(u->a, sizeof(**end));
		(*end)->key = texts[i];
		(*end)->value = texts[i + 1];
		(*end)->value_len = strlen(texts[i + 1]);
		end = &(*end)->next;
	}
	u->base.info.storage = first;
}

enum err_code
s3_place(struct s3_upload *u, struct err *e)
{
	const struct file_info *info = &u->base.info;
	const char *key;

	if (info->is_partial || strcmp(u->s->key, "{id}") == 0)
		key = info->id;
	else
		key = fill(u, u->s->key);
	if (info->move_to != NULL && !info->is_partial)
		key = info->move_to;
	u->key = arena_printf(u->a, "%s%s", u->s->prefix, key);
	s3_show(u);
	if (strlen(u->key) <= KEY_MAX)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "%s: its key has more than %d bytes",
	    info->id, KEY_MAX);
}

bool
s3_key_is_own(const struct s3_upload *u)
{
	const struct s3_store *s = u->s;

	return begins_with(u->key, s->prefix) &&
	    strcmp(u->key + strlen(s->prefix), u->base.info.id) == 0;
}

/* --- A key that a hook chooses. --- */

static bool
wants(struct data_store *ds, const struct file_info *info)
{
	(void)ds;
	(void)info;
	return false;
}

/* A folder keeps it apart from records. */
static enum err_code
choose(struct data_store *ds, const char *path, struct arena *a,
    const char **move_to, struct err *e)
{
	const struct s3_store *s = s3_store_of(ds);

	(void)a;
	if (*path == '/' || !template_is_filled(path) ||
	    strlen(s->prefix) + strlen(path) > KEY_MAX)
		return err_set(
		    e, ERR_INVALID, "\"%.60s\" is no key, or is hidden", path);
	if (strchr(path, '/') == NULL ||
	    strcmp(s->prefix, s->record_prefix) != 0)
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" could be the key of a record: put a folder in "
		    "front, and leave s3.record_prefix alone",
		    path);
	*move_to = path;
	return ERR_OK;
}

static enum err_code
move(struct upload *up, struct err *e)
{
	(void)up;
	(void)e;
	return ERR_OK;
}

static bool
is_pending(struct upload *up)
{
	(void)up;
	return false;
}

static enum err_code
probe(struct data_store *ds, struct template_names *names, struct err *e)
{
	(void)ds;
	(void)e;
	*names = (struct template_names){ .max = TEMPLATE_NAME_MAX };
	return ERR_OK;
}

const struct store_mover s3_mover = {
	.wants = wants,
	.choose = choose,
	.move = move,
	.is_pending = is_pending,
	.probe = probe,
};

/* --- Its headers. --- */

/* A name that any engine takes, in lower case; NULL if it is none. */
static const char *
header_name(struct arena *a, const char *key)
{
	char *name = arena_printf(a, "x-amz-meta-%s", key), *p;

	for (p = name; *p != '\0'; p++) {
		*p = (char)tolower((unsigned char)*p);
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *p) == NULL)
			return NULL;
	}
	return name;
}

static bool
is_printable(const struct pair *p)
{
	size_t i;

	for (i = 0; i < p->value_len; i++)
		if (p->value[i] < ' ' || p->value[i] > '~')
			return false;
	/* libcurl drops a header without a value, and blanks get lost. */
	return p->value_len > 0 && p->value_len <= 512 && p->value[0] != ' ' &&
	    p->value[p->value_len - 1] != ' ';
}

static bool
has_header(const struct s3_call *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_headers; i++)
		if (strcmp(c->headers[i].name, name) == 0)
			return true;
	return false;
}

static void
add_metadata(struct s3_upload *u, struct s3_call *c)
{
	size_t n = 0, bytes = strlen("tus-id") + strlen(u->base.info.id);
	const struct pair *p;
	const char *name;

	for (p = u->base.info.metadata; p != NULL; p = p->next) {
		if (!is_printable(p))
			continue;
		if (strcmp(p->key, "filetype") == 0)
			s3_call_header(c, "content-type", p->value);
		name = header_name(u->a, p->key);
		if (!u->s->has_metadata || name == NULL ||
		    has_header(c, name) || n == HEADERS_MAX ||
		    bytes + strlen(p->key) + p->value_len > METADATA_MAX)
			continue;
		s3_call_header(c, name, p->value);
		bytes += strlen(p->key) + p->value_len;
		n++;
	}
}

void
s3_add_object_headers(struct s3_upload *u, struct s3_call *c)
{
	const struct s3_store *s = u->s;
	const struct s3_field said[] = {
		{ "x-amz-server-side-encryption", s->encryption },
		{ "x-amz-server-side-encryption-aws-kms-key-id",
		    s->encryption_key },
		{ "x-amz-storage-class", s->storage_class },
		{ "x-amz-acl", s->acl },
		{ "x-amz-tagging", s->tags },
	};
	size_t i;

	s3_call_header(c, "x-amz-meta-tus-id", u->base.info.id);
	for (i = 0; i < NITEMS(said); i++)
		if (*said[i].value != '\0')
			s3_call_header(c, said[i].name, said[i].value);
	add_metadata(u, c);
}

bool
s3_is_object_of(const struct s3_upload *u, const struct s3_call *c)
{
	if ((u->is_foreign || u->is_adopted) && c->tus_id[0] == '\0')
		return true;
	return strcmp(c->tus_id, u->base.info.id) == 0;
}

enum err_code
s3_find_object(struct s3_upload *u, bool *is_there, struct err *e)
{
	const struct file_info *info = &u->base.info;
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "HEAD", u->key);
	rc = s3_call(u->s, &c, e);
	*is_there = rc == ERR_OK && s3_is_object_of(u, &c) &&
	    !info->size_deferred && c.length == info->size;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}
