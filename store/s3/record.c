/*
 * record.c - the record of an upload, an object of its own.
 *
 * It is the text that store/file/info.c writes, whose head says Offset 0, and
 * what is ours in Storage, which tusd takes for anything:
 *
 *     Type Bucket Key          as tusd has them
 *     MultipartUpload          the upload id; not there for a small upload
 *     PartSize PartGrowth      the grid, for ever
 *     Base BaseParts           so many bytes in so many parts of any size come
 *                              before the grid: see adopt.c
 *     Terminated               a removal has begun
 *
 * Nothing that a PATCH changes is in it.  Where the engine takes If-Match, a
 * record is only written over the one that was read: a worker that lost its
 * lock, or a request that comes late, brings nothing back.
 */
#include "config.h"

#include <openssl/rand.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/file/info.h"
#include "store/s3/s3.h"

struct s3_upload *
s3_upload_new(struct s3_store *s, const char *id, struct arena *a)
{
	struct s3_upload *u = arena_alloc(a, sizeof(*u));

	u->s = s;
	u->a = a;
	u->abreast = s->parallel;
	u->start = u->tail = -1;
	u->spool = -1;
	u->base.store = &s->base;
	u->base.settled = true;
	u->base.info.id = arena_strdup(a, id);
	u->key = arena_printf(a, "%s%s", s->prefix, id);
	return u;
}

const char *
s3_record_key(struct s3_store *s, struct arena *a, const char *id)
{
	return arena_printf(a, "%s%s.info", s->record_prefix, id);
}

const char *
s3_tail_key(struct s3_store *s, struct arena *a, const char *id)
{
	return arena_printf(a, "%s%s.part", s->record_prefix, id);
}

const char *
s3_segment_prefix(struct s3_store *s, struct arena *a, const char *id)
{
	return arena_printf(a, "%s%s.part.", s->record_prefix, id);
}

/* --- Reading. --- */

static const char *
text_of(const struct pair *p, const char *key)
{
	for (; p != NULL; p = p->next)
		if (strcmp(p->key, key) == 0)
			return p->value;
	return NULL;
}

static int64_t
number_of(const struct pair *p, const char *key)
{
	const char *text = text_of(p, key);

	return text != NULL ? strtoll(text, NULL, 10) : 0;
}

/* Before it had Storage, the key was always this one. */
static enum err_code
read_foreign(struct s3_upload *u, const struct info_record *r, struct err *e)
{
	const char *bucket = text_of(r->storage, "Bucket");
	const char *key = text_of(r->storage, "Key");

	u->is_foreign = true;
	u->mpu = text_of(r->storage, "MultipartUpload");
	if (u->mpu == NULL)
		u->mpu = r->multipart;
	if (u->mpu == NULL ||
	    (bucket != NULL && strcmp(bucket, u->s->bucket) != 0) ||
	    (key != NULL && strcmp(key, u->key) != 0))
		return err_set(e, ERR_CORRUPT,
		    "%s.info: not a record of this store", r->info.id);
	return ERR_OK;
}

