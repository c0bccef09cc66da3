/*
 * reply.c - send a struct web_response over FastCGI.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <stdio.h>
#include <string.h>

#include "base/digits.h"
#include "base/log.h"
#include "fcgi/reply.h"
#include "fcgi/work.h"
#include "tus/tus.h"

/* How much content is read at a time; libfcgi writes it in records of 8 KiB. */
#define PIECE (64 * 1024)

static void
put(FCGX_Stream *out, const char *text)
{
	(void)FCGX_PutStr(text, (int)strlen(text), out);
}

/* A tab does not count: HTTP takes it for white space. */
static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' ? *s != '\t' : *s == 0x7f)
			return true;
	return false;
}

/* The last check against response splitting. */
static void
put_header(FCGX_Stream *out, const char *key, const char *value)
{
	if (has_control(value)) {
		log_error("header %s not sent: it has a control byte", key);
		return;
	}
	put(out, key);
	put(out, ": ");
	put(out, value);
	put(out, "\r\n");
}

static void
put_number(FCGX_Stream *out, const char *key, int64_t n)
{
	char text[DIGITS_MAX + 1] = "";

	put_header(out, key, digits_before(text + DIGITS_MAX, n));
}

/* The part of a file's path below the store's directory; NULL if it is not
 * below. */
static const char *
below_store(const struct settings *s, const char *path)
{
	size_t len = strlen(s->store_dir);

	if (len == 0 || strncmp(path, s->store_dir, len) != 0 ||
	    path[len] != '/')
		return NULL;
	return path + len + 1;
}

/* Percent-encode a path; nginx decodes it. */
static const char *
encode_path(struct arena *a, const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789"
				    "-._~/";
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, strlen(path) * 3 + 1), *to = out;

	for (; *path != '\0'; path++) {
		if (strchr(plain, *path) != NULL) {
			*to++ = *path;
			continue;
		}
		*to++ = '%';
		*to++ = hex[(unsigned char)*path >> 4];
		*to++ = hex[*path & 15];
	}
	return out;
}

/* Let the web server send the file; false if it cannot. */
static bool
offload(FCGX_Stream *out, const struct settings *s, const char *path,
    struct arena *a)
{
	const char *rest;

	if (path == NULL || s->sendfile == SENDFILE_NONE)
		return false;
	if (s->sendfile == SENDFILE_X_SENDFILE) {
		/* lighttpd decodes "%41", Apache does not. */
		if (strchr(path, '%') != NULL)
			return false;
		put_header(out, "X-Sendfile", path);
		return true;
	}
	if ((rest = below_store(s, path)) == NULL)
		return false;
	put_header(out, "X-Accel-Redirect",
	    arena_printf(a, "%s/%s", s->sendfile_root, encode_path(a, rest)));
	return true;
}

/* A client that does not read its response gives the worker back after this
 * time. */
static void
limit_send(int fd, int64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static ssize_t
read_piece(struct web_call *call, char *piece, struct err *e)
{
	enum work_phase before = work_enter(WORK_DISK);
	ssize_t n = web_content(call, piece, PIECE, e);

	(void)work_enter(before);
	return n;
}

static enum err_code
send_content(FCGX_Request *fcgi, const struct settings *s,
    struct web_call *call, struct arena *a, struct err *e)
{
	char *piece = arena_alloc(a, PIECE);
	ssize_t n;

	limit_send(fcgi->ipcFd, s->read_timeout);
	while ((n = read_piece(call, piece, e)) > 0)
		if (FCGX_PutStr(piece, (int)n, fcgi->out) != n)
			return ERR_OK;
	return n == 0 ? ERR_OK : e->code;
}

enum err_code
reply_send(FCGX_Request *fcgi, const struct settings *s, struct web_call *call,
    struct arena *a, struct err *e)
{
	const struct web_response *res = web_response(call);
	const struct pair *p;
	FCGX_Stream *out = fcgi->out;
	char status[] = "000 ";
	bool is_sent = false;

	(void)digits_before(status + 3, res->status);
	put(out, "Status: ");
	put(out, status);
	put(out, res->reason);
	put(out, "\r\n");
	for (p = res->headers; p != NULL; p = p->next)
		put_header(out, p->key, p->value);
	if (res->content != NULL && !res->bodiless)
		is_sent = offload(out, s, res->content->path, a);
	if (res->bodiless ? res->content != NULL : !is_sent)
		put_number(out, "Content-Length",
		    res->content != NULL  ? res->content->length :
			res->text != NULL ? (int64_t)strlen(res->text) :
					    0);
	put(out, "\r\n");
	if (res->bodiless || is_sent)
		return ERR_OK;
	if (res->content != NULL)
		return send_content(fcgi, s, call, a, e);
	if (res->text != NULL)
		put(out, res->text);
	return ERR_OK;
}

void
reply_interim(FCGX_Request *fcgi, const struct pair *headers)
{
	if (headers == NULL)
		return;
	put(fcgi->out, "Status: 104 Upload Resumption Supported\r\n");
	for (; headers != NULL; headers = headers->next)
		put_header(fcgi->out, headers->key, headers->value);
	put(fcgi->out, "\r\n");
	/* If the client has left, reading the body will show it. */
	(void)FCGX_FFlush(fcgi->out);
}

static void
send_text(FCGX_Request *fcgi, int status, const char *more, const char *type,
    const char *text)
{
	const char *method = FCGX_GetParam("REQUEST_METHOD", fcgi->envp);
	bool is_head = method != NULL && strcmp(method, "HEAD") == 0;
	FCGX_Stream *out = fcgi->out;
	char line[64];

	(void)snprintf(line, sizeof(line), "%d %s", status, web_reason(status));
	put_header(out, "Status", line);
	put(out, more);
	put_header(out, "Cache-Control", "no-store");
	put_header(out, "Tus-Resumable", TUS_VERSION);
	put_header(out, "X-Content-Type-Options", "nosniff");
	if (!is_head) {
		put_header(out, "Content-Type", type);
		put_number(out, "Content-Length", (int64_t)strlen(text));
	}
	put(out, "\r\n");
	if (!is_head)
		put(out, text);
}

void
reply_text(
    FCGX_Request *fcgi, const char *headers, const char *type, const char *text)
{
	send_text(fcgi, 200, headers, type, text);
}

void
reply_error(FCGX_Request *fcgi, int status, const char *text)
{
	/* Only paths that can be read and nothing else are answered with
	 * 405. */
	send_text(fcgi, status, status == 405 ? "Allow: GET, HEAD\r\n" : "",
	    "text/plain; charset=utf-8", text);
}
