/*
 * keep.c - keep the bucket in order.
 *
 * A crash leaves a multipart upload or segments without a record, segments of
 * an upload that is finished, or a record whose upload was being removed; the
 * probe of record.c, too.  An object without a record is never removed: the
 * record may have been removed on purpose.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3/s3.h"

/* Behind the key of a multipart upload, in the name of a leftover. */
#define MPU "?uploadId="

/* --- What may be a leftover. --- */

enum kind {
	KIND_RECORD,
	KIND_SEGMENT,
	KIND_TAIL,
	KIND_PROBE,
	KIND_MPU
};

struct suspect {
	struct suspect *next;
	enum kind kind;
	/* The key; of a multipart upload, with its own id behind. */
	const char *name;
	const char *mpu;
	int64_t changed;
	char id[ID_MAX + 1];
};

enum stage {
	LOST,
	OBJECTS,
	MPUS,
	OVER
};

struct search {
	struct s3_store *s;
	struct arena *a;
	enum stage stage;
	struct suspect *first, **end;
	int64_t looked;

	/* Where the lists go on. */
	char *token, *mpu_key, *mpu_id;
	/* The id of the record that was seen last: what belongs to it follows.
	 */
	char record[ID_MAX + 1];
	/* Whose segments were judged last, and how. */
	char judged[ID_MAX + 1];
	const char *verdict;
};

static struct suspect *
suspect(struct search *w, enum kind kind, const char *name, const char *id,
    int64_t changed)
{
	struct suspect *x = arena_alloc(w->a, sizeof(*x));

	x->kind = kind;
	x->name = arena_strdup(w->a, name);
	x->changed = changed;
	(void)strcpy(x->id, id);
	*w->end = x;
	w->end = &x->next;
	return x;
}

/* START-N behind the id, as we make it. */
static bool
is_segment(const struct s3_store *s, const char *key, char id[ID_MAX + 1])
{
	const char *dot = strrchr(key, '.');
	struct arena *a = arena_new();
	bool is_ours;

	is_ours = dot != NULL && strspn(dot + 1, "0123456789abcdef") == 16 &&
	    dot[17] == '-' && strspn(dot + 18, "0123456789abcdef") == 8 &&
	    dot[26] == '\0' &&
	    s3_id_in(s, arena_memdup(a, key, (size_t)(dot - key)), ".part", id);
	arena_free(a);
	return is_ours;
}

static void
see_object(void *arg, const struct s3_listed *l)
{
	struct search *w = arg;
	const char *name = l->key + strlen(w->s->record_prefix);
	char id[ID_MAX + 1];

	w->looked++;
	if (s3_id_in(w->s, l->key, ".info", id))
		(void)strcpy(w->record, id);
	else if (strncmp(name, ".probe-", 7) == 0)
		(void)suspect(w, KIND_PROBE, l->key, "", l->changed);
	else if (is_segment(w->s, l->key, id))
		(void)suspect(w, KIND_SEGMENT, l->key, id, l->changed);
	else if (s3_id_in(w->s, l->key, ".part", id) &&
	    strcmp(id, w->record) != 0)
		(void)suspect(w, KIND_TAIL, l->key, id, l->changed);
}

static void
see_mpu(void *arg, const struct s3_listed_mpu *m)
{
	struct search *w = arg;
	const char *id = m->key + strlen(w->s->prefix);
	struct suspect *x;

	w->looked++;
	/* Of any other key, a client may have chosen the name. */
	if (strcmp(w->s->key, "{id}") != 0 || strlen(id) > ID_MAX ||
	    !id_is_valid(id))
		return;
	x = suspect(w, KIND_MPU,
	    arena_printf(w->a, "%s" MPU "%s", m->key, m->id), id, m->started);
	x->mpu = arena_strdup(w->a, m->id);
}

/* --- One page after the other. --- */

