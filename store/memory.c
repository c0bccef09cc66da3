/*
 * memory.c - uploads in the memory of one process.
 *
 * The back end to read first: it implements all of store.h without any disk.
 * Tests run the core over it.  Processes do not share the uploads, and nothing
 * outlives the process.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

/*
 * An upload as the store knows it.  It stays in the list while it is open
 * somewhere, even after it was terminated, so that a cursor or a reader can
 * refer to it.  gone: it was terminated and cannot be found any more; hidden:
 * it cannot be found yet.
 */
struct item {
	struct item *next;
	struct arena *arena;
	struct file_info info;
	char *bytes;
	size_t room;
	unsigned users;
	bool gone;
	bool hidden;
};

struct memory_store {
	struct data_store base;
	struct item *items;

	/* The note of the sweep. */
	char note[256];
};

struct memory_upload {
	struct upload base;
	struct item *item;

	/* Where the bytes of the current chunk begin; -1 between chunks. */
	int64_t start;
	bool on_probation;
};

struct memory_stream {
	struct stream base;
	struct memory_store *store;
	struct item *item;
	int64_t at, end;
};

static struct memory_store *
store_of(struct data_store *ds)
{
	return OUTER(ds, struct memory_store, base);
}

static struct memory_upload *
upload_of(struct upload *up)
{
	return OUTER(up, struct memory_upload, base);
}

/* Copy the members that change in the life of an upload; the others are copied
 * once. */
static void
copy_state(struct file_info *to, const struct file_info *from)
{
	to->size = from->size;
	to->size_deferred = from->size_deferred;
	to->offset = from->offset;
	to->expires = from->expires;
	to->finished = from->finished;
	to->pending = from->pending;
}

static struct item *
find_item(struct memory_store *ms, const char *id)
{
	struct item *it;

	for (it = ms->items; it != NULL; it = it->next)
		if (!it->gone && strcmp(it->info.id, id) == 0)
			return it;
	return NULL;
}

static void
free_item(struct item *it)
{
	free(it->bytes);
	arena_free(it->arena);
	free(it);
}

/* One user less; the last one frees a terminated upload. */
static void
leave_item(struct memory_store *ms, struct item *it)
{
	struct item **at = &ms->items;

	assert(it->users > 0);
	if (--it->users > 0 || !it->gone)
		return;
	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	free_item(it);
}

static struct upload *
open_item(struct memory_store *ms, struct item *it, struct arena *a)
{
	struct memory_upload *m = arena_alloc(a, sizeof(*m));

	it->users++;
	m->item = it;
	m->start = -1;
	m->base.store = &ms->base;
	m->base.settled = true;
	file_info_copy(a, &m->base.info, &it->info);
	return &m->base;
}

static enum err_code
memory_new_upload(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	struct memory_store *ms = store_of(ds);
	struct item *it;

	if (find_item(ms, info->id) != NULL)
		return err_set(e, ERR_EXISTS, "%s: exists", info->id);
	it = must_alloc(sizeof(*it));
	memset(it, 0, sizeof(*it));
	it->arena = arena_new();
	file_info_copy(it->arena, &it->info, info);
	it->info.offset = 0;
	it->next = ms->items;
	ms->items = it;
	*up = open_item(ms, it, a);
	return ERR_OK;
}

static enum err_code
memory_new_hidden(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	enum err_code rc = memory_new_upload(ds, info, a, up, e);

	if (rc == ERR_OK)
		upload_of(*up)->item->hidden = true;
	return rc;
}

static enum err_code
memory_get_upload(struct data_store *ds, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	struct memory_store *ms = store_of(ds);
	struct item *it = find_item(ms, id);

	if (it == NULL || it->hidden)
		return err_set(e, ERR_NOT_FOUND, "%s: not there", id);
	*up = open_item(ms, it, a);
	return ERR_OK;
}

static enum err_code
memory_claim(struct upload *up, struct err *e)
{
	struct memory_upload *m = upload_of(up);

	if (m->item->gone)
		return err_set(e, ERR_NOT_FOUND, "%s: gone", up->info.id);
	copy_state(&up->info, &m->item->info);
	return ERR_OK;
}

static enum err_code
memory_confirm(struct upload *up, struct err *e)
{
	(void)up;
	(void)e;
	return ERR_OK;
}

static enum err_code
memory_write_begin(struct upload *up, bool on_probation, struct err *e)
{
	struct memory_upload *m = upload_of(up);

	(void)e;
	assert(!upload_is_finished(up));
	m->start = up->info.offset;
	m->on_probation = on_probation;
	return ERR_OK;
}

static void
make_room(struct item *it, size_t need)
{
	size_t room = it->room > 0 ? it->room : 4096;
	char *bytes;

	if (need <= it->room)
		return;
	while (room < need)
		room *= 2;
	if ((bytes = realloc(it->bytes, room)) == NULL)
		out_of_memory();
	it->bytes = bytes;
	it->room = room;
}

