/*
 * conf_key.c - the table of configuration keys and the values they accept.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/compat.h"
#include "base/conf.h"
#include "base/conf_key.h"
#include "base/template.h"

/* --- What strings may look like. --- */

#define LETTERS_DIGITS                                                         \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool
consists_of(const char *text, const char *bytes)
{
	return *text != '\0' && text[strspn(text, bytes)] == '\0';
}

/* No blanks, no controls, only ASCII. */
static bool
is_visible(const char *text)
{
	while (*text > ' ' && *text < 0x7f)
		text++;
	return *text == '\0';
}

static bool
is_anything(const char *text)
{
	(void)text;
	return true;
}

static bool
is_not_empty(const char *text)
{
	return *text != '\0';
}

static bool
is_path_or_empty(const char *text)
{
	return *text == '/' || *text == '\0';
}

static bool
is_template_or_empty(const char *text)
{
	return *text == '\0' || template_is_valid(text);
}

/* Likewise, after the slash that it begins with. */
static bool
is_object_key(const char *text)
{
	char path[1024];
	int len = snprintf(path, sizeof(path), "/%s", text);

	return len > 0 && (size_t)len < sizeof(path) && template_is_valid(path);
}

static bool
is_url_path(const char *text)
{
	return *text == '/' && is_visible(text) &&
	    strpbrk(text, "?#") == NULL && !starts_with(text, "//");
}

static bool
is_url_path_or_empty(const char *text)
{
	return *text == '\0' || is_url_path(text);
}

/* http:// or https:// and at least one more character. */
static bool
is_url(const char *text)
{
	size_t scheme = starts_with(text, "https://") ? 8 :
	    starts_with(text, "http://")	      ? 7 :
							0;

	return scheme > 0 && is_visible(text) && text[scheme] != '\0' &&
	    text[scheme] != '/';
}

static bool
is_url_or_empty(const char *text)
{
	return *text == '\0' || is_url(text);
}

static bool
is_location(const char *text)
{
	return strcmp(text, "path") == 0 || strcmp(text, "absolute") == 0 ||
	    (is_url(text) && strpbrk(text, "?#") == NULL);
}

/* An origin as browsers send it: no path, not even a slash at the end. */
static bool
is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
		return true;
	return host != NULL && host != text && is_visible(text) &&
	    host[3] != '\0' && strpbrk(host + 3, "/?#*,") == NULL;
}

static bool
is_token(const char *text)
{
	return consists_of(text, LETTERS_DIGITS "!#$%&'*+-.^_`|~");
}

static bool
is_param_or_empty(const char *text)
{
	return *text == '\0' || consists_of(text, LETTERS_DIGITS "_");
}

static bool
is_metric_name(const char *text)
{
	return consists_of(text, LETTERS_DIGITS "_:") &&
	    strchr("0123456789", *text) == NULL;
}

static bool
is_log_target(const char *text)
{
	return strcmp(text, "stderr") == 0 || strcmp(text, "syslog") == 0 ||
	    strchr(text, '/') != NULL;
}

static const struct conf_syntax anything = { is_anything, "any string" };
static const struct conf_syntax not_empty = { is_not_empty,
	"a string that is not empty" };
static const struct conf_syntax path_or_empty = { is_path_or_empty,
	"a path that begins with /, or empty" };
static const struct conf_syntax template_or_empty = { is_template_or_empty,
	"an absolute path with {id}, {owner}, {filename}, {year}, {month}, "
	"{day} or {meta:KEY} in it, or empty" };
static const struct conf_syntax object_key = { is_object_key,
	"a key that does not begin with /, with {id}, {owner}, {filename}, "
	"{year}, {month}, {day} or {meta:KEY} in it" };
static const struct conf_syntax visible = { is_visible,
	"printable ASCII without blanks" };
static const struct conf_syntax url_path = { is_url_path,
	"the path of a URL, beginning with one /" };
static const struct conf_syntax url_path_or_empty = { is_url_path_or_empty,
	"the path of a URL, beginning with one /, or empty" };
static const struct conf_syntax url_or_empty = { is_url_or_empty,
	"a URL that begins with http:// or https://, or empty" };
static const struct conf_syntax location = { is_location,
	"\"path\", \"absolute\", or a URL that begins with http:// or "
	"https://" };
