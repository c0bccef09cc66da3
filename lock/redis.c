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

#include "base/clock.h"
#include "lock/lock.h"
#include "lock/redis_link.h"

/* In ms: how long the wish of a waiting session is kept. */
#define ASK_MS "2000"

#define LATE   "no answer in lock.reply"

struct redis {
	struct engine base;
	/* For requests, for notifications, and to Sentinel. */
	struct redis_link ask, ear, guide;
	struct redis_tls *tls;
	/* With Sentinel: HOST:PORT, "" if it is not known yet; and since when
	 * Sentinel owes us an answer, 0: it does not. */
	char master[272];
	int64_t guide_asked;
	/* A beat that waits for it. */
	struct engine_request *first;
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

/* --- Notifications: "w ID" and the like.  --- */

/* False: it is nothing of the kind. */
static bool
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

	if (p->type != REDIS_REPLY_STRING || p->len <= 2)
		return false;
	for (i = 0; i < NITEMS(rows); i++)
		if (p->str[0] == rows[i].letter) {
			r->base.told(p->str + 2, rows[i].hint);
			return true;
		}
	return false;
}

static void
on_message(void *arg, const redisReply *p, const char *why)
{
	(void)why;
	if (p->type == REDIS_REPLY_ARRAY && p->elements == 3)
		(void)tell(arg, p->element[2]);
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
		"ERR AUTH", "ERR invalid password", "ERR Client sent AUTH",
		"DENIED" };
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
on_word(void *arg, const redisReply *p, const char *why)
{
	(void)why;
	if (p != NULL)
		(void)has_erred(arg, p);
}

static void
on_sha(void *arg, const redisReply *p, const char *why)
{
	(void)why;
	if (p != NULL && p->type == REDIS_REPLY_STRING && p->len == 40)
		memcpy(arg, p->str, 41);
}

/* --- Connections. --- */

static void
authenticate(struct redis *r, struct redis_link *link)
{
	const char *user = r->base.conf->user, *password = r->base.password;

	if (*password == '\0')
		return;
	if (*user != '\0')
		redis_ask(link, on_word, r, "AUTH %s %s", user, password);
	else
		redis_ask(link, on_word, r, "AUTH %s", password);
}

/* False if connecting fails at once. */
static bool
join(struct redis *r, struct redis_link *link)
{
	const char *host = engine_host(&r->base);

	if (*r->base.conf->sentinel != '\0' && link != &r->guide)
		host = r->master;
	if (link->c != NULL)
		return true;
	if (*host == '\0' || !redis_join(link, host, r->tls, &r->base))
		return false;
	if (link != &r->guide)
		authenticate(r, link);
	return true;
}

/* --- Sentinel: which host is the master. --- */

static void redis_send(struct engine *, struct engine_request *);

static void
go_on(struct redis *r)
{
	struct engine_request *q = r->first;

	r->first = NULL;
	if (q != NULL && r->master[0] != '\0')
		redis_send(&r->base, q);
	else if (q != NULL)
		engine_fail(q, "Sentinel does not say who is the master");
}

static void
set_master(struct redis *r, const char *name, const char *port)
{
	char host[sizeof(r->master)];

	(void)snprintf(host, sizeof(host),
	    strchr(name, ':') != NULL ? "[%.255s]:%.8s" : "%.255s:%.8s", name,
	    port);
	if (strcmp(host, r->master) == 0)
		return;
	(void)strcpy(r->master, host);
	redis_hang_up(&r->ask, "another master");
	redis_hang_up(&r->ear, "another master");
}

static void
on_master(void *arg, const redisReply *p, const char *why)
{
	struct redis *r = arg;

	r->guide_asked = 0;
	if (p == NULL)
		engine_next_host(&r->base, why);
	else if (p->type != REDIS_REPLY_ARRAY || p->elements != 2 ||
	    p->element[0]->type != REDIS_REPLY_STRING ||
	    p->element[1]->type != REDIS_REPLY_STRING)
		engine_refuse(
		    &r->base, "it is no Sentinel that knows lock.sentinel");
	else
		set_master(r, p->element[0]->str, p->element[1]->str);
	go_on(r);
}

