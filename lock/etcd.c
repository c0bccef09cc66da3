/*
 * etcd.c - locks in etcd, through its JSON gateway (version 3.4 or later).
 *
 * PREFIX/l/ID is the lock, its value the owner; PREFIX/w/ID/SESSION says that a
 * session waits for it.  Both hang on the lease of their session and go with
 * it, so that nothing is left over.  A watch over PREFIX/ tells of both.
 *
 * A lock is as safe as its lease: a lease that etcd does not know takes all
 * that was held with it.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define DIGITS "0123456789"
/* Of a token, which may be a JWT. */
#define LETTERS                                                                \
	DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-=+/~"

#include "base/arena.h"
#include "lock/lock.h"
#include "lock/post.h"

enum {
	/* Of a key or a value, and that in base64. */
	TEXT_SIZE = 512,
	CODE_SIZE = 4 * ((TEXT_SIZE + 2) / 3) + 1,
	BODY_SIZE = 8 * TEXT_SIZE
};

struct etcd {
	struct engine base;
	/* In the agent only: workers do not pay for libcurl. */
	struct post_office *office;
	struct post *watch;
	/* "": none yet, or not any more. */
	char lease[32], token[1024];
	/* The next of looks[], and the bytes of its database. */
	size_t look;
	double bytes;
};

static struct etcd *
etcd_of(const struct engine *e)
{
	return OUTER(e, struct etcd, base);
}

/* --- Keys and values are base64. --- */

struct code {
	char text[CODE_SIZE];
};

PRINTF_LIKE(1, 2)
static struct code
code(const char *format, ...)
{
	struct code c;
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)EVP_EncodeBlock((unsigned char *)c.text,
	    (const unsigned char *)text, (int)strlen(text));
	return c;
}

static const char *
member(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

/* Lease ids and tokens of the service go into later requests, so that other
 * letters than such an id has are refused. */
static bool
keep(char *to, size_t size, const char *text, const char *letters)
{
	bool is_good = *text != '\0' && strlen(text) < size &&
	    text[strspn(text, letters)] == '\0';

	(void)snprintf(to, size, "%s", is_good ? text : "");
	return is_good;
}

static void
decode(const char *coded, char text[TEXT_SIZE])
{
	unsigned char bytes[TEXT_SIZE + 3];
	int n = -1;

	if (strlen(coded) < TEXT_SIZE)
		n = EVP_DecodeBlock(
		    bytes, (const unsigned char *)coded, (int)strlen(coded));
	/* It takes the padding for zeroes. */
	(void)snprintf(text, TEXT_SIZE, "%.*s", n > 0 ? n : 0, (char *)bytes);
}

static struct code
lock_key(const struct engine_request *q)
{
	return code("%s/l/%s", q->engine->conf->prefix, q->held.id);
}

static struct code
waiter_key(const struct engine_request *q)
{
	return code("%s/w/%s/%s", q->engine->conf->prefix, q->held.id,
	    q->engine->session);
}

/* --- What it says by itself. --- */

static void
tell(struct etcd *t, const json_t *event)
{
	size_t len = strlen(t->base.conf->prefix);
	bool is_gone = strcmp(member(event, "type"), "DELETE") == 0;
	char key[TEXT_SIZE], *id, *session;

	decode(member(json_object_get(event, "kv"), "key"), key);
	if (strlen(key) < len + strlen("/l/"))
		return;
	id = key + len + strlen("/l/");
	if ((session = strchr(id, '/')) != NULL)
		*session++ = '\0';
	if (session == NULL && is_gone)
		t->base.told(id, ENGINE_FREE);
	if (session != NULL && strcmp(session, t->base.session) != 0)
		t->base.told(id, is_gone ? ENGINE_UNWANTED : ENGINE_WANTED);
}

static void
on_events(void *arg, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, 0, NULL), *event;
	size_t i;

	json_array_foreach (
	    json_object_get(json_object_get(line, "result"), "events"), i,
	    event)
		tell(arg, event);
	json_decref(line);
}

static void
on_watch_end(void *arg, const struct post_answer *a)
{
	struct etcd *t = arg;

	(void)a;
	t->watch = NULL;
}

