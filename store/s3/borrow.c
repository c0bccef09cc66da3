/*
 * borrow.c - ask a service for keys, as AWS's own programs do.
 */
#include "config.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/s3/cred.h"
#include "store/s3/xml.h"

/* Milliseconds.  Where there is no such service, no answer comes at all. */
#define CONNECT_TIMEOUT 1000L
#define TIMEOUT		5000L

#define ANSWER_MAX	65536

/* A token of a web identity or of a container. */
#define TOKEN_MAX 16384

static const char container_host[] = "http://169.254.170.2";
static const char machine_host[] = "http://169.254.169.254";
static const char machine_path[] =
    "/latest/meta-data/iam/security-credentials/";

/* A question to a service, and its answer with a NUL behind it. */
struct question {
	const struct http_lib *http;
	struct arena *a;
	const char *method, *url;
	struct curl_slist *headers;
	const char *body;
	char *answer;
	size_t len;
	long status;
};

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* --- HTTP. --- */

static size_t
take(char *buf, size_t size, size_t n, void *arg)
{
	struct question *q = arg;

	n *= size;
	if (q->len + n >= ANSWER_MAX)
		return 0;
	memcpy(q->answer + q->len, buf, n);
	q->len += n;
	q->answer[q->len] = '\0';
	return n;
}

static void
add_header(struct question *q, const char *name, const char *value)
{
	const char *line = arena_printf(q->a, "%s: %s", name, value);
	struct curl_slist *longer = q->http->slist_append(q->headers, line);

	if (longer == NULL)
		out_of_memory();
	q->headers = longer;
}

static void
set_up(const struct question *q, CURL *curl)
{
	const struct http_lib *http = q->http;

	(void)http->easy_setopt(curl, CURLOPT_URL, q->url);
	(void)http->easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
	(void)http->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)http->easy_setopt(curl, CURLOPT_PROXY, "");
	(void)http->easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)http->easy_setopt(
	    curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT);
	(void)http->easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT);
	(void)http->easy_setopt(curl, CURLOPT_HTTPHEADER, q->headers);
	(void)http->easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)http->easy_setopt(curl, CURLOPT_WRITEDATA, q);
	if (q->body != NULL)
		(void)http->easy_setopt(curl, CURLOPT_POSTFIELDS, q->body);
}

static enum err_code
ask(struct question *q, struct err *e)
{
	CURL *curl = q->http->easy_init();
	CURLcode code;

	if (curl == NULL)
		out_of_memory();
	q->answer = arena_alloc(q->a, ANSWER_MAX);
	set_up(q, curl);
	code = q->http->easy_perform(curl);
	(void)q->http->easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &q->status);
	q->http->easy_cleanup(curl);
	q->http->slist_free_all(q->headers);
	q->headers = NULL;
	if (code != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "%.100s: %s", q->url,
		    q->http->easy_strerror(code));
	if (q->status != 200)
		return err_set(e, ERR_UNAVAILABLE, "%.100s: status %ld", q->url,
		    q->status);
	return ERR_OK;
}

/* --- The answer of a service. --- */

static bool
put(char *to, size_t room, const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= room)
		return false;
	memcpy(to, text, len + 1);
	return true;
}

/* One value by its name at the service; SessionToken is STS's for Token. */
static void
take_value(struct s3_lease *l, const char *name, const char *value)
{
	const struct {
		const char *name;
		char *to;
		size_t room;
	} texts[] = {
		{ "AccessKeyId", l->access, sizeof(l->access) },
		{ "SecretAccessKey", l->secret, sizeof(l->secret) },
		{ "Token", l->token, sizeof(l->token) },
		{ "SessionToken", l->token, sizeof(l->token) },
	};
	size_t i;

	if (strcmp(name, "Expiration") == 0)
		l->until = clock_read_date(value);
	for (i = 0; i < NITEMS(texts); i++)
		if (strcmp(texts[i].name, name) == 0)
			(void)put(texts[i].to, texts[i].room, value);
}

