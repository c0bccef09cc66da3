/*
 * call.c - send one request to S3, and send it again if that may help.
 *
 * No redirect, no proxy, no password from a file: the request goes where the
 * configuration says and nowhere else.
 */
#include "config.h"

#include <openssl/rand.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "store/s3/count.h"
#include "store/s3/s3.h"
#include "store/s3/xml.h"

/* A wait before another try, in milliseconds. */
#define FIRST_WAIT   100
#define LONGEST_WAIT 3000

/* What libcurl reads at a time of a body; it takes no less than the first.  The
 * other one saves a fifth of the time that 64 KiB take, and is given back with
 * the request, as the pages are a worker's own. */
#define SMALL_BUFFER 16384L
#define LARGE_BUFFER 262144L

/* Up to this, a body is so short that its digest costs nothing. */
#define DIGEST_ALWAYS 65536

void
s3_call_init(struct s3_call *c, const char *method, const char *key)
{
	memset(c, 0, sizeof(*c));
	c->method = method;
	c->key = key;
	c->fd = c->answer_fd = -1;
}

void
s3_call_query(struct s3_call *c, const char *name, const char *value)
{
	assert(c->n_query < NITEMS(c->query));
	c->query[c->n_query++] = (struct s3_field){ name, value };
}

void
s3_call_header(struct s3_call *c, const char *name, const char *value)
{
	assert(c->n_headers < NITEMS(c->headers));
	c->headers[c->n_headers++] = (struct s3_field){ name, value };
}

/* --- Sending.  --- */

static const char no_keys[] = "no keys have been lent so far";

static void
take_keys(struct s3_store *s)
{
	if (s->lease != NULL &&
	    s3_read_lease(s->http, s->lease, &s->lease_generation))
		s->signer.day[0] = '\0';
}

static const char *
payload_of(const struct s3_store *s, const struct s3_call *c, struct arena *a)
{
	char *hex = arena_alloc(a, S3_DIGEST_MAX);
	struct err ignored;
	size_t got;
	char *buf;

	if (!s->sign_payload && (c->fd != -1 || c->len > DIGEST_ALWAYS))
		return S3_UNSIGNED;
	if (c->fd == -1) {
		s3_digest(c->body != NULL ? c->body : "", c->len, hex);
		return hex;
	}
	buf = must_alloc(c->len);
	if (fs_pread(c->fd, buf, c->len, c->at, &got, &ignored) == ERR_OK)
		s3_digest(buf, c->len, hex);
	free(buf);
	return hex;
}

static struct curl_slist *
add(struct s3_store *s, struct curl_slist *list, const char *line)
{
	struct curl_slist *longer = s->http->slist_append(list, line);

	if (longer == NULL)
		out_of_memory();
	return longer;
}

static struct curl_slist *
prepare(struct s3_store *s, const struct s3_call *c, struct arena *a,
    const char **url)
{
	struct s3_field headers[S3_MAX_HEADERS];
	struct s3_signed r = { .method = c->method, .headers = headers };
	struct curl_slist *list = NULL;
	size_t i;

	s3_set_time(&s->signer, clock_now() + s->skew);
	r.path = c->key == NULL ?
	    (*s->root != '\0' ? s->root : "/") :
	    arena_printf(a, "%s/%s", s->root, s3_encode_path(a, c->key));
	r.query = s3_query(a, c->query, c->n_query);
	r.payload = payload_of(s, c, a);
	headers[r.n_headers++] = (struct s3_field){ "host", s->host };
	headers[r.n_headers++] =
	    (struct s3_field){ "x-amz-date", s->signer.stamp };
	headers[r.n_headers++] =
	    (struct s3_field){ "x-amz-content-sha256", r.payload };
	if (s->keys.token != NULL)
		headers[r.n_headers++] =
		    (struct s3_field){ "x-amz-security-token", s->keys.token };
	assert(r.n_headers + c->n_headers <= NITEMS(headers));
	memcpy(headers + r.n_headers, c->headers,
	    c->n_headers * sizeof(headers[0]));
	r.n_headers += c->n_headers;
	for (i = 1; i < r.n_headers; i++)
		list = add(s, list,
		    arena_printf(
			a, "%s: %s", headers[i].name, headers[i].value));
	list = add(s, list,
	    arena_printf(
		a, "authorization: %s", s3_authorization(a, &s->signer, &r)));
	list = add(s, list, "Expect:");
	*url = arena_printf(a, "%s%s%s%s", s->origin, r.path,
	    *r.query != '\0' ? "?" : "", r.query);
	return list;
}

/* --- Callbacks of libcurl. --- */

