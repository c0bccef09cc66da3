/*
 * info.c - the text of a record: parsed, validated and written.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/digits.h"
#include "base/utf8.h"
#include "store/file/info.h"

/* Where the values are in the head; see empty_head. */
enum {
	AT_OFFSET = 10,
	AT_SIZE = 38,
	AT_DEFERRED = 76,
	AT_FINISHED = 93,
	AT_HOLD = 121,
	AT_EXPIRES = 152,
	AT_BOOT = 181,
	AT_PENDING = INFO_HEAD + 11,
	NUMBER_WIDTH = 20
};

/* For all keys of most records. */
#define ROOM	   2048

#define JSON_FLAGS ((size_t)(JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL))

static const char empty_head[INFO_HEAD + 1] =
    "{\"Offset\":                    ,\"Size\":                    "
    ",\"SizeIsDeferred\":     ,\"Finished\":                    "
    ",\"Hold\":                    ,\"Expires\":                    "
    ",\"Boot\":\"                                    \",";

static const char empty_pending[INFO_PENDING + 1] = "\"Pending\":\"    \",";

/* The letters of pending work at their positions; a space means none. */
static const struct {
	char letter;
	unsigned pending;
} letters[] = {
	{ 'c', STORE_TO_CONFIRM },
	{ 'm', STORE_TO_MOVE },
	{ 't', STORE_TO_TELL },
	{ 'r', STORE_TO_REMOVE },
};

/* For the values of the record that is being parsed or written, all freed
 * together; NULL before and after. */
static struct arena *values;
static struct arena *scratch;

static void *
json_alloc(size_t size)
{
	return values != NULL ? arena_alloc(values, size) : must_alloc(size);
}

/* Memory of the arena is freed with the arena. */
static void
json_free(void *p)
{
	if (values == NULL)
		free(p);
}

void *
info_scratch(size_t size)
{
	return arena_alloc(scratch, size);
}

static void
begin_json(void)
{
	values = scratch;
}

static void
end_json(void)
{
	values = NULL;
	arena_reset(scratch);
}

/* Right-aligned, in a field wide enough for any number. */
static void
put_number(char *buf, size_t at, int64_t number)
{
	(void)digits_before(buf + at + NUMBER_WIDTH, number);
}

size_t
info_write_head(char *buf, const struct info_head *h)
{
	size_t i;

	memcpy(buf, empty_head, INFO_HEAD);
	put_number(buf, AT_OFFSET, h->offset);
	put_number(buf, AT_SIZE, h->size);
	memcpy(buf + AT_DEFERRED, h->size_deferred ? " true" : "false", 5);
	put_number(buf, AT_FINISHED, h->finished);
	put_number(buf, AT_HOLD, h->hold);
	put_number(buf, AT_EXPIRES, h->expires);
	memcpy(buf + AT_BOOT, h->boot, CLOCK_BOOT_ID_LEN);
	if (!h->has_pending)
		return INFO_HEAD;
	memcpy(buf + INFO_HEAD, empty_pending, INFO_PENDING);
	for (i = 0; i < NITEMS(letters); i++)
		if ((h->pending & letters[i].pending) != 0)
			buf[AT_PENDING + i] = letters[i].letter;
	return INFO_WHOLE_HEAD;
}

/* Anything, where it is none that put_number() would have written. */
static int64_t
number_at(const char *buf, size_t at)
{
	const char *p = buf + at, *end = p + NUMBER_WIDTH;
	bool is_negative;
	uint64_t n = 0;

	while (p < end && *p == ' ')
		p++;
	is_negative = p < end && *p == '-';
	for (p += is_negative ? 1 : 0; p < end; p++)
		n = n * 10 + (uint64_t)(unsigned char)(*p - '0');
	return (int64_t)(is_negative ? -n : n);
}

static void
read_pending(const char *buf, size_t len, struct info_head *h)
{
	const size_t before = AT_PENDING - INFO_HEAD;
	size_t i;

	h->pending = 0;
	h->has_pending = len >= INFO_WHOLE_HEAD &&
	    memcmp(buf + INFO_HEAD, empty_pending, before) == 0;
	for (i = 0; h->has_pending && i < NITEMS(letters); i++)
		if (buf[AT_PENDING + i] == letters[i].letter)
			h->pending |= letters[i].pending;
}

/* Read the values at their positions, then check that info_write_head() would
 * write the same bytes: no other test is as strict. */
