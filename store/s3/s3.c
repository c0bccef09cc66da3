/*
 * s3.c - open the store of uploads in a bucket.
 */
#include "config.h"

#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file/info.h"
#include "store/s3/count.h"
#include "store/s3/s3.h"
#include "store/s3/xml.h"

static enum err_code
confirm(struct upload *up, struct err *e)
{
	(void)up;
	(void)e;
	return ERR_OK;
}

/* The finish of a whole upload failed: keep its bytes, so that they need not be
 * sent again. */
static void
close_upload(struct upload *up)
{
	struct s3_upload *u = s3_upload_of(up);
	struct err ignored;

	s3_drop_parts(u);
	if (u->start != -1 && !u->is_hidden && !u->is_terminated &&
	    (u->is_kept || !u->on_probation))
		(void)!s3_put_segment(u, up->info.offset, &ignored);
	s3_end_spool(u);
}

static void
shut_down(struct data_store *ds)
{
	struct s3_store *s = s3_store_of(ds);

	s3_release(s);
	s3_forget_lost(s);
	if (s->lease != NULL)
		explicit_bzero(s->lease, sizeof(*s->lease));
	explicit_bzero(&s->signer, sizeof(s->signer));
	free(s->lease);
	arena_free(s->scratch);
	arena_free(s->arena);
	free(s);
}

static const struct store_core core = {
	.new_upload = s3_new_upload,
	.new_hidden = s3_new_hidden,
	.get_upload = s3_get_upload,
	.find_upload = s3_find_upload,
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
	s->presign = conf->s3.presign / 1000;
	s->retries = conf->s3.retries;
	s->key = arena_strdup(s->arena, conf->s3.key);
	s->encryption = arena_strdup(s->arena, conf->s3.encryption);
	s->encryption_key = arena_strdup(s->arena, conf->s3.encryption_key);
	s->storage_class = arena_strdup(s->arena, conf->s3.storage_class);
	s->acl = arena_strdup(s->arena, conf->s3.acl);
	s->tags = arena_strdup(s->arena, conf->s3.tags);
	s->ca_file = arena_strdup(s->arena, conf->s3.ca_file);
	s->proxy = arena_strdup(s->arena, conf->s3.proxy);
	s->verify = conf->s3.verify;
	if (strcmp(conf->expiration.mode, "sliding") == 0)
		s->renewed_for = conf->expiration.after / 1000;
	s->min_free = conf->store.min_free;
	s->spool_dir = arena_strdup(s->arena, conf->s3.spool);
	s->signer.keys = &s->keys;
	s->signer.region = s->region;
	set_place(s, conf->s3.endpoint, conf->s3.addressing);
}

/* Keys that are refused because they would have no effect; and why. */
static enum err_code
refuse_others(const struct conf *conf, struct err *e)
{
	static const char directory[] =
	    "the uploads are in a bucket, not in a directory";
	static const char ledger[] =
	    "a bucket has no ledger of what an owner has";
	const struct {
		const char *key;
		const void *member;
		const char *why;
	} others[] = { { "store.path", &conf->store.path, directory },
		{ "store.durability", &conf->store.durability,
		    "what S3 has acknowledged is safe" },
		{ "store.dir_mode", &conf->store.dir_mode, directory },
		{ "store.file_mode", &conf->store.file_mode, directory },
		{ "store.overcommit", &conf->store.overcommit, directory },
		{ "store.shared", &conf->store.shared,
		    "any number of hosts may use a bucket" },
		{ "quota.uploads", &conf->quota.uploads, ledger },
		{ "quota.bytes", &conf->quota.bytes, ledger },
		{ "finish.move_to", &conf->finish.move_to,
		    "s3.key says what finished objects are called" } };
	size_t i;

	for (i = 0; i < NITEMS(others); i++)
		if (conf_is_set(conf, others[i].member))
			return err_set(e, ERR_INVALID,
			    "%s: remove it where store.type is \"s3\": %s",
			    others[i].key, others[i].why);
	return ERR_OK;
}

/* conf_where() without the line. */
static const char *
file_of(const struct conf *conf, const void *member, struct arena *a)
{
	char *name = arena_strdup(a, conf_where(conf, member));
	char *end = strrchr(name, ':');

	if (end == NULL)
		return name;
	*end = '\0';
	if ((end = strrchr(name, ':')) != NULL)
		*end = '\0';
	return name;
}

/* A world-readable file keeps no secret. */
static enum err_code
check_secret(const struct conf *conf, struct err *e)
{
	struct arena *a = arena_new();
	const char *file = file_of(conf, &conf->s3.secret_key, a);
	enum err_code rc = ERR_OK;
	struct stat st;

	if (*conf->s3.secret_key != '\0' && stat(file, &st) == 0 &&
	    (st.st_mode & S_IROTH) != 0)
		rc = err_set(e, ERR_INVALID,
		    "s3.secret_key: everybody may read %s; run: chmod o-r %s",
		    file, file);
	arena_free(a);
	return rc;
}