/* "0" comes after "/": all keys that begin with PREFIX/. */
static void
watch(struct etcd *t)
{
	const char *prefix = t->base.conf->prefix;
	char body[BODY_SIZE];

	if (t->watch != NULL)
		return;
	(void)snprintf(body, sizeof(body),
	    "{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\"}}",
	    code("%s/", prefix).text, code("%s0", prefix).text);
	t->watch = post_send(t->office, engine_host(&t->base), "v3/watch",
	    t->token, must_strdup(body), on_events, on_watch_end, t);
}

/* --- Answers. --- */

static void
nonsense(struct engine_request *q)
{
	engine_say(q->engine, "an answer that makes no sense: is it etcd?");
	engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
}

static void
on_take(struct etcd *t, struct engine_request *q, const json_t *answer)
{
	const json_t *kv = json_array_get(
	    json_object_get(
		json_object_get(
		    json_array_get(json_object_get(answer, "responses"), 0),
		    "response_range"),
		"kvs"),
	    0);
	const char *token = NULL;
	char holder[TEXT_SIZE];

	decode(member(kv, "value"), holder);
	if (json_is_true(json_object_get(answer, "succeeded")))
		token = member(json_object_get(answer, "header"), "revision");
	else if (strcmp(member(kv, "lease"), t->lease) == 0 &&
	    strcmp(holder, q->held.owner) == 0)
		/* By our first try. */
		token = member(kv, "create_revision");
	if (token != NULL)
		engine_finish(q, ERR_OK, strtoull(token, NULL, 10), NULL);
	else if (*holder != '\0')
		engine_finish(q, ERR_LOCKED, 0, holder);
	else
		nonsense(q);
}

