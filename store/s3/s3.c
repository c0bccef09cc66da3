/*
 * s3.c - open the store of uploads in a bucket.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file/info.h"
#include "store/s3/cred.h"
#include "store/s3/s3.h"
#include "store/s3/xml.h"

struct s3_store *
s3_store_of(struct data_store *ds)
{
	return OUTER(ds, struct s3_store, base);
}

struct s3_upload *
s3_upload_of(struct upload *up)
{
	return OUTER(up, struct s3_upload, base);
}

static enum err_code
confirm(struct upload *up, struct err *e)
{
	(void)up;
	(void)e;
	return ERR_OK;
}

/* Whole, and the finish did not come about: its bytes need not come again. */
static void
close_upload(struct upload *up)
{
	struct s3_upload *u = s3_upload_of(up);
	struct err ignored;

	if (u->start != -1 && !u->is_hidden && !u->is_terminated &&
	    (u->is_kept || !u->on_probation))
		(void)!s3_put_segment(u, up->info.offset, &ignored);
	s3_end_spool(u);
}

static void
shut_down(struct data_store *ds)
{
	struct s3_store *s = s3_store_of(ds);

	if (s->curl != NULL && s->owner == getpid())
		s->http->easy_cleanup(s->curl);
	if (s->spare != -1)
		(void)close(s->spare);
	free(s->answer);
	arena_free(s->scratch);
	arena_free(s->arena);
	free(s);
}

static const struct store_core core = {
	.new_upload = s3_new_upload,
	.new_hidden = s3_new_hidden,
	.get_upload = s3_get_upload,
	.claim = s3_claim,
	.confirm = confirm,
	.write_begin = s3_write_begin,
	.write = s3_write,
	.write_end = s3_write_end,
	.close = close_upload,
	.shutdown = shut_down,
};

/* --- Where it is. --- */

static bool
is_aws(const char *host)
{
	static const char domain[] = ".amazonaws.com";
	size_t len = strlen(host), end = strlen(domain);

	return len > end && strcmp(host + len - end, domain) == 0;
}

/* libcurl leaves the port of the scheme out of Host, and so must we. */
static const char *
host_of(struct arena *a, const char *endpoint)
{
	bool is_tls = strncmp(endpoint, "https:", 6) == 0;
	const char *host = strstr(endpoint, "://") + 3;
	const char *usual = is_tls ? ":443" : ":80";
	size_t len = strcspn(host, "/"), end = strlen(usual);

	if (len > end && strncmp(host + len - end, usual, end) == 0)
		len -= end;
	return arena_memdup(a, host, len);
}

static void
set_place(struct s3_store *s, const char *endpoint, const char *addressing)
{
	struct arena *a = s->arena;
	const char *scheme, *host;
	bool in_host;

	if (*endpoint == '\0')
		endpoint =
		    arena_printf(a, "https://s3.%s.amazonaws.com", s->region);
	host = host_of(a, endpoint);
	scheme = strncmp(endpoint, "https:", 6) == 0 ? "https" : "http";
	in_host = strcmp(addressing, "virtual") == 0 ||
	    (strcmp(addressing, "auto") == 0 && is_aws(host) &&
		strchr(s->bucket, '.') == NULL);
	s->host = in_host ? arena_printf(a, "%s.%s", s->bucket, host) : host;
	s->root = in_host ? "" : arena_printf(a, "/%s", s->bucket);
	s->origin = arena_printf(a, "%s://%s", scheme, s->host);
}

static void
set_up(struct s3_store *s, const struct conf *conf)
{
	const char *region = getenv("AWS_REGION");

	s->bucket = arena_strdup(s->arena, conf->s3.bucket);
	s->region = arena_strdup(s->arena, conf->s3.region);
	if (!conf_is_set(conf, &conf->s3.region) && region != NULL)
		s->region = arena_strdup(s->arena, region);
	s->prefix = arena_strdup(s->arena, conf->s3.prefix);
	s->record_prefix = conf_is_set(conf, &conf->s3.record_prefix) ?
	    arena_strdup(s->arena, conf->s3.record_prefix) :
	    s->prefix;
	s->part_size = conf->s3.part_size;
	s->part_growth = conf->s3.part_growth;
	s->has_metadata = conf->s3.metadata;
	s->sign_payload = conf->s3.sign_payload;
	s->timeout = conf->s3.timeout;
	s->retries = conf->s3.retries;
	s->ca_file = arena_strdup(s->arena, conf->s3.ca_file);
	s->verify = conf->s3.verify;
	if (strcmp(conf->expiration.mode, "sliding") == 0)
		s->renewed_for = conf->expiration.after / 1000;
	s->spool_dir = arena_strdup(s->arena, conf->s3.spool);
	set_place(s, conf->s3.endpoint, conf->s3.addressing);
}

/* What means nothing here is not to be believed to mean something. */
static enum err_code
check(const struct conf *conf, struct err *e)
{
	const struct {
		const char *key;
		const void *member;
	} others[] = { { "store.path", &conf->store.path },
		{ "store.durability", &conf->store.durability },
		{ "store.dir_mode", &conf->store.dir_mode },
		{ "store.file_mode", &conf->store.file_mode } };
	size_t i;

	for (i = 0; i < NITEMS(others); i++)
		if (conf_is_set(conf, others[i].member))
			return err_set(e, ERR_INVALID,
			    "%s: means nothing where store.type is \"s3\"",
			    others[i].key);
	if (*conf->s3.bucket == '\0')
		return err_set(
		    e, ERR_INVALID, "s3.bucket: has to be set for store s3");
	if (strcmp(conf->lock.type, "flock") == 0 && *conf->lock.path == '\0')
		return err_set(e, ERR_INVALID,
		    "lock.path: has to be set where store.type is \"s3\"");
	return ERR_OK;
}

static enum err_code
open_store(const struct conf *conf, struct data_store **ds, struct err *e)
{
	struct s3_store *s;
	enum err_code rc;

	if ((rc = check(conf, e)) != ERR_OK)
		return rc;
	s = must_alloc(sizeof(*s));
	*s = (struct s3_store) {
		.base = {
			.name = "s3",
			.core = &core,
			.terminater = &s3_terminater,
			.finisher = &s3_finisher,
			.reader = &s3_reader,
			.concater = &s3_concater,
			.length_declarer = &s3_length_declarer,
			.expirer = &s3_expirer,
		},
		.arena = arena_new(),
		.scratch = arena_new(),
		.spare = -1,
	};
	set_up(s, conf);
	info_set_up();
	if ((rc = http_load("store.type s3", &s->http, e)) != ERR_OK ||
	    (rc = s3_xml_load(e)) != ERR_OK ||
	    (rc = s3_find_keys(conf, s->arena, &s->keys, e)) != ERR_OK) {
		shut_down(&s->base);
		return rc;
	}
	*ds = &s->base;
	return ERR_OK;
}

static void
needs(const struct conf *conf, need_ear *ear, void *arg)
{
	ear(arg, NEED_HOSTS, NULL, NULL);
	ear(arg, NEED_PUT, "s3.spool", conf->s3.spool);
	if (*conf->s3.ca_file != '\0')
		ear(arg, NEED_READ, "s3.ca_file", conf->s3.ca_file);
}

const struct store_class store_s3 = {
	.name = "s3",
	.open = open_store,
	.needs = needs,
};