static enum err_code
memory_write(struct upload *up, const void *buf, size_t len, struct err *e)
{
	struct memory_upload *m = upload_of(up);
	struct item *it = m->item;
	size_t at = (size_t)up->info.offset;

	if (!up->info.size_deferred &&
	    len > (size_t)(up->info.size - up->info.offset))
		return err_set(
		    e, ERR_INVALID, "%s: longer than announced", up->info.id);
	if (len == 0)
		return ERR_OK;
	make_room(it, at + len);
	memcpy(it->bytes + at, buf, len);
	up->info.offset += (int64_t)len;
	if (!m->on_probation)
		it->info.offset = up->info.offset;
	return ERR_OK;
}

static enum err_code
memory_write_end(struct upload *up, bool keep, struct err *e)
{
	struct memory_upload *m = upload_of(up);

	(void)e;
	if (keep) {
		copy_state(&m->item->info, &up->info);
		m->item->hidden &=
		    upload_is_whole(up) && up->store->finisher != NULL;
	} else {
		m->item->info.offset = m->start;
		copy_state(&up->info, &m->item->info);
	}
	m->start = -1;
	return ERR_OK;
}

static void
memory_close(struct upload *up)
{
	leave_item(store_of(up->store), upload_of(up)->item);
}

static void
memory_shutdown(struct data_store *ds)
{
	struct memory_store *ms = store_of(ds);
	struct item *it;

	while ((it = ms->items) != NULL) {
		ms->items = it->next;
		free_item(it);
	}
	free(ms);
}

static enum err_code
memory_terminate(struct upload *up, struct err *e)
{
	(void)e;
	upload_of(up)->item->gone = true;
	return ERR_OK;
}

/* No dead process can have left anything. */
static enum err_code
memory_clear(
    struct data_store *ds, const char *id, bool only_look, struct err *e)
{
	(void)only_look;
	if (find_item(store_of(ds), id) != NULL)
		return err_set(e, ERR_EXISTS, "%s: exists", id);
	return err_set(e, ERR_NOT_FOUND, "%s: not there", id);
}

static enum err_code
memory_finish(struct upload *up, unsigned pending, struct err *e)
{
	(void)e;
	assert(upload_is_whole(up));
	if (up->info.finished == 0) {
		up->info.finished = clock_now();
		up->info.pending = pending;
	}
	up->info.expires = 0;
	copy_state(&upload_of(up)->item->info, &up->info);
	upload_of(up)->item->hidden = false;
	return ERR_OK;
}

static enum err_code
memory_done(struct upload *up, unsigned what, struct err *e)
{
	(void)e;
	up->info.pending &= ~what;
	copy_state(&upload_of(up)->item->info, &up->info);
	return ERR_OK;
}

static enum err_code
memory_refuse(struct upload *up, struct err *e)
{
	(void)e;
	assert(upload_is_whole(up) && up->info.size > 0);
	up->info.offset--;
	copy_state(&upload_of(up)->item->info, &up->info);
	return ERR_OK;
}

static enum err_code
memory_open(struct upload *up, int64_t from, struct arena *a,
    struct stream **stream, struct err *e)
{
	struct memory_stream *s;

	if (from < 0 || from > up->info.offset)
		return err_set(e, ERR_INVALID, "%s: no byte %lld", up->info.id,
		    (long long)from);
	s = arena_alloc(a, sizeof(*s));
	s->store = store_of(up->store);
	s->item = upload_of(up)->item;
	s->item->users++;
	s->at = from;
	s->end = up->info.offset;
	s->base.length = s->end - from;
	s->base.fd = -1;
	*stream = &s->base;
	return ERR_OK;
}

static ssize_t
memory_read(struct stream *stream, void *buf, size_t size, struct err *e)
{
	struct memory_stream *s = OUTER(stream, struct memory_stream, base);
	size_t left = (size_t)(s->end - s->at);

	(void)e;
	if (size > left)
		size = left;
	if (size > 0)
		memcpy(buf, s->item->bytes + s->at, size);
	s->at += (int64_t)size;
	return (ssize_t)size;
}

static void
memory_close_stream(struct stream *stream)
{
	struct memory_stream *s = OUTER(stream, struct memory_stream, base);

	leave_item(s->store, s->item);
}

static enum err_code
append_part(
    struct item *dst, const struct item *part, const char *id, struct err *e)
{
	size_t at = (size_t)dst->info.offset;

	if (part == NULL)
		return err_set(e, ERR_NOT_FOUND, "part %s: not there", id);
	if (part->info.finished == 0)
		return err_set(e, ERR_CONFLICT, "part %s: not finished", id);
	if (part->info.size > dst->info.size - dst->info.offset)
		return err_set(e, ERR_CONFLICT, "part %s: too long", id);
	if (part->info.size == 0)
		return ERR_OK;
	make_room(dst, at + (size_t)part->info.size);
	memcpy(dst->bytes + at, part->bytes, (size_t)part->info.size);
	dst->info.offset += part->info.size;
	return ERR_OK;
}

