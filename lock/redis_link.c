/*
 * redis_link.c - a connection to Redis, driven by poll().
 */
#include "config.h"

#include <string.h>

#include "lock/redis_link.h"

#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

/* --- What hiredis waits for. --- */

static void
add_read(void *arg)
{
	((struct redis_link *)arg)->events |= POLLIN;
}

static void
del_read(void *arg)
{
	((struct redis_link *)arg)->events &= (short)~POLLIN;
}

static void
add_write(void *arg)
{
	((struct redis_link *)arg)->events |= POLLOUT;
}

static void
del_write(void *arg)
{
	((struct redis_link *)arg)->events &= (short)~POLLOUT;
}

/* The context is about to be freed. */
static void
cleanup(void *arg)
{
	((struct redis_link *)arg)->ac = NULL;
}

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
begin_tls(redisAsyncContext *ac, struct redis_tls *tls, struct engine *e)
{
	if (tls == NULL ||
	    redisInitiateSSLWithContext(&ac->c, context(tls)) == REDIS_OK)
		return true;
	engine_say(e, *ac->c.errstr != '\0' ? ac->c.errstr : "no TLS");
	return false;
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
begin_tls(redisAsyncContext *ac, struct redis_tls *tls, struct engine *e)
{
	(void)ac;
	(void)tls;
	(void)e;
	return true;
}

#endif

/* --- The connection. --- */

static redisAsyncContext *
connect_to(const char *host)
{
	char name[256];
	int port;

	if (*host == '/')
		return redisAsyncConnectUnix(host);
	port = engine_split(host, name, sizeof(name));
	return redisAsyncConnect(name, port);
}

bool
redis_join(struct redis_link *link, const char *host, struct redis_tls *tls,
    struct engine *e)
{
	redisAsyncContext *ac = connect_to(host);

	if (ac == NULL || ac->err != 0 || !begin_tls(ac, tls, e)) {
		engine_say(e,
		    ac == NULL	     ? "no memory" :
			ac->err != 0 ? ac->errstr :
				       "no TLS");
		if (ac != NULL)
			redisAsyncFree(ac);
		return false;
	}
	*link = (struct redis_link){ ac, POLLOUT };
	ac->ev.data = link;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	return true;
}

void
redis_hang_up(struct redis_link *link)
{
	if (link->ac != NULL)
		redisAsyncFree(link->ac);
}

void
redis_wait(const struct redis_link *link, struct pollfd *fd)
{
	*fd = (struct pollfd){ .fd = -1 };
	if (link->ac == NULL)
		return;
	fd->fd = link->ac->c.fd;
	fd->events = link->events;
}

void
redis_work_on(struct redis_link *link, const struct pollfd *fd)
{
	redisAsyncContext *ac = link->ac;

	if (ac == NULL || fd->fd != ac->c.fd || fd->revents == 0)
		return;
	if ((fd->revents & ~POLLOUT) != 0)
		redisAsyncHandleRead(ac);
	if (link->ac == ac && (fd->revents & POLLOUT) != 0)
		redisAsyncHandleWrite(ac);
}
