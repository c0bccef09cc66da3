/*
 * settings.c - make the settings of the program from its configuration.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/digest.h"
#include "fcgi/needs.h"
#include "fcgi/settings.h"
#include "hook/hook.h"
#include "lock/lock.h"
#include "rufh/rufh.h"
#include "store/store.h"
#include "tus/tus.h"

/* NULL if the list is empty. */
static const char *const *
list_of(const char *const *list)
{
	return *list != NULL ? list : NULL;
}

static const char *
without_slash(struct arena *a, const char *s)
{
	size_t len = strlen(s);

	while (len > 0 && s[len - 1] == '/')
		len--;
	return arena_memdup(a, s, len);
}

static enum err_code
set_location(struct settings *s, struct err *e)
{
	const char *where = s->conf->location;

	if (strcmp(where, "path") == 0) {
		s->server.location = WEB_LOCATION_PATH;
	} else if (strcmp(where, "absolute") == 0) {
		s->server.location = WEB_LOCATION_ABSOLUTE;
	} else if (strncmp(where, "http://", 7) == 0 ||
	    strncmp(where, "https://", 8) == 0) {
		s->server.location = WEB_LOCATION_BASE;
		s->server.location_base = without_slash(s->arena, where);
	} else {
		return err_set(e, ERR_INVALID,
		    "location = \"%s\": write \"path\", \"absolute\" or a base "
		    "URL like \"https://up.example.org\"",
		    where);
	}
	return ERR_OK;
}

static enum err_code
set_sendfile(struct settings *s, struct err *e)
{
	const char *how = s->conf->download.sendfile;
	const char *root = s->conf->download.sendfile_root;

	s->sendfile = SENDFILE_NONE;
	if (strcmp(how, "x-accel") == 0)
		s->sendfile = SENDFILE_X_ACCEL;
	else if (strcmp(how, "x-sendfile") == 0)
		s->sendfile = SENDFILE_X_SENDFILE;
	else if (strcmp(how, "redirect") == 0)
		s->sendfile = SENDFILE_REDIRECT;
	s->sendfile_root = without_slash(s->arena, root);
	s->server.offload_download = s->sendfile != SENDFILE_NONE;
	if (s->sendfile == SENDFILE_X_ACCEL)
		s->server.link_root = s->sendfile_root;
	if (s->sendfile == SENDFILE_X_ACCEL && *root != '/')
		return err_set(e, ERR_INVALID,
		    "download.sendfile = \"x-accel\" needs "
		    "download.sendfile_root, the internal location of nginx "
		    "that shows the store, like \"/tus-store\"");
	return ERR_OK;
}

static enum err_code
set_checksums(struct settings *s, struct err *e)
{
	const char *const *list = list_of(s->conf->checksum.algorithms);
	const char **good;
	size_t i, k, n = 0;

	for (i = 0; list != NULL && list[i] != NULL; i++)
		continue;
	good = arena_alloc(s->arena, (i + 1) * sizeof(*good));
	s->server.core.checksums = good;
	for (i = 0; list != NULL && list[i] != NULL; i++) {
		for (k = 0; digest_name(k) != NULL; k++)
			if (strcmp(list[i], digest_name(k)) == 0)
				break;
		if (digest_name(k) == NULL)
			return err_set(e, ERR_INVALID,
			    "checksum.algorithms: \"%s\" is not built in",
			    list[i]);
		if (digest_works(list[i]))
			good[n++] = list[i];
	}
	if (n == 0)
		s->server.core.allow_checksum = false;
	return ERR_OK;
}

/* Each request is spoken in one of these. */
static const struct web_protocol *const protocols[] = { &tus_protocol, NULL };