static void
look_for_master(struct redis *r)
{
	const struct conf_lock *conf = r->base.conf;

	if (*conf->sentinel == '\0')
		return;
	if (r->guide_asked != 0) {
		if (clock_ms() - r->guide_asked >= conf->reply)
			redis_hang_up(&r->guide, LATE);
		return;
	}
	if (!join(r, &r->guide))
		return;
	r->guide_asked = clock_ms();
	redis_ask(&r->guide, on_master, r,
	    "SENTINEL get-master-addr-by-name %s", conf->sentinel);
}

/* --- Requests. --- */

/* EVALSHA, or EVAL where the server does not know the script. */
static void
run(struct redis *r, enum engine_kind kind, const struct engine_held *held,
    redis_heard *done, void *arg)
{
	const struct engine *e = &r->base;
	const char *sha = r->sha[kind];
	char ms[24];

	(void)snprintf(ms, sizeof(ms), "%lld", (long long)e->session_ms);
	redis_ask(&r->ask, done, arg,
	    "%s %s 2 %s:l:{%s} %s:w:{%s} %s %s %s %s %s",
	    *sha != '\0' ? "EVALSHA" : "EVAL",
	    *sha != '\0' ? sha : scripts[kind], e->conf->prefix, held->id,
	    e->conf->prefix, held->id, held->owner, ms, e->session,
	    e->conf->prefix, held->id);
}

static void
nonsense(struct redis *r)
{
	engine_say(&r->base, "an answer that makes no sense: is it Redis?");
	r->is_to_hang_up = true;
}

static void
on_reply(void *arg, const redisReply *p, const char *why)
{
	struct engine_request *q = arg;
	struct redis *r = redis_of(q->engine);

	if (p == NULL) {
		engine_fail(q, why);
	} else if (has_erred(r, p)) {
		if (is_error(p, "NOSCRIPT"))
			redis_send(&r->base, q);
		else
			engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
	} else if (p->type == REDIS_REPLY_INTEGER) {
		engine_finish(q, ERR_OK, (uint64_t)p->integer, NULL);
	} else if (p->type == REDIS_REPLY_STRING && q->kind == ENGINE_TAKE) {
		engine_finish(q, ERR_LOCKED, 0, p->str);
	} else {
		nonsense(r);
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
	}
}

static void
on_renewed(void *arg, const redisReply *p, const char *why)
{
	struct redis *r = arg;

	(void)why;
	if (p == NULL || has_erred(r, p) || !tell(r, p))
		r->has_beat_failed = true;
}

/* The last answer of a beat: all earlier requests have been answered too. */
static void
on_pong(void *arg, const redisReply *p, const char *why)
{
	struct engine_request *q = arg;
	struct redis *r = redis_of(q->engine);
	bool is_pong;

	if (p == NULL) {
		engine_fail(q, why);
		return;
	}
	is_pong = p->type == REDIS_REPLY_STATUS && strcmp(p->str, "PONG") == 0;
	if (!has_erred(r, p) && !is_pong)
		nonsense(r);
	engine_finish(q,
	    is_pong && !r->has_beat_failed ? ERR_OK : ERR_UNAVAILABLE, 0, NULL);
}

static void
beat(struct redis *r, struct engine_request *q)
{
	const struct engine *e = &r->base;
	size_t i;

	if (r->ear.c == NULL && join(r, &r->ear)) {
		r->ear.unasked = on_message;
		r->ear.arg = r;
		redis_ask(&r->ear, on_word, r, "SUBSCRIBE %s:s:%s",
		    e->conf->prefix, e->session);
	}
	for (i = 0; i < ENGINE_KINDS; i++)
		if (scripts[i] != NULL && r->sha[i][0] == '\0')
			redis_ask(&r->ask, on_sha, r->sha[i], "SCRIPT LOAD %s",
			    scripts[i]);
	r->has_beat_failed = false;
	for (i = 0; i < q->n; i++)
		run(r, ENGINE_BEAT, q->list[i], on_renewed, r);
	redis_ask(&r->ask, on_pong, q, "PING");
}

/* --- Its settings. --- */