bool
info_read_head(const char *buf, size_t len, struct info_head *h)
{
	char again[INFO_WHOLE_HEAD];

	if (len < INFO_HEAD)
		return false;
	h->offset = number_at(buf, AT_OFFSET);
	h->size = number_at(buf, AT_SIZE);
	h->size_deferred = buf[AT_DEFERRED] == ' ';
	h->finished = number_at(buf, AT_FINISHED);
	h->hold = number_at(buf, AT_HOLD);
	h->expires = number_at(buf, AT_EXPIRES);
	memcpy(h->boot, buf + AT_BOOT, CLOCK_BOOT_ID_LEN);
	h->boot[CLOCK_BOOT_ID_LEN] = '\0';
	if (strspn(h->boot, "0123456789abcdef-") != CLOCK_BOOT_ID_LEN &&
	    strcmp(h->boot, INFO_SHARED) != 0 &&
	    strcmp(h->boot, INFO_GONE) != 0)
		return false;
	read_pending(buf, len, h);
	len = info_write_head(again, h);
	return memcmp(buf, again, len) == 0;
}

static bool
makes_sense(const struct info_head *h)
{
	if (h->offset < 0 || h->size < 0 || h->finished < 0 || h->expires < 0 ||
	    h->hold < -1)
		return false;
	return h->size_deferred || h->offset <= h->size;
}

/* --- text and bytes ------------------------------------------------------ */

static bool
is_utf8(const char *s, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n)
		if ((n = utf8_char(s + i, len - i)) == 0)
			return false;
	return true;
}

/* A readable form: U+FFFD for every byte that belongs to no character. */
static json_t *
readable(struct arena *a, const char *s, size_t len)
{
	size_t n;
	const char *text = utf8_clean(a, s, len, &n);

	return json_stringn(text, n);
}

/* A reversible form: the character U+00xx for the byte xx. */
static json_t *
exact(struct arena *a, const char *s, size_t len)
{
	char *buf = arena_alloc(a, 2 * len + 1);
	size_t i, at = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x80) {
			buf[at++] = (char)(0xc0 | c >> 6);
			c = (unsigned char)(0x80 | (c & 0x3f));
		}
		buf[at++] = (char)c;
	}
	return json_stringn(buf, at);
}

/* The reverse of exact(); NULL if exact() cannot have written this. */
static const char *
bytes_of(struct arena *a, const json_t *value, size_t *len)
{
	const char *s = json_string_value(value);
	size_t i, n = json_string_length(value), at = 0;
	char *buf = arena_alloc(a, n + 1);

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c > 0xc3)
			return NULL;
		if (c >= 0x80)
			c = (unsigned char)(c << 6 | (s[++i] & 0x3f));
		buf[at++] = (char)c;
	}
	*len = at;
	return buf;
}

/* Put a string into one object, and into a second one too if it is not
 * UTF-8. */
static int
put_string(struct arena *a, json_t *text, json_t *bytes, const char *key,
    const char *s, size_t len)
{
	if (is_utf8(s, len))
		return json_object_set_new(text, key, json_stringn(s, len));
	if (json_object_set_new(bytes, key, exact(a, s, len)) == -1)
		return -1;
	return json_object_set_new(text, key, readable(a, s, len));
}

/* The reverse of put_string(); *s is NULL if there is no such string.  False if
 * damaged. */
static bool
get_string(struct arena *a, const json_t *text, const json_t *bytes,
    const char *key, const char **s, size_t *len)
{
	const json_t *value = json_object_get(bytes, key);

	*s = NULL;
	*len = 0;
	if (json_is_string(value)) {
		*s = bytes_of(a, value, len);
		return *s != NULL;
	}
	value = json_object_get(text, key);
	if (json_is_string(value)) {
		*len = json_string_length(value);
		*s = arena_memdup(a, json_string_value(value), *len);
	}
	return value == NULL || json_is_string(value) || json_is_null(value);
}

static bool
get_cstring(struct arena *a, const json_t *text, const json_t *bytes,
    const char *key, const char **s)
{
	size_t len;

	return get_string(a, text, bytes, key, s, &len) &&
	    (*s == NULL || strlen(*s) == len);
}

/* --- reading ------------------------------------------------------------- */

static bool
get_number(const json_t *root, const char *key, int64_t *number)
{
	const json_t *value = json_object_get(root, key);

	*number = (int64_t)json_integer_value(value);
	return (value == NULL || json_is_integer(value)) && *number >= 0;
}