static void
set_server(struct settings *s)
{
	const struct conf *c = s->conf;
	struct web_server *srv = &s->server;

	srv->protocols = protocols;
	srv->core.max_size = c->max_size;
	srv->max_metadata = c->max_metadata;
	if (!store_is_private(c))
		srv->core.expire_after = c->expiration.after / 1000;
	srv->core.expire_sliding = strcmp(c->expiration.mode, "sliding") == 0;
	srv->core.allow_download = c->extensions.download;
	srv->core.allow_terminate = c->extensions.termination;
	srv->core.allow_concat = c->extensions.concatenation;
	srv->core.allow_defer = c->extensions.defer_length;
	srv->core.allow_checksum = c->extensions.checksum;
	srv->core.allow_terminate_finished =
	    c->extensions.termination_of_finished;
	srv->core.concat_removes_parts = !c->concatenation.keep_parts;
	srv->takes_tusd_urls = c->s3.tusd_urls;
	srv->cors.origins = list_of(s->conf->cors.origins);
	srv->cors.credentials = c->cors.credentials;
	srv->cors.max_age = c->cors.max_age;
	srv->cors.extra_headers = list_of(s->conf->cors.extra_headers);
	srv->core.has_owners = *c->owner.param != '\0';
	srv->core.owner_required = c->owner.require;
	srv->core.quota.uploads = c->quota.uploads;
	srv->core.quota.bytes = c->quota.bytes;
	srv->core.now = clock_now;
	srv->core.now_ms = clock_ms;
	srv->core.new_id = id_new;
}

/*
 * How many workers never take a body.  The default must not reserve most of a
 * small pool.
 */
static int
reserve_of(const struct settings *s)
{
	int quarter = s->max_workers / 4;
	int reserve = (int)s->conf->pool.reserve;

	if (conf_is_set(s->conf, &s->conf->pool.reserve))
		return reserve < s->max_workers ? reserve : s->max_workers - 1;
	if (s->max_workers > 1 && quarter == 0)
		quarter = 1;
	return reserve < quarter ? reserve : quarter;
}

static enum err_code
set_pool(struct settings *s, int workers, struct err *e)
{
	s->fixed = workers > 0;
	s->max_workers = s->fixed ? workers : (int)s->conf->pool.max_workers;
	s->min_spare = s->fixed ? workers : (int)s->conf->pool.min_spare;
	s->idle = s->conf->pool.idle;
	s->max_requests = s->conf->pool.max_requests;
	if (conf_is_set(s->conf, &s->conf->pool.reserve) && !s->fixed &&
	    s->conf->pool.reserve >= s->max_workers)
		return err_set(e, ERR_INVALID,
		    "pool.reserve must be less than pool.max_workers (%d), or "
		    "no worker is left to receive uploads",
		    s->max_workers);
	if (s->min_spare > s->max_workers)
		s->min_spare = s->max_workers;
	s->reserve = reserve_of(s);
	return ERR_OK;
}

/* Metrics and status page must have different paths. */
static enum err_code
set_status(struct settings *s, struct err *e)
{
	const char *path = s->conf->status.path;

	s->slow = s->conf->log.slow;
	if (*path != '\0')
		s->status_path = path;
	s->is_watched = s->status_path != NULL || s->slow > 0;
	if (s->metrics_path != NULL && strcmp(path, s->metrics_path) == 0)
		return err_set(e, ERR_INVALID,
		    "status.path = \"%s\": metrics.path is the same", path);
	return ERR_OK;
}

static void
set_other(struct settings *s)
{
	static const char *const names[] = { [INTERIM_OFF] = "off",
		[INTERIM_AUTO] = "auto",
		[INTERIM_ON] = "on" };
	static const struct web_protocol *const both[] = { &tus_protocol,
		&rufh_protocol, NULL };
	const struct conf *c = s->conf;
	size_t i;

	if (!c->rufh.enable)
		return;
	s->has_rufh = true;
	s->server.protocols = both;
	s->server.max_append = c->rufh.max_append_size;
	s->server.takes_plain = c->rufh.plain;
	for (i = 0; i < NITEMS(names); i++)
		if (strcmp(names[i], c->rufh.interim) == 0)
			s->interim = (enum interim_when)i;
}