static void
take_lost(struct search *w)
{
	const struct s3_lost *lost;
	struct arena *a = w->a;

	for (lost = w->s->lost; lost != NULL; lost = lost->next)
		(void)suspect(w, KIND_RECORD, s3_record_key(w->s, a, lost->id),
		    lost->id, lost->changed);
	w->stage = OBJECTS;
}

static enum err_code
read_objects(struct search *w, struct err *e)
{
	const char *token = w->token;
	enum err_code rc = s3_list_page(
	    w->s, w->s->record_prefix, &token, w->a, see_object, w, e);

	free(w->token);
	w->token = rc == ERR_OK && token != NULL ? must_strdup(token) : NULL;
	if (w->token == NULL)
		w->stage = MPUS;
	return rc;
}

static char *
copy(const char *text)
{
	return text != NULL ? must_strdup(text) : NULL;
}

static enum err_code
read_mpus(struct search *w, struct err *e)
{
	struct s3_mpu_token token = { w->mpu_key, w->mpu_id };
	enum err_code rc =
	    s3_list_mpus(w->s, w->s->prefix, &token, w->a, see_mpu, w, e);
	char *key = rc == ERR_OK ? copy(token.key) : NULL;
	char *id = rc == ERR_OK ? copy(token.id) : NULL;

	free(w->mpu_key);
	free(w->mpu_id);
	w->mpu_key = key;
	w->mpu_id = id;
	if (w->mpu_key == NULL)
		w->stage = OVER;
	return rc;
}

static enum err_code
read_page(struct search *w, struct err *e)
{
	arena_reset(w->a);
	w->first = NULL;
	w->end = &w->first;
	switch (w->stage) {
	case LOST:
		take_lost(w);
		break;
	case OBJECTS:
		return read_objects(w, e);
	case MPUS:
		return read_mpus(w, e);
	case OVER:
		break;
	}
	return ERR_OK;
}

static struct search *
begin(struct s3_store *s)
{
	struct search *w = must_alloc(sizeof(*w));

	*w = (struct search){ .s = s, .a = arena_new() };
	w->end = &w->first;
	return w;
}

static void
end(struct search *w, void **cursor)
{
	arena_free(w->a);
	free(w->token);
	free(w->mpu_key);
	free(w->mpu_id);
	free(w);
	*cursor = NULL;
}

/* --- Is it a leftover? --- */

static const char *
judge_mpu(const struct s3_upload *u, enum err_code rc, const char *mpu)
{
	if (rc == ERR_NOT_FOUND && u->etag == NULL)
		return "multipart upload without a record";
	/* While the record's own multipart upload is unknown, it could be this
	 * one. */
	if (rc == ERR_CORRUPT || (u->mpu != NULL && strcmp(u->mpu, mpu) == 0))
		return NULL;
	return "multipart upload that its record does not name";
}

/* A listing may lag: the record itself is asked for.  *what NULL: it belongs
 * to an upload. */
