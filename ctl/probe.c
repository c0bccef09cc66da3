/*
 * probe.c - requests for tusctl doctor, with libcurl.
 */
#include "config.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "ctl/probe.h"

enum {
	/* How long the web server may take to pass on the bytes that it has,
	 * before the connection is dropped. */
	LINGER_MS = 1000,
	/* How long one request may take; and each one after a request that
	 * took too long, so that many cannot add up to an hour. */
	TIMEOUT_S = 60,
	TIMEOUT_AGAIN_S = 3,
	CONNECT_TIMEOUT_S = 10,
	LINES_MAX = 100
};

struct probe {
	struct arena *arena;
	CURL *curl;
	char error[CURL_ERROR_SIZE];
	struct probe_reply *reply;
	long patience_s;

	/* Bytes of the body still to be sent; whether the body ends there. */
	int64_t left;
	bool is_whole;
	/* When the last byte was sent; 0 before. */
	int64_t sent_at;
};

struct probe *
probe_new(struct arena *a)
{
	struct probe *p = arena_alloc(a, sizeof(*p));

	p->arena = a;
	p->patience_s = TIMEOUT_S;
	p->curl = curl_easy_init();
	if (p->curl == NULL)
		out_of_memory();
	return p;
}

void
probe_free(struct probe *p)
{
	curl_easy_cleanup(p->curl);
}

/* --- What libcurl asks and tells. --- */

static size_t
give_body(char *buf, size_t size, size_t n, void *arg)
{
	struct probe *p = arg;
	size_t len = size * n;

	if (p->left == 0 && p->is_whole)
		return 0;
	if (p->left == 0) {
		if (p->sent_at == 0)
			p->sent_at = clock_ms();
		return CURL_READFUNC_PAUSE;
	}
	if ((int64_t)len > p->left)
		len = (size_t)p->left;
	memset(buf, 0, len);
	p->left -= (int64_t)len;
	return len;
}

/* A return value other than 0 drops the connection. */
static int
watch(void *arg, curl_off_t dl_all, curl_off_t dl, curl_off_t ul_all,
    curl_off_t ul)
{
	const struct probe *p = arg;

	(void)dl_all;
	(void)dl;
	(void)ul_all;
	(void)ul;
	return p->sent_at != 0 && clock_ms() - p->sent_at >= LINGER_MS;
}

static size_t
take_line(char *line, size_t size, size_t n, void *arg)
{
	struct probe *p = arg;
	struct probe_reply *r = p->reply;
	size_t len = size * n;

	/* The final answer follows interim ones (1xx). */
	if (len > 5 && strncmp(line, "HTTP/", 5) == 0)
		r->n = 0;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len > 0 && r->n < LINES_MAX)
		r->lines[r->n++] = arena_memdup(p->arena, line, len);
	return size * n;
}

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	struct probe_reply *r = ((struct probe *)arg)->reply;
	size_t room = sizeof(r->body) - 1 - r->body_len;
	size_t len = size * n < room ? size * n : room;

	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	return size * n;
}

/* --- One request. --- */

static void
add(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer == NULL)
		out_of_memory();
	*list = longer;
}

static struct curl_slist *
headers_of(const struct probe_request *q)
{
	struct curl_slist *list = NULL;
	const char *const *h;

	add(&list, "Tus-Resumable: 1.0.0");
	/* Send the body without Expect: 100-continue, as browsers do. */
	add(&list, "Expect:");
	if (q->announced == PROBE_CHUNKED)
		add(&list, "Transfer-Encoding: chunked");
	for (h = q->headers; h != NULL && *h != NULL; h++)
		add(&list, *h);
	return list;
}

static void
set_body(struct probe *p, const struct probe_request *q)
{
	CURL *c = p->curl;
	bool has_body = q->body > 0 || q->announced != 0 ||
	    strcmp(q->method, "POST") == 0 || strcmp(q->method, "PATCH") == 0;

	p->left = q->body;
	p->is_whole = q->announced <= q->body;
	p->sent_at = 0;
	if (!has_body)
		return;
	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->announced);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(c, CURLOPT_READDATA, p);
}