static enum err_code
memory_concat(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	struct memory_store *ms = store_of(ds);
	struct item *dst;
	enum err_code rc;
	size_t i;

	if ((rc = memory_new_hidden(ds, info, a, up, e)) != ERR_OK)
		return rc;
	dst = upload_of(*up)->item;
	for (i = 0; rc == ERR_OK && info->parts[i] != NULL; i++)
		rc = append_part(
		    dst, find_item(ms, info->parts[i]), info->parts[i], e);
	if (rc == ERR_OK && dst->info.offset != dst->info.size)
		rc = err_set(
		    e, ERR_CONFLICT, "%s: parts are too short", info->id);
	if (rc != ERR_OK) {
		dst->gone = true;
		leave_item(ms, dst);
		*up = NULL;
		return rc;
	}
	dst->hidden = ds->finisher != NULL;
	copy_state(&(*up)->info, &dst->info);
	return ERR_OK;
}

static enum err_code
memory_declare_length(struct upload *up, int64_t size, struct err *e)
{
	struct memory_upload *m = upload_of(up);

	if (size < up->info.offset)
		return err_set(e, ERR_INVALID, "%s: it has more bytes already",
		    up->info.id);
	up->info.size = size;
	up->info.size_deferred = false;
	if (m->start == -1)
		copy_state(&m->item->info, &up->info);
	return ERR_OK;
}

static enum err_code
memory_set_expiry(struct upload *up, int64_t when, struct err *e)
{
	struct memory_upload *m = upload_of(up);

	(void)e;
	up->info.expires = when;
	if (m->start == -1)
		copy_state(&m->item->info, &up->info);
	return ERR_OK;
}

/* The cursor is the item at which the iteration stands, and counts as its
 * user. */
static enum err_code
memory_walk_next(struct data_store *ds, void **cursor, int64_t unchanged_since,
    struct arena *a, const char **id, struct err *e)
{
	struct memory_store *ms = store_of(ds);
	struct item *at = *cursor;
	struct item *next = at == NULL ? ms->items : at->next;

	(void)unchanged_since;
	(void)e;
	while (next != NULL && (next->gone || next->hidden))
		next = next->next;
	if (next != NULL)
		next->users++;
	if (at != NULL)
		leave_item(ms, at);
	*cursor = next;
	*id = next == NULL ? NULL : arena_strdup(a, next->info.id);
	return ERR_OK;
}

static const struct store_core core = {
	.new_upload = memory_new_upload,
	.new_hidden = memory_new_hidden,
	.get_upload = memory_get_upload,
	.find_upload = memory_get_upload,
	.claim = memory_claim,
	.confirm = memory_confirm,
	.write_begin = memory_write_begin,
	.write = memory_write,
	.write_end = memory_write_end,
	.close = memory_close,
	.shutdown = memory_shutdown,
};

static const struct store_terminater terminater = {
	.terminate = memory_terminate,
	.clear = memory_clear,
};

static const struct store_finisher finisher = {
	.finish = memory_finish,
	.done = memory_done,
	.refuse = memory_refuse,
};

static const struct store_reader reader = {
	.open = memory_open,
	.read = memory_read,
	.close = memory_close_stream,
};

static const struct store_concater concater = {
	.concat = memory_concat,
};

static const struct store_length_declarer length_declarer = {
	.declare_length = memory_declare_length,
};

static int64_t
memory_last_change(struct upload *up)
{
	(void)up;
	return 0;
}

/* The only process does not sweep twice at the same time. */
static enum err_code
memory_lock_note(struct data_store *ds, struct err *e)
{
	(void)ds;
	(void)e;
	return ERR_OK;
}

static enum err_code
memory_read_note(struct data_store *ds, char *buf, size_t size, struct err *e)
{
	(void)e;
	(void)snprintf(buf, size, "%s", store_of(ds)->note);
	return ERR_OK;
}

static enum err_code
memory_write_note(struct data_store *ds, const char *line, struct err *e)
{
	struct memory_store *ms = store_of(ds);

	(void)e;
	(void)snprintf(ms->note, sizeof(ms->note), "%s", line);
	return ERR_OK;
}

static const struct store_expirer expirer = {
	.set_expiry = memory_set_expiry,
	.walk_next = memory_walk_next,
	.last_change = memory_last_change,
	.lock_note = memory_lock_note,
	.read_note = memory_read_note,
	.write_note = memory_write_note,
};

static enum err_code
memory_open_store(
    const struct conf *conf, struct data_store **ds, struct err *e)
{
	struct memory_store *ms = must_alloc(sizeof(*ms));

	(void)conf;
	(void)e;
	*ms = (struct memory_store) {
		.base = {
			.name = "memory",
			.core = &core,
			.terminater = &terminater,
			.finisher = &finisher,
			.reader = &reader,
			.reads_unfinished = true,
			.concater = &concater,
			.length_declarer = &length_declarer,
			.expirer = &expirer,
		},
	};
	*ds = &ms->base;
	return ERR_OK;
}

const struct store_class store_memory = {
	.name = "memory",
	.is_private = true,
	.caution = "it is for tests: each worker has its own uploads and "
		   "forgets them, and none expires",
	.open = memory_open_store,
};