static enum err_code
set_all(struct settings *s, int workers, struct err *e)
{
	const struct conf *c = s->conf;
	enum err_code rc;

	s->base_path = without_slash(s->arena, c->base_path);
	s->owner_param = c->owner.param;
	s->trust_forwarded = c->trust_forwarded;
	if (c->metrics.enabled)
		s->metrics_path = c->metrics.path;
	s->lock_timeout = c->lock.timeout;
	s->read_timeout = c->timeouts.read;
	s->drain_timeout = c->timeouts.drain;
	s->shutdown_timeout = c->timeouts.shutdown;
	s->sweep_every = c->expiration.sweep;
	s->min_rate = c->timeouts.min_rate;
	s->has_hosts = needs_any(c, NEED_HOSTS);
	if (*s->base_path != '\0' && *s->base_path != '/')
		return err_set(e, ERR_INVALID,
		    "base_path = \"%s\": it must begin with a slash",
		    s->base_path);
	set_server(s);
	set_other(s);
	if ((rc = core_check_keys(c, e)) != ERR_OK ||
	    (rc = hook_check_keys(c, e)) != ERR_OK ||
	    (rc = set_status(s, e)) != ERR_OK ||
	    (rc = set_location(s, e)) != ERR_OK ||
	    (rc = set_sendfile(s, e)) != ERR_OK ||
	    (rc = set_checksums(s, e)) != ERR_OK)
		return rc;
	return set_pool(s, workers, e);
}

enum err_code
settings_load(
    struct settings *s, const struct settings_source *from, struct err *e)
{
	enum err_code rc = ERR_OK;

	memset(s, 0, sizeof(*s));
	s->conf = conf_new();
	s->arena = arena_new();
	if (from->file != NULL)
		rc = conf_read(s->conf, from->file, e);
	if (rc == ERR_OK && from->default_store != NULL &&
	    store_home(s->conf) != NULL &&
	    !conf_is_set(s->conf, &s->conf->store.path))
		rc = conf_put(
		    s->conf, &s->conf->store.path, from->default_store, e);
	if (rc == ERR_OK && (rc = set_all(s, from->workers, e)) != ERR_OK &&
	    from->file != NULL)
		rc = err_within(e, "%s", from->file);
	if (rc != ERR_OK)
		settings_free(s);
	return rc;
}

void
settings_free(struct settings *s)
{
	settings_close_store(s);
	conf_free(s->conf);
	if (s->arena != NULL)
		arena_free(s->arena);
	memset(s, 0, sizeof(*s));
}

/* The path without symbolic links, as the store itself names its files. */
static const char *
real_path(struct arena *a, const char *path)
{
	char *real = realpath(path, NULL);
	const char *copy = arena_strdup(a, real != NULL ? real : "");

	free(real);
	return copy;
}

/* Done in the master: a worker that computes it again would copy a page. */
static void
find_store_dir(struct settings *s)
{
	char *real = realpath(s->conf->store.path, NULL);
	const char *dir = real != NULL ? real : "";

	if (s->store_dir == NULL || strcmp(dir, s->store_dir) != 0)
		s->store_dir = arena_strdup(s->arena, dir);
	free(real);
}

bool
settings_has_quota(const struct settings *s)
{
	return s->server.core.quota.uploads > 0 ||
	    s->server.core.quota.bytes > 0;
}

/* Clients are told of the limit of the store as of ours. */
static void
limit_size(struct core *core)
{
	int64_t max = core->store->max_size;

	if (max > 0 && (core->max_size == 0 || core->max_size > max))
		core->max_size = max;
}

/* A file has no link, and a bucket no file. */
static enum err_code
check_links(const struct settings *s, struct err *e)
{
	const struct data_store *store = s->server.core.store;

	if (s->sendfile == SENDFILE_REDIRECT && store->linker == NULL)
		return err_set(e, ERR_INVALID,
		    "download.sendfile = \"redirect\": store.type = \"%s\" has "
		    "no URLs of its own",
		    store->name);
	if (s->sendfile == SENDFILE_X_SENDFILE && store->linker != NULL)
		return err_set(e, ERR_INVALID,
		    "download.sendfile = \"x-sendfile\": store.type = \"%s\" "
		    "has no files; take \"x-accel\" or \"redirect\"",
		    store->name);
	return ERR_OK;
}

