/*
 * redis.c - locks in Redis.
 *
 * PREFIX:l:{ID} is the lock, its value the owner; it expires unless it is
 * renewed.  PREFIX:w:{ID} are the sessions that wait, with the time until when.
 * A session hears of both on its channel, PREFIX:s:SESSION.
 *
 * Redis forgets locks at a restart and at a failover.  So it says which ones it
 * still has at each beat, and what it has lost is lost to us.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "lock/agent.h"

enum {
	/* A question is forgotten after so many ms. */
	ASK_MS = 2000,
	/* What is wrong is said once in so many ms. */
	QUIET_MS = 10000
};

struct redis;

/* A connection, and what hiredis waits for on it. */
struct link {
	redisAsyncContext *ac;
	short events;
	/* Where it is to be found, as long as it is the current one. */
	struct link **place;
};

enum kind {
	TAKE,
	DROP,
	ASK,
	UNASK,
	RENEW,
	KIND_MAX
};

/* Of one beat, that comes back in pieces. */
struct beat {
	struct engine_call *call;
	size_t left;
	bool has_failed;
};

struct request {
	struct redis *redis;
	enum kind kind;
	struct engine_call *call;
	struct beat *beat;
	struct engine_held held;
	/* The connection may have been a dead one: tried on a new one. */
	bool is_second;
	int64_t sent;
};

struct redis {
	struct engine base;
	struct arena *arena;
	const char *session, *prefix, *user, *password;
	const char *const *hosts;
	size_t n_hosts, host;
	int64_t session_ms, reply_ms;
	/* One asks, the other listens; NULL while there is none. */
	struct link *ask, *ear;
	/* When the oldest request without an answer was sent; 0: none. */
	int64_t waiting_since;
	size_t waiting;
	int64_t said;
};

/* KEYS lock waiters; ARGV owner session-ms, until, session, prefix */
static const char *const scripts[KIND_MAX] = {
	[TAKE] = "local h = redis.call('GET', KEYS[1]) "
		 "if h and h ~= ARGV[1] then return h end "
		 "if not h then redis.call('SET', KEYS[1], ARGV[1], 'PX', "
		 "ARGV[2]) end "
		 "redis.call('ZREM', KEYS[2], ARGV[3]) "
		 "local t = redis.call('TIME') return t[1] * 1000000 + t[2]",
	[DROP] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
		 "redis.call('DEL', KEYS[1]) "
		 "for _, s in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do "
		 "redis.call('PUBLISH', ARGV[4] .. ':s:' .. s, 'f ' .. "
		 "ARGV[5]) end return 1",
	[ASK] = "local t = redis.call('TIME') "
		"local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now) "
		"redis.call('ZADD', KEYS[2], now + ARGV[6], ARGV[3]) "
		"redis.call('PEXPIRE', KEYS[2], ARGV[6]) "
		"redis.call('PUBLISH', ARGV[4] .. ':s:' .. "
		"string.match(ARGV[1], '^[^:]*'), 'w ' .. ARGV[5]) return 1",
	[UNASK] = "return redis.call('ZREM', KEYS[2], ARGV[3])",
	[RENEW] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
		  "redis.call('PEXPIRE', KEYS[1], ARGV[2]) "
		  "local t = redis.call('TIME') "
		  "local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		  "if redis.call('ZCOUNT', KEYS[2], now, '+inf') > 0 then "
		  "return 2 end return 1",
};

static struct redis *
redis_of(struct engine *e)
{
	return OUTER(e, struct redis, base);
}

static const struct engine_ops engine;

/* --- What hiredis waits for. --- */

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

/* The context is about to be freed; another may be in its place by now. */
static void
cleanup(void *arg)
{
	struct link *link = arg;

	if (*link->place == link)
		*link->place = NULL;
	free(link);
}

/* --- Connections. --- */