static size_t
give(char *buf, size_t size, size_t n, void *arg)
{
	struct s3_try *x = arg;
	struct s3_call *c = x->c;
	size_t left = c->len - (size_t)c->sent, got = 0;
	struct err ignored;

	n *= size;
	n = n < left ? n : left;
	if (c->fd == -1)
		memcpy(buf, (const char *)c->body + c->sent, got = n);
	else if (fs_pread(c->fd, buf, n, c->at + c->sent, &got, &ignored) !=
		ERR_OK ||
	    got < n)
		return CURL_READFUNC_ABORT;
	c->sent += (int64_t)got;
	return got;
}

/* S3 may close a kept connection just now: then the request is sent once
 * more. */
static int
rewind_body(void *arg, curl_off_t offset, int origin)
{
	struct s3_try *x = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	x->c->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static bool
make_room(struct s3_text *t, size_t need)
{
	size_t room = t->room > 0 ? t->room : 4096;
	char *longer;

	if (need > S3_ANSWER_MAX)
		return false;
	while (room < need)
		room *= 2;
	if (room == t->room)
		return true;
	if ((longer = realloc(t->text, room)) == NULL)
		out_of_memory();
	t->text = longer;
	t->room = room;
	return true;
}

static size_t
take(char *buf, size_t size, size_t n, void *arg)
{
	struct s3_try *x = arg;
	struct s3_text *t = x->answer;
	struct err ignored;
	long status = 0;
	size_t done;

	n *= size;
	x->c->received += (int64_t)n;
	(void)x->s->http->easy_getinfo(
	    x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (x->c->answer_fd != -1 && status < 300) {
		if (fs_pwrite(x->c->answer_fd, buf, n,
			x->c->answer_at + x->answered, &done,
			&ignored) != ERR_OK)
			return 0;
		x->answered += (int64_t)n;
		return n;
	}
	if (!make_room(t, t->len + n + 1))
		return 0;
	memcpy(t->text + t->len, buf, n);
	t->len += n;
	t->text[t->len] = '\0';
	return n;
}

/* The value of a header, without blanks and quotes around it. */
static void
take_value(const char *line, size_t n, size_t name_len, char *to, size_t room)
{
	const char *p = line + name_len, *end = line + n;

	while (p < end && strchr(" \t\"", *p) != NULL)
		p++;
	while (end > p && strchr(" \t\r\n\"", end[-1]) != NULL)
		end--;
	if ((size_t)(end - p) >= room)
		return;
	memcpy(to, p, (size_t)(end - p));
	to[end - p] = '\0';
}

static size_t
take_header(char *line, size_t size, size_t n, void *arg)
{
	struct s3_try *x = arg;
	struct s3_call *c = x->c;
	const struct {
		const char *name;
		char *to;
		size_t room;
	} wanted[] = {
		{ "etag:", c->etag, sizeof(c->etag) },
		{ "x-amz-meta-tus-id:", c->tus_id, sizeof(c->tus_id) },
		{ "x-amz-bucket-region:", c->region, sizeof(c->region) },
		{ "date:", c->date, sizeof(c->date) },
		{ "last-modified:", c->modified, sizeof(c->modified) },
	};
	size_t i, len;

	n *= size;
	for (i = 0; i < NITEMS(wanted); i++) {
		len = strlen(wanted[i].name);
		if (n > len && strncasecmp(line, wanted[i].name, len) == 0)
			take_value(line, n, len, wanted[i].to, wanted[i].room);
	}
	return n;
}

/* --- Once. --- */

CURL *
s3_new_handle(struct s3_store *s)
{
	CURL *curl = s->http->easy_init();

	if (curl == NULL)
		out_of_memory();
	return curl;
}

static CURL *
handle_of(struct s3_store *s)
{
	if (s->curl != NULL && s->owner == getpid())
		return s->curl;
	/* The connection of a handle that another process made belongs to that
	 * process. */
	s->curl = s3_new_handle(s);
	s->owner = getpid();
	return s->curl;
}

static void
set_up(struct s3_store *s, CURL *curl, const char *url, const char *method,
    int64_t timeout)
{
	const struct http_lib *http = s->http;

	http->easy_reset(curl);
	(void)http->easy_setopt(curl, CURLOPT_URL, url);
	(void)http->easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)http->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)http->easy_setopt(curl, CURLOPT_PROXY, s->proxy);
	(void)http->easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)http->easy_setopt(
	    curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)http->easy_setopt(
	    curl, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	(void)http->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
	(void)http->easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout);
	(void)http->easy_setopt(
	    curl, CURLOPT_SSL_VERIFYPEER, s->verify ? 1L : 0L);
	(void)http->easy_setopt(
	    curl, CURLOPT_SSL_VERIFYHOST, s->verify ? 2L : 0L);
	if (!(s->verify && s3_share_trust(http, curl)) && *s->ca_file != '\0')
		(void)http->easy_setopt(curl, CURLOPT_CAINFO, s->ca_file);
	if (strcmp(method, "HEAD") == 0)
		(void)http->easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else
		(void)http->easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void
