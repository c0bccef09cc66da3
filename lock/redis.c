/*
 * redis.c - locks in Redis.
 *
 * PREFIX:l:{ID} is the lock, its value the owner; it expires unless it is
 * renewed.  PREFIX:w:{ID} contains the sessions that wait, each with the end of
 * its wait.  A session is notified of both on its channel, PREFIX:s:SESSION.
 *
 * Redis may lose locks at a restart and at a failover.  So the answer to each
 * beat says which locks still exist; the others are lost to us too.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "lock/engine.h"
#include "lock/lock.h"

/* In ms: how long the wish of a waiting session is kept. */
#define ASK_MS "2000"

/* A connection, and the events that hiredis waits for on it. */
struct link {
	redisAsyncContext *ac;
	short events;
};

struct redis {
	struct engine base;
	/* One connection for requests, one for notifications. */
	struct link ask, ear;
	/* The server's hashes of the scripts; "": unknown. */
	char sha[ENGINE_KINDS][41];
	bool has_beat_failed, is_to_hang_up;
};

#define NOW                                                                    \
	"local t = redis.call('TIME') "                                        \
	"local now = t[1] * 1000 + math.floor(t[2] / 1000) "

/* KEYS lock waiters; ARGV owner session-ms session prefix id */
static const char *const scripts[ENGINE_KINDS] = {
	[ENGINE_TAKE] = "local h = redis.call('GET', KEYS[1]) "
			"if h and h ~= ARGV[1] then return h end "
			"redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
			"redis.call('ZREM', KEYS[2], ARGV[3]) "
			"local t = redis.call('TIME') "
			"return t[1] * 1000000 + t[2]",
	[ENGINE_DROP] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] "
			"then return 0 end "
			"redis.call('DEL', KEYS[1]) "
			"for _, s in ipairs(redis.call('ZRANGE', KEYS[2], 0, "
			"-1)) do redis.call('PUBLISH', ARGV[4] .. ':s:' .. s, "
			"'f ' .. ARGV[5]) end return 1",
	[ENGINE_ASK] =
	    NOW "redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now) "
		"redis.call('ZADD', KEYS[2], now + " ASK_MS ", ARGV[3]) "
		"redis.call('PEXPIRE', KEYS[2], " ASK_MS ") "
		"redis.call('PUBLISH', ARGV[4] .. ':s:' .. "
		"string.match(ARGV[1], '^[^:]*'), 'w ' .. ARGV[5]) return 1",
	[ENGINE_UNASK] = "return redis.call('ZREM', KEYS[2], ARGV[3])",
	/* The state of one lock, l, u or w (lost, unwanted, wanted), and its
	 * id. */
	[ENGINE_BEAT] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] "
			"then return 'l ' .. ARGV[5] end "
			"redis.call('PEXPIRE', KEYS[1], ARGV[2]) " NOW
			"if redis.call('ZCOUNT', KEYS[2], now, '+inf') > 0 "
			"then return 'w ' .. ARGV[5] end "
			"return 'u ' .. ARGV[5]",
};

static struct redis *
redis_of(struct engine *e)
{
	return OUTER(e, struct redis, base);
}

/* --- The events of hiredis.  --- */

static void
add_read(void *arg)
{
	((struct link *)arg)->events |= POLLIN;
}

static void
del_read(void *arg)
{
	((struct link *)arg)->events &= (short)~POLLIN;
}

static void
add_write(void *arg)
{
	((struct link *)arg)->events |= POLLOUT;
}

static void
del_write(void *arg)
{
	((struct link *)arg)->events &= (short)~POLLOUT;
}

/* The context is about to be freed. */
static void
cleanup(void *arg)
{
	((struct link *)arg)->ac = NULL;
}

static void
hang_up(struct link *link)
{
	if (link->ac != NULL)
		redisAsyncFree(link->ac);
}

/* --- Notifications: "w ID" and the like.  --- */

static void
tell(struct redis *r, const redisReply *p)
{
	static const struct {
		char letter;
		enum engine_hint hint;
	} rows[] = {
		{ 'w', ENGINE_WANTED },
		{ 'u', ENGINE_UNWANTED },
		{ 'f', ENGINE_FREE },
		{ 'l', ENGINE_LOST },
	};
	size_t i;

	for (i = 0; p->type == REDIS_REPLY_STRING && i < NITEMS(rows); i++)
		if (p->len > 2 && p->str[0] == rows[i].letter)
			r->base.told(p->str + 2, rows[i].hint);
}