static void
say_why(struct redis *r, const char *why)
{
	int64_t now = clock_ms();

	if (*why == '\0' || (r->said != 0 && now - r->said < QUIET_MS))
		return;
	r->said = now;
	log_warn("locks: redis %s: %s", r->hosts[r->host], why);
}

static void
on_auth(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *p = reply;

	(void)ac;
	if (p != NULL && p->type == REDIS_REPLY_ERROR)
		say_why(arg, p->str);
}

static redisAsyncContext *
connect_to(const char *host)
{
	const char *colon = strrchr(host, ':');
	char name[256];

	if (*host == '/')
		return redisAsyncConnectUnix(host);
	if (*host == '[')
		host++;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(colon - host), host);
	name[strcspn(name, "]")] = '\0';
	return redisAsyncConnect(name, atoi(colon + 1));
}

static void
authenticate(struct redis *r, redisAsyncContext *ac)
{
	if (*r->password == '\0')
		return;
	if (*r->user != '\0')
		(void)redisAsyncCommand(
		    ac, on_auth, r, "AUTH %s %s", r->user, r->password);
	else
		(void)redisAsyncCommand(ac, on_auth, r, "AUTH %s", r->password);
}

/* False if a connection cannot even be begun. */
static bool
join(struct redis *r, struct link **place)
{
	redisAsyncContext *ac;

	if (*place != NULL)
		return true;
	ac = connect_to(r->hosts[r->host]);
	if (ac == NULL || ac->err != 0) {
		say_why(r, ac != NULL ? ac->errstr : "no memory");
		if (ac != NULL)
			redisAsyncFree(ac);
		r->host = (r->host + 1) % r->n_hosts;
		return false;
	}
	*place = must_alloc(sizeof(**place));
	**place = (struct link){ ac, POLLOUT, place };
	ac->ev.data = *place;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	authenticate(r, ac);
	return true;
}

/* --- Requests. --- */

static void send_request(struct request *);

static void
finish(struct request *q, enum err_code rc, uint64_t token, const char *holder)
{
	struct beat *beat = q->beat;

	if (q->call != NULL)
		q->call->done(q->call, rc, token, holder);
	free(q);
	if (beat == NULL)
		return;
	beat->has_failed |= rc != ERR_OK;
	if (--beat->left > 0)
		return;
	beat->call->done(
	    beat->call, beat->has_failed ? ERR_UNAVAILABLE : ERR_OK, 0, NULL);
	free(beat);
}