set_body(struct s3_store *s, struct s3_try *x)
{
	const struct http_lib *http = s->http;
	const struct s3_call *c = x->c;

	if (strcmp(c->method, "PUT") != 0 && strcmp(c->method, "POST") != 0)
		return;
	(void)http->easy_setopt(x->curl, CURLOPT_UPLOAD, 1L);
	(void)http->easy_setopt(x->curl, CURLOPT_UPLOAD_BUFFERSIZE,
	    c->len > SMALL_BUFFER ? LARGE_BUFFER : SMALL_BUFFER);
	(void)http->easy_setopt(
	    x->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->len);
	(void)http->easy_setopt(x->curl, CURLOPT_READFUNCTION, give);
	(void)http->easy_setopt(x->curl, CURLOPT_READDATA, x);
	(void)http->easy_setopt(x->curl, CURLOPT_SEEKFUNCTION, rewind_body);
	(void)http->easy_setopt(x->curl, CURLOPT_SEEKDATA, x);
	/* libcurl by itself repeats a request that a kept connection did not
	 * take. */
	if (c->once)
		(void)http->easy_setopt(x->curl, CURLOPT_FRESH_CONNECT, 1L);
}

/* Each MiB of the body adds a second. */
static int64_t
timeout_of(const struct s3_store *s, const struct s3_call *c)
{
	return s->timeout + c->patience + (int64_t)(c->len >> 20) * 1000;
}

bool
s3_try_begin(struct s3_try *x)
{
	struct s3_store *s = x->s;
	struct s3_call *c = x->c;
	const struct http_lib *http = s->http;
	const char *url;

	take_keys(s);
	x->began = clock_ns();
	x->answer->len = 0;
	x->answered = 0;
	x->headers = NULL;
	c->status = 0;
	c->code[0] = c->etag[0] = c->tus_id[0] = c->modified[0] = '\0';
	c->sent = c->received = 0;
	/* A long upload makes thousands of requests in one arena. */
	arena_reset(s->scratch);
	if (*s->keys.access == '\0')
		return false;
	x->headers = prepare(s, c, s->scratch, &url);
	set_up(s, x->curl, url, c->method, timeout_of(s, c));
	(void)http->easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
	(void)http->easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take);
	(void)http->easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
	(void)http->easy_setopt(x->curl, CURLOPT_HEADERFUNCTION, take_header);
	(void)http->easy_setopt(x->curl, CURLOPT_HEADERDATA, x);
	(void)http->easy_setopt(x->curl, CURLOPT_PRIVATE, x);
	set_body(s, x);
	return true;
}

/* --- For others. --- */

enum err_code
s3_presign(struct s3_store *s, const char *key, const char *type,
    const char *disposition, struct arena *a, const char **url, struct err *e)
{
	const struct s3_field host = { "host", s->host };
	const struct s3_field query[] = { { "response-content-type", type },
		{ "response-content-disposition", disposition } };
	struct s3_signed r = { .method = "GET",
		.headers = &host,
		.n_headers = 1,
		.payload = S3_UNSIGNED };

	take_keys(s);
	if (*s->keys.access == '\0')
		return err_set(e, ERR_UNAVAILABLE, "S3: %s", no_keys);
	s3_set_time(&s->signer, clock_now() + s->skew);
	r.path = arena_printf(a, "%s/%s", s->root, s3_encode_path(a, key));
	*url = arena_printf(a, "%s%s?%s", s->origin, r.path,
	    s3_presigned_query(
		a, &s->signer, &r, query, NITEMS(query), s->presign));
	return ERR_OK;
}

/* --- The result. --- */

static void
take_code(void *arg, const struct s3_xml_text *t)
{
	struct s3_call *c = arg;

	if (strcmp(t->parent, "Error") == 0 && strcmp(t->name, "Code") == 0 &&
	    strlen(t->text) < sizeof(c->code))
		memcpy(c->code, t->text, strlen(t->text) + 1);
}

static void
ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

/* An error is an answer that is XML; AWS may say 200 before it knows. */
static void
find_code(const struct s3_text *answer, struct s3_call *c)
{
	struct err ignored;

	if (answer->len == 0 || strstr(answer->text, "<Error") == NULL)
		return;
	(void)!s3_xml_read(
	    answer->text, answer->len, take_code, ignore, c, &ignored);
}

