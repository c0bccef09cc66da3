/*
 * list.c - what the bucket says is there.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "store/s3/s3.h"
#include "store/s3/xml.h"

/* --- One text. --- */

struct wanted {
	const char *name;
	struct arena *a;
	const char *text;
};

static void
see_text(void *arg, const struct s3_xml_text *t)
{
	struct wanted *w = arg;

	if (*w->text == '\0' && strcmp(t->name, w->name) == 0)
		w->text = arena_strdup(w->a, t->text);
}

static void
ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

enum err_code
s3_answer_text(const struct s3_text *answer, const char *name, struct arena *a,
    const char **text, struct err *e)
{
	struct wanted w = { name, a, "" };
	enum err_code rc;

	if (answer->len == 0)
		return err_set(e, ERR_UNAVAILABLE, "S3 answers nothing");
	rc = s3_xml_read(answer->text, answer->len, see_text, ignore, &w, e);
	*text = w.text;
	return rc;
}

/* --- Objects. --- */

struct object_list {
	struct arena *a;
	s3_listed_fn *seen;
	void *arg;
	struct s3_listed one;
	bool is_truncated;
	const char *token;
};

/* The ETag comes in quotes, or without. */
static const char *
etag_of(struct arena *a, const char *text)
{
	text += *text == '"';
	return arena_memdup(a, text, strcspn(text, "\""));
}

static void
see_object(void *arg, const struct s3_xml_text *t)
{
	struct object_list *l = arg;

	if (strcmp(t->name, "IsTruncated") == 0)
		l->is_truncated = strcmp(t->text, "true") == 0;
	else if (strcmp(t->name, "NextContinuationToken") == 0)
		l->token = arena_strdup(l->a, t->text);
	if (strcmp(t->parent, "Contents") != 0)
		return;
	if (strcmp(t->name, "Key") == 0)
		l->one.key = arena_strdup(l->a, t->text);
	else if (strcmp(t->name, "Size") == 0)
		l->one.size = strtoll(t->text, NULL, 10);
	else if (strcmp(t->name, "ETag") == 0)
		l->one.etag = etag_of(l->a, t->text);
	else if (strcmp(t->name, "LastModified") == 0)
		l->one.changed = clock_read_date(t->text);
}

static void
end_object(void *arg, const char *name)
{
	struct object_list *l = arg;

	if (strcmp(name, "Contents") == 0 && l->one.key != NULL)
		l->seen(l->arg, &l->one);
	if (strcmp(name, "Contents") == 0)
		memset(&l->one, 0, sizeof(l->one));
}

