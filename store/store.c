/*
 * store.c - find the back end that the configuration names, and check it.
 *
 * A capability is a table of functions, and the core tests the table, never its
 * members.  So a table with a NULL in it is refused here, when the store is
 * opened, instead of crashing at the first call.
 */
#include "config.h"

#include <string.h>

#include "base/conf_key.h"
#include "base/table.h"
#include "store/store.h"

#define STORE(name) extern const struct store_class store_##name;
#include "store/list.h"
#undef STORE

static const struct store_class *const classes[] = {
#define STORE(name) &store_##name,
#include "store/list.h"
#undef STORE
};

static const struct table_option optional[] = {
	{ "s3", "libexpat1-dev" },
	{ NULL, NULL },
};

struct table {
	const char *name;
	const void *functions;
	size_t size;
};

enum err_code
store_check(const struct data_store *ds, struct err *e)
{
	const struct table tables[] = {
		{ "core", ds->core, sizeof(*ds->core) },
		{ "terminater", ds->terminater, sizeof(*ds->terminater) },
		{ "finisher", ds->finisher, sizeof(*ds->finisher) },
		{ "pacer", ds->pacer, sizeof(*ds->pacer) },
		{ "guard", ds->guard, sizeof(*ds->guard) },
		{ "rester", ds->rester, sizeof(*ds->rester) },
		{ "suspender", ds->suspender, sizeof(*ds->suspender) },
		{ "reader", ds->reader, sizeof(*ds->reader) },
		{ "linker", ds->linker, sizeof(*ds->linker) },
		{ "concater", ds->concater, sizeof(*ds->concater) },
		{ "length_declarer", ds->length_declarer,
		    sizeof(*ds->length_declarer) },
		{ "expirer", ds->expirer, sizeof(*ds->expirer) },
		{ "ledger", ds->ledger, sizeof(*ds->ledger) },
		{ "keeper", ds->keeper, sizeof(*ds->keeper) },
		{ "mover", ds->mover, sizeof(*ds->mover) },
	};
	size_t i;

	if (ds->core == NULL)
		return err_set(
		    e, ERR_INVALID, "store %s has no core", ds->name);
	for (i = 0; i < NITEMS(tables); i++)
		if (tables[i].functions != NULL &&
		    table_has_hole(tables[i].functions, tables[i].size))
			return err_set(e, ERR_INVALID,
			    "store %s has only part of a %s", ds->name,
			    tables[i].name);
	return ERR_OK;
}

static const struct store_class *
find_class(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(classes); i++)
		if (strcmp(classes[i]->name, name) == 0)
			return classes[i];
	return NULL;
}

static enum err_code
find_built_in(
    const struct conf *conf, const struct store_class **class, struct err *e)
{
	*class = find_class(conf->store.type);
	return *class != NULL ?
	    ERR_OK :
	    table_refuse("store.type", conf->store.type, optional, e);
}

enum err_code
store_attach(
    const struct conf *conf, enum store_use use, bool alone, struct err *e)
{
	const struct store_class *class;
	enum err_code rc = find_built_in(conf, &class, e);

	if (rc != ERR_OK || class->attach == NULL)
		return rc;
	return class->attach(conf, use, alone, e);
}

void
store_detach(const struct conf *conf)
{
	const struct store_class *class = find_class(conf->store.type);

	if (class != NULL && class->detach != NULL)
		class->detach();
}

const char *
store_id(const struct conf *conf)
{
	const struct store_class *class = find_class(conf->store.type);

	return class != NULL && class->id != NULL ? class->id() : "";
}

static bool
is_key_of(const char *key, const char *store)
{
	size_t len = strlen(store);

	return strncmp(key, store, len) == 0 && key[len] == '.';
}

/* The keys STORE.* belong to one store, whether or not that is built in. */
static bool
is_strange(const char *key, const char *type)
{
	size_t i;

	for (i = 0; i < NITEMS(classes); i++)
		if (is_key_of(key, classes[i]->name))
			return strcmp(classes[i]->name, type) != 0;
	for (i = 0; optional[i].name != NULL; i++)
		if (is_key_of(key, optional[i].name))
			return strcmp(optional[i].name, type) != 0;
	return false;
}

/* Refuse keys of a store other than the configured one. */
static enum err_code
refuse_strange(const struct conf *conf, struct err *e)
{
	const char *type = conf->store.type;
	const struct conf_key *k;
	size_t i;

	for (i = 0; (k = conf_key(i)) != NULL; i++)
		if (is_strange(k->name, type) && conf_key_is_set(conf, k->name))
			return err_set(e, ERR_INVALID,
			    "%s: means nothing where store.type is \"%s\"",
			    k->name, type);
	return ERR_OK;
}

enum err_code
store_check_keys(const struct conf *conf, struct err *e)
{
	const struct store_class *class;
	enum err_code rc = find_built_in(conf, &class, e);

	if (rc != ERR_OK || (rc = refuse_strange(conf, e)) != ERR_OK ||
	    class->check_keys == NULL)
		return rc;
	return class->check_keys(conf, e);
}

enum err_code
store_open(const struct conf *conf, struct data_store **ds, struct err *e)
{
	const struct store_class *class;
	enum err_code rc;

	if ((rc = find_built_in(conf, &class, e)) != ERR_OK ||
	    (rc = store_check_keys(conf, e)) != ERR_OK ||
	    (rc = class->open(conf, ds, e)) != ERR_OK)
		return rc;
	rc = store_check(*ds, e);
	if (rc == ERR_OK && (*ds)->mover == NULL &&
	    *conf->finish.move_to != '\0')
		rc = err_set(e, ERR_INVALID,
		    "finish.move_to: store %s cannot move uploads",
		    class->name);
	if (rc != ERR_OK) {
		(*ds)->core->shutdown(*ds);
		*ds = NULL;
	}
	return rc;
}

void
store_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	const struct store_class *class = find_class(conf->store.type);

	if (class != NULL && class->needs != NULL)
		class->needs(conf, ear, arg);
}

enum err_code
store_try_out(const struct conf *conf, struct data_store *ds, struct err *e)
{
	const struct store_class *class = find_class(conf->store.type);

	if (class == NULL || class->try_out == NULL)
		return ERR_OK;
	return class->try_out(ds, e);
}

void
store_figures(const struct conf *conf, store_figure *tell, void *arg)
{
	const struct store_class *class = find_class(conf->store.type);

	if (class != NULL && class->figures != NULL)
		class->figures(tell, arg);
}

void
store_tend(const struct conf *conf)
{
	const struct store_class *class = find_class(conf->store.type);

	if (class != NULL && class->tend != NULL)
		class->tend(conf);
}

bool
store_is_private(const struct conf *conf)
{
	const struct store_class *class = find_class(conf->store.type);

	return class != NULL && class->is_private;
}

const char *
store_caution(const struct conf *conf)
{
	const struct store_class *class = find_class(conf->store.type);

	return class != NULL ? class->caution : NULL;
}

static void
take_home(void *arg, enum need need, const char *key, const char *path)
{
	const char **home = arg;

	(void)key;
	if (need == NEED_KEEP && *home == NULL)
		*home = path;
}

const char *
store_home(const struct conf *conf)
{
	const char *home = NULL;

	store_needs(conf, take_home, &home);
	return home;
}

const char *
store_name(size_t n)
{
	return n < NITEMS(classes) ? classes[n]->name : NULL;
}
