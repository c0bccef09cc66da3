/*
 * post.c - HTTP requests by libcurl, in a loop that waits for other things too.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/http_loop.h"
#include "lock/post.h"

enum {
	LINE_SIZE = 2048,
	/* Of an answer, or of a line of one without an end. */
	TEXT_MAX = 1024 * 1024,
	CONNECTIONS = 16
};

struct post_office {
	const struct http_lib *lib;
	const struct conf_lock *conf;
	struct http_loop *loop;
	struct post *first;
};

struct post {
	struct post_office *office;
	CURL *curl;
	struct curl_slist *headers;
	post_line *line;
	post_done *done;
	void *arg;
	char *body, *text;
	size_t len;
	char error[CURL_ERROR_SIZE];
	struct post *next, **place;
};

/* --- What libcurl calls. --- */

static void
cut_lines(struct post *p)
{
	char *from = p->text, *end;

	while ((end = memchr(from, '\n', p->len)) != NULL) {
		p->line(p->arg, from, (size_t)(end + 1 - from));
		p->len -= (size_t)(end + 1 - from);
		from = end + 1;
	}
	memmove(p->text, from, p->len);
}

static size_t
on_data(char *data, size_t size, size_t n, void *arg)
{
	struct post *p = arg;

	if (p->len + size * n > TEXT_MAX) {
		(void)stpcpy(p->error, "an answer without an end");
		return 0;
	}
	p->text = realloc(p->text, p->len + size * n + 1);
	if (p->text == NULL)
		out_of_memory();
	memcpy(p->text + p->len, data, size * n);
	p->len += size * n;
	if (p->line != NULL)
		cut_lines(p);
	p->text[p->len] = '\0';
	return size * n;
}

/* --- The office. --- */

static void
over(void *own, CURLcode rc)
{
	struct post *p = own;
	const struct http_lib *lib = p->office->lib;
	struct post_answer a = {
		.why = *p->error != '\0' ? p->error : lib->easy_strerror(rc),
		.is_refusal = rc == CURLE_PEER_FAILED_VERIFICATION ||
		    rc == CURLE_SSL_CACERT_BADFILE ||
		    rc == CURLE_SSL_CERTPROBLEM ||
		    rc == CURLE_SSL_CONNECT_ERROR,
		.text = p->text != NULL ? p->text : "",
		.len = p->len
	};

	if (rc == CURLE_OK)
		(void)lib->easy_getinfo(
		    p->curl, CURLINFO_RESPONSE_CODE, &a.status);
	p->done(p->arg, &a);
	post_stop(p);
}

struct post_office *
post_open(const struct conf_lock *conf, struct err *e)
{
	const struct http_lib *lib;
	struct post_office *o;

	if (http_load("lock.type", &lib, e) != ERR_OK)
		return NULL;
	o = must_alloc(sizeof(*o));
	*o = (struct post_office){ .lib = lib, .conf = conf };
	o->loop = http_loop_open(lib, CONNECTIONS, over);
	return o;
}

void
post_close(struct post_office *o)
{
	while (o->first != NULL)
		post_stop(o->first);
	http_loop_close(o->loop);
	free(o);
}

int
post_prepare(const struct post_office *o, struct pollfd *fd, int *timeout_ms)
{
	*fd = (struct pollfd){ .fd = http_loop_fd(o->loop), .events = POLLIN };
	*timeout_ms = http_loop_timeout(o->loop, *timeout_ms);
	return 1;
}

void
post_work(struct post_office *o)
{
	http_loop_work(o->loop);
}

/* --- One request. --- */

static void
add_header(struct post *p, const char *line)
{
	p->headers = p->office->lib->slist_append(p->headers, line);
	if (p->headers == NULL)
		out_of_memory();
}

static void
set_file(struct post *p, CURLoption option, const char *file)
{
	if (*file != '\0')
		(void)p->office->lib->easy_setopt(p->curl, option, file);
}

static void
set_up(struct post *p, const char *url)
{
	const struct http_lib *lib = p->office->lib;
	const struct conf_lock *conf = p->office->conf;

	(void)lib->easy_setopt(p->curl, CURLOPT_URL, url);
	(void)lib->easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
	(void)lib->easy_setopt(p->curl, CURLOPT_POSTFIELDS, p->body);
	(void)lib->easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)lib->easy_setopt(p->curl, CURLOPT_WRITEDATA, p);
	(void)lib->easy_setopt(p->curl, CURLOPT_PRIVATE, p);
	(void)lib->easy_setopt(p->curl, CURLOPT_ERRORBUFFER, p->error);
	(void)lib->easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
	(void)lib->easy_setopt(p->curl, CURLOPT_PROXY, "");
	(void)lib->easy_setopt(
	    p->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)conf->reply);
	set_file(p, CURLOPT_CAINFO, conf->ca_file);
	set_file(p, CURLOPT_SSLCERT, conf->cert_file);
	set_file(p, CURLOPT_SSLKEY, conf->key_file);
}

struct post *
post_send(struct post_office *o, const char *host, const char *path,
    const char *authorization, char *body, post_line *line, post_done *done,
    void *arg)
{
	struct post *p = must_alloc(sizeof(*p));
	char text[LINE_SIZE];

	*p = (struct post){ .office = o,
		.body = body,
		.line = line,
		.done = done,
		.arg = arg,
		.curl = o->lib->easy_init(),
		.next = o->first,
		.place = &o->first };
	if (p->curl == NULL)
		out_of_memory();
	if (p->next != NULL)
		p->next->place = &p->next;
	o->first = p;
	add_header(p, "Content-Type: application/json");
	add_header(p, "Expect:");
	(void)snprintf(text, sizeof(text), "Authorization: %s", authorization);
	if (*authorization != '\0')
		add_header(p, text);
	(void)snprintf(text, sizeof(text), "%s://%s/%s",
	    o->conf->tls ? "https" : "http", host, path);
	set_up(p, text);
	http_loop_add(o->loop, p->curl);
	return p;
}

void
post_stop(struct post *p)
{
	if (p == NULL)
		return;
	http_loop_remove(p->office->loop, p->curl);
	p->office->lib->easy_cleanup(p->curl);
	p->office->lib->slist_free_all(p->headers);
	*p->place = p->next;
	if (p->next != NULL)
		p->next->place = p->place;
	free(p->body);
	free(p->text);
	free(p);
}