static enum err_code
judge(struct s3_store *s, const struct suspect *x, struct arena *a,
    const char **what, struct err *e)
{
	struct s3_upload *u = s3_upload_new(s, x->id, a);
	struct upload *up;
	enum err_code rc;

	*what = NULL;
	if (x->kind == KIND_PROBE) {
		*what = "probe of what the engine can do";
		return ERR_OK;
	}
	rc = s3_get_record(u, e);
	if (rc != ERR_OK && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
		return rc;
	if (x->kind == KIND_MPU) {
		*what = judge_mpu(u, rc, x->mpu);
	} else if (x->kind == KIND_RECORD && u->etag != NULL &&
	    !u->is_foreign && rc != ERR_CORRUPT) {
		if (!u->is_terminated &&
		    (rc = s3_get_upload(&s->base, x->id, a, &up, e)) == ERR_OK)
			s->base.core->close(up);
		if (rc != ERR_OK && rc != ERR_NOT_FOUND)
			return rc;
		if (rc == ERR_NOT_FOUND)
			*what = u->is_terminated ?
			    "record of an upload that was to go" :
			    "record without an upload";
	} else if (x->kind != KIND_RECORD && u->etag == NULL) {
		*what = x->kind == KIND_TAIL ? "tail of tusd without a record" :
					       "segment without a record";
	} else if (x->kind == KIND_SEGMENT && u->base.info.finished != 0) {
		*what = "segment of a finished upload";
	}
	return ERR_OK;
}

static enum err_code
describe(struct search *w, const struct suspect *x, struct arena *a,
    struct store_leftover *l, struct err *e)
{
	bool is_known =
	    x->kind == KIND_SEGMENT && strcmp(x->id, w->judged) == 0;
	const char *what = w->verdict;
	enum err_code rc = ERR_OK;

	if (!is_known)
		rc = judge(w->s, x, a, &what, e);
	if (x->kind == KIND_SEGMENT && rc == ERR_OK) {
		(void)strcpy(w->judged, x->id);
		w->verdict = what;
	}
	if (rc != ERR_OK || what == NULL)
		return rc;
	l->name = arena_strdup(a, x->name);
	l->what = what;
	l->id = x->id[0] != '\0' ? arena_strdup(a, x->id) : NULL;
	l->changed = x->changed;
	/* Of a multipart upload nothing but the key says whose it is. */
	l->removable =
	    x->kind != KIND_TAIL && (x->kind != KIND_MPU || id_is_ours(x->id));
	return ERR_OK;
}

static enum err_code
leftover_next(struct data_store *ds, void **cursor,
    const struct store_seen *seen, struct arena *a, struct store_leftover *l,
    struct err *e)
{
	struct search *w = *cursor != NULL ? *cursor : begin(s3_store_of(ds));
	enum err_code rc = ERR_OK;
	struct suspect *x;

	(void)seen;
	*cursor = w;
	*l = (struct store_leftover){ .name = NULL };
	if (w->first == NULL && w->stage != OVER) {
		w->looked = 0;
		rc = read_page(w, e);
		l->looked = w->looked;
	}
	while (rc == ERR_OK && l->name == NULL && (x = w->first) != NULL) {
		w->first = x->next;
		rc = describe(w, x, a, l, e);
	}
	if (rc != ERR_OK ||
	    (l->name == NULL && w->first == NULL && w->stage == OVER))
		end(w, cursor);
	return rc;
}

/* --- Remove a leftover. --- */

static enum err_code
remove_object(
    struct s3_store *s, const char *key, const char *mpu, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "DELETE", key);
	if (mpu != NULL)
		s3_call_query(&c, "uploadId", mpu);
	rc = s3_call(s, &c, e);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Undo describe(): the suspect that a leftover was made of. */
static struct suspect
suspect_of(struct s3_store *s, const struct store_leftover *l, struct arena *a)
{
	const char *mpu = strstr(l->name, MPU);
	struct suspect x = { .kind = KIND_SEGMENT, .name = l->name };
	char id[ID_MAX + 1];

	if (l->id != NULL)
		(void)strcpy(x.id, l->id);
	else
		x.kind = KIND_PROBE;
	if (s3_id_in(s, l->name, ".info", id))
		x.kind = KIND_RECORD;
	if (mpu != NULL && !is_segment(s, l->name, id)) {
		x.kind = KIND_MPU;
		x.name = arena_memdup(a, l->name, (size_t)(mpu - l->name));
		x.mpu = mpu + strlen(MPU);
	}
	return x;
}

static enum err_code
remove_record(
    struct s3_store *s, const char *id, struct arena *a, struct err *e)
{
	struct s3_upload *u = s3_upload_new(s, id, a);
	enum err_code rc = s3_get_record(u, e);

	if (u->is_terminated)
		return s3_remove_all(u, e);
	/* An object that is there now is not the one that was finished. */
	return rc == ERR_OK ? s3_remove_record(u, e) : rc;
}

static enum err_code
leftover_remove(
    struct data_store *ds, const struct store_leftover *l, struct err *e)
{
	struct s3_store *s = s3_store_of(ds);
	struct arena *a = arena_new();
	struct suspect x = suspect_of(s, l, a);
	const char *what;
	enum err_code rc = judge(s, &x, a, &what, e);

	if (rc == ERR_OK && (what == NULL || !l->removable))
		rc = err_set(e, ERR_CONFLICT, "%s: not to be removed", l->name);
	else if (rc == ERR_OK && x.kind == KIND_RECORD)
		rc = remove_record(s, x.id, a, e);
	else if (rc == ERR_OK)
		rc = remove_object(s, x.name, x.mpu, e);
	arena_free(a);
	return rc;
}

/* --- Is it damaged? --- */

static enum err_code
check_object(struct s3_upload *u, struct err *e)
{
	const struct file_info *info = &u->base.info;
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "HEAD", u->key);
	rc = s3_call(u->s, &c, e);
	if (rc == ERR_NOT_FOUND)
		return err_set(e, ERR_CORRUPT, "its object is not there");
	if (rc != ERR_OK)
		return rc;
	if (c.length != info->size)
		return err_set(e, ERR_CORRUPT,
		    "its object has %" PRId64 " bytes, not %" PRId64, c.length,
		    info->size);
	if (!s3_is_object_of(u, &c))
		return err_set(e, ERR_CORRUPT, "its object is another's");
	return ERR_OK;
}

