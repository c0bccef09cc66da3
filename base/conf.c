/*
 * conf.c - read the configuration from the file and the command line.
 */
#include "config.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/conf_key.h"
#include "base/conf_source.h"

struct value {
	int64_t number;
	const char *text;
	const char **items;
	size_t n_items;
	bool is_set;
	/* "FILE:LINE: " where it was set, or "". */
	const char *where;
};

/* values[n] belongs to conf_key(n); the members of base are derived from it. */
struct own {
	struct conf base;
	struct arena *arena;
	struct value *values;
};

/* The data needed to name the place of a mistake while a file is read. */
struct reader {
	struct own *conf;
	const struct conf_source *source;
	struct err *err;
};

static struct own *
own_of(struct conf *c)
{
	return OUTER(c, struct own, base);
}

static const struct own *
own_of_const(const struct conf *c)
{
	return OUTER(c, const struct own, base);
}

/* Copy a value to the member that callers read. */
static void
show(struct own *c, size_t n)
{
	const struct conf_key *k = conf_key(n);
	const struct value *v = &c->values[n];
	void *member = (char *)&c->base + k->offset;

	switch (k->kind) {
	case CONF_BOOL:
		*(bool *)member = v->number != 0;
		break;
	case CONF_STRING:
		*(const char **)member = v->text;
		break;
	case CONF_LIST:
		*(const char *const **)member = v->items;
		break;
	default:
		*(int64_t *)member = v->number;
	}
}

/* --- One value, from text. --- */

static enum err_code
refuse_value(const struct conf_key *k, const char *where, const char *text,
    struct err *e)
{
	char rule[160];

	conf_key_rule(k, rule, sizeof(rule));
	return err_set(e, ERR_INVALID, "%s%s cannot be %s: expected %s", where,
	    k->name, text, rule);
}

static enum err_code
set_number(
    struct value *v, const struct conf_key *k, const char *text, struct err *e)
{
	if (!conf_key_number(k, text, &v->number))
		return refuse_value(k, v->where, text, e);
	return ERR_OK;
}

static enum err_code
set_string(struct own *c, struct value *v, const struct conf_key *k,
    const char *text, struct err *e)
{
	const char *quoted;

	if (conf_key_takes(k, text)) {
		v->text = arena_strdup(c->arena, text);
		return ERR_OK;
	}
	quoted = arena_printf(c->arena, "\"%.60s\"", text);
	return refuse_value(k, v->where, quoted, e);
}

static enum err_code
add_item(struct own *c, struct value *v, const struct conf_key *k,
    const char *text, struct err *e)
{
	enum err_code rc;

	if ((rc = set_string(c, v, k, text, e)) != ERR_OK)
		return rc;
	v->items[v->n_items++] = v->text;
	return ERR_OK;
}

static size_t
count_commas(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == ',';
	return n;
}

/* Split at commas and remove the blanks around elements; "" has none. */
static enum err_code
set_list(struct own *c, struct value *v, const struct conf_key *k,
    const char *text, struct err *e)
{
	static const char blanks[] = " \t";
	enum err_code rc;
	size_t len;
	char *item;

	v->items =
	    arena_alloc(c->arena, (count_commas(text) + 2) * sizeof(*v->items));
	v->n_items = 0;
	text += strspn(text, blanks);
	while (*text != '\0') {
		len = strcspn(text, ",");
		item = arena_memdup(c->arena, text, len);
		text += len;
		while (len > 0 && strchr(blanks, item[len - 1]) != NULL)
			item[--len] = '\0';
		if ((rc = add_item(c, v, k, item, e)) != ERR_OK)
			return rc;
		if (*text == ',')
			text += 1 + strspn(text + 1, blanks);
	}
	return ERR_OK;
}

static enum err_code
set_text(struct own *c, struct value *v, const struct conf_key *k,
    const char *text, struct err *e)
{
	switch (k->kind) {
	case CONF_STRING:
		return set_string(c, v, k, text, e);
	case CONF_LIST:
		return set_list(c, v, k, text, e);
	default:
		return set_number(v, k, text, e);
	}
}

/* --- A file. --- */

static const char *
where(const struct reader *r, const config_setting_t *s)
{
	unsigned line = config_setting_source_line(s);

	return arena_printf(r->conf->arena,
	    "%s:%u: ", conf_source_file(r->source, line),
	    conf_source_line(r->source, line));
}

/* Indexed by libconfig's types; those with 0 are not scalars. */
#define TYPE(t) (1U << (t))
#define WHOLE	(TYPE(CONFIG_TYPE_INT) | TYPE(CONFIG_TYPE_INT64))