static bool
get_flag(const json_t *root, const char *key, bool *flag)
{
	const json_t *value = json_object_get(root, key);

	*flag = json_is_true(value);
	return value == NULL || json_is_boolean(value);
}

static bool
get_metadata(struct arena *a, const json_t *root, const struct pair **pairs)
{
	json_t *text = json_object_get(root, "MetaData");
	struct pair *first = NULL, **end = &first;
	const json_t *bytes = NULL;
	const char *key;
	json_t *value;

	if (text != NULL && !json_is_object(text) && !json_is_null(text))
		return false;
	if (json_object_size(text) > 0)
		bytes = json_object_get(root, "MetaDataBytes");
	json_object_foreach (text, key, value) {
		*end = arena_alloc(a, sizeof(**end));
		(*end)->key = arena_strdup(a, key);
		if (!get_string(a, text, bytes, key, &(*end)->value,
			&(*end)->value_len) ||
		    (*end)->value == NULL)
			return false;
		end = &(*end)->next;
	}
	*pairs = first;
	return true;
}

static bool
get_parts(struct arena *a, const json_t *root, const char *const **parts)
{
	const json_t *list = json_object_get(root, "PartialUploads");
	size_t i, n = json_array_size(list);
	const char **ids;

	*parts = NULL;
	if (list == NULL || json_is_null(list))
		return true;
	if (!json_is_array(list))
		return false;
	ids = arena_alloc(a, (n + 1) * sizeof(*ids));
	for (i = 0; i < n; i++) {
		ids[i] =
		    arena_strdup(a, json_string_value(json_array_get(list, i)));
		if (ids[i] == NULL)
			return false;
	}
	*parts = ids;
	return true;
}

/* The path is validated by bytes.c before it is followed. */
static void
read_storage(struct arena *a, const json_t *root, struct info_record *r)
{
	json_t *storage = json_object_get(root, "Storage"), *value;
	const json_t *bytes = json_object_get(storage, "Bytes");
	const struct pair **end = &r->storage;
	struct pair *p;
	const char *key;

	json_object_foreach (storage, key, value) {
		p = arena_alloc(a, sizeof(*p));
		p->key = arena_strdup(a, key);
		p->value = arena_strdup(a, json_string_value(value));
		p->value_len = p->value != NULL ? strlen(p->value) : 0;
		if (p->value == NULL)
			continue;
		*end = p;
		end = (const struct pair **)&p->next;
	}
	if (!get_cstring(a, storage, bytes, "Path", &r->path))
		r->path = NULL;
	if (!get_cstring(a, storage, bytes, "InfoPath", &r->info_path))
		r->info_path = NULL;
}

/* ID, or ID+MULTIPART in a bucket of tusd. */
static bool
read_id(
    struct arena *a, const json_t *root, const char *id, struct info_record *r)
{
	const json_t *own = json_object_get(root, "ID");
	const char *text = json_string_value(own);
	size_t len = strlen(id);

	if (text == NULL || json_string_length(own) != strlen(text) ||
	    strncmp(text, id, len) != 0 ||
	    (text[len] != '\0' && text[len] != '+'))
		return false;
	if (text[len] == '+')
		r->multipart = arena_strdup(a, text + len + 1);
	return true;
}

/* Read the members that never change. */
static bool
read_keys(
    struct arena *a, const json_t *root, const char *id, struct file_info *info)
{
	const json_t *bytes = json_object_get(root, "Bytes");

	info->id = arena_strdup(a, id);
	if (!get_metadata(a, root, &info->metadata) ||
	    !get_cstring(a, root, bytes, "MetadataRaw", &info->metadata_raw) ||
	    !get_flag(root, "IsPartial", &info->is_partial) ||
	    !get_flag(root, "IsFinal", &info->is_final) ||
	    !get_parts(a, root, &info->parts) ||
	    !get_cstring(a, root, bytes, "ConcatRaw", &info->concat_raw) ||
	    !get_cstring(a, root, bytes, "Owner", &info->owner) ||
	    !get_cstring(a, root, bytes, "Protocol", &info->protocol) ||
	    /* The tus protocol has no such member. */
	    (info->protocol != NULL &&
		!get_cstring(a, root, bytes, "ReprDigest", &info->digest)) ||
	    !get_cstring(a, root, bytes, "MoveTo", &info->move_to) ||
	    !get_number(root, "MaxSize", &info->max_size) ||
	    !get_number(root, "Retention", &info->retention) ||
	    !get_number(root, "Created", &info->created))
		return false;
	return true;
}