/* The value in a line KEY:VALUE of INFO; "" if there is none. */
static const char *
value_of(const char *info, const char *key, char value[64])
{
	const char *at = strstr(info, key);

	value[0] = '\0';
	if (at != NULL)
		(void)snprintf(value, 64, "%.*s",
		    (int)strcspn(at + strlen(key), "\r\n"), at + strlen(key));
	return value;
}

/* Our keys expire, so that each policy but one may evict them. */
static void
look_at_info(struct engine *e, const char *info)
{
	static const char forgets[] =
	    "may forget locks: acknowledged bytes are safe, work may be done "
	    "twice";
	char policy[64], value[64];

	(void)value_of(info, "\nmaxmemory_policy:", policy);
	if (strcmp(policy, "noeviction") != 0 && *policy != '\0') {
		if (strcmp(value_of(info, "\nmaxmemory:", value), "0") != 0)
			engine_refuse(e,
			    "it evicts locks when its memory is full: set "
			    "maxmemory-policy noeviction in redis.conf");
		else
			engine_note(e, false,
			    "maxmemory-policy %s evicts locks as soon as "
			    "maxmemory is set: set noeviction",
			    policy);
	}
	if (strcmp(value_of(info, "\naof_enabled:", value), "0") == 0)
		engine_note(e, false,
		    "a restart %s; with appendonly yes and appendfsync always "
		    "it does not",
		    forgets);
	if (atoi(value_of(info, "\nconnected_slaves:", value)) > 0)
		engine_note(e, false, "a failover to one of %s replicas %s",
		    value, forgets);
}

static void
on_info(void *arg, const redisReply *p, const char *why)
{
	struct engine_request *q = arg;

	if (p != NULL && p->type == REDIS_REPLY_STRING)
		look_at_info(q->engine, p->str);
	else
		engine_note(q->engine, false, "its settings are not known: %s",
		    p == NULL			     ? why :
			p->type == REDIS_REPLY_ERROR ? p->str :
						       "INFO fails");
	engine_finish(q, ERR_OK, 0, NULL);
}

/* --- Sending. --- */

static void
redis_send(struct engine *e, struct engine_request *q)
{
	struct redis *r = redis_of(e);

	if (q->kind == ENGINE_BEAT)
		look_for_master(r);
	if (q->kind == ENGINE_BEAT && r->guide_asked != 0 &&
	    r->master[0] == '\0')
		r->first = q;
	else if (!join(r, &r->ask))
		engine_fail(q, "no connection yet");
	else if (q->kind == ENGINE_BEAT)
		beat(r, q);
	else if (q->kind == ENGINE_LOOK)
		redis_ask(&r->ask, on_info, q, "INFO");
	else
		run(r, q->kind, &q->held, on_reply, q);
}

static void
redis_late(struct engine *e, struct engine_request *q)
{
	struct redis *r = redis_of(e);

	engine_say(e, LATE);
	redis_hang_up(q == r->first ? &r->guide : &r->ask, LATE);
}

/* --- The loop. --- */

static int
redis_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	redis_wait(&redis_of(e)->ask, &fds[0], timeout_ms);
	redis_wait(&redis_of(e)->ear, &fds[1], timeout_ms);
	redis_wait(&redis_of(e)->guide, &fds[2], timeout_ms);
	return 3;
}

static void
redis_work(struct engine *e, const struct pollfd *fds, int n)
{
	struct redis *r = redis_of(e);

	(void)n;
	redis_work_on(&r->ask, &fds[0]);
	redis_work_on(&r->ear, &fds[1]);
	redis_work_on(&r->guide, &fds[2]);
	if (r->is_to_hang_up) {
		redis_hang_up(&r->ask, "a refusal");
		redis_hang_up(&r->ear, "a refusal");
	}
	r->is_to_hang_up = false;
}

static void
redis_close(struct engine *e)
{
	struct redis *r = redis_of(e);

	redis_hang_up(&r->ask, "");
	redis_hang_up(&r->ear, "");
	redis_hang_up(&r->guide, "");
	redis_tls_free(r->tls);
}

static enum err_code
redis_open(struct engine *e, struct err *err)
{
	return redis_tls_open(e->conf, &redis_of(e)->tls, err);
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
