/*
 * walk.c - all uploads, page by page.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "store/s3/s3.h"

#define SUFFIX ".info"

/* --- Records without an upload. --- */

void
s3_lose(struct s3_store *s, const struct s3_upload *u)
{
	struct s3_lost *lost;

	if (!s->is_walking || u->etag == NULL || u->is_foreign)
		return;
	lost = must_alloc(sizeof(*lost));
	*lost = (struct s3_lost){ .next = s->lost, .changed = u->changed };
	(void)strcpy(lost->id, u->base.info.id);
	s->lost = lost;
}

void
s3_forget_lost(struct s3_store *s)
{
	struct s3_lost *next;

	for (; s->lost != NULL; s->lost = next) {
		next = s->lost->next;
		free(s->lost);
	}
}

bool
s3_id_in(const struct s3_store *s, const char *key, const char *suffix,
    char id[ID_MAX + 1])
{
	const char *name = key + strlen(s->record_prefix);
	size_t len = strlen(name), end = strlen(suffix);

	if (len <= end || len - end > ID_MAX ||
	    strcmp(name + len - end, suffix) != 0)
		return false;
	memcpy(id, name, len - end);
	id[len - end] = '\0';
	return id_is_valid(id);
}

/* --- Walking. --- */

/* An id of the page that was read last. */
struct found {
	struct found *next;
	char id[ID_MAX + 1];
};

struct walk {
	struct s3_store *s;
	struct arena *a;
	struct found *first, **end;
	char *token;
	bool is_last;
	int64_t unchanged_since;
};

/* Other objects may be there as well. */
static void
see(void *arg, const struct s3_listed *l)
{
	struct walk *w = arg;
	char id[ID_MAX + 1];
	struct found *f;

	if (!s3_id_in(w->s, l->key, SUFFIX, id) ||
	    l->changed > w->unchanged_since)
		return;
	f = arena_alloc(w->a, sizeof(*f));
	(void)strcpy(f->id, id);
	*w->end = f;
	w->end = &f->next;
}

static enum err_code
read_page(struct walk *w, struct err *e)
{
	const char *token = w->token;
	enum err_code rc;

	arena_reset(w->a);
	w->first = NULL;
	w->end = &w->first;
	rc = s3_list_page(w->s, w->s->record_prefix, &token, w->a, see, w, e);
	free(w->token);
	w->token = rc == ERR_OK && token != NULL ? must_strdup(token) : NULL;
	w->is_last = w->token == NULL;
	return rc;
}

static struct walk *
begin(struct s3_store *s)
{
	struct walk *w = must_alloc(sizeof(*w));

	*w = (struct walk){ .s = s, .a = arena_new() };
	s3_forget_lost(s);
	s->is_walking = true;
	return w;
}

static void
end(struct walk *w, void **cursor)
{
	w->s->is_walking = false;
	arena_free(w->a);
	free(w->token);
	free(w);
	*cursor = NULL;
}

static enum err_code
walk_next(struct data_store *ds, void **cursor, int64_t unchanged_since,
    struct arena *a, const char **id, struct err *e)
{
	struct walk *w = *cursor != NULL ? *cursor : begin(s3_store_of(ds));
	enum err_code rc = ERR_OK;

	*cursor = w;
	*id = NULL;
	w->unchanged_since = unchanged_since;
	while (rc == ERR_OK && w->first == NULL && !w->is_last)
		rc = read_page(w, e);
	if (rc != ERR_OK || w->first == NULL) {
		end(w, cursor);
		return rc;
	}
	*id = arena_strdup(a, w->first->id);
	w->first = w->first->next;
	return ERR_OK;
}

/* --- The sweep. --- */

static int64_t
last_change(struct upload *up)
{
	struct s3_upload *u = s3_upload_of(up);

	return u->changed > up->info.finished ? u->changed : up->info.finished;
}

/* Any number of processes may sweep: each locks an upload before it removes
 * it. */
static enum err_code
lock_note(struct data_store *ds, struct err *e)
{
	(void)ds;
	(void)e;
	return ERR_OK;
}

/* A name with a dot in front is no upload's. */
static const char *
note_key(struct s3_store *s, struct arena *a)
{
	return arena_printf(a, "%s.sweep", s->record_prefix);
}

static enum err_code
read_note(struct data_store *ds, char *buf, size_t size, struct err *e)
{
	struct s3_store *s = s3_store_of(ds);
	struct arena *a = arena_new();
	enum err_code rc;
	struct s3_call c;
	size_t n = 0;

	s3_call_init(&c, "GET", note_key(s, a));
	rc = s3_call(s, &c, e);
	if (rc == ERR_OK && s->answer.len < size)
		memcpy(buf, s->answer.text, n = s->answer.len);
	buf[n] = '\0';
	arena_free(a);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code
write_note(struct data_store *ds, const char *text, struct err *e)
{
	struct s3_store *s = s3_store_of(ds);
	struct arena *a = arena_new();
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "PUT", note_key(s, a));
	c.body = text;
	c.len = strlen(text);
	rc = s3_call(s, &c, e);
	arena_free(a);
	return rc == ERR_NOT_FOUND ? ERR_SYSTEM : rc;
}

const struct store_expirer s3_expirer = {
	.set_expiry = s3_set_expiry,
	.walk_next = walk_next,
	.last_change = last_change,
	.lock_note = lock_note,
	.read_note = read_note,
	.write_note = write_note,
};