/* The watermark of a foreign record has another meaning and is ignored. */
static bool
read_foreign(
    struct arena *a, const json_t *root, const char *id, struct info_record *r)
{
	struct info_head *h = &r->head;

	r->foreign = true;
	*h = (struct info_head){ .hold = -1, .boot = INFO_NO_BOOT };
	if (!get_number(root, "Size", &h->size) ||
	    !get_flag(root, "SizeIsDeferred", &h->size_deferred) ||
	    !read_id(a, root, id, r) || !read_keys(a, root, id, &r->info))
		return false;
	if (!h->size_deferred && json_object_get(root, "Size") == NULL)
		return false;
	if (h->size_deferred)
		h->size = 0;
	if (r->info.metadata_raw == NULL)
		r->info.metadata_raw =
		    store_encode_metadata(a, r->info.metadata);
	return true;
}

static bool
is_blank(const char *buf, size_t len)
{
	return len == 0 ||
	    (buf[0] == '\0' && memcmp(buf, buf + 1, len - 1) == 0);
}

/* All but the head, which was read and leaves a comma at its end. */
static bool
read_rest(char *buf, size_t len, const char *id, struct arena *a,
    struct info_record *r, json_error_t *why)
{
	const size_t at = r->head.has_pending ? INFO_WHOLE_HEAD : INFO_HEAD;
	json_t *root;
	bool is_good;

	if (!makes_sense(&r->head))
		return false;
	if (info_read_plain(buf + at, len - at, id, a, &r->info))
		return true;
	buf[INFO_HEAD - 1] = '{';
	root = json_loadb(
	    buf + INFO_HEAD - 1, len - INFO_HEAD + 1, JSON_FLAGS, why);
	is_good = read_id(a, root, id, r) && read_keys(a, root, id, &r->info);
	read_storage(a, root, r);
	return is_good;
}

enum err_code
info_parse(char *buf, size_t len, const char *id, struct arena *a,
    struct info_record *r, struct err *e)
{
	struct file_info *info = &r->info;
	json_error_t why = { .text = "" };
	json_t *root;
	bool is_good;

	memset(r, 0, sizeof(*r));
	if (is_blank(buf, len))
		return err_set(e, ERR_NOT_FOUND, "%s.info: empty", id);
	begin_json();
	if (info_read_head(buf, len, &r->head)) {
		is_good = read_rest(buf, len, id, a, r, &why);
	} else {
		root = json_loadb(buf, len, JSON_FLAGS, &why);
		is_good = read_foreign(a, root, id, r);
		read_storage(a, root, r);
	}
	end_json();
	if (!is_good)
		return err_set(e, ERR_CORRUPT, "%s.info: damaged%s%s", id,
		    *why.text != '\0' ? ": " : "", why.text);
	info->size = r->head.size;
	info->size_deferred = r->head.size_deferred;
	info->expires = r->head.expires;
	info->finished = r->head.finished;
	if (info->retention > KEPT_FOR_EVER)
		info->retention = KEPT_FOR_EVER;
	if (info->owner != NULL && *info->owner == '\0')
		info->owner = NULL;
	return ERR_OK;
}

/* --- writing ------------------------------------------------------------- */

static int
put_pairs(struct arena *a, json_t *text, json_t *bytes, const struct pair *p)
{
	for (; p != NULL; p = p->next)
		if (json_object_get(text, p->key) != NULL ||
		    put_string(
			a, text, bytes, p->key, p->value, p->value_len) == -1)
			return -1;
	return 0;
}

static json_t *
make_parts(const char *const *parts)
{
	json_t *list;

	if (parts == NULL)
		return json_null();
	for (list = json_array(); *parts != NULL; parts++)
		(void)json_array_append_new(list, json_string(*parts));
	return list;
}

/* An optional string. */
static int
put_cstring(struct arena *a, json_t *root, json_t *bytes, const char *key,
    const char *s)
{
	if (s == NULL)
		return 0;
	return put_string(a, root, bytes, key, s, strlen(s));
}

/* Put an object, unless it is empty. */
static int
put_filled(json_t *root, const char *key, json_t *object)
{
	if (json_object_size(object) > 0)
		return json_object_set(root, key, object);
	return 0;
}

