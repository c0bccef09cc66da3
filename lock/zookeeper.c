/*
 * zookeeper.c - locks in ZooKeeper, version 3.5 or later.
 *
 * PREFIX/l/ID is the lock, an ephemeral node whose data is the owner;
 * PREFIX/w/ID.SESSION says that a session waits for it.  Both go with the
 * session of ZooKeeper that made them, so that nothing is left over.
 *
 * The library is the one without threads, driven by the agent's loop.  It keeps
 * the connection, and tries the next of lock.hosts by itself.  A beat is a
 * sync, which the leader answers: a follower that lost it would answer reads
 * for longer than our session lives.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/time.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zookeeper/zookeeper.h>

#include "base/arena.h"
#include "base/clock.h"
#include "lock/engine.h"
#include "lock/lock.h"
#include "lock/zookeeper_look.h"

enum {
	PATH_SIZE = 512,
	/* In bytes: the library believes any length that it is told, up to two
	 * GiB, and of a length below zero it reads nothing.  READ_MIN is what a
	 * read counts at least. */
	ANSWER_MAX = 16 << 20,
	READ_MIN = 4096,
	/* The most held locks that a beat looks at. */
	LOOKS_MAX = 256,
	/* In ms: the library spins with shorter sessions, and with those that
	 * overflow. */
	SESSION_MIN = 1000,
	SESSION_MAX = 3600 * 1000
};

struct zookeeper {
	struct engine base;
	/* NULL: to be opened. */
	zhandle_t *zh;
	int fd, interest;
	bool has_expired;
	/* When it last answered, or was opened; by clock_ms(). */
	int64_t answered;
	/* How many held locks were looked at. */
	size_t looked;
	/* What there was to read since its last answer. */
	int64_t unanswered;
	/* Those that wait elsewhere, as was told last. */
	struct String_vector waiters;
	/* Of lock.hosts, with commas; for zookeeper_init(). */
	char *hosts;
};

/* A look at a lock that is held. */
struct glance {
	struct zookeeper *z;
	char id[ID_MAX + 1];
};

/* What the library hands back; q is NULL if nobody waits any more. */
struct ticket {
	struct zookeeper *z;
	struct engine_request *q;
};

static struct zookeeper *
zookeeper_of(const struct engine *e)
{
	return OUTER(e, struct zookeeper, base);
}

/* --- Names. --- */

static const char *
lock_path(const struct engine_request *q, char path[PATH_SIZE])
{
	(void)snprintf(
	    path, PATH_SIZE, "%s/l/%s", q->engine->conf->prefix, q->held.id);
	return path;
}

static const char *
waiter_path(const struct engine_request *q, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, "%s/w/%s.%s", q->engine->conf->prefix,
	    q->held.id, engine_nonce(q->engine));
	return path;
}

static const char *
waiters_path(const struct zookeeper *z, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, "%s/w", z->base.conf->prefix);
	return path;
}

/* With lock.user, nodes are for that user alone. */
static const struct ACL_vector *
acl(const struct zookeeper *z)
{
	return *z->base.conf->user != '\0' ? &ZOO_CREATOR_ALL_ACL :
					     &ZOO_OPEN_ACL_UNSAFE;
}

/* --- What it says by itself. --- */

static void
tell(struct zookeeper *z, const char *name, enum engine_hint hint)
{
	const char *dot = strrchr(name, '.');
	char id[ID_MAX + 1];

	if (dot == NULL || dot - name > ID_MAX ||
	    strcmp(dot + 1, engine_nonce(&z->base)) == 0)
		return;
	(void)snprintf(id, sizeof(id), "%.*s", (int)(dot - name), name);
	z->base.told(id, hint);
}

static void
on_made(int rc, const char *path, const void *arg)
{
	/* That it may be there already is as good; what is refused is refused
	 * again when we use it. */
	(void)rc;
	(void)path;
	(void)arg;
}

