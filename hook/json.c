/*
 * json.c - tusd v2's JSON: write an event, and read an answer.
 *
 * The members and their order are those of tusd's HookRequest.  Members that
 * are absent there are absent here, except Owner and EventID, which come after
 * the others.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "hook/parts.h"

/* --- An event. --- */

static json_t *
text(struct arena *a, const char *s, size_t len)
{
	size_t clean;
	const char *copy = utf8_clean(a, s, len, &clean);

	return json_stringn_nocheck(copy, clean);
}

static json_t *
string(struct arena *a, const char *s)
{
	return s == NULL ? json_string("") : text(a, s, strlen(s));
}

static void
set(json_t *object, const char *key, json_t *value)
{
	if (object == NULL || json_object_set_new_nocheck(object, key, value))
		out_of_memory();
}

static json_t *
map(struct arena *a, const struct pair *p)
{
	json_t *object = json_object();
	size_t len;

	for (; p != NULL; p = p->next)
		set(object, utf8_clean(a, p->key, strlen(p->key), &len),
		    text(a, p->value, p->value_len));
	return object;
}

static json_t *
list(struct arena *a, const char *const *strings)
{
	json_t *array = json_array();

	for (; *strings != NULL; strings++)
		if (json_array_append_new(array, string(a, *strings)))
			out_of_memory();
	return array;
}

static json_t *
upload(const struct file_info *info, struct arena *a)
{
	json_t *o = json_object();
	int64_t size = info->size_deferred ? 0 : info->size;

	set(o, "ID", string(a, info->id));
	set(o, "Size", json_integer(size));
	set(o, "SizeIsDeferred", json_boolean(info->size_deferred));
	set(o, "Offset", json_integer(info->offset));
	set(o, "MetaData", map(a, info->metadata));
	set(o, "IsPartial", json_boolean(info->is_partial));
	set(o, "IsFinal", json_boolean(info->is_final));
	set(o, "PartialUploads",
	    info->parts != NULL ? list(a, info->parts) : json_null());
	set(o, "Storage",
	    info->storage != NULL ? map(a, info->storage) : json_null());
	if (info->owner != NULL)
		set(o, "Owner", string(a, info->owner));
	return o;
}

/* A header may come more than once. */
static json_t *
headers(struct arena *a, const struct pair *p)
{
	json_t *values, *object = json_object();
	const char *key;
	size_t len;

	for (; p != NULL; p = p->next) {
		key = utf8_clean(a, p->key, strlen(p->key), &len);
		values = json_object_get(object, key);
		if (values == NULL) {
			values = json_array();
			set(object, key, values);
		}
		if (json_array_append_new(
			values, text(a, p->value, p->value_len)))
			out_of_memory();
	}
	return object;
}

static json_t *
request(const struct hook_request *req, struct arena *a)
{
	static const struct hook_request none;
	json_t *o = json_object();

	if (req == NULL)
		req = &none;
	set(o, "Method", string(a, req->method));
	set(o, "URI", string(a, req->uri));
	set(o, "RemoteAddr", string(a, req->remote));
	set(o, "Header", headers(a, req->headers));
	return o;
}

json_t *
hook_json_event(const struct hook_event *event, struct arena *a)
{
	json_t *o = json_object(), *inner = json_object();

	set(inner, "Upload", upload(event->info, a));
	set(inner, "HTTPRequest", request(event->req, a));
	set(o, "Type", json_string(hook_point_name(event->hook)));
	set(o, "Event", inner);
	return o;
}

/* --- A message. --- */

static void
write_text(struct hook_message *m)
{
	m->text = json_dumps(m->json, JSON_COMPACT);
	if (m->text == NULL)
		out_of_memory();
	m->len = strlen(m->text);
}

enum err_code
hook_message_make(
    struct hook_message *m, json_t *json, const char *event_id, struct err *e)
{
	json_int_t size, offset;

	memset(m, 0, sizeof(*m));
	if (json_unpack(json, "{s:s, s:{s:{s:s, s:I, s:I, s?s}}}", "Type",
		&m->type, "Event", "Upload", "ID", &m->id, "Size", &size,
		"Offset", &offset, "Owner", &m->owner) != 0 ||
	    strlen(event_id) > HOOK_EVENT_ID_MAX) {
		json_decref(json);
		return err_set(
		    e, ERR_CORRUPT, "event %s: not an event", event_id);
	}
	set(json, "EventID", json_string(event_id));
	memcpy(m->event_id, event_id, strlen(event_id) + 1);
	m->size = size;
	m->offset = offset;
	m->json = json;
	write_text(m);
	return ERR_OK;
}

void
hook_message_move(
    struct hook_message *m, const struct file_info *info, struct arena *a)
{
	json_t *event = json_object_get(m->json, "Event");

	set(json_object_get(event, "Upload"), "Storage", map(a, info->storage));
	free(m->text);
	write_text(m);
}

void
hook_message_free(struct hook_message *m)
{
	json_decref(m->json);
	free(m->text);
	m->json = NULL;
	m->text = NULL;
}

/* --- An answer. --- */

/* The answer that is being read, and its first error. */
struct reader {
	struct arena *arena;
	struct err *e;
};

/* Find a member as tusd does: by its exact name, else by one that differs in
 * case; null counts as absent. */
static json_t *
member(json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);
	const char *key;
	json_t *v;

	if (value == NULL)
		json_object_foreach (object, key, v)
			if (strcasecmp(key, name) == 0)
				value = v;
	return json_is_null(value) ? NULL : value;
}