static enum err_code
judge(const struct question *q, struct s3_lease *l, struct err *e)
{
	l->since = clock_now();
	if (*l->access != '\0' && *l->secret != '\0' && *l->token != '\0' &&
	    l->until > l->since)
		return ERR_OK;
	return err_set(
	    e, ERR_UNAVAILABLE, "%.100s: no keys that are good now", q->url);
}

static enum err_code
take_json(const struct question *q, struct s3_lease *l, struct err *e)
{
	json_t *root = json_loads(q->answer, 0, NULL);
	const char *name;
	void *at;

	for (at = json_object_iter(root); at != NULL;
	     at = json_object_iter_next(root, at)) {
		name = json_object_iter_key(at);
		if (json_is_string(json_object_iter_value(at)))
			take_value(l, name,
			    json_string_value(json_object_iter_value(at)));
	}
	json_decref(root);
	return judge(q, l, e);
}

static void
see_text(void *arg, const struct s3_xml_text *t)
{
	if (strcmp(t->parent, "Credentials") == 0)
		take_value(arg, t->name, t->text);
}

static void
ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

/* --- A web identity, as in a pod of Kubernetes. --- */

/* The first line: a token ends with the file or before its newline. */
static const char *
read_token(struct arena *a, const char *path, struct err *e)
{
	char *text = arena_alloc(a, TOKEN_MAX);
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL) {
		(void)err_sys(e, "%s", path);
		return NULL;
	}
	n = fread(text, 1, TOKEN_MAX - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static enum err_code
ask_sts(
    struct question *q, const char *region, struct s3_lease *l, struct err *e)
{
	const char *sts = variable("AWS_ENDPOINT_URL_STS");
	const char *session = variable("AWS_ROLE_SESSION_NAME");
	const char *token =
	    read_token(q->a, variable("AWS_WEB_IDENTITY_TOKEN_FILE"), e);
	enum err_code rc;

	if (token == NULL)
		return e->code = ERR_UNAVAILABLE;
	q->method = "POST";
	q->url = sts != NULL ?
	    sts :
	    arena_printf(q->a, "https://sts.%s.amazonaws.com/", region);
	q->body = arena_printf(q->a,
	    "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=%s"
	    "&RoleSessionName=%s&WebIdentityToken=%s",
	    s3_encode(q->a, variable("AWS_ROLE_ARN")),
	    s3_encode(q->a, session != NULL ? session : PACKAGE_NAME),
	    s3_encode(q->a, token));
	if ((rc = ask(q, e)) != ERR_OK ||
	    (rc = s3_xml_read(q->answer, q->len, see_text, ignore, l, e)) !=
		ERR_OK)
		return rc;
	return judge(q, l, e);
}

/* --- A container, as at ECS. --- */

/* To any other host the token must not go unencrypted. */
static bool
may_be_asked(const char *url)
{
	static const char *const near[] = { "https://", "http://127.0.0.1",
		"http://localhost", "http://[::1]", "http://169.254.170.2",
		"http://169.254.170.23", "http://[fd00:ec2::23]" };
	size_t i, len;

	for (i = 0; i < NITEMS(near); i++) {
		len = strlen(near[i]);
		if (strncmp(url, near[i], len) == 0 &&
		    (i == 0 || strchr(":/", url[len]) != NULL))
			return true;
	}
	return false;
}

static enum err_code
ask_container(struct question *q, struct s3_lease *l, struct err *e)
{
	const char *relative =
	    variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	enum err_code rc;

	if (file != NULL && (token = read_token(q->a, file, e)) == NULL)
		return e->code = ERR_UNAVAILABLE;
	q->method = "GET";
	q->url = relative != NULL ?
	    arena_printf(q->a, "%s%s", container_host, relative) :
	    variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	if (!may_be_asked(q->url))
		return err_set(e, ERR_INVALID,
		    "AWS_CONTAINER_CREDENTIALS_FULL_URI: neither https:// nor "
		    "this machine");
	if (token != NULL)
		add_header(q, "Authorization", token);
	if ((rc = ask(q, e)) != ERR_OK)
		return rc;
	return take_json(q, l, e);
}

/* --- A machine of EC2. --- */

static enum err_code
get_with(struct question *q, const char *token, const char *url, struct err *e)
{
	q->method = "GET";
	q->url = url;
	q->len = 0;
	add_header(q, "X-aws-ec2-metadata-token", token);
	return ask(q, e);
}

static enum err_code
ask_machine(struct question *q, struct s3_lease *l, struct err *e)
{
	const char *host = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *token, *url;
	enum err_code rc;

	if (host == NULL)
		host = machine_host;
	q->method = "PUT";
	q->url = arena_printf(q->a, "%s/latest/api/token", host);
	add_header(q, "X-aws-ec2-metadata-token-ttl-seconds", "60");
	if ((rc = ask(q, e)) != ERR_OK)
		return rc;
	token = q->answer;
	url = arena_printf(q->a, "%s%s", host, machine_path);
	if ((rc = get_with(q, token, url, e)) != ERR_OK)
		return rc;
	q->answer[strcspn(q->answer, "\r\n")] = '\0';
	url = arena_printf(q->a, "%s%s", url, s3_encode(q->a, q->answer));
	if ((rc = get_with(q, token, url, e)) != ERR_OK)
		return rc;
	return take_json(q, l, e);
}

/* --- All of them. --- */

static enum err_code
ask_any(
    struct question *q, const char *region, struct s3_lease *l, struct err *e)
{
	const char *off = variable("AWS_EC2_METADATA_DISABLED");
	enum err_code rc = ERR_UNAVAILABLE;

	if (variable("AWS_WEB_IDENTITY_TOKEN_FILE") != NULL &&
	    variable("AWS_ROLE_ARN") != NULL)
		return ask_sts(q, region, l, e);
	if (variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
	    variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL)
		return ask_container(q, l, e);
	if (off == NULL || strcmp(off, "true") != 0)
		rc = ask_machine(q, l, e);
	/* Where no service has answered, this is no machine of EC2. */
	if (rc == ERR_OK || (q->url != NULL && q->status != 0))
		return rc;
	return err_set(e, ERR_INVALID,
	    "no keys for S3: set s3.access_key and s3.secret_key, or "
	    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into "
	    "~/.aws/credentials; tusfcgi.conf(5), KEYS OF A BUCKET, has the "
	    "other ways");
}

enum err_code
s3_borrow_keys(const struct http_lib *http, const char *region,
    struct s3_lease *lease, struct err *e)
{
	struct question q = { .http = http, .a = arena_new() };
	enum err_code rc;

	memset(lease, 0, sizeof(*lease));
	rc = ask_any(&q, region, lease, e);
	arena_free(q.a);
	return rc;
}

/* A mounted token is replaced by another file of the folder. */
static void
need_file(need_ear *ear, void *arg, const char *name, const char *path)
{
	struct arena *a = arena_new();
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;

	if (slash != NULL)
		ear(arg, NEED_READ, name,
		    arena_memdup(a, path, (size_t)(slash - path) + 1));
	arena_free(a);
}

void
s3_keys_need(need_ear *ear, void *arg)
{
	static const char *const files[] = { "AWS_SHARED_CREDENTIALS_FILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" };
	const char *home = variable("HOME");
	struct arena *a = arena_new();
	size_t i;

	for (i = 0; i < NITEMS(files); i++)
		need_file(ear, arg, files[i], variable(files[i]));
	if (home != NULL)
		need_file(ear, arg, "HOME",
		    arena_printf(a, "%s/.aws/credentials", home));
	arena_free(a);
}