/* A lease without a time is over. */
static void
on_beat(struct etcd *t, struct engine_request *q, const json_t *answer)
{
	int64_t wanted = t->base.conf->session;
	bool is_new = t->lease[0] == '\0';
	const json_t *lease =
	    is_new ? answer : json_object_get(answer, "result");
	int64_t s = strtoll(member(lease, "TTL"), NULL, 10);

	if (is_new &&
	    !keep(t->lease, sizeof(t->lease), member(lease, "ID"), DIGITS)) {
		nonsense(q);
		return;
	}
	if (s <= 0) {
		t->lease[0] = '\0';
		if (!is_new)
			t->base.told(NULL, ENGINE_LOST);
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	t->base.session_ms = s < wanted / 1000 ? 1000 * s : wanted;
	watch(t);
	engine_finish(q, ERR_OK, 0, NULL);
}

static void
hear(struct etcd *t, struct engine_request *q, const json_t *answer)
{
	const json_t *token = json_object_get(answer, "token");

	if (token != NULL) {
		if (keep(t->token, sizeof(t->token), member(answer, "token"),
			LETTERS))
			t->base.ops->send(&t->base, q);
		else
			nonsense(q);
	} else if (q->kind == ENGINE_BEAT) {
		on_beat(t, q, answer);
	} else if (!json_is_object(json_object_get(answer, "header"))) {
		nonsense(q);
	} else if (q->kind == ENGINE_TAKE) {
		on_take(t, q, answer);
	} else {
		engine_finish(q, ERR_OK, 0, NULL);
	}
}

/* A token does not last; whatever else it refuses it refuses for good. */
static void
complain(struct etcd *t, struct engine_request *q, const struct post_answer *a,
    const json_t *answer)
{
	const char *text = member(answer, "message");
	bool is_stale = t->token[0] != '\0' && a->status <= 401;
	char status[80];

	(void)snprintf(status, sizeof(status),
	    "the answer is %ld, and no JSON: is it etcd 3.4 or later?",
	    a->status);
	if (*text == '\0')
		text = status;
	if (is_stale)
		t->token[0] = '\0';
	else if (a->status == 403 || a->status <= 401)
		engine_refuse(&t->base, text);
	else
		engine_say(&t->base, text);
	if (!is_stale || q->is_last) {
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	q->is_last = true;
	t->base.ops->send(&t->base, q);
}

static void
on_answer(void *arg, const struct post_answer *a)
{
	struct engine_request *q = arg;
	struct etcd *t = etcd_of(q->engine);
	json_t *answer = json_loadb(a->text, a->len, 0, NULL);

	q->own = NULL;
	if (a->is_refusal)
		engine_refuse(&t->base, a->why);
	if (a->status == 0)
		engine_fail(q, a->why);
	else if (a->status == 200 && answer == NULL)
		nonsense(q);
	else if (a->status == 200)
		hear(t, q, answer);
	else
		complain(t, q, a, answer);
	json_decref(answer);
}

/* --- Requests. --- */

static void
post(struct etcd *t, struct engine_request *q, const char *path, char *body)
{
	q->own = post_send(t->office, engine_host(&t->base), path, t->token,
	    body, NULL, on_answer, q);
}

PRINTF_LIKE(4, 5)
static void
ask(struct etcd *t, struct engine_request *q, const char *path,
    const char *format, ...)
{
	char body[BODY_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	post(t, q, path, must_strdup(body));
}

static void
log_in(struct etcd *t, struct engine_request *q)
{
	json_t *body = json_pack("{s:s,s:s}", "name", t->base.conf->user,
	    "password", t->base.password);

	post(t, q, "v3/auth/authenticate", json_dumps(body, JSON_COMPACT));
	json_decref(body);
}

static void
beat(struct etcd *t, struct engine_request *q)
{
	/* In whole seconds: it may keep a lock for longer, never shorter. */
	if (t->lease[0] == '\0')
		ask(t, q, "v3/lease/grant", "{\"TTL\":\"%lld\"}",
		    (long long)(t->base.session_ms + 999) / 1000);
	else
		ask(t, q, "v3/lease/keepalive", "{\"ID\":\"%s\"}", t->lease);
}

/* --- Its settings: one question after the other. --- */

static void look(struct etcd *, struct engine_request *);

static void
note_alarms(struct etcd *t, const char *text)
{
	if (strstr(text, "NOSPACE") != NULL)
		engine_note(&t->base, true,
		    "the alarm NOSPACE is on and no lock can be had: make room "
		    "with etcdctl compact and defrag, or raise "
		    "--quota-backend-bytes; then run etcdctl alarm disarm");
	if (strstr(text, "CORRUPT") != NULL)
		engine_note(&t->base, true,
		    "the alarm CORRUPT is on: its data has to be restored");
}

static void
note_status(struct etcd *t, const char *text)
{
	json_t *answer = json_loads(text, 0, NULL);

	t->bytes = strtod(member(answer, "dbSize"), NULL);
	json_decref(answer);
}

/* Only newer ones have the quota in their status. */
static void
note_quota(struct etcd *t, const char *text)
{
	static const char key[] = "\netcd_server_quota_backend_bytes ";
	const char *at = strstr(text, key);
	double quota = at != NULL ? strtod(at + strlen(key), NULL) : 0;

	if (quota > 0 && t->bytes > quota * 0.8)
		engine_note(&t->base, true,
		    "its database has %.0f of %.0f MiB, and when it is full no "
		    "lock can be had: run etcdctl compact and defrag, or raise "
		    "--quota-backend-bytes",
		    t->bytes / 1048576, quota / 1048576);
}

static const struct {
	const char *path, *body;
	void (*note)(struct etcd *, const char *text);
} looks[] = {
	{ "v3/maintenance/alarm", "{\"action\":\"GET\"}", note_alarms },
	{ "v3/maintenance/status", "{}", note_status },
	{ "metrics", "{}", note_quota },
};

/* What it does not tell is not known. */
static void
on_look(void *arg, const struct post_answer *a)
{
	struct engine_request *q = arg;
	struct etcd *t = etcd_of(q->engine);

	q->own = NULL;
	if (a->status == 200)
		looks[t->look].note(t, a->text);
	t->look++;
	look(t, q);
}

static void
look(struct etcd *t, struct engine_request *q)
{
	if (t->look < NITEMS(looks))
		q->own = post_send(t->office, engine_host(&t->base),
		    looks[t->look].path, t->token,
		    must_strdup(looks[t->look].body), NULL, on_look, q);
	else
		engine_finish(q, ERR_OK, 0, NULL);
}

/* --- Sending. --- */

static void
send_request(struct etcd *t, struct engine_request *q)
{
	struct code key = lock_key(q), owner = code("%s", q->held.owner);

	switch (q->kind) {
	case ENGINE_TAKE:
		ask(t, q, "v3/kv/txn",
		    "{\"compare\":[{\"key\":\"%s\",\"target\":\"CREATE\","
		    "\"create_revision\":\"0\"}],\"success\":[{\"request_put\":"
		    "{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%s\"}}],"
		    "\"failure\":[{\"request_range\":{\"key\":\"%s\"}}]}",
		    key.text, key.text, owner.text, t->lease, key.text);
		break;
	case ENGINE_DROP:
		ask(t, q, "v3/kv/txn",
		    "{\"compare\":[{\"key\":\"%s\",\"target\":\"VALUE\","
		    "\"value\":\"%s\"}],\"success\":"
		    "[{\"request_delete_range\":{\"key\":\"%s\"}}]}",
		    key.text, owner.text, key.text);
		break;
	case ENGINE_ASK:
		ask(t, q, "v3/kv/put", "{\"key\":\"%s\",\"lease\":\"%s\"}",
		    waiter_key(q).text, t->lease);
		break;
	case ENGINE_UNASK:
		ask(t, q, "v3/kv/deleterange", "{\"key\":\"%s\"}",
		    waiter_key(q).text);
		break;
	case ENGINE_BEAT:
		beat(t, q);
		break;
	case ENGINE_LOOK:
		look(t, q);
		break;
	case ENGINE_KINDS:
		break;
	}
}

static void
etcd_send(struct engine *e, struct engine_request *q)
{
	struct etcd *t = etcd_of(e);
	struct err err;

	if (t->office == NULL &&
	    (t->office = post_open(e->conf, &err)) == NULL) {
		engine_refuse(e, err.text);
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
	} else if (t->lease[0] == '\0' &&
	    (q->kind == ENGINE_TAKE || q->kind == ENGINE_ASK)) {
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
	} else if (*e->conf->user != '\0' && t->token[0] == '\0') {
		log_in(t, q);
	} else {
		send_request(t, q);
	}
}

/* What hangs may be the whole connection. */
static void
etcd_late(struct engine *e, struct engine_request *q)
{
	struct etcd *t = etcd_of(e);

	post_stop(q->own);
	post_stop(t->watch);
	q->own = t->watch = NULL;
	engine_fail(q, "no answer in lock.reply");
}

/* --- The loop. --- */

static int
etcd_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	struct etcd *t = etcd_of(e);

	return t->office != NULL ? post_prepare(t->office, fds, timeout_ms) : 0;
}

static void
etcd_work(struct engine *e, const struct pollfd *fds, int n)
{
	(void)fds;
	(void)n;
	if (etcd_of(e)->office != NULL)
		post_work(etcd_of(e)->office);
}

static void
etcd_close(struct engine *e)
{
	struct engine_request *q;

	for (q = e->waiting; q != NULL; q = q->next)
		q->own = NULL;
	if (etcd_of(e)->office != NULL)
		post_close(etcd_of(e)->office);
}

static enum err_code
etcd_open(struct engine *e, struct err *err)
{
	const char *const *host = e->conf->hosts;
	json_t *text = json_pack("[s,s]", e->conf->user, e->password);
	bool is_utf8 = text != NULL;

	json_decref(text);
	if (!is_utf8)
		return err_set(err, ERR_INVALID,
		    "lock.user and its password must be UTF-8");
	while (*host != NULL && **host != '/')
		host++;
	if (*host == NULL)
		return ERR_OK;
	return err_set(err, ERR_INVALID,
	    "lock.hosts: \"%s\": etcd is at HOST:PORT", *host);
}

static const struct engine_ops engine = {
	.size = sizeof(struct etcd),
	.open = etcd_open,
	.close = etcd_close,
	.prepare = etcd_prepare,
	.work = etcd_work,
	.send = etcd_send,
	.late = etcd_late,
};

const struct locker_class locker_etcd = {
	.name = "etcd",
	.engine = &engine,
};