static void
hear(struct request *q, const redisReply *p)
{
	const struct engine *e = &q->redis->base;

	if (p->type == REDIS_REPLY_ERROR) {
		say_why(q->redis, p->str);
		finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	if (q->kind == RENEW)
		e->told(q->held.id,
		    p->integer == 0	? ENGINE_LOST :
			p->integer == 1 ? ENGINE_UNWANTED :
					  ENGINE_WANTED);
	if (q->kind == TAKE && p->type == REDIS_REPLY_STRING)
		finish(q, ERR_LOCKED, 0, p->str);
	else
		finish(q, ERR_OK, (uint64_t)p->integer, NULL);
}

/* No reply: the connection broke, perhaps long ago. */
static void
on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
	struct request *q = arg;
	struct redis *r = q->redis;

	if (--r->waiting == 0)
		r->waiting_since = 0;
	else
		r->waiting_since = clock_ms();
	if (reply != NULL) {
		hear(q, reply);
		return;
	}
	if (!q->is_second) {
		say_why(r, ac->errstr != NULL ? ac->errstr : "no answer");
		r->host = (r->host + 1) % r->n_hosts;
	}
	if (q->is_second || clock_ms() - q->sent >= r->reply_ms) {
		finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	/* hiredis frees this context only when we are back. */
	if (r->ask != NULL && r->ask->ac == ac)
		r->ask = NULL;
	q->is_second = true;
	send_request(q);
}

static void
send_request(struct request *q)
{
	struct redis *r = q->redis;
	char lock[256], waiters[256], session_ms[24], ask_ms[24];

	if (!join(r, &r->ask)) {
		finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	(void)snprintf(lock, sizeof(lock), "%s:l:{%s}", r->prefix, q->held.id);
	(void)snprintf(
	    waiters, sizeof(waiters), "%s:w:{%s}", r->prefix, q->held.id);
	(void)snprintf(
	    session_ms, sizeof(session_ms), "%lld", (long long)r->session_ms);
	(void)snprintf(ask_ms, sizeof(ask_ms), "%d", ASK_MS);
	if (r->waiting++ == 0)
		r->waiting_since = clock_ms();
	if (redisAsyncCommand(r->ask->ac, on_reply, q,
		"EVAL %s 2 %s %s %s %s %s %s %s %s", scripts[q->kind], lock,
		waiters, q->held.owner, session_ms, r->session, r->prefix,
		q->held.id, ask_ms) == REDIS_OK)
		return;
	r->waiting--;
	finish(q, ERR_UNAVAILABLE, 0, NULL);
}

static struct request *
new_request(struct redis *r, enum kind kind, const char *id, const char *owner)
{
	struct request *q = must_alloc(sizeof(*q));

	*q = (struct request){ .redis = r, .kind = kind, .sent = clock_ms() };
	(void)snprintf(q->held.id, sizeof(q->held.id), "%s", id);
	(void)snprintf(q->held.owner, sizeof(q->held.owner), "%s", owner);
	return q;
}

static void
send_call(struct engine *e, enum kind kind, struct engine_call *call,
    const struct engine_held *held)
{
	struct request *q =
	    new_request(redis_of(e), kind, held->id, held->owner);

	q->call = call;
	send_request(q);
}

static void
redis_take(
    struct engine *e, struct engine_call *call, const struct engine_held *held)
{
	send_call(e, TAKE, call, held);
}

static void
redis_drop(
    struct engine *e, struct engine_call *call, const struct engine_held *held)
{
	send_call(e, DROP, call, held);
}

static void
redis_ask(struct engine *e, const char *id, const char *holder, bool on)
{
	send_request(new_request(redis_of(e), on ? ASK : UNASK, id, holder));
}

static void
on_pong(redisAsyncContext *ac, void *reply, void *arg)
{
	struct request *q = arg;

	/* As on_reply(), but that a new connection is tried at the next beat.
	 */
	(void)ac;
	if (--q->redis->waiting == 0)
		q->redis->waiting_since = 0;
	finish(q,
	    reply != NULL &&
		    ((const redisReply *)reply)->type != REDIS_REPLY_ERROR ?
		ERR_OK :
		ERR_UNAVAILABLE,
	    0, NULL);
}

/* Last, so that all before it have been answered as well. */
static void
ping(struct redis *r, struct beat *beat)
{
	struct request *q = new_request(r, RENEW, "", "");

	q->beat = beat;
	if (!join(r, &r->ask)) {
		finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	if (r->waiting++ == 0)
		r->waiting_since = clock_ms();
	(void)redisAsyncCommand(r->ask->ac, on_pong, q, "PING");
}

static void on_message(redisAsyncContext *ac, void *reply, void *arg);

static void
listen_to(struct redis *r)
{
	if (r->ear == NULL && join(r, &r->ear))
		(void)redisAsyncCommand(r->ear->ac, on_message, r,
		    "SUBSCRIBE %s:s:%s", r->prefix, r->session);
}

static void
redis_beat(struct engine *e, struct engine_call *call,
    const struct engine_held *const *held, size_t n)
{
	struct redis *r = redis_of(e);
	struct beat *beat = must_alloc(sizeof(*beat));
	struct request *q;
	size_t i;

	*beat = (struct beat){ .call = call, .left = n + 1 };
	listen_to(r);
	for (i = 0; i < n; i++) {
		q = new_request(r, RENEW, held[i]->id, held[i]->owner);
		q->beat = beat;
		send_request(q);
	}
	ping(r, beat);
}

/* --- What it tells by itself: "w ID" and "f ID". --- */

static void
on_message(redisAsyncContext *ac, void *reply, void *arg)
{
	const redisReply *p = reply;
	const struct redis *r = arg;
	const char *text;

	(void)ac;
	if (p == NULL || p->type != REDIS_REPLY_ARRAY || p->elements != 3 ||
	    p->element[2]->type != REDIS_REPLY_STRING)
		return;
	text = p->element[2]->str;
	if (strncmp(text, "w ", 2) == 0)
		r->base.told(text + 2, ENGINE_WANTED);
	else if (strncmp(text, "f ", 2) == 0)
		r->base.told(text + 2, ENGINE_FREE);
}

/* --- The loop. --- */

static void
wait_for(const struct link *link, struct pollfd *fd)
{
	*fd = (struct pollfd){ .fd = -1 };
	if (link == NULL)
		return;
	fd->fd = link->ac->c.fd;
	fd->events = link->events;
}

static int
redis_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	struct redis *r = redis_of(e);
	int64_t left;

	wait_for(r->ask, &fds[0]);
	wait_for(r->ear, &fds[1]);
	if (r->waiting_since != 0) {
		left = r->waiting_since + r->reply_ms - clock_ms();
		if (left < *timeout_ms)
			*timeout_ms = left > 0 ? (int)left : 0;
	}
	return 2;
}

static void
work_on(struct link **place, const struct pollfd *fd)
{
	struct link *link = *place;
	redisAsyncContext *ac = link != NULL ? link->ac : NULL;

	if (ac == NULL || fd->fd != ac->c.fd || fd->revents == 0)
		return;
	if ((fd->revents & ~POLLOUT) != 0)
		redisAsyncHandleRead(ac);
	if (*place == link && (fd->revents & POLLOUT) != 0)
		redisAsyncHandleWrite(ac);
}

static void
redis_work(struct engine *e, const struct pollfd *fds, int n)
{
	struct redis *r = redis_of(e);
	struct link *late = r->ask;

	(void)n;
	work_on(&r->ask, &fds[0]);
	work_on(&r->ear, &fds[1]);
	if (r->waiting_since == 0 || late == NULL || r->ask != late ||
	    clock_ms() - r->waiting_since < r->reply_ms)
		return;
	say_why(r, "no answer in lock.reply");
	redisAsyncFree(late->ac);
}

static void
redis_close(struct engine *e)
{
	struct redis *r = redis_of(e);

	arena_free(r->arena);
	free(r);
}

static enum err_code
redis_open(const struct conf *conf, const char *session, struct engine **out,
    struct err *e)
{
	struct redis *r = must_alloc(sizeof(*r));
	enum err_code rc;

	*r = (struct redis){ .arena = arena_new() };
	r->session = arena_strdup(r->arena, session);
	r->prefix = arena_strdup(r->arena, conf->lock.prefix);
	r->user = arena_strdup(r->arena, conf->lock.user);
	r->session_ms = conf->lock.session;
	r->reply_ms = conf->lock.reply;
	rc = agent_read_hosts(conf, r->arena, &r->hosts, &r->n_hosts, e);
	if (rc == ERR_OK)
		rc = agent_read_password(conf, r->arena, &r->password, e);
	if (rc != ERR_OK) {
		redis_close(&r->base);
		return rc;
	}
	r->base.ops = &engine;
	*out = &r->base;
	return ERR_OK;
}

static const struct engine_ops engine = {
	.open = redis_open,
	.prepare = redis_prepare,
	.work = redis_work,
	.take = redis_take,
	.drop = redis_drop,
	.ask = redis_ask,
	.beat = redis_beat,
	.close = redis_close,
};

const struct locker_class locker_redis = {
	.name = "redis",
	.engine = &engine,
};