enum err_code
settings_open_store(struct settings *s, struct err *e)
{
	enum err_code rc;

	rc = store_open(s->conf, &s->server.core.store, e);
	if (rc == ERR_OK)
		rc = check_links(s, e);
	if (rc == ERR_OK && settings_has_quota(s) &&
	    s->server.core.store->ledger == NULL)
		rc = err_set(e, ERR_INVALID,
		    "quota.uploads and quota.bytes: store.type = \"%s\" "
		    "does not count what an owner has",
		    s->server.core.store->name);
	if (rc == ERR_OK)
		rc = locker_open(s->conf, &s->server.core.locker, e);
	if (rc == ERR_OK)
		rc = hook_open(s->conf, &s->server.core.hooks, e);
	if (rc != ERR_OK)
		settings_close_store(s);
	else
		find_store_dir(s);
	if (rc == ERR_OK)
		limit_size(&s->server.core);
	if (s->sendfile == SENDFILE_X_ACCEL)
		s->server.offload_moved = s->store_dir;
	else if (s->sendfile == SENDFILE_X_SENDFILE &&
	    *s->sendfile_root != '\0')
		s->server.offload_moved = real_path(s->arena, s->sendfile_root);
	return rc;
}

bool
settings_try_names(
    const struct settings *s, struct template_names *names, struct err *e)
{
	struct data_store *store = s->server.core.store;

	e->code = ERR_OK;
	if (*s->conf->finish.move_to == '\0' || store == NULL ||
	    store->mover == NULL)
		return false;
	return store->mover->probe(store, names, e) == ERR_OK;
}

enum err_code
settings_try_store(struct settings *s, struct err *e)
{
	struct template_names names;
	struct err why;
	enum err_code rc = hook_check(s->conf, e);

	if (rc == ERR_OK)
		rc = settings_open_store(s, e);
	if (rc == ERR_OK && !settings_try_names(s, &names, &why) &&
	    why.code != ERR_OK)
		log_warn("finish.names: not tried out: %s", why.text);
	return rc;
}

void
settings_close_store(struct settings *s)
{
	struct web_server *srv = &s->server;

	if (srv->core.hooks != NULL)
		srv->core.hooks->ops->shutdown(srv->core.hooks);
	if (srv->core.locker != NULL)
		srv->core.locker->ops->shutdown(srv->core.locker);
	if (srv->core.store != NULL)
		srv->core.store->core->shutdown(srv->core.store);
	srv->core.hooks = NULL;
	srv->core.locker = NULL;
	srv->core.store = NULL;
}

static void
keep_fixed(struct settings *next, const struct settings *now)
{
	const char *key, *wanted;
	size_t i;

	for (i = 0; (key = conf_fixed_key(i)) != NULL; i++) {
		wanted =
		    arena_strdup(next->arena, conf_fixed_value(next->conf, i));
		if (conf_keep(next->conf, now->conf, i))
			log_warn("%s stays \"%s\" until a restart, it does "
				 "not become \"%s\"",
			    key, conf_fixed_value(now->conf, i), wanted);
	}
}

/* Open the store of the new settings, and their log. */
static enum err_code
try_next(struct settings *next, const struct settings *now,
    const struct settings_source *from, struct err *e)
{
	enum err_code rc = settings_load(next, from, e);

	if (rc != ERR_OK)
		return rc;
	keep_fixed(next, now);
	if ((rc = settings_try_store(next, e)) == ERR_OK)
		rc = log_open(next->conf, e);
	if (rc != ERR_OK)
		settings_free(next);
	return rc;
}

bool
settings_reload(struct settings *s, const struct settings_source *from)
{
	struct settings next;
	struct err e;

	if (try_next(&next, s, from, &e) != ERR_OK) {
		log_error(
		    "configuration refused, the old one stays: %s", e.text);
		return false;
	}
	settings_free(s);
	*s = next;
	return true;
}
