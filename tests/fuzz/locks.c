/*
 * locks.c - any bytes as the answers of a lock service, Redis or etcd.
 *
 * The input is what the service sends, in turns: what follows a TURN goes to
 * the next connection that asks.  After the last one it hangs up.  Whatever it
 * is: each call ends once, with a result that it may have, and nothing is taken
 * for a lock of another kind of request.
 *
 * Linked once for each service, which LOCKER names.
 */
#include "config.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "lock/engine.h"
#include "lock/lock.h"
#include "tests/fuzz/fuzz.h"

#define TURN "--turn--"

enum {
	CONNECTIONS = 16,
	/* Turns of the loop: without anything new, and at most. */
	IDLE = 4,
	TURNS = 400,
	CHUNK = 4096
};

extern const struct locker_class LOCKER;

static struct conf *conf;
static int listener;

/* The service. */
static struct {
	const uint8_t *at, *end;
	int fds[CONNECTIONS];
} peer;

/* --- The service. --- */

static void
set(const char *key, const char *value)
{
	struct err e;

	if (conf_set(conf, key, value, &e) != ERR_OK)
		fuzz_bug("%s", e.text);
}

static void
begin(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	char host[32];
	int i;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&sin, len) == -1 ||
	    listen(listener, 64) == -1 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) == -1)
		fuzz_bug("no socket");
	for (i = 0; i < CONNECTIONS; i++)
		peer.fds[i] = -1;
	conf = conf_new();
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", ntohs(sin.sin_port));
	set("lock.type", LOCKER.name);
	set("lock.hosts", host);
	set("log.level", "error");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)!log_open(conf, &(struct err){ 0 });
}

static void
hang_up(int i)
{
	const struct linger at_once = { 1, 0 };

	/* Thousands of inputs must not leave as many ports behind. */
	(void)setsockopt(
	    peer.fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)close(peer.fds[i]);
	peer.fds[i] = -1;
}

static bool
say_next(int fd)
{
	size_t left = (size_t)(peer.end - peer.at);
	const uint8_t *turn = memmem(peer.at, left, TURN, strlen(TURN));
	size_t n = turn != NULL ? (size_t)(turn - peer.at) : left;

	if (left == 0)
		return false;
	(void)!send(fd, peer.at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	peer.at += turn != NULL ? n + strlen(TURN) : n;
	return true;
}

/* True if it did something. */
static bool
serve(void)
{
	int i, fd = accept(listener, NULL, NULL);
	bool is_new = fd != -1;
	char request[CHUNK];
	ssize_t n;

	for (i = 0; i < CONNECTIONS; i++) {
		if (peer.fds[i] == -1 && fd != -1) {
			peer.fds[i] = fd;
			fd = -1;
		}
		if (peer.fds[i] == -1)
			continue;
		n = recv(peer.fds[i], request, sizeof(request), MSG_DONTWAIT);
		if (n > 0 && say_next(peer.fds[i]))
			is_new = true;
		else if (n >= 0)
			hang_up(i);
	}
	if (fd != -1)
		(void)close(fd);
	return is_new;
}

/* --- The agent. --- */

struct call {
	struct engine_call base;
	enum engine_kind kind;
	int n;
};

static int left;

static void
done(struct engine_call *base, enum err_code rc, uint64_t token,
    const char *holder)
{
	struct call *c = OUTER(base, struct call, base);

	(void)token;
	if (c->n++ > 0)
		fuzz_bug("call %d ends twice", (int)c->kind);
	if (rc != ERR_OK && rc != ERR_UNAVAILABLE &&
	    (rc != ERR_LOCKED || c->kind != ENGINE_TAKE))
		fuzz_bug("call %d ends with %d", (int)c->kind, (int)rc);
	if (rc == ERR_LOCKED && (holder == NULL || *holder == '\0'))
		fuzz_bug("nobody holds the lock");
	left--;
}

static void
told(const char *id, enum engine_hint hint)
{
	if (id == NULL && hint != ENGINE_LOST)
		fuzz_bug("a hint for no lock");
}

static void
talk(struct engine *e)
{
	struct pollfd fds[ENGINE_FDS];
	int i, n, timeout, turns = 0, idle = 0;

	while (left > 0 && turns++ < TURNS && idle <= IDLE) {
		timeout = 0;
		n = engine_prepare(e, fds, &timeout);
		idle = poll(fds, (nfds_t)n, 0) > 0 ? 0 : idle + 1;
		engine_work(e, fds, n);
		if (serve())
			idle = 0;
		for (i = 0; i < CONNECTIONS && idle == IDLE; i++)
			if (peer.fds[i] != -1)
				hang_up(i);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct engine_held held = { "an-upload",
		"host/0123456789abcdef:1" };
	const struct engine_held *list[] = { &held };
	static const enum engine_kind kinds[] = { ENGINE_TAKE, ENGINE_ASK,
		ENGINE_UNASK, ENGINE_DROP };
	struct call calls[NITEMS(kinds) + 1];
	struct engine *e;
	struct err err;
	size_t i;

	if (conf == NULL)
		begin();
	peer.at = bytes;
	peer.end = bytes + len;
	if (engine_open(LOCKER.engine, conf, "host/0123456789abcdef", &e,
		&err) != ERR_OK)
		fuzz_bug("%s", err.text);
	e->told = told;
	left = 1;
	calls[0] = (struct call){ { done }, ENGINE_BEAT, 0 };
	engine_beat(e, &calls[0].base, list, 1);
	talk(e);
	for (i = 0; i < NITEMS(kinds); i++) {
		calls[i + 1] = (struct call){ { done }, kinds[i], 0 };
		left++;
		engine_send(e, kinds[i], &calls[i + 1].base, &held);
		talk(e);
	}
	engine_close(e);
	for (i = 0; i < CONNECTIONS; i++)
		if (peer.fds[i] != -1)
			hang_up((int)i);
	return 0;
}