static bool
is_wrong(struct reader *r, const char *name, const char *what)
{
	(void)err_set(
	    r->e, ERR_INVALID, "the answer's %s is not %s", name, what);
	return false;
}

static bool
read_object(struct reader *r, json_t *o, const char *name, json_t **value)
{
	*value = member(o, name);
	return *value == NULL || json_is_object(*value) ||
	    is_wrong(r, name, "an object");
}

static bool
read_bool(struct reader *r, json_t *o, const char *name, bool *value)
{
	json_t *v = member(o, name);

	*value = json_is_true(v);
	return v == NULL || json_is_boolean(v) ||
	    is_wrong(r, name, "true or false");
}

/* 0 if it is absent. */
static bool
read_size(struct reader *r, json_t *o, const char *name, int64_t *value)
{
	json_t *v = member(o, name);

	*value = json_integer_value(v);
	return v == NULL || (json_is_integer(v) && *value >= 0) ||
	    is_wrong(r, name, "a number of bytes");
}

/* NULL if it is absent or empty: in tusd that is the same. */
static bool
read_string(struct reader *r, json_t *o, const char *name, const char **value)
{
	json_t *v = member(o, name);

	*value = NULL;
	if (v == NULL)
		return true;
	if (!json_is_string(v))
		return is_wrong(r, name, "a string");
	if (json_string_length(v) > 0)
		*value = arena_strdup(r->arena, json_string_value(v));
	return true;
}

static bool
read_map(
    struct reader *r, json_t *o, const char *name, const struct pair **pairs)
{
	struct pair *p, **end = (struct pair **)pairs;
	const char *key;
	json_t *v;

	*pairs = NULL;
	json_object_foreach (o, key, v) {
		if (!json_is_string(v))
			return is_wrong(r, name, "an object of strings");
		p = arena_alloc(r->arena, sizeof(*p));
		p->key = arena_strdup(r->arena, key);
		p->value_len = json_string_length(v);
		p->value =
		    arena_memdup(r->arena, json_string_value(v), p->value_len);
		*end = p;
		end = &p->next;
	}
	return true;
}

static bool
is_token(const char *s)
{
	return *s != '\0' &&
	    s[strspn(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789!#$%&'*+-.^_`|~")] == '\0';
}

/* Would a web server act on this header instead of passing it on?  It would
 * then serve any file that the value names. */
static bool
is_for_web_server(const char *key)
{
	static const char *const begins[] = { "X-Accel-", "X-Sendfile",
		"X-Lighttpd-", "X-Reproxy-" };
	size_t i;

	for (i = 0; i < NITEMS(begins); i++)
		if (strncasecmp(key, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

static bool
read_reply(struct reader *r, json_t *o, struct hook_reply *reply)
{
	json_t *status = member(o, "StatusCode"), *header;
	const struct pair *p;

	if (status != NULL && !json_is_integer(status))
		return is_wrong(r, "StatusCode", "a number");
	reply->status = (int)json_integer_value(status);
	if (json_integer_value(status) != 0 &&
	    (json_integer_value(status) < 200 ||
		json_integer_value(status) > 599))
		return is_wrong(r, "StatusCode", "from 200 to 599");
	if (!read_string(r, o, "Body", &reply->body) ||
	    !read_object(r, o, "Header", &header) ||
	    !read_map(r, header, "Header", &reply->headers))
		return false;
	for (p = reply->headers; p != NULL; p = p->next)
		if (!is_token(p->key))
			return is_wrong(r, "Header", "made of header names");
		else if (is_for_web_server(p->key))
			return is_wrong(
			    r, "Header", "without those for the web server");
	return true;
}

static bool
read_changes(struct reader *r, json_t *o, struct hook_verdict *v)
{
	json_t *metadata, *storage;

	if (!read_string(r, o, "ID", &v->id) ||
	    !read_object(r, o, "MetaData", &metadata) ||
	    !read_map(r, metadata, "MetaData", &v->metadata) ||
	    !read_object(r, o, "Storage", &storage) ||
	    !read_string(r, storage, "Path", &v->storage_path) ||
	    !read_size(r, o, "MaxSize", &v->max_size))
		return false;
	v->has_metadata = metadata != NULL;
	return true;
}

static bool
read_verdict(struct reader *r, json_t *o, struct hook_verdict *v)
{
	json_t *reply, *changes;

	return read_object(r, o, "HTTPResponse", &reply) &&
	    read_reply(r, reply, &v->reply) &&
	    read_bool(r, o, "RejectUpload", &v->reject_upload) &&
	    read_bool(r, o, "RejectTermination", &v->reject_termination) &&
	    read_bool(r, o, "StopUpload", &v->stop_upload) &&
	    read_object(r, o, "ChangeFileInfo", &changes) &&
	    read_changes(r, changes, v);
}

enum err_code
hook_json_answer(const char *buf, size_t len, struct arena *a,
    struct hook_verdict *v, struct err *e)
{
	struct reader r = { a, e };
	json_error_t where;
	json_t *o;
	bool is_good;

	memset(v, 0, sizeof(*v));
	while (len > 0 && strchr(" \t\r\n", buf[len - 1]) != NULL)
		len--;
	if (len == 0)
		return ERR_OK;
	o = json_loadb(buf, len, 0, &where);
	if (o == NULL)
		return err_set(
		    e, ERR_INVALID, "the answer is not JSON: %s", where.text);
	is_good = (json_is_object(o) || is_wrong(&r, "root", "an object")) &&
	    read_verdict(&r, o, v);
	json_decref(o);
	return is_good ? ERR_OK : ERR_INVALID;
}