/* An unfinished upload is what its parts and segments say. */
static enum err_code
check(struct upload *up, struct err *e)
{
	return upload_is_finished(up) ? check_object(s3_upload_of(up), e) :
					ERR_OK;
}

static enum err_code
settle_all(struct data_store *ds, bool is_over, struct err *e)
{
	return is_over ? s3_end_agreement(s3_store_of(ds), e) : ERR_OK;
}

/* --- What no request can reach. --- */

struct strangers {
	struct s3_store *s;
	store_stranger *tell;
	void *arg;
	struct arena *a;
	/* The id of the record that was seen last. */
	char record[ID_MAX + 1];
};

/* An object alone is no stranger: its record may have been removed. */
static void
see_stranger(void *arg, const struct s3_listed *l)
{
	struct strangers *w = arg;
	const char *name = l->key + strlen(w->s->record_prefix);
	size_t len = strlen(name);
	char id[ID_MAX + 1];

	if (s3_id_in(w->s, l->key, ".info", id))
		(void)strcpy(w->record, id);
	else if (len > 5 && strcmp(name + len - 5, ".info") == 0)
		w->tell(w->arg, l->key, "no upload can have this id here");
	else if (s3_id_in(w->s, l->key, ".part", id) &&
	    strcmp(id, w->record) != 0)
		w->tell(w->arg, l->key, "there is no record of these bytes");
}

static enum err_code
tell_strangers(
    struct data_store *ds, store_stranger *tell, void *arg, struct err *e)
{
	struct strangers w = { .s = s3_store_of(ds), .tell = tell, .arg = arg };
	const char *token = NULL;
	char *kept = NULL;
	enum err_code rc;

	w.a = arena_new();
	do {
		rc = s3_list_page(
		    w.s, w.s->record_prefix, &token, w.a, see_stranger, &w, e);
		free(kept);
		kept = rc == ERR_OK ? copy(token) : NULL;
		token = kept;
		arena_reset(w.a);
	} while (rc == ERR_OK && token != NULL);
	free(kept);
	arena_free(w.a);
	return rc;
}

const struct store_keeper s3_keeper = {
	.leftover_next = leftover_next,
	.leftover_remove = leftover_remove,
	.check = check,
	.settle = s3_settle,
	.settle_all = settle_all,
	.adopt = s3_adopt,
	.tell_strangers = tell_strangers,
};