static enum err_code
read_storage(struct s3_upload *u, const struct info_record *r, struct err *e)
{
	const char *key = text_of(r->storage, "Key");

	u->mpu = text_of(r->storage, "MultipartUpload");
	u->part_growth = text_of(r->storage, "PartGrowth") != NULL;
	u->is_terminated = text_of(r->storage, "Terminated") != NULL;
	u->part_size = number_of(r->storage, "PartSize");
	u->is_adopted = text_of(r->storage, "Base") != NULL;
	u->adopted = number_of(r->storage, "Base");
	u->adopted_parts = (size_t)number_of(r->storage, "BaseParts");
	if (u->part_size <= 0 || u->adopted < 0 ||
	    u->adopted_parts > S3_PARTS_MAX || key == NULL ||
	    strncmp(key, u->s->prefix, strlen(u->s->prefix)) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s.info: not a record of this store", r->info.id);
	u->key = key;
	return ERR_OK;
}

int64_t
s3_call_time(const struct s3_call *c)
{
	struct tm tm = { 0 };

	if (strptime(c->modified, "%a, %d %b %Y %H:%M:%S", &tm) == NULL)
		return 0;
	return (int64_t)timegm(&tm);
}

enum err_code
s3_get_record(struct s3_upload *u, struct err *e)
{
	struct s3_store *s = u->s;
	const char *id = u->base.info.id;
	struct info_record r;
	enum err_code rc;
	struct s3_call c;
	int64_t offset = u->base.info.offset;

	s3_call_init(&c, "GET", s3_record_key(s, u->a, id));
	if ((rc = s3_call(s, &c, e)) != ERR_OK)
		return rc;
	u->etag = arena_strdup(u->a, c.etag);
	if (s->answer.len > INFO_MAX)
		return err_set(e, ERR_CORRUPT, "%s.info: too long", id);
	rc = s->answer.len == 0 ?
	    err_set(e, ERR_CORRUPT, "%s.info: empty", id) :
	    info_parse(s->answer.text, s->answer.len, id, u->a, &r, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
	u->is_foreign = false;
	rc = r.foreign && text_of(r.storage, "PartSize") == NULL ?
	    read_foreign(u, &r, e) :
	    read_storage(u, &r, e);
	if (rc != ERR_OK)
		return rc;
	u->base.info = r.info;
	u->base.info.offset = offset;
	u->base.info.pending = r.head.pending;
	s3_show(u);
	u->changed = s3_call_time(&c);
	if (u->base.info.created == 0)
		u->base.info.created = u->changed;
	if (u->is_terminated)
		return err_set(e, ERR_NOT_FOUND, "%s: was removed", id);
	return ERR_OK;
}

/* --- Does the engine take conditions? --- */

static long
put_probe(struct s3_upload *u, const char *key, const char *name,
    const char *value, char *etag)
{
	struct err ignored;
	struct s3_call c;

	s3_call_init(&c, "PUT", key);
	c.body = "?";
	c.len = 1;
	if (name != NULL)
		s3_call_header(&c, name, value);
	(void)!s3_call(u->s, &c, &ignored);
	if (c.status == 200)
		memcpy(etag, c.etag, sizeof(c.etag));
	return c.status;
}

/* Tried out once in a process, on an object that is no upload's. */
static enum s3_condition
try_conditions(struct s3_upload *u, const char *key)
{
	char etag[sizeof(((struct s3_call *)NULL)->etag)] = "";
	const char *quoted;

	if (put_probe(u, key, NULL, NULL, etag) != 200)
		return S3_CONDITION_UNKNOWN;
	u->s->can_create_once =
	    put_probe(u, key, "if-none-match", "*", etag) == 412;
	if (put_probe(u, key, "if-match",
		"\"00000000000000000000000000000000\"", etag) != 412)
		return S3_CONDITION_NONE;
	quoted = arena_printf(u->a, "\"%s\"", etag);
	if (put_probe(u, key, "if-match", quoted, etag) == 200)
		return S3_CONDITION_QUOTED;
	return put_probe(u, key, "if-match", etag, etag) == 200 ?
	    S3_CONDITION_BARE :
	    S3_CONDITION_NONE;
}

static void
learn_conditions(struct s3_upload *u)
{
	unsigned char random[8];
	struct err ignored;
	struct s3_call c;
	char hex[S3_DIGEST_MAX];
	const char *key;

	if (u->s->condition != S3_CONDITION_UNKNOWN)
		return;
	(void)RAND_bytes(random, sizeof(random));
	s3_digest(random, sizeof(random), hex);
	key = arena_printf(u->a, "%s.probe-%.16s", u->s->record_prefix, hex);
	u->s->condition = try_conditions(u, key);
	s3_call_init(&c, "DELETE", key);
	(void)!s3_call(u->s, &c, &ignored);
}

/* --- Writing. --- */

static void
add_pair(
    struct s3_upload *u, struct pair ***end, const char *key, const char *value)
{
	if (value == NULL)
		return;
	**end = arena_alloc(u->a, sizeof(***end));
	(**end)->key = key;
	(**end)->value = value;
	(**end)->value_len = strlen(value);
	*end = &(**end)->next;
}

static const struct pair *
storage_to_keep(struct s3_upload *u)
{
	struct pair *first = NULL, **end = &first;

	add_pair(u, &end, "Type", "s3store");
	add_pair(u, &end, "Bucket", u->s->bucket);
	add_pair(u, &end, "Key", u->key);
	add_pair(u, &end, "MultipartUpload", u->mpu);
	add_pair(
	    u, &end, "PartSize", arena_printf(u->a, "%" PRId64, u->part_size));
	add_pair(u, &end, "PartGrowth", u->part_growth ? "2" : NULL);
	if (u->is_adopted) {
		add_pair(u, &end, "Base",
		    arena_printf(u->a, "%" PRId64, u->adopted));
		add_pair(u, &end, "BaseParts",
		    arena_printf(u->a, "%zu", u->adopted_parts));
	}
	add_pair(u, &end, "Terminated", u->is_terminated ? "1" : NULL);
	return first;
}

static enum err_code
format(struct s3_upload *u, const char **text, size_t *len, struct err *e)
{
	const struct file_info *info = &u->base.info;
	struct info_record r = { .info = *info };

	r.info.storage = storage_to_keep(u);
	if (u->is_for_tusd)
		r.info.id = arena_printf(u->a, "%s+%s", info->id, u->mpu);
	r.head = (struct info_head){
		.size = info->size_deferred ? 0 : info->size,
		.size_deferred = info->size_deferred,
		.finished = info->finished,
		.expires = info->expires,
		.hold = -1,
		.boot = INFO_NO_BOOT,
		.has_pending = true,
		.pending = info->pending,
	};
	return info_format(&r, u->a, text, len, e);
}

/* Without conditions the key is looked at first, and two requests may look at
 * once: only if both drew the same random id, or a hook gave one id twice. */
static enum err_code
check_free(struct s3_upload *u, struct s3_call *c, struct err *e)
{
	struct s3_call look;
	enum err_code rc;

	c->once = true;
	if (u->s->can_create_once) {
		s3_call_header(c, "if-none-match", "*");
		return ERR_OK;
	}
	s3_call_init(&look, "HEAD", c->key);
	rc = s3_call(u->s, &look, e);
	if (rc == ERR_OK)
		return err_set(e, ERR_EXISTS, "%s: exists", u->base.info.id);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/*
 * S3 has another record than the one that was read.  It may be this one, where
 * S3 took it and its answer was lost: then *etag is known now.
 */
static bool
is_there(struct s3_upload *u, const struct s3_call *put, const char **etag)
{
	struct err ignored;
	struct s3_call c;

	s3_call_init(&c, "GET", put->key);
	if (s3_call(u->s, &c, &ignored) != ERR_OK ||
	    u->s->answer.len != put->len ||
	    memcmp(u->s->answer.text, put->body, put->len) != 0)
		return false;
	*etag = arena_strdup(u->a, c.etag);
	return true;
}

enum err_code
s3_put_record(struct s3_upload *u, struct err *e)
{
	const char *id = u->base.info.id, *text;
	enum err_code rc;
	struct s3_call c;
	size_t len;

	learn_conditions(u);
	if ((rc = format(u, &text, &len, e)) != ERR_OK)
		return rc;
	s3_call_init(&c, "PUT", s3_record_key(u->s, u->a, id));
	s3_call_header(&c, "content-type", "application/json");
	c.body = text;
	c.len = len;
	if (u->etag == NULL) {
		if ((rc = check_free(u, &c, e)) != ERR_OK)
			return rc;
	} else if (u->s->condition == S3_CONDITION_QUOTED) {
		s3_call_header(
		    &c, "if-match", arena_printf(u->a, "\"%s\"", u->etag));
	} else if (u->s->condition == S3_CONDITION_BARE) {
		s3_call_header(&c, "if-match", u->etag);
	}
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_CONFLICT && u->etag == NULL)
		return err_set(e, ERR_EXISTS, "%s: exists", id);
	if (rc == ERR_CONFLICT && is_there(u, &c, &u->etag))
		return ERR_OK;
	if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND)
		return err_set(e, ERR_FENCED,
		    "%s.info: was changed by another process", id);
	if (rc == ERR_OK)
		u->etag = arena_strdup(u->a, c.etag);
	return rc;
}