static enum err_code
check_keys(const struct conf *conf, struct err *e)
{
	enum err_code rc = refuse_others(conf, e);

	if (rc != ERR_OK || (rc = check_secret(conf, e)) != ERR_OK)
		return rc;
	if (*conf->s3.bucket == '\0')
		return err_set(
		    e, ERR_INVALID, "s3.bucket: has to be set for store s3");
	if ((*conf->s3.access_key != '\0') != (*conf->s3.secret_key != '\0'))
		return err_set(e, ERR_INVALID,
		    "s3.access_key and s3.secret_key: set both or none");
	if (*conf->s3.encryption_key != '\0' &&
	    strcmp(conf->s3.encryption, "aws:kms") != 0)
		return err_set(e, ERR_INVALID,
		    "s3.encryption_key needs s3.encryption = \"aws:kms\"");
	return s3_check_key(conf, e);
}

static bool is_kept;
static char id_here[ID_MAX + 1];

static enum err_code
open_keys(struct s3_store *s, const struct conf *conf, struct err *e)
{
	enum err_code rc = s3_find_keys(conf, s->arena, &s->keys, e);

	/* A profile that was asked for is not replaced by other keys. */
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (*conf->s3.profile != '\0')
		return e->code = ERR_INVALID;
	s->lease = must_alloc(sizeof(*s->lease));
	memset(s->lease, 0, sizeof(*s->lease));
	s->keys = (struct s3_keys){ s->lease->access, s->lease->secret,
		s->lease->token };
	/* A service that does not answer now may do so later, and s3_try_out()
	 * asks again. */
	(void)!s3_open_lease(s->http, s->region, e);
	return ERR_OK;
}

static enum err_code
open_store(const struct conf *conf, struct data_store **ds, struct err *e)
{
	struct s3_store *s = must_alloc(sizeof(*s));
	enum err_code rc;

	*s = (struct s3_store) {
		.base = {
			.name = "s3",
			.max_size = S3_SIZE_MAX,
			.is_always_settled = true,
			.core = &core,
			.terminater = &s3_terminater,
			.finisher = &s3_finisher,
			.pacer = &s3_pacer,
			.rester = &s3_rester,
			.reader = &s3_reader,
			.linker = &s3_linker,
			.concater = &s3_concater,
			.length_declarer = &s3_length_declarer,
			.expirer = &s3_expirer,
			.keeper = &s3_keeper,
			.mover = &s3_mover,
			.is_remote = true,
		},
		.arena = arena_new(),
		.scratch = arena_new(),
		.parallel = (size_t)conf->s3.parallel,
		.spare = -1,
		.is_kept = is_kept,
	};
	set_up(s, conf);
	info_set_up();
	if ((rc = http_load("store.type s3", &s->http, e)) != ERR_OK ||
	    (rc = s3_xml_load(e)) != ERR_OK ||
	    (rc = s3_count_open(e)) != ERR_OK ||
	    (rc = open_keys(s, conf, e)) != ERR_OK) {
		shut_down(&s->base);
		return rc;
	}
	if (s->verify && strncmp(s->origin, "https:", 6) == 0)
		s3_read_trust(s->ca_file);
	*ds = &s->base;
	return ERR_OK;
}

/* --- Before it is open. --- */

/* Locks of this host are agreed on by lock.path. */
static bool
locks_in_a_service(const struct conf *conf)
{
	return conf->lock.hosts[0] != NULL || *conf->lock.agent != '\0';
}

/* A bucket that cannot be read now is reported by the trial that follows. */
static enum err_code
attach(const struct conf *conf, enum store_use use, bool alone, struct err *e)
{
	struct data_store *ds;
	enum err_code rc;

	(void)alone;
	is_kept = use == STORE_KEPT;
	id_here[0] = '\0';
	if (!locks_in_a_service(conf) || open_store(conf, &ds, e) != ERR_OK)
		return ERR_OK;
	s3_be_quick(s3_store_of(ds));
	rc = s3_agree(
	    s3_store_of(ds), &conf->lock, use == STORE_SERVED, id_here, e);
	shut_down(ds);
	return rc == ERR_CONFLICT || rc == ERR_INVALID ? rc : ERR_OK;
}

static void
detach(void)
{
	is_kept = false;
	id_here[0] = '\0';
}

static const char *
id_of_store(void)
{
	return id_here;
}

static void
needs(const struct conf *conf, need_ear *ear, void *arg)
{
	ear(arg, NEED_HOSTS, NULL, NULL);
	ear(arg, NEED_PUT, "s3.spool", conf->s3.spool);
	if (*conf->s3.ca_file != '\0')
		ear(arg, NEED_READ, "s3.ca_file", conf->s3.ca_file);
	s3_keys_need(ear, arg);
}

static void
tend(const struct conf *conf)
{
	(void)conf;
	s3_tend_lease();
}

const struct store_class store_s3 = {
	.name = "s3",
	.check_keys = check_keys,
	.open = open_store,
	.needs = needs,
	.attach = attach,
	.detach = detach,
	.id = id_of_store,
	.figures = s3_figures,
	.tend = tend,
	.try_out = s3_try_out,
};
