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
static struct lock_trial *trial;

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
noted(bool is_bad, const char *text)
{
	size_t i = 0;

	while (i < LOCK_NOTES && trial->notes[i].text[0] != '\0')
		i++;
	if (i == LOCK_NOTES)
		return;
	trial->notes[i].is_bad = is_bad;
	(void)snprintf(
	    trial->notes[i].text, sizeof(trial->notes[i].text), "%s", text);
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

static void
set_text(struct lock_trial *t, const char *text)
{
	(void)snprintf(t->text, sizeof(t->text), "%.*s", LOCK_TEXT - 1, text);
}

/* One that does not answer is not waited for again, and one that refuses has
 * said why. */
static void
look(struct engine *e, struct engine_held *held, struct lock_trial *t,
    int64_t us)
{
	set_text(t, e->trouble);
	if (us / 1000 < e->conf->reply / 2 && e->refusal.code == ERR_OK)
		(void)ask(e, ENGINE_LOOK, held, &us);
	t->is_refusal = e->refusal.code != ERR_OK;
	if (t->is_refusal)
		set_text(t, e->refusal.text);
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
	if ((t->rc = engine_open(ops, conf, session, &e, &err)) != ERR_OK) {
		set_text(t, err.text);
		return;
	}
	e->told = told;
	e->noted = noted;
	trial = t;
	(void)snprintf(held.owner, sizeof(held.owner), "%s:1", session);
	/* The first call connects. */
	t->rc = ask(e, ENGINE_BEAT, NULL, &us);
	if (t->rc == ERR_OK)
		t->rc = ask(e, ENGINE_TAKE, &held, &t->take_us);
	if (t->rc == ERR_OK)
		t->rc = ask(e, ENGINE_DROP, &held, &t->drop_us);
	t->session_ms = e->session_ms;
	look(e, &held, t, us);
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
	int fds[2], status = 0;
	pid_t pid;

	if (pipe(fds) == -1)
		return err_sys(e, "pipe");
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		agent_limit();
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
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	(void)close(fds[0]);
	if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : status != 0)
		set_text(t, "what it answers ends the process that reads it");
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
		if (t.is_refusal || t.rc == ERR_INVALID)
			return err_set(e, ERR_INVALID, "%s", t.text);
		if (t.rc == ERR_OK)
			return ERR_OK;
	}
	log_warn("locks: none of lock.hosts answers yet");
	return ERR_OK;
}
