/*
 * redis_link.c - a connection to Redis, driven by poll().
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "lock/redis_link.h"

#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

enum {
	/* Of a reply, in reads of 16 KiB; no reply of ours has so many. */
	READS = 64,
	/* Of an array; no reply of ours has more than three. */
	ELEMENTS = 16,
	/* In ms: with TLS, what is to be sent may wait for what comes. */
	TLS_NAP_MS = 10
};

struct redis_wait {
	redis_heard *heard;
	void *arg;
	struct redis_wait *next;
};

/* --- TLS. --- */

#ifdef HAVE_HIREDIS_SSL

static redisSSLContext *
context(struct redis_tls *tls)
{
	return (redisSSLContext *)(void *)tls;
}

static const char *
or_none(const char *file)
{
	return *file != '\0' ? file : NULL;
}

enum err_code
redis_tls_open(
    const struct conf_lock *conf, struct redis_tls **tls, struct err *e)
{
	redisSSLContextError why = REDIS_SSL_CTX_NONE;

	if (!conf->tls)
		return ERR_OK;
	/* hiredis looks who has signed, and not for whom. */
	if (*conf->ca_file == '\0')
		return err_set(e, ERR_INVALID,
		    "lock.tls with Redis needs lock.ca_file, of an authority "
		    "that signs for your Redis only: names are not checked");
	(void)redisInitOpenSSL();
	*tls = (struct redis_tls *)(void *)redisCreateSSLContext(conf->ca_file,
	    NULL, or_none(conf->cert_file), or_none(conf->key_file), NULL,
	    &why);
	if (*tls != NULL)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "lock.ca_file, lock.cert_file, lock.key_file: %s",
	    redisSSLContextGetError(why));
}

void
redis_tls_free(struct redis_tls *tls)
{
	redisFreeSSLContext(context(tls));
}

static bool
begin_tls(redisContext *c, struct redis_tls *tls)
{
	return tls == NULL ||
	    redisInitiateSSLWithContext(c, context(tls)) == REDIS_OK;
}

#else

enum err_code
redis_tls_open(
    const struct conf_lock *conf, struct redis_tls **tls, struct err *e)
{
	(void)tls;
	if (!conf->tls)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "lock.tls: not with Redis, for hiredis 1.0 was not there when this "
	    "was built: use stunnel, or a unix socket");
}

void
redis_tls_free(struct redis_tls *tls)
{
	(void)tls;
}

static bool
begin_tls(redisContext *c, struct redis_tls *tls)
{
	(void)c;
	(void)tls;
	return true;
}

#endif

/* --- The connection. --- */

#if HIREDIS_MAJOR >= 1
typedef size_t array_len;
#else
typedef int array_len;
#endif

static redisReplyObjectFunctions makers;
static void *(*make_any_array)(const redisReadTask *, array_len);

/* hiredis reserves room for as many elements as are announced. */
static void *
make_array(const redisReadTask *task, array_len n)
{
	return (size_t)n <= ELEMENTS ? make_any_array(task, n) : NULL;
}

static void
limit_arrays(redisContext *c)
{
	if (make_any_array == NULL) {
		makers = *c->reader->fn;
		make_any_array = makers.createArray;
		makers.createArray = make_array;
	}
	c->reader->fn = &makers;
}

static redisContext *
connect_to(const char *host)
{
	char name[256];
	int port;

	if (*host == '/')
		return redisConnectUnixNonBlock(host);
	port = engine_split(host, name, sizeof(name));
	return redisConnectNonBlock(name, port);
}

static const char *
trouble_of(const redisContext *c)
{
	return *c->errstr != '\0' ? c->errstr : "no connection";
}

bool
redis_join(struct redis_link *link, const char *host, struct redis_tls *tls,
    struct engine *e)
{
	redisContext *c = connect_to(host);

	if (c == NULL)
		out_of_memory();
	if (c->err != 0 || !begin_tls(c, tls)) {
		engine_say(e, trouble_of(c));
		redisFree(c);
		return false;
	}
	limit_arrays(c);
	*link = (struct redis_link){ .c = c, .is_tls = tls != NULL };
	link->end = &link->first;
	return true;
}

void
redis_hang_up(struct redis_link *link, const char *why)
{
	struct redis_wait *w = link->first, *next;
	redisContext *c = link->c;
	char text[160];

	/* A caller may connect anew. */
	*link = (struct redis_link){ .c = NULL };
	(void)snprintf(text, sizeof(text), "%s", why);
	if (c != NULL)
		redisFree(c);
	for (; w != NULL; w = next) {
		next = w->next;
		w->heard(w->arg, NULL, text);
		free(w);
	}
}

void
redis_ask(struct redis_link *link, redis_heard *heard, void *arg,
    const char *format, ...)
{
	struct redis_wait *w = must_alloc(sizeof(*w));
	va_list args;

	*w = (struct redis_wait){ heard, arg, NULL };
	*link->end = w;
	link->end = &w->next;
	va_start(args, format);
	if (redisvAppendCommand(link->c, format, args) != REDIS_OK)
		out_of_memory();
	va_end(args);
}

static void
pass_on(struct redis_link *link, const redisReply *reply)
{
	struct redis_wait *w = link->first;

	if (w == NULL) {
		link->unasked(link->arg, reply, NULL);
		return;
	}
	if ((link->first = w->next) == NULL)
		link->end = &link->first;
	w->heard(w->arg, reply, NULL);
	free(w);
}

/* All replies that are whole.  A callee may hang up. */
static void
read_replies(struct redis_link *link)
{
	redisContext *c = link->c;
	void *reply = NULL;

	while (link->c == c && redisGetReplyFromReader(c, &reply) == REDIS_OK &&
	    reply != NULL) {
		link->reads = 0;
		if (link->first == NULL && link->unasked == NULL)
			redis_hang_up(link, "a reply to nothing");
		else
			pass_on(link, reply);
		freeReplyObject(reply);
		reply = NULL;
	}
	if (link->c != c)
		return;
	if (c->reader->ridx == -1 && c->reader->pos >= c->reader->len)
		link->reads = 0;
	if (c->err != 0)
		redis_hang_up(link, trouble_of(c));
	else if (link->reads > READS)
		redis_hang_up(link, "a reply without an end");
}

void
redis_wait(struct redis_link *link, struct pollfd *fd, int *timeout_ms)
{
	int is_sent = 1;

	*fd = (struct pollfd){ .fd = -1 };
	if (link->c == NULL)
		return;
	*fd = (struct pollfd){ .fd = link->c->fd, .events = POLLIN };
	/* What fails is seen when the descriptor is read. */
	if (redisBufferWrite(link->c, &is_sent) != REDIS_OK)
		*timeout_ms = 0;
	else if (!is_sent && !link->is_tls)
		fd->events |= POLLOUT;
	else if (!is_sent && *timeout_ms > TLS_NAP_MS)
		*timeout_ms = TLS_NAP_MS;
}

void
redis_work_on(struct redis_link *link, const struct pollfd *fd)
{
	redisContext *c = link->c;

	if (c == NULL || fd->fd != c->fd)
		return;
	if (c->err == 0 && (link->is_tls || (fd->revents & ~POLLOUT) != 0)) {
		link->reads++;
		(void)redisBufferRead(c);
	}
	if (c->err != 0 || fd->revents != 0)
		read_replies(link);
}