static void
make_nodes(struct zookeeper *z)
{
	static const char *const below[] = { "/l", "/w" };
	char path[PATH_SIZE];
	size_t i;

	(void)snprintf(path, sizeof(path), "%s/", z->base.conf->prefix);
	for (i = 1; path[i] != '\0'; i++) {
		if (path[i] != '/')
			continue;
		path[i] = '\0';
		(void)zoo_acreate(z->zh, path, "", 0, acl(z), 0, on_made, NULL);
		path[i] = '/';
	}
	for (i = 0; i < NITEMS(below); i++) {
		(void)snprintf(
		    path, sizeof(path), "%s%s", z->base.conf->prefix, below[i]);
		(void)zoo_acreate(z->zh, path, "", 0, acl(z), 0, on_made, NULL);
	}
}

/* An answer that was cut short has fewer names than it says. */
static int
count_names(const struct String_vector *list)
{
	int n = 0;

	while (list->data != NULL && n < list->count && list->data[n] != NULL)
		n++;
	return n;
}

/* The list owns its strings. */
static void
on_waiters(int rc, const struct String_vector *list, const void *arg)
{
	struct zookeeper *z = (struct zookeeper *)(uintptr_t)arg;
	int i, n;

	if (z->base.is_closing)
		return;
	if (rc == ZNONODE)
		make_nodes(z);
	if (rc != ZOK)
		return;
	n = count_names(list);
	for (i = 0; i < z->waiters.count; i++)
		tell(z, z->waiters.data[i], ENGINE_UNWANTED);
	for (i = 0; i < n; i++)
		tell(z, list->data[i], ENGINE_WANTED);
	(void)deallocate_String_vector(&z->waiters);
	(void)allocate_String_vector(&z->waiters, n);
	for (i = 0; i < n; i++)
		z->waiters.data[i] = must_strdup(list->data[i]);
}

static void on_event(
    zhandle_t *, int type, int state, const char *path, void *);

static void
look_at_waiters(struct zookeeper *z)
{
	char path[PATH_SIZE];

	(void)zoo_awget_children(
	    z->zh, waiters_path(z, path), on_event, z, on_waiters, z);
}

static void
on_event(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct zookeeper *z = arg;
	const char *name = strrchr(path, '/');

	if (zh != z->zh || z->base.is_closing)
		return;
	z->unanswered = 0;
	if (type == ZOO_SESSION_EVENT && state == ZOO_EXPIRED_SESSION_STATE)
		z->has_expired = true;
	if (type == ZOO_SESSION_EVENT && state == ZOO_AUTH_FAILED_STATE) {
		engine_refuse(&z->base, "wrong lock.user or password");
		z->has_expired = true;
	}
	if (type == ZOO_CHILD_EVENT)
		look_at_waiters(z);
	if (type == ZOO_DELETED_EVENT && name != NULL)
		z->base.told(name + 1, ENGINE_FREE);
}

/* --- The session. --- */

static void
authenticate(struct zookeeper *z)
{
	char text[2 * ENGINE_PASSWORD_SIZE];
	int n;

	if (*z->base.conf->user == '\0')
		return;
	n = snprintf(
	    text, sizeof(text), "%s:%s", z->base.conf->user, z->base.password);
	(void)zoo_add_auth(z->zh, "digest", text, n, NULL, NULL);
}

static bool
join(struct zookeeper *z)
{
	if (z->zh != NULL)
		return true;
	zoo_set_debug_level((ZooLogLevel)0);
	z->has_expired = false;
	z->unanswered = 0;
	z->answered = clock_ms();
	z->zh = zookeeper_init(
	    z->hosts, on_event, (int)z->base.conf->session, NULL, z, 0);
	if (z->zh == NULL)
		return false;
	authenticate(z);
	return true;
}

static void
hang_up(struct zookeeper *z)
{
	zhandle_t *zh = z->zh;

	z->zh = NULL;
	if (zh != NULL)
		(void)zookeeper_close(zh);
}

/* --- Answers. --- */

/* The request, if its caller still waits; the ticket is freed. */
static struct engine_request *
turn_in(const void *arg)
{
	struct ticket *ticket = (struct ticket *)(uintptr_t)arg;
	struct engine_request *q = ticket->q;

	ticket->z->unanswered = 0;
	free(ticket);
	if (q != NULL)
		q->own = NULL;
	return q;
}