static const struct conf_syntax origin = { is_origin,
	"an origin such as \"https://example.org\" without a path, or "
	"\"*\"" };
static const struct conf_syntax header_name = { is_token,
	"the name of a header" };
static const struct conf_syntax param_or_empty = { is_param_or_empty,
	"the name of a FastCGI parameter, or empty" };
static const struct conf_syntax metric_name = { is_metric_name,
	"letters, digits, _ and :" };
static const struct conf_syntax log_target = { is_log_target,
	"\"stderr\", \"syslog\", or a file name with a / in it" };

/* --- What there is to choose from. --- */

static const char *const file_names[] = { "auto", "unix", "windows", NULL };
static const char *const overcommits[] = { "each", "always", "never", NULL };
static const char *const durabilities[] = { "none", "data", "full", NULL };
static const char *const lock_methods[] = { "flock", "ofd", NULL };
static const char *const expiration_modes[] = { "sliding", "fixed", NULL };
static const char *const interims[] = { "off", "auto", "on", NULL };
static const char *const sendfiles[] = { "none", "x-accel", "x-sendfile",
	"redirect", NULL };
static const char *const addressings[] = { "auto", "path", "virtual", NULL };
static const char *const encryptions[] = { "", "AES256", "aws:kms", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug",
	NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const algorithms[] = { "sha1", "sha256", "sha512", "md5",
	"crc32", "crc32c", NULL };
static const char *const events[] = { "pre-create", "post-create",
	"post-receive", "pre-finish", "post-finish", "pre-terminate",
	"post-terminate", "post-expire", NULL };

/* --- The table. --- */

/* The name of a key, and the offset of its value; the member must be of this
 * type. */
#define KEY(member, type)                                                      \
#member,                                                               \
	    offsetof(struct conf, member) +                                    \
	    0 * sizeof(char[_Generic(((struct conf *)0)->member, type : 1)])

#define BOOL(member, fallback)                                                 \
	{                                                                      \
		KEY(member, bool), CONF_BOOL, fallback, 0, 1, NULL, NULL,      \
		    false                                                      \
	}
#define NUMBER(member, kind, fallback, min, max)                               \
	{                                                                      \
		KEY(member, int64_t), kind, fallback, min, max, NULL, NULL,    \
		    false                                                      \
	}
#define STRING(member, fallback, syntax)                                       \
	{                                                                      \
		KEY(member, const char *), CONF_STRING, fallback, 0, 0, NULL,  \
		    syntax, false                                              \
	}
#define FIXED(member, fallback, choices, syntax)                               \
	{                                                                      \
		KEY(member, const char *), CONF_STRING, fallback, 0, 0,        \
		    choices, syntax, true                                      \
	}
#define FIXED_BOOL(member, fallback)                                           \
	{                                                                      \
		KEY(member, bool), CONF_BOOL, fallback, 0, 1, NULL, NULL, true \
	}
#define FIXED_LIST(member, fallback, syntax)                                   \
	{                                                                      \
		KEY(member, const char *const *), CONF_LIST, fallback, 0, 0,   \
		    NULL, syntax, true                                         \
	}
#define FIXED_DURATION(member, fallback, min, max)                             \
	{                                                                      \
		KEY(member, int64_t), CONF_DURATION, fallback, min, max, NULL, \
		    NULL, true                                                 \
	}
#define CHOICE(member, fallback, choices)                                      \
	{                                                                      \
		KEY(member, const char *), CONF_STRING, fallback, 0, 0,        \
		    choices, NULL, false                                       \
	}
#define LIST(member, fallback, choices, syntax)                                \
	{                                                                      \
		KEY(member, const char *const *), CONF_LIST, fallback, 0, 0,   \
		    choices, syntax, false                                     \
	}

static const struct conf_key keys[] = {
	STRING(base_path, "", &url_path_or_empty),
	STRING(location, "path", &location),
	BOOL(trust_forwarded, "false"),
	NUMBER(max_size, CONF_SIZE, "0", 0, SIZE_LIMIT),
	NUMBER(max_metadata, CONF_SIZE, "4096", 0, 64 * KIB),

	FIXED(store.type, "file", NULL, &not_empty),
	FIXED(store.path, "/var/lib/tusfcgi", NULL, &not_empty),
	CHOICE(store.durability, "data", durabilities),
	FIXED_BOOL(store.shared, "false"),
	NUMBER(store.dir_mode, CONF_MODE, "0770", 0700, 02775),
	NUMBER(store.file_mode, CONF_MODE, "0660", 0600, 0664),
	NUMBER(store.min_free, CONF_SIZE, "64M", 0, SIZE_LIMIT),
	CHOICE(store.overcommit, "each", overcommits),

	FIXED(lock.type, "flock", NULL, &not_empty),
	FIXED(lock.path, "", NULL, &anything),
	FIXED(lock.method, "flock", lock_methods, NULL),
	NUMBER(lock.timeout, CONF_DURATION, "5s", 0, HOURS(1)),
	FIXED_LIST(lock.hosts, "", &not_empty),
	FIXED(lock.prefix, "/tus", NULL, &not_empty),
	FIXED_DURATION(lock.session, "10s", SECONDS(4), SECONDS(60)),
	FIXED_DURATION(lock.reply, "2s", SECONDS(1), SECONDS(10)),
	FIXED(lock.user, "", NULL, &anything),
	FIXED(lock.password_file, "", NULL, &path_or_empty),
	FIXED(lock.agent, "", NULL, &path_or_empty),
	FIXED_BOOL(lock.tls, "false"),
	FIXED(lock.ca_file, "", NULL, &path_or_empty),
	FIXED(lock.cert_file, "", NULL, &path_or_empty),
	FIXED(lock.key_file, "", NULL, &path_or_empty),
	FIXED(lock.sentinel, "", NULL, &anything),

	BOOL(extensions.termination, "true"),
	BOOL(extensions.concatenation, "true"),
	BOOL(extensions.defer_length, "true"),
	BOOL(extensions.checksum, "true"),
	BOOL(extensions.download, "true"),
	BOOL(extensions.termination_of_finished, "true"),

	BOOL(concatenation.keep_parts, "true"),
	LIST(checksum.algorithms, "sha1, sha256, sha512, md5, crc32, crc32c",
	    algorithms, NULL),

	NUMBER(expiration.after, CONF_DURATION, "0", 0, DAYS(3650)),
	CHOICE(expiration.mode, "sliding", expiration_modes),
	NUMBER(expiration.sweep, CONF_DURATION, "1h", 0, DAYS(365)),

	NUMBER(retention.after, CONF_DURATION, "0", 0, DAYS(3650)),

	CHOICE(download.sendfile, "none", sendfiles),
	STRING(download.sendfile_root, "", &path_or_empty),

	LIST(cors.origins, "", NULL, &origin),
	BOOL(cors.credentials, "false"),
	NUMBER(cors.max_age, CONF_INT, "86400", 0, 31536000),
	LIST(cors.extra_headers, "", NULL, &header_name),

	BOOL(rufh.enable, "false"),
	CHOICE(rufh.interim, "auto", interims),
	NUMBER(rufh.max_append_size, CONF_SIZE, "0", 0, SIZE_LIMIT),
	BOOL(rufh.plain, "false"),

	STRING(owner.param, "", &param_or_empty),
	BOOL(owner.require, "false"),
	NUMBER(quota.uploads, CONF_INT, "0", 0, INT32_MAX),
	NUMBER(quota.bytes, CONF_SIZE, "0", 0, SIZE_LIMIT),

	STRING(pool.listen, "", &anything),
	NUMBER(pool.mode, CONF_MODE, "0660", 0600, 0777),
	STRING(pool.user, "", &anything),
	STRING(pool.group, "", &anything),
	NUMBER(pool.backlog, CONF_INT, "4096", 1, 65535),
	NUMBER(pool.min_spare, CONF_INT, "4", 1, 4096),
	NUMBER(pool.max_workers, CONF_INT, "256", 1, 4096),
	NUMBER(pool.reserve, CONF_INT, "4", 0, 4095),
	NUMBER(pool.idle, CONF_DURATION, "60s", SECONDS(1), DAYS(1)),
	NUMBER(pool.max_parked, CONF_INT, "16384", 0, 1000000),
	NUMBER(pool.max_requests, CONF_INT, "0", 0, INT32_MAX),
	BOOL(pool.sandbox, "true"),

	NUMBER(timeouts.read, CONF_DURATION, "60s", 100, DAYS(1)),
	NUMBER(timeouts.min_rate, CONF_SIZE, "0", 0, 1024 * MIB),
	NUMBER(timeouts.shutdown, CONF_DURATION, "10s", 0, HOURS(1)),
	NUMBER(timeouts.drain, CONF_DURATION, "10s", 0, HOURS(1)),

	CHOICE(log.level, "info", log_levels),
	CHOICE(log.format, "text", log_formats),
	STRING(log.target, "stderr", &log_target),
	NUMBER(log.slow, CONF_DURATION, "0", 0, HOURS(24)),

	BOOL(metrics.enabled, "false"),
	STRING(metrics.path, "/metrics", &url_path),
	STRING(metrics.prefix, "tusd", &metric_name),

	STRING(status.path, "", &url_path_or_empty),

	LIST(hooks.events,
	    "pre-create, post-create, post-receive, pre-finish, post-finish, "
	    "pre-terminate, post-terminate",
	    events, NULL),
	STRING(hooks.dir, "", &path_or_empty),
	STRING(hooks.url, "", &url_or_empty),
	STRING(hooks.spool, "", &path_or_empty),
	LIST(hooks.forward_headers, "", NULL, &header_name),
	NUMBER(hooks.timeout, CONF_DURATION, "15s", 1, HOURS(1)),
	NUMBER(hooks.retries, CONF_INT, "3", 0, 100),
	NUMBER(hooks.backoff, CONF_DURATION, "1s", 0, HOURS(1)),
	STRING(hooks.secret, "", &anything),
	NUMBER(hooks.progress, CONF_DURATION, "1s", 0, HOURS(1)),

	STRING(finish.move_to, "", &template_or_empty),
	CHOICE(finish.names, "auto", file_names),
	NUMBER(finish.keep_record, CONF_DURATION, "7d", 0, DAYS(3650)),

	FIXED(s3.endpoint, "", NULL, &url_or_empty),
	FIXED(s3.bucket, "", NULL, &anything),
	FIXED(s3.region, "us-east-1", NULL, &not_empty),
	FIXED(s3.prefix, "", NULL, &anything),
	FIXED(s3.record_prefix, "", NULL, &anything),
	STRING(s3.key, "{id}", &object_key),
	CHOICE(s3.addressing, "auto", addressings),
	STRING(s3.access_key, "", &anything),
	STRING(s3.secret_key, "", &anything),
	STRING(s3.profile, "", &anything),
	NUMBER(s3.part_size, CONF_SIZE, "8M", 4 * KIB, 5 * 1024 * MIB),
	BOOL(s3.part_growth, "true"),
	NUMBER(s3.parallel, CONF_INT, "2", 1, 8),
	STRING(s3.spool, "/var/tmp", &path_or_empty),
	BOOL(s3.sign_payload, "false"),
	BOOL(s3.metadata, "true"),
	CHOICE(s3.encryption, "", encryptions),
	STRING(s3.encryption_key, "", &visible),
	STRING(s3.storage_class, "", &visible),
	STRING(s3.acl, "", &visible),
	STRING(s3.tags, "", &visible),
	STRING(s3.ca_file, "", &path_or_empty),
	STRING(s3.proxy, "", &url_or_empty),
	BOOL(s3.verify, "true"),
	NUMBER(s3.timeout, CONF_DURATION, "10s", 100, HOURS(1)),
	NUMBER(s3.retries, CONF_INT, "3", 0, 100),
	NUMBER(s3.presign, CONF_DURATION, "5m", SECONDS(1), DAYS(7)),
	BOOL(s3.tusd_urls, "false"),
};

const struct conf_key *
conf_key(size_t n)
{
	return n < NITEMS(keys) ? &keys[n] : NULL;
}

size_t
conf_key_count(void)
{
	return NITEMS(keys);
}

size_t
conf_key_find(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			break;
	return i;
}

bool
conf_key_is_group(const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < NITEMS(keys); i++)
		if (starts_with(keys[i].name, name) && keys[i].name[len] == '.')
			return true;
	return false;
}
