/*
 * agent_try.c - each host of a lock service by itself, at the start and for an
 * administrator.
 *
 * An engine goes from host to host when one fails.  So each is tried by a
 * process of its own, which knows of no other, and which can be stopped.
 */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lock/agent.h"

/* No upload has such an id. */
#define TRIAL ".check"

static enum err_code answer;
static bool is_answered;

static void
done(struct engine_call *call, enum err_code rc, uint64_t token,
    const char *holder)
{
	(void)call;
	(void)token;
	(void)holder;
	answer = rc;
	is_answered = true;
}

static void
told(const char *id, enum engine_hint hint)
{
	(void)id;
	(void)hint;
}

static void
wait_for_answer(struct engine *e)
{
	struct pollfd fds[ENGINE_FDS];
	int n, timeout;

	while (!is_answered) {
		timeout = 50;
		n = engine_prepare(e, fds, &timeout);
		(void)poll(fds, (nfds_t)n, timeout);
		engine_work(e, fds, n);
	}
}

/* How long one call took, in us. */
static enum err_code
ask(struct engine *e, enum engine_kind kind, struct engine_held *held,
    int64_t *us)
{
	struct engine_call call = { done };
	int64_t began = clock_ns();

	is_answered = false;
	if (kind == ENGINE_BEAT)
		engine_beat(e, &call, NULL, 0);
	else
		engine_send(e, kind, &call, held);
	wait_for_answer(e);
	*us = (clock_ns() - began) / 1000;
	return answer;
}

/* In a process of its own. */
static void
try_host(
    const struct engine_ops *ops, const struct conf *conf, struct lock_trial *t)
{
	char session[ENGINE_SESSION_SIZE];
	struct engine_held held = { TRIAL, "" };
	struct engine *e = NULL;
	struct err err = { 0 };
	int64_t us;

	t->rc = ERR_UNAVAILABLE;
	if (!engine_name_session(session))
		return;
	if ((t->rc = engine_open(ops, conf, session, &e, &err)) == ERR_OK) {
		e->told = told;
		(void)snprintf(held.owner, sizeof(held.owner), "%s:1", session);
		/* The first call connects. */
		t->rc = ask(e, ENGINE_BEAT, NULL, &us);
		if (t->rc == ERR_OK)
			t->rc = ask(e, ENGINE_TAKE, &held, &t->take_us);
		if (t->rc == ERR_OK)
			t->rc = ask(e, ENGINE_DROP, &held, &t->drop_us);
		t->session_ms = e->session_ms;
		if (e->refusal.code != ERR_OK)
			err = e->refusal;
	}
	(void)snprintf(t->text, sizeof(t->text), "%.159s", err.text);
}

static bool
read_trial(int fd, int64_t ms, struct lock_trial *t)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, (int)ms) == 1 &&
	    read(fd, t, sizeof(*t)) == (ssize_t)sizeof(*t);
}

enum err_code
agent_try_host(const struct engine_ops *ops, const struct conf *conf,
    const char *host, struct lock_trial *t, struct err *e)
{
	const char *hosts[] = { host, NULL };
	struct conf one = *conf;
	int64_t ms = 4 * conf->lock.reply;
	int fds[2];
	pid_t pid;

	if (pipe(fds) == -1)
		return err_sys(e, "pipe");
	pid = fork();
	if (pid == 0) {
		(void)memset(t, 0, sizeof(*t));
		one.lock.hosts = hosts;
		try_host(ops, &one, t);
		(void)!write(fds[1], t, sizeof(*t));
		_exit(0);
	}
	(void)close(fds[1]);
	if (pid == -1) {
		(void)close(fds[0]);
		return err_sys(e, "fork");
	}
	if (!read_trial(fds[0], ms, t))
		*t = (struct lock_trial){ .rc = ERR_UNAVAILABLE };
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
	(void)close(fds[0]);
	return ERR_OK;
}

enum err_code
agent_try_hosts(
    const struct engine_ops *engine, const struct conf *conf, struct err *e)
{
	const char *const *host;
	struct lock_trial t;
	enum err_code rc;

	for (host = conf->lock.hosts; *host != NULL; host++) {
		rc = agent_try_host(engine, conf, *host, &t, e);
		if (rc != ERR_OK)
			return rc;
		if (t.text[0] != '\0')
			return err_set(e, ERR_INVALID, "%s", t.text);
		if (t.rc == ERR_OK)
			return ERR_OK;
	}
	log_warn("locks: none of lock.hosts answers yet");
	return ERR_OK;
}
