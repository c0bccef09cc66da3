/*
 * engine.c - the parts that all lock services share.
 *
 * A request stays in a list until it is answered.  An idle connection may turn
 * out to be dead, so a request that fails is sent once more, if there is time.
 * If there is no answer within lock.reply the result is unknown, and the caller
 * is told at once.
 */
#include "config.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "lock/engine.h"

enum {
	/* In ms: the interval at which the same failure is logged. */
	QUIET_MS = 10000,
	/* Of what a service says when it refuses us. */
	WHY_MAX = 120,
	PREFIX_MAX = 128
};

/* --- Opening. --- */

bool
engine_name_session(char session[ENGINE_SESSION_SIZE])
{
	char host[40] = "";
	unsigned char random[8];
	size_t i;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
	    gethostname(host, sizeof(host) - 1) == -1)
		return false;
	host[strcspn(host, ":/ ")] = '\0';
	session += sprintf(session, "%s/", host);
	for (i = 0; i < sizeof(random); i++)
		session += sprintf(session, "%02x", random[i]);
	return true;
}

static enum err_code
check_keys(const struct conf_lock *conf, struct err *e)
{
	const char *host;
	size_t n;

	for (n = 0; (host = conf->hosts[n]) != NULL; n++)
		if (*host != '/' && strrchr(host, ':') == NULL)
			return err_set(e, ERR_INVALID,
			    "lock.hosts: \"%s\": write HOST:PORT, or the path "
			    "of a socket",
			    host);
	if (!conf->tls &&
	    (*conf->ca_file != '\0' || *conf->cert_file != '\0' ||
		*conf->key_file != '\0'))
		return err_set(e, ERR_INVALID,
		    "lock.ca_file, lock.cert_file and lock.key_file want "
		    "lock.tls = true");
	if (*conf->sentinel != '\0' && strcmp(conf->type, "redis") != 0)
		return err_set(e, ERR_INVALID,
		    "lock.sentinel is for lock.type = \"redis\"");
	if (strlen(conf->prefix) > PREFIX_MAX)
		return err_set(e, ERR_INVALID,
		    "lock.prefix: at most %d characters", PREFIX_MAX);
	if (n > 0)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "lock.type = \"%s\" needs lock.hosts = ( \"HOST:PORT\" )",
	    conf->type);
}

static enum err_code
read_password(const char *file, char *text, size_t size, struct err *e)
{
	struct stat st;
	ssize_t n;
	int fd;

	if (*file == '\0')
		return ERR_OK;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		(void)err_sys(e,
		    "lock.password_file: the user of the pool has to own %s",
		    file);
		if (fd != -1)
			(void)close(fd);
		return e->code;
	}
	n = read(fd, text, size - 1);
	(void)close(fd);
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_INVALID,
		    "lock.password_file: others may read %s: chmod 600; the "
		    "user of the pool has to own it",
		    file);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	return ERR_OK;
}

enum err_code
engine_open(const struct engine_ops *ops, const struct conf *conf,
    const char *session, struct engine **out, struct err *e)
{
	struct engine *engine = must_alloc(ops->size);
	enum err_code rc;

	memset(engine, 0, ops->size);
	engine->ops = ops;
	engine->end = &engine->waiting;
	engine->conf = &conf->lock;
	engine->session_ms = conf->lock.session;
	(void)snprintf(engine->session, sizeof(engine->session), "%s", session);
	rc = check_keys(engine->conf, e);
	if (rc == ERR_OK)
		rc = read_password(conf->lock.password_file, engine->password,
		    sizeof(engine->password), e);
	if (rc == ERR_OK)
		rc = ops->open(engine, e);
	if (rc == ERR_OK)
		*out = engine;
	else
		free(engine);
	return rc;
}

/* --- Words. --- */

const char *
engine_host(const struct engine *e)
{
	return e->conf->hosts[e->host];
}

int
engine_split(const char *host, char *name, size_t size)
{
	const char *colon = strrchr(host, ':');

	if (*host == '[')
		host++;
	(void)snprintf(name, size, "%.*s", (int)(colon - host), host);
	name[strcspn(name, "]")] = '\0';
	return atoi(colon + 1);
}

const char *
engine_nonce(const struct engine *e)
{
	const char *slash = strrchr(e->session, '/');

	return slash != NULL ? slash + 1 : e->session;
}

void
engine_say(struct engine *e, const char *why)
{
	int64_t now = clock_ms();

	(void)snprintf(e->trouble, sizeof(e->trouble), "%s", why);
	if (e->is_closing || (e->said != 0 && now - e->said < QUIET_MS))
		return;
	e->said = now;
	log_warn("locks: %s %s: %s", e->conf->type, engine_host(e), why);
}

void
engine_note(struct engine *e, bool is_bad, const char *fmt, ...)
{
	char text[ENGINE_TEXT];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e->noted != NULL)
		e->noted(is_bad, text);
}