static void
on_message(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *p = reply;

	(void)ac;
	if (p != NULL && p->type == REDIS_REPLY_ARRAY && p->elements == 3)
		tell(arg, p->element[2]);
}

/* Is it an error that begins with that word? */
static bool
is_error(const redisReply *p, const char *word)
{
	return p->type == REDIS_REPLY_ERROR &&
	    strncmp(p->str, word, strlen(word)) == 0;
}

/* False: it is no error. */
static bool
has_erred(struct redis *r, const redisReply *p)
{
	static const char *const refusals[] = { "NOAUTH", "WRONGPASS", "NOPERM",
		"ERR AUTH", "ERR invalid password", "ERR Client sent AUTH" };
	size_t i;

	if (p->type != REDIS_REPLY_ERROR)
		return false;
	for (i = 0; i < NITEMS(refusals); i++)
		if (is_error(p, refusals[i])) {
			engine_refuse(&r->base, p->str);
			return true;
		}
	if (is_error(p, "NOSCRIPT")) {
		memset(r->sha, 0, sizeof(r->sha));
		return true;
	}
	engine_say(&r->base, p->str);
	/* This server is no master, or not yet: perhaps another one is. */
	r->is_to_hang_up = true;
	return true;
}

static void
on_word(redisAsyncContext *ac, void *reply, void *arg)
{
	(void)ac;
	if (reply != NULL)
		(void)has_erred(arg, reply);
}

static void
on_sha(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *p = reply;

	(void)ac;
	if (p != NULL && p->type == REDIS_REPLY_STRING && p->len == 40)
		memcpy(arg, p->str, 41);
}

/* --- Connections. --- */

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

static void
authenticate(struct redis *r, redisAsyncContext *ac)
{
	const char *user = r->base.conf->user, *password = r->base.password;

	if (*password == '\0')
		return;
	if (*user != '\0')
		(void)redisAsyncCommand(
		    ac, on_word, r, "AUTH %s %s", user, password);
	else
		(void)redisAsyncCommand(ac, on_word, r, "AUTH %s", password);
}

/* False if connecting fails at once. */
static bool
join(struct redis *r, struct link *link)
{
	redisAsyncContext *ac;

	if (link->ac != NULL)
		return true;
	ac = connect_to(engine_host(&r->base));
	if (ac == NULL || ac->err != 0) {
		engine_say(&r->base, ac != NULL ? ac->errstr : "no memory");
		if (ac != NULL)
			redisAsyncFree(ac);
		return false;
	}
	*link = (struct link){ ac, POLLOUT };
	ac->ev.data = link;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	authenticate(r, ac);
	return true;
}

/* --- Requests. --- */

/* EVALSHA, or EVAL where the server does not know the script. */
static void
run(struct redis *r, enum engine_kind kind, const struct engine_held *held,
    redisCallbackFn *done, void *arg)
{
	const struct engine *e = &r->base;
	const char *sha = r->sha[kind];
	char ms[24];

	(void)snprintf(ms, sizeof(ms), "%lld", (long long)e->session_ms);
	(void)redisAsyncCommand(r->ask.ac, done, arg,
	    "%s %s 2 %s:l:{%s} %s:w:{%s} %s %s %s %s %s",
	    *sha != '\0' ? "EVALSHA" : "EVAL",
	    *sha != '\0' ? sha : scripts[kind], e->conf->prefix, held->id,
	    e->conf->prefix, held->id, held->owner, ms, e->session,
	    e->conf->prefix, held->id);
}

static void redis_send(struct engine *, struct engine_request *);

static void
on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
	struct engine_request *q = arg;
	struct redis *r = redis_of(q->engine);
	const redisReply *p = reply;

	if (p == NULL) {
		engine_fail(q, *ac->errstr != '\0' ? ac->errstr : "no answer");
	} else if (has_erred(r, p) && is_error(p, "NOSCRIPT")) {
		redis_send(&r->base, q);
	} else if (p->type == REDIS_REPLY_ERROR) {
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
	} else if (p->type == REDIS_REPLY_STRING) {
		engine_finish(q, ERR_LOCKED, 0, p->str);
	} else {
		engine_finish(q, ERR_OK, (uint64_t)p->integer, NULL);
	}
}

