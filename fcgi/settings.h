/*
 * settings.h - the configuration, as the program uses it.
 *
 * A struct settings is made in one go and does not change until SIGHUP replaces
 * all of it.  Each process opens the store and the locker in it for itself,
 * after the fork.
 */
#ifndef FCGI_SETTINGS_H
#define FCGI_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/template.h"
#include "web/web.h"

enum sendfile_how {
	SENDFILE_NONE,
	/* nginx: a URI below an internal location. */
	SENDFILE_X_ACCEL,
	/* Apache and lighttpd: a path in the file system. */
	SENDFILE_X_SENDFILE
};

/* Is a client told of its upload before the body is here? */
enum interim_when {
	INTERIM_OFF,
	/* Behind the web servers that pass it on. */
	INTERIM_AUTO,
	INTERIM_ON
};

struct settings {
	/* What the strings below belong to. */
	struct conf *conf;
	struct arena *arena;

	struct web_server server;

	/* Without a slash at the end; "" if the request tells. */
	const char *base_path;
	/* The FastCGI parameter that names the owner; "" if there is none. */
	const char *owner_param;

	/* Only our own proxy can have set Forwarded and X-Forwarded-*. */
	bool trust_forwarded;

	/* The IETF's protocol is spoken, too. */
	bool has_rufh;
	enum interim_when interim;

	enum sendfile_how sendfile;
	const char *sendfile_root;

	/* Where the store really is, once it is open; "" if nowhere. */
	const char *store_dir;

	/* Something is to connect to other hosts, with libcurl. */
	bool has_hosts;

	/* Where the metrics are to be had; NULL if they are not. */
	const char *metrics_path, *metrics_prefix;

	/* Where the status page is; NULL if it is nowhere. */
	const char *status_path;

	/* Milliseconds that make a request slow; 0: none is. */
	int64_t slow;

	/* Milliseconds. */
	int64_t lock_timeout, read_timeout, drain_timeout, shutdown_timeout;
	/* Between two sweeps; 0 is never. */
	int64_t sweep_every;
	/* Bytes a second a body must bring on average; 0 is any. */
	int64_t min_rate;

	/* The pool.  fixed: exactly max_workers of them, all the time. */
	int max_workers, min_spare, reserve;
	bool fixed;
	int64_t idle, max_requests;
};

/* What the command line says, and where we were called. */
struct settings_source {
	/* The configuration file; NULL if there is none. */
	const char *file;
	/* -w; 0 if it was not given. */
	int workers;
	/* "./uploads beside the program" of a CGI-style installation; NULL. */
	const char *default_store;
};

/* Is it recorded what each worker is at, and since when? */
static inline bool
settings_watch(const struct settings *s)
{
	return s->status_path != NULL || s->slow > 0;
}

/* ERR_INVALID: the text names file and line, or the key. */
MUST_CHECK enum err_code settings_load(
    struct settings *, const struct settings_source *, struct err *);
void settings_free(struct settings *);

/*
 * Open and close what settings.server works on.  try is for a configuration
 * that may yet be refused: it also looks at what a process that serves can do
 * without for a while.
 */
MUST_CHECK enum err_code settings_open_store(struct settings *, struct err *);
MUST_CHECK enum err_code settings_try_store(struct settings *, struct err *);
void settings_close_store(struct settings *);

/*
 * Read the configuration anew.  If it works the new settings take the place of
 * the old ones, and their store is open; some keys keep their value until the
 * program is started anew, and the log says so.  False, and the log says why,
 * if it does not work: then the old ones stay as they are.
 */
bool settings_reload(struct settings *, const struct settings_source *);

/* May an owner have only so much? */
bool settings_has_quota(const struct settings *);

/* Try out which names the place of finished uploads takes.  False if uploads
 * are not moved, or if that failed: then the struct has a code. */
bool settings_try_names(
    const struct settings *, struct template_names *, struct err *);

#endif