/* What the services say, and what to do about it. */
static const char *
find_advice(const char *why)
{
	static const struct {
		const char *words, *advice;
	} rows[] = {
		{ "NOAUTH", "set lock.password_file" },
		{ "user name is empty", "set lock.user, lock.password_file" },
		{ "WRONGPASS", "correct lock.user, lock.password_file" },
		{ "invalid password", "correct lock.password_file" },
		{ "invalid user ID", "correct lock.user, lock.password_file" },
		{ "without any password", "remove lock.password_file" },
		{ "auth is not enabled", "remove lock.user" },
		{ "DENIED", "set requirepass there, and lock.password_file" },
		{ "NOPERM", "allow lock.user what is under lock.prefix" },
		{ "permission denied",
		    "allow lock.user what is under lock.prefix" },
		{ "certificate", "correct lock.ca_file, lock.cert_file" },
		{ "to an HTTPS server", "set lock.tls = true" },
		{ "SSL", "is it TLS?  correct lock.tls, lock.ca_file" },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++)
		if (strstr(why, rows[i].words) != NULL)
			return rows[i].advice;
	return "";
}

void
engine_refuse(struct engine *e, const char *why)
{
	const char *advice = find_advice(why);
	size_t len = strlen(why);
	char text[ENGINE_TEXT];

	if (len > 0 && why[len - 1] == '.')
		len--;
	(void)snprintf(text, sizeof(text), "%.*s%s%s",
	    len < WHY_MAX ? (int)len : WHY_MAX, why,
	    *advice != '\0' ? ": " : "", advice);
	engine_say(e, text);
	/* What follows from the first is not told. */
	if (e->refusal.code != ERR_OK)
		return;
	(void)err_set(&e->refusal, ERR_INVALID,
	    "lock.type: %s at %s refuses: %s", e->conf->type, engine_host(e),
	    text);
}

/* --- Requests. --- */

static void
insert(struct engine_request **place, struct engine_request *q)
{
	q->next = *place;
	q->place = place;
	*place = q;
	if (q->next != NULL)
		q->next->place = &q->next;
	else if (place == q->engine->end || place == &q->engine->waiting)
		q->engine->end = &q->next;
}

static void
take_out(struct engine_request *q)
{
	*q->place = q->next;
	if (q->next != NULL)
		q->next->place = q->place;
	else if (q->engine->end == &q->next)
		q->engine->end = q->place;
}

static struct engine_request *
new_request(struct engine *e, enum engine_kind kind, struct engine_call *call)
{
	struct engine_request *q = must_alloc(sizeof(*q));

	*q = (struct engine_request){ .engine = e,
		.kind = kind,
		.call = call,
		.host = e->host,
		.sent = clock_ms() };
	insert(e->end, q);
	return q;
}

void
engine_send(struct engine *e, enum engine_kind kind, struct engine_call *call,
    const struct engine_held *held)
{
	struct engine_request *q = new_request(e, kind, call);

	q->held = *held;
	e->ops->send(e, q);
}

/* A beat is not repeated here: the agent sends the next one, with the locks
 * that it holds by then. */
void
engine_beat(struct engine *e, struct engine_call *call,
    const struct engine_held *const *list, size_t n)
{
	struct engine_request *q = new_request(e, ENGINE_BEAT, call);

	q->list = list;
	q->n = n;
	q->is_last = true;
	e->ops->send(e, q);
}

void
engine_finish(struct engine_request *q, enum err_code rc, uint64_t token,
    const char *holder)
{
	struct engine_call *call = q->call;

	take_out(q);
	if (q->kind == ENGINE_TAKE && rc != ERR_UNAVAILABLE)
		q->engine->refusal.code = ERR_OK;
	if (call != NULL && !q->engine->is_closing)
		call->done(call, rc, token, holder);
	free(q->own);
	free(q);
}

void
engine_next_host(struct engine *e, const char *why)
{
	engine_say(e, why);
	if (e->conf->hosts[++e->host] == NULL)
		e->host = 0;
}

void
engine_fail(struct engine_request *q, const char *why)
{
	struct engine *e = q->engine;

	if (q->host == e->host && !e->is_closing)
		engine_next_host(e, why);
	if (e->is_closing || q->is_last ||
	    clock_ms() - q->sent >= e->conf->reply) {
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	q->is_last = true;
	free(q->own);
	q->own = NULL;
	take_out(q);
	insert(&e->again, q);
}

/* --- The loop. --- */

int
engine_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	const struct engine_request *q = e->waiting;
	int64_t left;

	if (q != NULL) {
		left = q->sent + e->conf->reply - clock_ms();
		if (left < *timeout_ms)
			*timeout_ms = left > 0 ? (int)left : 0;
	}
	if (e->again != NULL)
		*timeout_ms = 0;
	return e->ops->prepare(e, fds, timeout_ms);
}

void
engine_work(struct engine *e, const struct pollfd *fds, int n)
{
	struct engine_request *q;
	int64_t late = clock_ms() - e->conf->reply;

	e->ops->work(e, fds, n);
	while ((q = e->waiting) != NULL && q->sent <= late) {
		q->is_last = true;
		e->ops->late(e, q);
	}
	while ((q = e->again) != NULL) {
		take_out(q);
		insert(&e->waiting, q);
		q->host = e->host;
		e->ops->send(e, q);
	}
}

void
engine_close(struct engine *e)
{
	e->is_closing = true;
	e->ops->close(e);
	while (e->waiting != NULL)
		engine_finish(e->waiting, ERR_UNAVAILABLE, 0, NULL);
	while (e->again != NULL)
		engine_finish(e->again, ERR_UNAVAILABLE, 0, NULL);
	free(e);
}
