/*
 * conf.h - the configuration: one struct of values, read with libconfig.
 *
 * A struct conf always has a value for every key of tusfcgi.conf(5): the
 * built-in default, the value of the file, or that of the command line.  The
 * key "store.path" is the member store.path, so a misspelt name does not
 * compile.  Values are for reading only: conf_read(), conf_set() and conf_put()
 * validate and write them.
 *
 * A string is never NULL, but "" where nothing is set.  A list ends with NULL
 * and is never NULL itself.  Sizes are bytes, durations milliseconds (timeouts
 * may be fractions of a second), modes permission bits.  All of it belongs to
 * the conf.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct conf_store {
	const char *type, *path, *durability, *overcommit;
	bool shared;
	int64_t dir_mode, file_mode, min_free;
};

struct conf_lock {
	const char *type, *path, *method;
	int64_t timeout;
	const char *const *hosts;
	const char *prefix;
	int64_t session, reply;
	const char *user, *password_file, *agent;
	bool tls;
	const char *ca_file, *cert_file, *key_file, *sentinel;
};

struct conf_extensions {
	bool termination, concatenation, defer_length, checksum, download;
	bool termination_of_finished;
};

struct conf_concatenation {
	bool keep_parts;
};

struct conf_checksum {
	const char *const *algorithms;
};

struct conf_expiration {
	int64_t after;
	const char *mode;
	int64_t sweep;
};

struct conf_retention {
	int64_t after;
};

struct conf_download {
	const char *sendfile, *sendfile_root;
};

struct conf_cors {
	const char *const *origins;
	bool credentials;
	/* Seconds. */
	int64_t max_age;
	const char *const *extra_headers;
};

struct conf_rufh {
	bool enable;
	const char *interim;
	int64_t max_append_size;
	bool plain;
};

struct conf_owner {
	const char *param;
	bool require;
};

struct conf_quota {
	int64_t uploads, bytes;
};

struct conf_pool {
	const char *listen;
	int64_t mode;
	const char *user, *group;
	int64_t backlog;
	int64_t min_spare, max_workers, reserve;
	int64_t idle;
	int64_t max_requests;
	int64_t max_parked;
	bool sandbox;
};

struct conf_timeouts {
	int64_t read;
	/* Bytes a second. */
	int64_t min_rate;
	int64_t shutdown, drain;
};

struct conf_log {
	const char *level, *format, *target;
	int64_t slow;
};

struct conf_metrics {
	bool enabled;
	const char *path, *prefix;
};

struct conf_status {
	const char *path;
};

struct conf_hooks {
	const char *const *events;
	const char *dir, *url, *spool;
	const char *const *forward_headers;
	int64_t timeout;
	int64_t retries;
	int64_t backoff;
	const char *secret;
	int64_t progress;
};

struct conf_finish {
	const char *move_to, *names;
	int64_t keep_record;
};

struct conf_s3 {
	const char *endpoint, *bucket, *region, *prefix, *record_prefix, *key;
	const char *addressing, *access_key, *secret_key, *profile;
	int64_t part_size;
	bool part_growth;
	int64_t parallel;
	const char *spool;
	bool sign_payload, metadata;
	const char *encryption, *encryption_key, *storage_class, *acl, *tags;
	const char *ca_file, *proxy;
	bool verify;
	int64_t timeout, retries, presign;
	bool tusd_urls;
};

struct conf {
	const char *base_path, *location;
	bool trust_forwarded;
	int64_t max_size, max_metadata;
	struct conf_store store;
	struct conf_lock lock;
	struct conf_extensions extensions;
	struct conf_concatenation concatenation;
	struct conf_checksum checksum;
	struct conf_expiration expiration;
	struct conf_retention retention;
	struct conf_download download;
	struct conf_cors cors;
	struct conf_rufh rufh;
	struct conf_owner owner;
	struct conf_quota quota;
	struct conf_pool pool;
	struct conf_timeouts timeouts;
	struct conf_log log;
	struct conf_metrics metrics;
	struct conf_status status;
	struct conf_hooks hooks;
	struct conf_finish finish;
	struct conf_s3 s3;
};

/* A conf with the defaults.  conf_free(NULL) is allowed. */
struct conf *conf_new(void);
void conf_free(struct conf *);

/*
 * Read a file over the present values, and conf_check() them.  ERR_INVALID with
 * "FILE:LINE: the mistake" for a syntax error, an unknown key (and the nearest
 * known one), a wrong type or a value out of range; ERR_SYSTEM if the file
 * cannot be read.  After an error the conf has part of the file: free it.
 */
MUST_CHECK enum err_code conf_read(
    struct conf *, const char *file, struct err *);

/*
 * Set one key from text, in the syntax of the file without quotes: "10M",
 * "5m", "true", "0660"; the elements of a list are separated by commas.
 */
MUST_CHECK enum err_code conf_set(
    struct conf *, const char *key, const char *value, struct err *);

/* The same for the key of this member of the conf: conf_put(c, &c->store.path,
 * ...). */
MUST_CHECK enum err_code conf_put(
    struct conf *, const void *member, const char *value, struct err *);

/*
 * Check the rules between keys: ERR_INVALID names both.  conf_read() calls
 * this; call it again after the last conf_set().  Defaults never conflict with
 * values that were set: pool.min_spare and pool.reserve, if not set, adapt to a
 * small pool.max_workers.
 */
MUST_CHECK enum err_code conf_check(const struct conf *, struct err *);

/*
 * The n-th key that keeps its value as long as a program runs (where uploads
 * are and which locks guard them), NULL after the last; and its value.
 */
const char *conf_fixed_key(size_t n);
const char *conf_fixed_value(const struct conf *, size_t n);

/* Give such a key the value that it has in another conf; false if it has that
 * already. */
bool conf_keep(struct conf *, const struct conf *from, size_t n);

/* Does the key, of a number or a duration, accept the text?  Then *number is
 * its value, in milliseconds for a duration. */
bool conf_takes(const char *key, const char *text, int64_t *number);

/* Where the key of this member was set: "FILE:LINE: ", or "" if not in a
 * file. */
const char *conf_where(const struct conf *, const void *member);

/* Was the key of this member set by the file, conf_set() or conf_put()? */
bool conf_is_set(const struct conf *, const void *member);

#endif