static void
fail(struct engine_request *q, int rc)
{
	if (rc == ZNOAUTH) {
		engine_refuse(q->engine,
		    "lock.prefix is for another user (check lock.user and its "
		    "password)");
		engine_finish(q, ERR_UNAVAILABLE, 0, NULL);
		return;
	}
	engine_fail(q, zerror(rc));
}

static const void *
ticket_for(struct engine_request *q)
{
	struct ticket *ticket = must_alloc(sizeof(*ticket));

	*ticket = (struct ticket){ zookeeper_of(q->engine), q };
	q->own = ticket;
	return ticket;
}

/* rc: of a call that was not even sent, for which nobody is called back. */
static void
check_sent(struct engine_request *q, int rc)
{
	if (rc != ZOK)
		fail(turn_in(q->own), rc);
}

/* Of something that is there, or not: either is fine. */
static void
on_done(int rc, const void *arg)
{
	struct engine_request *q = turn_in(arg);

	if (q == NULL)
		return;
	if (rc == ZOK || rc == ZNONODE || rc == ZNODEEXISTS)
		engine_finish(q, ERR_OK, 0, NULL);
	else
		fail(q, rc);
}

static void
on_asked(int rc, const char *path, const void *arg)
{
	(void)path;
	on_done(rc, arg);
}

static bool
is_ours(const struct engine_request *q, const char *data, int len)
{
	return len >= 0 && (size_t)len == strlen(q->held.owner) &&
	    memcmp(data, q->held.owner, (size_t)len) == 0;
}

static int64_t
session_of(const struct engine_request *q)
{
	return zoo_client_id(zookeeper_of(q->engine)->zh)->client_id;
}

static void send_request(struct engine_request *);

/* The name of the holder; and a notification when the lock is free. */
static void
on_holder(
    int rc, const char *data, int len, const struct Stat *st, const void *arg)
{
	struct engine_request *q = turn_in(arg);
	char holder[ENGINE_OWNER_SIZE];

	if (q == NULL)
		return;
	if (rc == ZNONODE) {
		send_request(q);
	} else if (rc != ZOK) {
		fail(q, rc);
	} else if (is_ours(q, data, len) &&
	    st->ephemeralOwner == session_of(q)) {
		/* By our first try. */
		engine_finish(q, ERR_OK, (uint64_t)st->czxid, NULL);
	} else {
		(void)snprintf(
		    holder, sizeof(holder), "%.*s", len > 0 ? len : 0, data);
		engine_finish(q, ERR_LOCKED, 0, holder);
	}
}

static void
on_taken(int rc, const char *made, const struct Stat *st, const void *arg)
{
	struct engine_request *q = turn_in(arg);
	char path[PATH_SIZE];
	struct zookeeper *z;

	(void)made;
	if (q == NULL)
		return;
	z = zookeeper_of(q->engine);
	if (rc == ZOK)
		engine_finish(q, ERR_OK, (uint64_t)st->czxid, NULL);
	else if (rc == ZNODEEXISTS)
		check_sent(q,
		    zoo_awget(z->zh, lock_path(q, path), on_event, z, on_holder,
			ticket_for(q)));
	else
		fail(q, rc);
}

/* Only what is ours; its version does not change while it is there. */
static void
on_looked(
    int rc, const char *data, int len, const struct Stat *st, const void *arg)
{
	struct engine_request *q = turn_in(arg);
	char path[PATH_SIZE];

	if (q == NULL)
		return;
	if (rc == ZNONODE || (rc == ZOK && !is_ours(q, data, len)))
		engine_finish(q, ERR_OK, 0, NULL);
	else if (rc == ZOK)
		check_sent(q,
		    zoo_adelete(zookeeper_of(q->engine)->zh, lock_path(q, path),
			st->version, on_done, ticket_for(q)));
	else
		fail(q, rc);
}

static void
on_synced(int rc, const char *path, const void *arg)
{
	struct engine_request *q = turn_in(arg);
	struct zookeeper *z;
	int granted;

	(void)path;
	if (q == NULL)
		return;
	if (rc != ZOK) {
		fail(q, rc);
		return;
	}
	z = zookeeper_of(q->engine);
	z->answered = clock_ms();
	granted = zoo_recv_timeout(z->zh);
	z->base.session_ms =
	    granted < z->base.conf->session ? granted : z->base.conf->session;
	engine_finish(q, ERR_OK, 0, NULL);
}