static const unsigned types_of[CONF_KIND_MAX] = {
	[CONF_BOOL] = TYPE(CONFIG_TYPE_BOOL),
	[CONF_INT] = WHOLE,
	[CONF_SIZE] = WHOLE | TYPE(CONFIG_TYPE_STRING),
	[CONF_DURATION] =
	    WHOLE | TYPE(CONFIG_TYPE_FLOAT) | TYPE(CONFIG_TYPE_STRING),
	[CONF_MODE] = TYPE(CONFIG_TYPE_STRING),
	[CONF_STRING] = TYPE(CONFIG_TYPE_STRING),
	[CONF_LIST] = TYPE(CONFIG_TYPE_ARRAY) | TYPE(CONFIG_TYPE_LIST),
};

static const char *
text_of(struct arena *a, const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(s) ? "true" : "false";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return arena_printf(a, "%lld", config_setting_get_int64(s));
	case CONFIG_TYPE_FLOAT:
		return arena_printf(a, "%.9g", config_setting_get_float(s));
	case CONFIG_TYPE_STRING:
		return config_setting_get_string(s);
	case CONFIG_TYPE_GROUP:
		return "a group";
	default:
		return "a list";
	}
}

static enum err_code
read_list(const struct reader *r, struct value *v, const struct conf_key *k,
    const config_setting_t *s)
{
	struct arena *a = r->conf->arena;
	unsigned i, n = (unsigned)config_setting_length(s);
	const config_setting_t *item;
	enum err_code rc;

	v->items = arena_alloc(a, (n + 1) * sizeof(*v->items));
	v->n_items = 0;
	for (i = 0; i < n; i++) {
		item = config_setting_get_elem(s, i);
		v->where = where(r, item);
		if (config_setting_type(item) != CONFIG_TYPE_STRING)
			return refuse_value(
			    k, v->where, text_of(a, item), r->err);
		rc = add_item(
		    r->conf, v, k, config_setting_get_string(item), r->err);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

static enum err_code
read_value(const struct reader *r, size_t n, const config_setting_t *s)
{
	const struct conf_key *k = conf_key(n);
	struct value *v = &r->conf->values[n];
	const char *text = text_of(r->conf->arena, s);

	v->where = where(r, s);
	v->is_set = true;
	if ((types_of[k->kind] & TYPE(config_setting_type(s))) == 0)
		return refuse_value(k, v->where, text, r->err);
	return k->kind == CONF_LIST ? read_list(r, v, k, s) :
				      set_text(r->conf, v, k, text, r->err);
}

static enum err_code
refuse_key(const struct reader *r, const config_setting_t *s, const char *name)
{
	if (conf_key_is_group(name))
		return err_set(r->err, ERR_INVALID,
		    "%s%s is a group: write %s: { ... };", where(r, s), name,
		    name);
	return err_set(r->err, ERR_INVALID,
	    "%sunknown key \"%.60s\"; did you mean \"%s\"?", where(r, s), name,
	    conf_key_nearest(name)->name);
}

/* Groups nest no deeper than keys have dots. */
static enum err_code
read_setting(const struct reader *r, config_setting_t *s, const char *prefix)
{
	const char *dot = *prefix != '\0' ? "." : "";
	enum err_code rc = ERR_OK;
	unsigned i, n;
	size_t key;
	char *name;

	name = arena_printf(
	    r->conf->arena, "%s%s%s", prefix, dot, config_setting_name(s));
	key = conf_key_find(name);
	if (key < conf_key_count())
		return read_value(r, key, s);
	n = config_setting_is_group(s) ? (unsigned)config_setting_length(s) : 0;
	if (*prefix != '\0' ||
	    (n == 0 &&
		!(config_setting_is_group(s) && conf_key_is_group(name))))
		return refuse_key(r, s, name);
	for (i = 0; i < n && rc == ERR_OK; i++)
		rc = read_setting(r, config_setting_get_elem(s, i), name);
	return rc;
}

static enum err_code
read_settings(const struct reader *r, const config_t *config)
{
	config_setting_t *root = config_root_setting(config);
	unsigned i, n = (unsigned)config_setting_length(root);
	enum err_code rc = ERR_OK;

	for (i = 0; i < n && rc == ERR_OK; i++)
		rc = read_setting(r, config_setting_get_elem(root, i), "");
	return rc;
}

static enum err_code
read_source(const struct reader *r)
{
	enum err_code rc;
	config_t config;
	unsigned line;

	config_init(&config);
	if (config_read_string(&config, conf_source_text(r->source))) {
		rc = read_settings(r, &config);
	} else {
		line = (unsigned)config_error_line(&config);
		rc = err_set(r->err, ERR_INVALID, "%s:%u: %s%s",
		    conf_source_file(r->source, line),
		    conf_source_line(r->source, line),
		    config_error_text(&config),
		    conf_source_is_end(r->source, line) ?
			" at the end of the file" :
			"");
	}
	config_destroy(&config);
	return rc;
}

/* --- What must hold between keys. --- */

/* The index of the key to which this member belongs. */
static size_t
find_member(const struct conf *c, const void *member)
{
	size_t n, offset = (size_t)((const char *)member - (const char *)c);

	for (n = 0; n < conf_key_count(); n++)
		if (conf_key(n)->offset == offset)
			return n;
	(void)fprintf(stderr, "no key has its value there\n");
	abort();
}

static void
show_all(struct own *c)
{
	size_t n;

	for (n = 0; n < conf_key_count(); n++)
		show(c, n);
}

/* Lower a default to fit the values that were set; a value that was set
 * stays. */
static void
fit_default(struct own *c, const void *member, int64_t most)
{
	size_t n = find_member(&c->base, member);
	struct value *v = &c->values[n];

	if (v->is_set)
		return;
	(void)conf_key_number(conf_key(n), conf_key(n)->fallback, &v->number);
	if (v->number > most)
		v->number = most;
}

static void
fit_defaults(struct own *c)
{
	const struct conf_pool *pool = &c->base.pool;

	show_all(c);
	fit_default(c, &pool->min_spare, pool->max_workers);
	fit_default(c, &pool->reserve, pool->max_workers / 4);
	show_all(c);
}

static bool
has_item(const char *const *list, const char *text)
{
	while (*list != NULL && strcmp(*list, text) != 0)
		list++;
	return *list != NULL;
}

/* The message begins with the place where the key was set. */
static enum err_code
refuse_pair(const struct conf *c, const void *member, const char *why,
    const char *other, struct err *e)
{
	size_t n = find_member(c, member);

	return err_set(e, ERR_INVALID, "%s%s %s %s",
	    own_of_const(c)->values[n].where, conf_key(n)->name, why, other);
}

enum err_code
conf_check(const struct conf *c, struct err *e)
{
	int64_t workers = c->pool.max_workers, after = c->expiration.after;

	if (c->pool.min_spare > workers)
		return refuse_pair(c, &c->pool.min_spare, "cannot be more than",
		    "pool.max_workers", e);
	if (c->pool.reserve >= workers)
		return refuse_pair(c, &c->pool.reserve, "must be less than",
		    "pool.max_workers", e);
	/* Expiry is recorded in seconds; less than one would mean never. */
	if (after > 0 && after < 1000)
		return refuse_pair(
		    c, &c->expiration.after, "must be 0 or at least", "1s", e);
	if (c->cors.credentials && has_item(c->cors.origins, "*"))
		return refuse_pair(c, &c->cors.credentials,
		    "= true needs exact origins, not \"*\", in", "cors.origins",
		    e);
	if (strcmp(c->download.sendfile, "x-accel") == 0 &&
	    *c->download.sendfile_root == '\0')
		return refuse_pair(c, &c->download.sendfile,
		    "= \"x-accel\" needs the internal location in",
		    "download.sendfile_root", e);
	return ERR_OK;
}

/* --- What others see. --- */

struct conf *
conf_new(void)
{
	struct own *c = must_alloc(sizeof(*c));
	const struct conf_key *k;
	struct err e;
	size_t i;

	c->arena = arena_new();
	c->values =
	    arena_alloc(c->arena, conf_key_count() * sizeof(*c->values));
	for (i = 0; (k = conf_key(i)) != NULL; i++) {
		c->values[i].where = "";
		if (set_text(c, &c->values[i], k, k->fallback, &e) != ERR_OK) {
			(void)fprintf(stderr, "%s\n", e.text);
			abort();
		}
	}
	fit_defaults(c);
	return &c->base;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	arena_free(own_of(c)->arena);
	free(own_of(c));
}

enum err_code
conf_read(struct conf *c, const char *file, struct err *e)
{
	struct arena *a = arena_new();
	struct conf_source *source;
	struct reader r;
	enum err_code rc;

	rc = conf_source_read(a, file, &source, e);
	if (rc == ERR_OK) {
		r.conf = own_of(c);
		r.source = source;
		r.err = e;
		rc = read_source(&r);
	}
	arena_free(a);
	if (rc != ERR_OK)
		return rc;
	fit_defaults(own_of(c));
	return conf_check(c, e);
}

static enum err_code
set_key(struct own *c, size_t n, const char *text, struct err *e)
{
	struct value *v = &c->values[n];
	enum err_code rc;

	v->where = "";
	if ((rc = set_text(c, v, conf_key(n), text, e)) != ERR_OK)
		return rc;
	v->is_set = true;
	fit_defaults(c);
	return ERR_OK;
}

enum err_code
conf_set(struct conf *c, const char *key, const char *value, struct err *e)
{
	size_t n = conf_key_find(key);

	if (n == conf_key_count())
		return err_set(e, ERR_INVALID,
		    "unknown key \"%.60s\"; did you mean \"%s\"?", key,
		    conf_key_nearest(key)->name);
	return set_key(own_of(c), n, value, e);
}

enum err_code
conf_put(struct conf *c, const void *member, const char *value, struct err *e)
{
	return set_key(own_of(c), find_member(c, member), value, e);
}

bool
conf_is_set(const struct conf *c, const void *member)
{
	return own_of_const(c)->values[find_member(c, member)].is_set;
}

const char *
conf_where(const struct conf *c, const void *member)
{
	return own_of_const(c)->values[find_member(c, member)].where;
}

/* --- Keys that keep their value. --- */

/* The index of the n-th such key; conf_key_count() after the last. */
static size_t
find_fixed(size_t n)
{
	size_t i;

	for (i = 0; i < conf_key_count(); i++)
		if (conf_key(i)->is_fixed && n-- == 0)
			break;
	return i;
}

const char *
conf_fixed_key(size_t n)
{
	size_t i = find_fixed(n);

	return i < conf_key_count() ? conf_key(i)->name : NULL;
}

static const char *
join(struct arena *a, const struct value *v)
{
	const char *text = "";
	size_t i;

	for (i = 0; i < v->n_items; i++)
		text = arena_printf(
		    a, "%s%s%s", text, i > 0 ? ", " : "", v->items[i]);
	return text;
}

const char *
conf_fixed_value(const struct conf *c, size_t n)
{
	size_t i = find_fixed(n);
	const struct own *own = own_of_const(c);
	const struct value *v = &own->values[i];

	switch (conf_key(i)->kind) {
	case CONF_BOOL:
		return v->number != 0 ? "true" : "false";
	case CONF_DURATION:
		return arena_printf(
		    own->arena, "%.9gs", (double)v->number / 1000);
	case CONF_LIST:
		return join(own->arena, v);
	default:
		return v->text;
	}
}

static void
copy_items(struct arena *a, struct value *v, const struct value *from)
{
	size_t i;

	v->n_items = from->n_items;
	v->items = arena_alloc(a, (v->n_items + 1) * sizeof(*v->items));
	for (i = 0; i < v->n_items; i++)
		v->items[i] = arena_strdup(a, from->items[i]);
	v->items[i] = NULL;
}

bool
conf_keep(struct conf *c, const struct conf *from, size_t n)
{
	const struct value *old = &own_of_const(from)->values[find_fixed(n)];
	struct own *own = own_of(c);
	struct value *v = &own->values[find_fixed(n)];

	if (strcmp(conf_fixed_value(c, n), conf_fixed_value(from, n)) == 0)
		return false;
	v->number = old->number;
	if (old->text != NULL)
		v->text = arena_strdup(own->arena, old->text);
	if (old->items != NULL)
		copy_items(own->arena, v, old);
	v->is_set = true;
	show_all(own);
	return true;
}

/* --- By name. --- */

/* The caller must ask for a key as the kind that it is. */
static const struct value *
get(const struct conf *c, const char *name, unsigned kinds)
{
	size_t n = conf_key_find(name);

	if (n == conf_key_count() || (kinds & TYPE(conf_key(n)->kind)) == 0) {
		(void)fprintf(stderr, "no such key of this type: %s\n", name);
		abort();
	}
	return &own_of_const(c)->values[n];
}

bool
conf_bool(const struct conf *c, const char *key)
{
	return get(c, key, TYPE(CONF_BOOL))->number != 0;
}

int64_t
conf_int(const struct conf *c, const char *key)
{
	return get(c, key, TYPE(CONF_INT) | TYPE(CONF_SIZE) | TYPE(CONF_MODE))
	    ->number;
}

int64_t
conf_ms(const struct conf *c, const char *key)
{
	return get(c, key, TYPE(CONF_DURATION))->number;
}

const char *
conf_str(const struct conf *c, const char *key)
{
	return get(c, key, TYPE(CONF_STRING))->text;
}

const char *
conf_item(const struct conf *c, const char *key, size_t n)
{
	const struct value *v = get(c, key, TYPE(CONF_LIST));

	return n < v->n_items ? v->items[n] : NULL;
}

bool
conf_key_is_set(const struct conf *c, const char *key)
{
	return get(c, key, ~0U)->is_set;
}

bool
conf_takes(const char *key, const char *text, int64_t *number)
{
	return conf_key_number(conf_key(conf_key_find(key)), text, number);
}