static bool
is_one_of(const char *code, const char *const *codes)
{
	for (; *codes != NULL; codes++)
		if (strcmp(code, *codes) == 0)
			return true;
	return false;
}

static bool
may_pass(const struct s3_call *c)
{
	static const char *const codes[] = { "SlowDown", "RequestTimeout",
		"OperationAborted", "InternalError", "ServiceUnavailable",
		"ExpiredToken", NULL };

	return c->status == 0 || (c->status >= 500 && c->status != 501) ||
	    c->status == 429 || c->status == 408 || is_one_of(c->code, codes);
}

static enum err_code
judge(const struct s3_store *s, const struct s3_call *c, const char *why,
    struct err *e)
{
	static const char *const full[] = { "QuotaExceeded", "EntityTooLarge",
		NULL };
	const char *key = c->key != NULL ? c->key : "";
	const char *what = c->code[0] != '\0' ? c->code : why;
	enum err_code code = ERR_SYSTEM;

	if (c->status >= 200 && c->status < 300 && c->code[0] == '\0')
		return ERR_OK;
	if (c->status == 404 && strcmp(c->code, "NoSuchBucket") != 0)
		code = ERR_NOT_FOUND;
	else if (c->status == 412)
		code = ERR_CONFLICT;
	else if (c->status == 507 || is_one_of(c->code, full))
		code = ERR_NO_SPACE;
	else if (may_pass(c))
		code = ERR_UNAVAILABLE;
	return err_set(e, code, "S3: %s %s/%.80s: %ld %.60s", c->method,
	    s->bucket, key, c->status, what);
}

/* A random time, so that many workers do not repeat their requests at once. */
static int64_t
wait_before(int64_t try)
{
	int64_t most = FIRST_WAIT;
	uint32_t random = 0;

	while (try-- > 0 && most < LONGEST_WAIT)
		most *= 2;
	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	return random % (most < LONGEST_WAIT ? most : LONGEST_WAIT);
}

/* "Tue, 01 Dec 2026 02:20:41 GMT" */
static bool
set_clock(struct s3_store *s, const struct s3_call *c)
{
	struct tm tm = { 0 };
	int64_t skew;

	if (strcmp(c->code, "RequestTimeTooSkewed") != 0 ||
	    strptime(c->date, "%a, %d %b %Y %H:%M:%S", &tm) == NULL)
		return false;
	skew = (int64_t)timegm(&tm) - clock_now();
	if (skew - s->skew < 60 && s->skew - skew < 60)
		return false;
	s->skew = skew;
	return true;
}

bool
s3_try_end(struct s3_try *x, CURLcode code, int64_t *wait)
{
	const struct http_lib *http = x->s->http;
	struct s3_call *c = x->c;
	curl_off_t length = -1;

	*wait = 0;
	if (code != CURLE_LOGIN_DENIED) {
		(void)http->easy_getinfo(
		    x->curl, CURLINFO_RESPONSE_CODE, &c->status);
		(void)http->easy_getinfo(
		    x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
		(void)http->easy_setopt(x->curl, CURLOPT_HTTPHEADER, NULL);
		/* This frees the buffer. */
		(void)http->easy_setopt(
		    x->curl, CURLOPT_UPLOAD_BUFFERSIZE, SMALL_BUFFER);
	}
	c->length = length;
	http->slist_free_all(x->headers);
	x->headers = NULL;
	if (code != CURLE_OK)
		c->status = 0;
	find_code(x->answer, c);
	s3_count_call(x->s, c, (clock_ns() - x->began) / 1000, x->n > 0);
	x->s->used = clock_ms();
	if (!set_clock(x->s, c)) {
		if (!may_pass(c) || c->once || x->n >= x->s->retries)
			return true;
		*wait = wait_before(x->n);
	}
	x->n++;
	return false;
}

enum err_code
s3_try_judge(const struct s3_try *x, CURLcode code, struct err *e)
{
	const char *why = "";

	if (code == CURLE_LOGIN_DENIED)
		why = no_keys;
	else if (code != CURLE_OK)
		why = x->s->http->easy_strerror(code);
	return judge(x->s, x->c, why, e);
}

static void
sleep_ms(int64_t ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) == -1)
		continue;
}

enum err_code
s3_call(struct s3_store *s, struct s3_call *c, struct err *e)
{
	struct s3_try x = {
		.s = s, .c = c, .curl = handle_of(s), .answer = &s->answer
	};
	CURLcode code;
	int64_t wait;

	for (;;) {
		code = s3_try_begin(&x) ? s->http->easy_perform(x.curl) :
					  CURLE_LOGIN_DENIED;
		if (s3_try_end(&x, code, &wait))
			return s3_try_judge(&x, code, e);
		sleep_ms(wait);
	}
}
