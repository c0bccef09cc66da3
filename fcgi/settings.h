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
	SENDFILE_X_SENDFILE,
	/* A client is sent to a link of the store. */
	SENDFILE_REDIRECT
};

/* Is the client told the URL of its upload before the body has arrived? */
enum interim_when {
	INTERIM_OFF,
	/* Behind web servers that pass the interim response on. */
	INTERIM_AUTO,
	INTERIM_ON
};

struct settings {
	/* They own the strings below. */
	struct conf *conf;
	struct arena *arena;

	struct web_server server;

	/* Without a slash at the end; "" to derive it from each request. */
	const char *base_path;
	/* The FastCGI parameter that contains the owner; "" if there is
	 * none. */
	const char *owner_param;

	/* Forwarded and X-Forwarded-* can come from our own proxy only. */
	bool trust_forwarded;

	/* The IETF's protocol is accepted as well. */
	bool has_rufh;
	enum interim_when interim;

	enum sendfile_how sendfile;
	const char *sendfile_root;

	/* The store's directory without symbolic links, once it is open; "" if
	 * none. */
	const char *store_dir;

	/* The configuration requires connections to other hosts, through
	 * libcurl. */
	bool has_hosts;

	/* The path of the metrics; NULL if they are off. */
	const char *metrics_path;

	/* The path of the status page; NULL if it is off. */
	const char *status_path;

	/* From how many milliseconds on a request is logged as slow; 0:
	 * never. */
	int64_t slow;

	/* One of these two is on: it is recorded what each worker is doing, and
	 * since when. */
	bool is_watched;

	/* Milliseconds. */
	int64_t lock_timeout, read_timeout, drain_timeout, shutdown_timeout;
	/* The interval between sweeps; 0 is never. */
	int64_t sweep_every;
	/* Bytes a second that a body must reach on average; 0 is no limit. */
	int64_t min_rate;

	/* The pool. fixed: it always has exactly max_workers workers. */
	int max_workers, min_spare, reserve;
	bool fixed;
	int64_t idle, max_requests;
};

/* The command line, as far as the settings depend on it. */
struct settings_source {
	/* The configuration file; NULL if there is none. */
	const char *file;
	/* -w; 0 if it was not given. */
	int workers;
	/* "./uploads beside the program" of a CGI-style installation, or
	 * NULL. */
	const char *default_store;
};

/* Read the configuration.  ERR_INVALID: the text names file and line, or the
 * key. */
MUST_CHECK enum err_code settings_load(
    struct settings *, const struct settings_source *, struct err *);
void settings_free(struct settings *);

/*
 * Open and close the store, locker and hooks of settings.server.  The try
 * variant is for a configuration that may still be refused: it also checks what
 * a serving process opens only when needed.
 */
MUST_CHECK enum err_code settings_open_store(struct settings *, struct err *);
MUST_CHECK enum err_code settings_try_store(struct settings *, struct err *);
void settings_close_store(struct settings *);

/*
 * Read the configuration again.  On success the new settings replace the old
 * ones and their store is open; some keys keep their value until the program is
 * restarted, and the log names them.  False on failure, with the reason in the
 * log: then the old settings stay in force.
 */
bool settings_reload(struct settings *, const struct settings_source *);

/* Is the amount that an owner may store limited? */
bool settings_has_quota(const struct settings *);

/* Find out which file names the destination of finished uploads accepts.  False
 * if uploads are not moved, or on failure: then the struct has a code. */
bool settings_try_names(
    const struct settings *, struct template_names *, struct err *);

#endif