/* An administrator may have removed the node. */
static void
on_glance(int rc, const struct Stat *st, const void *arg)
{
	struct glance *g = (struct glance *)(uintptr_t)arg;
	struct zookeeper *z = g->z;

	if (!z->base.is_closing && z->zh != NULL &&
	    (rc == ZNONODE ||
		(rc == ZOK &&
		    st->ephemeralOwner != zoo_client_id(z->zh)->client_id)))
		z->base.told(g->id, ENGINE_LOST);
	free(g);
}

/* --- Requests. --- */

/* All answers come in the order of the requests, so that an answer is about the
 * lock that was held when it was asked for, or about one that is on its way. */
static void
glance_at_held(struct zookeeper *z, const struct engine_request *q)
{
	size_t i, n = q->n < LOOKS_MAX ? q->n : LOOKS_MAX;
	char path[PATH_SIZE];
	struct glance *g;

	for (i = 0; i < n; i++) {
		g = must_alloc(sizeof(*g));
		g->z = z;
		(void)stpcpy(g->id, q->list[z->looked++ % q->n]->id);
		(void)snprintf(
		    path, sizeof(path), "%s/l/%s", z->base.conf->prefix, g->id);
		if (zoo_aexists(z->zh, path, 0, on_glance, g) != ZOK)
			free(g);
	}
}

static void
send_request(struct engine_request *q)
{
	struct zookeeper *z = zookeeper_of(q->engine);
	const void *ticket = ticket_for(q);
	char path[PATH_SIZE];
	int rc = ZBADARGUMENTS;

	switch (q->kind) {
	case ENGINE_TAKE:
		rc = zoo_acreate2(z->zh, lock_path(q, path), q->held.owner,
		    (int)strlen(q->held.owner), acl(z), ZOO_EPHEMERAL, on_taken,
		    ticket);
		break;
	case ENGINE_DROP:
		rc = zoo_aget(z->zh, lock_path(q, path), 0, on_looked, ticket);
		break;
	case ENGINE_ASK:
		rc = zoo_acreate(z->zh, waiter_path(q, path), "", 0, acl(z),
		    ZOO_EPHEMERAL, on_asked, ticket);
		break;
	case ENGINE_UNASK:
		rc = zoo_adelete(
		    z->zh, waiter_path(q, path), -1, on_done, ticket);
		break;
	case ENGINE_BEAT:
		look_at_waiters(z);
		glance_at_held(z, q);
		rc = zoo_async(z->zh, waiters_path(z, path), on_synced, ticket);
		break;
	case ENGINE_LOOK:
	case ENGINE_KINDS:
		break;
	}
	check_sent(q, rc);
}

/* A service that has forgotten more than we have seen of it never tells us that
 * our session is over: it just hangs up. */
static void
give_up_old(struct zookeeper *z)
{
	if (z->zh == NULL ||
	    clock_ms() - z->answered < 2 * z->base.conf->session)
		return;
	hang_up(z);
	z->base.told(NULL, ENGINE_LOST);
}

static void
zookeeper_send(struct engine *e, struct engine_request *q)
{
	if (q->kind == ENGINE_BEAT)
		give_up_old(zookeeper_of(e));
	if (q->kind == ENGINE_LOOK) {
		/* Our connection may be the last that it admits. */
		hang_up(zookeeper_of(e));
		zookeeper_look(e);
		engine_finish(q, ERR_OK, 0, NULL);
	} else if (join(zookeeper_of(e)))
		send_request(q);
	else
		engine_fail(q, "no connection can be begun");
}

/* The library may still call back. */
static void
zookeeper_late(struct engine *e, struct engine_request *q)
{
	struct ticket *ticket = q->own;

	(void)e;
	if (ticket != NULL)
		ticket->q = NULL;
	q->own = NULL;
	engine_fail(q, "no answer in lock.reply");
}

/* --- The loop. --- */