enum err_code
s3_list_page(struct s3_store *s, const char *prefix, const char **token,
    struct arena *a, s3_listed_fn *seen, void *arg, struct err *e)
{
	struct object_list l = { .a = a, .seen = seen, .arg = arg };
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", NULL);
	s3_call_query(&c, "list-type", "2");
	s3_call_query(&c, "prefix", prefix);
	if (*token != NULL)
		s3_call_query(&c, "continuation-token", *token);
	if ((rc = s3_call(s, &c, e)) != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
	rc = s3_xml_read(
	    s->answer.text, s->answer.len, see_object, end_object, &l, e);
	if (rc == ERR_OK && l.is_truncated && l.token == NULL)
		rc = err_set(
		    e, ERR_UNAVAILABLE, "S3: a list that does not go on");
	*token = l.is_truncated ? l.token : NULL;
	return rc;
}

/* --- Multipart uploads. --- */

struct mpu_list {
	struct arena *a;
	s3_listed_mpu_fn *seen;
	void *arg;
	struct s3_listed_mpu one;
	bool is_truncated;
	struct s3_mpu_token next;
};

static void
see_mpu(void *arg, const struct s3_xml_text *t)
{
	struct mpu_list *l = arg;

	if (strcmp(t->name, "IsTruncated") == 0)
		l->is_truncated = strcmp(t->text, "true") == 0;
	else if (strcmp(t->name, "NextKeyMarker") == 0)
		l->next.key = arena_strdup(l->a, t->text);
	else if (strcmp(t->name, "NextUploadIdMarker") == 0)
		l->next.id = arena_strdup(l->a, t->text);
	if (strcmp(t->parent, "Upload") != 0)
		return;
	if (strcmp(t->name, "Key") == 0)
		l->one.key = arena_strdup(l->a, t->text);
	else if (strcmp(t->name, "UploadId") == 0)
		l->one.id = arena_strdup(l->a, t->text);
	else if (strcmp(t->name, "Initiated") == 0)
		l->one.started = clock_read_date(t->text);
}

static void
end_mpu(void *arg, const char *name)
{
	struct mpu_list *l = arg;

	if (strcmp(name, "Upload") != 0)
		return;
	if (l->one.key != NULL && l->one.id != NULL)
		l->seen(l->arg, &l->one);
	memset(&l->one, 0, sizeof(l->one));
}

enum err_code
s3_list_mpus(struct s3_store *s, const char *prefix, struct s3_mpu_token *token,
    struct arena *a, s3_listed_mpu_fn *seen, void *arg, struct err *e)
{
	struct mpu_list l = { .a = a, .seen = seen, .arg = arg };
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", NULL);
	s3_call_query(&c, "uploads", "");
	s3_call_query(&c, "prefix", prefix);
	if (token->key != NULL)
		s3_call_query(&c, "key-marker", token->key);
	if (token->id != NULL && *token->id != '\0')
		s3_call_query(&c, "upload-id-marker", token->id);
	if ((rc = s3_call(s, &c, e)) != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
	rc =
	    s3_xml_read(s->answer.text, s->answer.len, see_mpu, end_mpu, &l, e);
	if (rc == ERR_OK && l.is_truncated && l.next.key == NULL)
		rc = err_set(
		    e, ERR_UNAVAILABLE, "S3: a list that does not go on");
	*token = l.is_truncated ? l.next : (struct s3_mpu_token){ NULL, NULL };
	return rc;
}

/* --- The segments of an upload. --- */

struct segment_list {
	struct s3_upload *u;
	size_t room;
	size_t prefix_len;
};

/* START-N, where START has 16 digits; all else is not ours. */
static bool
parse_segment(const char *name, const struct s3_listed *l, struct s3_segment *g)
{
	char *end;

	if (strspn(name, "0123456789abcdef") != 16 || name[16] != '-')
		return false;
	g->start = (int64_t)strtoull(name, &end, 16);
	g->end = g->start + l->size;
	g->key = l->key;
	return g->start >= 0 && l->size > 0 && g->end > g->start;
}

static void
see_segment(void *arg, const struct s3_listed *l)
{
	struct segment_list *list = arg;
	struct s3_upload *u = list->u;
	struct s3_segment g = { 0 }, *more;

	const char *rest = l->key + list->prefix_len;

	if (strcmp(rest, "info") == 0)
		u->listed_etag = l->etag;
	if (strcmp(rest, "part") == 0)
		u->tail = l->size;
	if (strncmp(rest, "part.", 5) != 0 || !parse_segment(rest + 5, l, &g))
		return;
	if (u->n_segments == list->room) {
		list->room = list->room > 0 ? 2 * list->room : 16;
		more = arena_alloc(u->a, list->room * sizeof(*more));
		if (u->n_segments > 0)
			memcpy(
			    more, u->segments, u->n_segments * sizeof(*more));
		u->segments = more;
	}
	u->segments[u->n_segments++] = g;
	if (l->changed > u->changed)
		u->changed = l->changed;
}

enum err_code
s3_list_segments(struct s3_upload *u, struct err *e)
{
	const char *prefix =
	    arena_printf(u->a, "%s%s.", u->s->record_prefix, u->base.info.id);
	struct segment_list list = { .u = u, .prefix_len = strlen(prefix) };
	const char *token = NULL;
	enum err_code rc;

	u->n_segments = 0;
	u->tail = -1;
	u->listed_etag = NULL;
	do
		rc = s3_list_page(
		    u->s, prefix, &token, u->a, see_segment, &list, e);
	while (rc == ERR_OK && token != NULL);
	return rc;
}

/* --- Parts. --- */

struct part_list {
	struct s3_upload *u;
	struct s3_part one;
	size_t number;
	bool is_truncated;
	const char *marker;
};

static void
see_part(void *arg, const struct s3_xml_text *t)
{
	struct part_list *l = arg;

	if (strcmp(t->name, "IsTruncated") == 0)
		l->is_truncated = strcmp(t->text, "true") == 0;
	else if (strcmp(t->name, "NextPartNumberMarker") == 0)
		l->marker = arena_strdup(l->u->a, t->text);
	if (strcmp(t->parent, "Part") != 0)
		return;
	if (strcmp(t->name, "PartNumber") == 0)
		l->number = (size_t)strtoull(t->text, NULL, 10);
	else if (strcmp(t->name, "Size") == 0)
		l->one.size = strtoll(t->text, NULL, 10);
	else if (strcmp(t->name, "ETag") == 0)
		l->one.etag = etag_of(l->u->a, t->text);
	else if (strcmp(t->name, "LastModified") == 0 &&
	    clock_read_date(t->text) > l->u->changed)
		l->u->changed = clock_read_date(t->text);
}

static void
make_room(struct s3_upload *u, size_t n)
{
	struct s3_part *more;

	if (n <= u->room)
		return;
	u->room = n > 2 * u->room ? n + 16 : 2 * u->room;
	more = arena_alloc(u->a, u->room * sizeof(*more));
	if (u->n_parts > 0)
		memcpy(more, u->parts, u->n_parts * sizeof(*more));
	u->parts = more;
}

/* A hole is a part of no bytes: the prefix ends there. */
static void
end_part(void *arg, const char *name)
{
	struct part_list *l = arg;
	struct s3_upload *u = l->u;

	if (strcmp(name, "Part") != 0)
		return;
	if (l->number > u->n_parts && l->number <= S3_PARTS_MAX &&
	    l->one.etag != NULL) {
		make_room(u, l->number);
		memset(u->parts + u->n_parts, 0,
		    (l->number - u->n_parts) * sizeof(u->parts[0]));
		u->parts[l->number - 1] = l->one;
		u->n_parts = l->number;
	}
	l->one = (struct s3_part){ 0 };
	l->number = 0;
}

static enum err_code
list_page(struct s3_upload *u, struct part_list *l, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", u->key);
	s3_call_query(&c, "uploadId", u->mpu);
	if (l->marker != NULL)
		s3_call_query(&c, "part-number-marker", l->marker);
	l->is_truncated = false;
	l->marker = NULL;
	if ((rc = s3_call(u->s, &c, e)) != ERR_OK)
		return rc;
	rc = s3_xml_read(
	    u->s->answer.text, u->s->answer.len, see_part, end_part, l, e);
	if (rc == ERR_OK && l->is_truncated && l->marker == NULL)
		rc = err_set(
		    e, ERR_UNAVAILABLE, "S3: a list that does not go on");
	return rc;
}

enum err_code
s3_list_parts(struct s3_upload *u, struct err *e)
{
	struct part_list l = { .u = u };
	enum err_code rc;

	u->n_parts = 0;
	do
		rc = list_page(u, &l, e);
	while (rc == ERR_OK && l.is_truncated);
	return rc;
}