static void
set_up(struct probe *p, const struct probe_request *q)
{
	CURL *c = p->curl;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, p->error);
	curl_easy_setopt(c, CURLOPT_URL, q->url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, p->patience_s);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_line);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, p);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, watch);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, p);
	/* Each probe uses a new connection, as a new client does. */
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	if (strcmp(q->method, "HEAD") == 0)
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	set_body(p, q);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
}

const struct probe_reply *
probe_send(struct probe *p, const struct probe_request *q)
{
	struct probe_reply *r = arena_alloc(p->arena, sizeof(*r));
	struct curl_slist *headers = headers_of(q);
	long status = 0;
	CURLcode rc;

	r->lines = arena_alloc(p->arena, LINES_MAX * sizeof(*r->lines));
	p->reply = r;
	p->error[0] = '\0';
	set_up(p, q);
	curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, headers);
	rc = curl_easy_perform(p->curl);
	if (rc == CURLE_OPERATION_TIMEDOUT)
		p->patience_s = TIMEOUT_AGAIN_S;
	curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	/* An answer counts even if the connection broke after it. */
	r->status = status >= 200 ? (int)status : 0;
	r->error = arena_strdup(
	    p->arena, *p->error != '\0' ? p->error : curl_easy_strerror(rc));
	r->is_tus = probe_header(r, "Tus-Resumable") != NULL;
	return r;
}

/* --- Reading the answer. --- */

const char *
probe_header(const struct probe_reply *r, const char *name)
{
	size_t i, len = strlen(name);
	const char *value;

	for (i = 0; i < r->n; i++) {
		if (strncasecmp(r->lines[i], name, len) != 0 ||
		    r->lines[i][len] != ':')
			continue;
		value = r->lines[i] + len + 1;
		return value + strspn(value, " \t");
	}
	return NULL;
}

int64_t
probe_number(const struct probe_reply *r, const char *name)
{
	const char *value = probe_header(r, name);
	char *end;
	long long n;

	if (value == NULL || *value < '0' || *value > '9')
		return -1;
	n = strtoll(value, &end, 10);
	return *end == '\0' ? n : -1;
}

const char *
probe_resolve(struct probe *p, const char *base, const char *ref)
{
	CURLU *u = curl_url();
	const char *result = NULL;
	char *text = NULL;

	if (u == NULL)
		out_of_memory();
	if (curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_URL, ref, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
		result = arena_strdup(p->arena, text);
	curl_free(text);
	curl_url_cleanup(u);
	return result;
}

const char *
probe_login(struct probe *p, const char *url, const char *password)
{
	CURLU *u = curl_url();
	const char *result = NULL;
	char *text = NULL;

	if (u == NULL)
		out_of_memory();
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_USER, &text, 0) == CURLUE_OK) {
		curl_free(text);
		text = NULL;
		if (password == NULL)
			(void)curl_url_set(u, CURLUPART_USER, NULL, 0);
		(void)curl_url_set(u, CURLUPART_PASSWORD, password, 0);
		if (curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
			result = arena_strdup(p->arena, text);
	}
	curl_free(text);
	curl_url_cleanup(u);
	return result;
}

static bool
same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	bool same;

	same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    strcasecmp(x, y) == 0;
	curl_free(x);
	curl_free(y);
	return same;
}

bool
probe_same_origin(const char *url, const char *other)
{
	CURLU *a = curl_url(), *b = curl_url();
	bool same;

	if (a == NULL || b == NULL)
		out_of_memory();
	same = curl_url_set(a, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_set(b, CURLUPART_URL, other, 0) == CURLUE_OK &&
	    same_part(a, b, CURLUPART_SCHEME) &&
	    same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);
	curl_url_cleanup(a);
	curl_url_cleanup(b);
	return same;
}