static int
zookeeper_prepare(struct engine *e, struct pollfd *fds, int *timeout_ms)
{
	struct zookeeper *z = zookeeper_of(e);
	struct timeval tv = { .tv_sec = 1 };
	int interest = 0, fd = -1, ms;

	if (z->zh == NULL)
		return 0;
	(void)zookeeper_interest(z->zh, &fd, &interest, &tv);
	fds[0] = (struct pollfd){ .fd = fd };
	if ((interest & ZOOKEEPER_READ) != 0)
		fds[0].events |= POLLIN;
	if ((interest & ZOOKEEPER_WRITE) != 0)
		fds[0].events |= POLLOUT;
	ms = (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000);
	if (ms < *timeout_ms)
		*timeout_ms = ms;
	return 1;
}

static void
count_unread(struct zookeeper *z, int fd)
{
	int n;

	if (ioctl(fd, FIONREAD, &n) == 0 && n > 0)
		z->unanswered += n > READ_MIN ? n : READ_MIN;
}

/* Would the library read for ever, or spin? */
static const char *
find_nonsense(const struct zookeeper *z)
{
	int ms = zoo_recv_timeout(z->zh);

	if (zoo_state(z->zh) == ZOO_READONLY_STATE)
		return "it has no leader, and takes no lock";
	if (z->unanswered > ANSWER_MAX)
		return "its answer has no end";
	if (ms < SESSION_MIN || ms > SESSION_MAX)
		return "no session can be as long as it grants";
	return NULL;
}

static void
zookeeper_work(struct engine *e, const struct pollfd *fds, int n)
{
	struct zookeeper *z = zookeeper_of(e);
	const char *nonsense;
	int events = 0;

	if (z->zh == NULL || n == 0)
		return;
	if ((fds[0].revents & ~POLLOUT) != 0)
		events |= ZOOKEEPER_READ;
	if ((fds[0].revents & POLLOUT) != 0)
		events |= ZOOKEEPER_WRITE;
	count_unread(z, fds[0].fd);
	(void)zookeeper_process(z->zh, events);
	if ((nonsense = find_nonsense(z)) != NULL)
		engine_say(e, nonsense);
	else if (!z->has_expired)
		return;
	hang_up(z);
	z->base.told(NULL, ENGINE_LOST);
}

static void
zookeeper_close_all(struct engine *e)
{
	struct zookeeper *z = zookeeper_of(e);

	hang_up(z);
	(void)deallocate_String_vector(&z->waiters);
	free(z->hosts);
}

static enum err_code
check_keys(const struct conf_lock *conf, struct err *err)
{
	const char *const *host = conf->hosts;
	size_t len = strlen(conf->prefix);

	while (*host != NULL && **host != '/')
		host++;
	if (*host != NULL)
		return err_set(err, ERR_INVALID,
		    "lock.hosts: \"%s\": ZooKeeper is at HOST:PORT", *host);
	if (conf->prefix[0] != '/' || conf->prefix[len - 1] == '/' ||
	    strstr(conf->prefix, "//") != NULL)
		return err_set(err, ERR_INVALID,
		    "lock.prefix: \"%s\": in ZooKeeper it is like a path: /tus",
		    conf->prefix);
	if (conf->tls)
		return err_set(err, ERR_INVALID,
		    "lock.tls: the library of ZooKeeper was built without TLS: "
		    "use stunnel");
	return ERR_OK;
}

static enum err_code
zookeeper_open(struct engine *e, struct err *err)
{
	struct zookeeper *z = zookeeper_of(e);
	enum err_code rc = check_keys(e->conf, err);
	size_t i, size = 1;

	if (rc != ERR_OK)
		return rc;
	for (i = 0; e->conf->hosts[i] != NULL; i++)
		size += strlen(e->conf->hosts[i]) + 1;
	z->hosts = must_alloc(size);
	z->hosts[0] = '\0';
	for (i = 0; e->conf->hosts[i] != NULL; i++) {
		(void)strcat(z->hosts, i > 0 ? "," : "");
		(void)strcat(z->hosts, e->conf->hosts[i]);
	}
	return ERR_OK;
}

static const struct engine_ops engine = {
	.size = sizeof(struct zookeeper),
	.open = zookeeper_open,
	.close = zookeeper_close_all,
	.prepare = zookeeper_prepare,
	.work = zookeeper_work,
	.send = zookeeper_send,
	.late = zookeeper_late,
};

const struct locker_class locker_zookeeper = {
	.name = "zookeeper",
	.engine = &engine,
};