static int
put_positive(json_t *root, const char *key, int64_t number)
{
	return number > 0 ?
	    json_object_set_new(root, key, json_integer(number)) :
	    0;
}

static bool
put_keys(struct arena *a, const struct file_info *info, json_t *root)
{
	json_t *bytes = json_object(), *meta = json_object();
	json_t *meta_bytes = json_object(), *storage = json_object();
	const char *owner = info->owner != NULL ? info->owner : "";

	return json_object_set_new(root, "ID", json_string(info->id)) == 0 &&
	    put_pairs(a, meta, meta_bytes, info->metadata) == 0 &&
	    json_object_set(root, "MetaData", meta) == 0 &&
	    put_filled(root, "MetaDataBytes", meta_bytes) == 0 &&
	    put_cstring(a, root, bytes, "MetadataRaw", info->metadata_raw) ==
	    0 &&
	    json_object_set_new(
		root, "IsPartial", json_boolean(info->is_partial)) == 0 &&
	    json_object_set_new(
		root, "IsFinal", json_boolean(info->is_final)) == 0 &&
	    json_object_set_new(
		root, "PartialUploads", make_parts(info->parts)) == 0 &&
	    put_cstring(a, root, bytes, "ConcatRaw", info->concat_raw) == 0 &&
	    put_cstring(a, root, bytes, "Owner", owner) == 0 &&
	    put_cstring(a, root, bytes, "Protocol", info->protocol) == 0 &&
	    put_cstring(a, root, bytes, "ReprDigest", info->digest) == 0 &&
	    put_cstring(a, root, bytes, "MoveTo", info->move_to) == 0 &&
	    put_positive(root, "MaxSize", info->max_size) == 0 &&
	    put_positive(root, "Retention", info->retention) == 0 &&
	    json_object_set_new(root, "Created", json_integer(info->created)) ==
	    0 &&
	    put_pairs(a, storage, bytes, info->storage) == 0 &&
	    json_object_set(root, "Storage", storage) == 0 &&
	    put_filled(root, "Bytes", bytes) == 0;
}

/* As JSON; 0 if it cannot be. */
static size_t
format_json(
    const struct file_info *info, struct arena *a, size_t at, char **buf)
{
	size_t room = ROOM, n = 0;
	json_t *root;

	begin_json();
	root = json_object();
	if (put_keys(a, info, root)) {
		do {
			room = n > 0 ? n : room;
			*buf = arena_alloc(a, at + room);
			n = json_dumpb(root, *buf + at, room,
			    JSON_COMPACT | JSON_PRESERVE_ORDER);
		} while (n > room && n <= INFO_MAX);
	}
	end_json();
	return n;
}

enum err_code
info_format(const struct info_record *r, struct arena *a, const char **text,
    size_t *len, struct err *e)
{
	/* The rest goes behind the head, its brace over the comma. */
	const size_t at =
	    (r->head.has_pending ? INFO_WHOLE_HEAD : INFO_HEAD) - 1;
	char *buf = arena_alloc(a, at + ROOM);
	size_t n = info_write_plain(buf + at, ROOM, &r->info);

	if (n == 0)
		n = format_json(&r->info, a, at, &buf);
	if (n == 0)
		return err_set(e, ERR_INVALID,
		    "%s: a key is not text or comes twice", r->info.id);
	*len = at + n;
	if (*len > INFO_MAX)
		return err_set(e, ERR_INVALID,
		    "%s.info: %zu bytes are too many", r->info.id, *len);
	(void)info_write_head(buf, &r->head);
	*text = buf;
	return ERR_OK;
}

/* --- starting ------------------------------------------------------------ */

/* The first call of a function of the library writes to a page of it.  Make
 * these calls before the fork, so that all processes share the page. */
static void
rehearse(void)
{
	struct info_record r = { .head = { .boot = INFO_NO_BOOT },
		.info = { .id = "0", .owner = "\"" } };
	struct arena *a = arena_new();
	struct err ignored;
	const char *text;
	size_t len;

	if (info_format(&r, a, &text, &len, &ignored) == ERR_OK)
		(void)!info_parse(
		    arena_memdup(a, text, len), len, "0", a, &r, &ignored);
	arena_free(a);
}

void
info_set_up(void)
{
	static bool is_done;

	if (is_done)
		return;
	is_done = true;
	scratch = arena_new();
	json_set_alloc_funcs(json_alloc, json_free);
	json_object_seed(0);
	rehearse();
}