static void
on_renewed(redisAsyncContext *ac, void *reply, void *arg)
{
	struct redis *r = arg;

	(void)ac;
	if (reply == NULL || has_erred(r, reply))
		r->has_beat_failed = true;
	else
		tell(r, reply);
}

/* The last answer of a beat: all earlier requests have been answered too. */
static void
on_pong(redisAsyncContext *ac, void *reply, void *arg)
{
	struct engine_request *q = arg;
	struct redis *r = redis_of(q->engine);

	if (reply == NULL)
		engine_fail(q, *ac->errstr != '\0' ? ac->errstr : "no answer");
	else
		engine_finish(q,
		    has_erred(r, reply) || r->has_beat_failed ?
			ERR_UNAVAILABLE :
			ERR_OK,
		    0, NULL);
}

static void
beat(struct redis *r, struct engine_request *q)
{
	const struct engine *e = &r->base;
	size_t i;

	if (r->ear.ac == NULL && join(r, &r->ear))
		(void)redisAsyncCommand(r->ear.ac, on_message, r,
		    "SUBSCRIBE %s:s:%s", e->conf->prefix, e->session);
	for (i = 0; i < ENGINE_KINDS; i++)
		if (r->sha[i][0] == '\0')
			(void)redisAsyncCommand(r->ask.ac, on_sha, r->sha[i],
			    "SCRIPT LOAD %s", scripts[i]);
	r->has_beat_failed = false;
	for (i = 0; i < q->n; i++)
		run(r, ENGINE_BEAT, q->list[i], on_renewed, r);
	(void)redisAsyncCommand(r->ask.ac, on_pong, q, "PING");
}

static void
redis_send(struct engine *e, struct engine_request *q)
{
	struct redis *r = redis_of(e);

	if (!join(r, &r->ask))
		engine_fail(q, "no connection");
	else if (q->kind == ENGINE_BEAT)
		beat(r, q);
	else
		run(r, q->kind, &q->held, on_reply, q);
}

static void
redis_late(struct engine *e, struct engine_request *q)
{
	(void)q;
	engine_say(e, "no answer in lock.reply");
	hang_up(&redis_of(e)->ask);
}

/* --- The loop. --- */

static int
redis_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	const struct link *links[] = { &redis_of(e)->ask, &redis_of(e)->ear };
	size_t i;

	(void)timeout_ms;
	for (i = 0; i < NITEMS(links); i++)
		fds[i] = (struct pollfd){
			.fd = links[i]->ac != NULL ? links[i]->ac->c.fd : -1,
			.events = links[i]->events
		};
	return (int)NITEMS(links);
}

static void
work_on(struct link *link, const struct pollfd *fd)
{
	redisAsyncContext *ac = link->ac;

	if (ac == NULL || fd->fd != ac->c.fd || fd->revents == 0)
		return;
	if ((fd->revents & ~POLLOUT) != 0)
		redisAsyncHandleRead(ac);
	if (link->ac == ac && (fd->revents & POLLOUT) != 0)
		redisAsyncHandleWrite(ac);
}

static void
redis_work(struct engine *e, const struct pollfd *fds, int n)
{
	struct redis *r = redis_of(e);

	(void)n;
	work_on(&r->ask, &fds[0]);
	work_on(&r->ear, &fds[1]);
	if (r->is_to_hang_up) {
		hang_up(&r->ask);
		hang_up(&r->ear);
	}
	r->is_to_hang_up = false;
}

static void
redis_close(struct engine *e)
{
	hang_up(&redis_of(e)->ask);
	hang_up(&redis_of(e)->ear);
}

static enum err_code
redis_open(struct engine *e, struct err *err)
{
	if (e->conf->tls)
		return err_set(err, ERR_INVALID,
		    "lock.tls: not with Redis: use stunnel, or a unix socket");
	return ERR_OK;
}

static const struct engine_ops engine = {
	.size = sizeof(struct redis),
	.open = redis_open,
	.close = redis_close,
	.prepare = redis_prepare,
	.work = redis_work,
	.send = redis_send,
	.late = redis_late,
};

const struct locker_class locker_redis = {
	.name = "redis",
	.engine = &engine,
};
