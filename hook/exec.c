/*
 * exec.c - a hook is a program, DIR/EVENT, as with tusd's file hooks.
 *
 * It reads the event from its standard input and writes its answer to standard
 * output; its standard error goes to the log.  It runs in the directory of the
 * hooks, in a process group of its own, with none of our descriptors open, a
 * small environment and no signal blocked or ignored.  When its time is over it
 * is killed with all its descendants.  Background processes of a hook that
 * ended in time are left running.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hook/parts.h"

/* Limits for standard error: bytes of a line, and lines. */
#define SAID_LINE_MAX  512
#define SAID_LINES_MAX 100
/* How much of its last line is shown in the error. */
#define SAID_LAST_MAX 120

/* How long the guard may take to kill all processes, in ms. */
#define KILL_MAX (HOOK_KILL_MAX + 1000)

/* How long an answer may take to arrive after the program has ended, in ms. */
#define TRAIL_MAX 1000

/* The variables of our environment that a hook gets. */
static const char *const allowed[] = { "PATH", "HOME", "USER", "LOGNAME",
	"LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR" };

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Those in the table, those that we add, and the NULL. */
#define ENV_MAX (NITEMS(allowed) + 8)

struct run {
	struct hook *h;
	const struct hook_message *m;

	/* The guard, and the descriptor on which it reports the program's exit
	 * status. */
	pid_t guard;
	int report;
	bool is_over;
	int status;
	/* The guard ended without a report. */
	bool is_lost;

	/* Our ends of its standard files; -1 when closed. */
	int in, out, err;
	size_t sent;

	/* The unfinished line of its standard error, and the last whole
	 * line. */
	char said[SAID_LINE_MAX + 1];
	size_t said_len;
	int lines;
	char last[SAID_LAST_MAX + 1];
};

/* --- The directory. --- */

static void
exec_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	ear(arg, NEED_PROGRAMS, "hooks.dir", conf->hooks.dir);
}

/* Open the directory that hooks.dir names now; the caller closes it. */
static enum err_code
open_dir(const struct conf *conf, int *dirfd, struct err *e)
{
	if (fs_open_dir(conf->hooks.dir, dirfd, e) == ERR_OK)
		return ERR_OK;
	return err_within(e, "hooks.dir");
}

/*
 * Find a program in the directory that the path names now, which may differ
 * from an earlier one if a link was switched to another release.
 * ERR_NOT_FOUND: there is none.  Any other error: that is unknown.
 */
static enum err_code
find_program(const struct hook *h, const char *type, int *dirfd, struct err *e)
{
	struct stat st;
	enum err_code rc;

	if ((rc = open_dir(h->conf, dirfd, e)) != ERR_OK)
		return rc;
	if (fstatat(*dirfd, type, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ERR_OK;
	rc = errno == ENOENT ?
	    err_set(e, ERR_NOT_FOUND, "hook %s: there is none", type) :
	    err_sys(e, "hooks.dir: look for %s/%s", h->conf->hooks.dir, type);
	(void)close(*dirfd);
	return rc;
}

/* --- Starting. --- */

static char **
make_env(struct arena *a, const struct hook_message *m)
{
	char **env = arena_alloc(a, ENV_MAX * sizeof(*env));
	const char *value;
	size_t i, n = 0;

	for (i = 0; i < NITEMS(allowed); i++)
		if ((value = getenv(allowed[i])) != NULL)
			env[n++] = arena_printf(a, "%s=%s", allowed[i], value);
	if (getenv("PATH") == NULL)
		env[n++] = arena_strdup(a, "PATH=" DEFAULT_PATH);
	env[n++] = arena_printf(a, "TUS_ID=%s", m->id);
	env[n++] = arena_printf(a, "TUS_SIZE=%" PRId64, m->size);
	env[n++] = arena_printf(a, "TUS_OFFSET=%" PRId64, m->offset);
	env[n++] = arena_printf(a, "TUS_EVENT_ID=%s", m->event_id);
	if (m->owner != NULL)
		env[n++] = arena_printf(a, "TUS_OWNER=%s", m->owner);
	if (m->request_id != NULL)
		env[n++] = arena_printf(a, "TUS_REQUEST_ID=%s", m->request_id);
	return env;
}

static void
close_end(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

/* Our ends are non-blocking, those of the program are not. */
static enum err_code
make_pipes(int ours[HOOK_ENDS], int theirs[HOOK_ENDS], struct err *e)
{
	int i, ends[2];

	for (i = 0; i < HOOK_ENDS; i++)
		ours[i] = theirs[i] = -1;
	for (i = 0; i < HOOK_ENDS; i++) {
		if (pipe2(ends, O_CLOEXEC) == -1)
			return err_sys(e, "make a pipe for a hook");
		ours[i] = ends[i == 0 ? 1 : 0];
		theirs[i] = ends[i == 0 ? 0 : 1];
		(void)fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	return ERR_OK;
}

static void
close_ends(struct run *r)
{
	close_end(&r->in);
	close_end(&r->out);
	close_end(&r->err);
	close_end(&r->report);
}

/* A hook need not read all of its input. */
static void
pump_in(struct run *r)
{
	ssize_t n;

	n = write(r->in, r->m->text + r->sent, r->m->len - r->sent);
	if (n > 0)
		r->sent += (size_t)n;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || r->sent == r->m->len)
		close_end(&r->in);
}

static enum err_code
fork_guard(struct run *r, const struct hook_start *how, struct err *e)
{
	r->guard = fork();
	if (r->guard == 0)
		hook_guard(how);
	return r->guard == -1 ? err_sys(e, "fork for %s", how->path) : ERR_OK;
}

static enum err_code
start(struct run *r, int dirfd, struct err *e)
{
	struct arena *a = arena_new();
	struct hook_start how = { .parent = getpid(), .dirfd = dirfd };
	int i, ours[HOOK_ENDS];
	enum err_code rc;

	how.path = arena_printf(a, "%s/%s", r->h->conf->hooks.dir, r->m->type);
	how.env = make_env(a, r->m);
	rc = make_pipes(ours, how.ends, e);
	r->in = ours[0];
	r->out = ours[1];
	r->err = ours[2];
	r->report = ours[HOOK_REPORT];
	if (rc == ERR_OK) {
		/* The pipe usually has room for the whole event: then no hook
		 * sees half of one, even if this process is killed. */
		pump_in(r);
		rc = fork_guard(r, &how, e);
	}
	for (i = 0; i < HOOK_ENDS; i++)
		close_end(&how.ends[i]);
	if (rc != ERR_OK)
		close_ends(r);
	arena_free(a);
	return rc;
}

/* --- What it says. --- */

static void
say(struct run *r)
{
	r->said[r->said_len] = '\0';
	if (r->said_len > 0)
		(void)snprintf(
		    r->last, sizeof(r->last), "%.*s", SAID_LAST_MAX, r->said);
	if (r->said_len > 0 && r->lines++ < SAID_LINES_MAX)
		log_info("hook %s of %s says: %s", r->m->type,
		    *r->m->id != '\0' ? r->m->id : "a new upload", r->said);
	r->said_len = 0;
}

static void
take_said(struct run *r, const char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] != '\n')
			r->said[r->said_len++] = buf[i];
		if (buf[i] == '\n' || r->said_len == SAID_LINE_MAX)
			say(r);
	}
}

/* Read what has arrived.  Close the descriptor at the end and on errors. */
static void
pump_out(struct run *r, int *fd)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(*fd, buf, sizeof(buf))) > 0) {
		if (fd == &r->err)
			take_said(r, buf, (size_t)n);
		else if (!hook_take_answer(r->h, buf, (size_t)n))
			break;
	}
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	close_end(fd);
}

/* --- How it ends. --- */

static void
take_report(struct run *r)
{
	ssize_t n = read(r->report, &r->status, sizeof(r->status));

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	r->is_over = true;
	r->is_lost = n != sizeof(r->status);
	close_end(&r->report);
}

static void
pump(struct run *r, int timeout)
{
	struct pollfd fds[] = { { r->in, POLLOUT, 0 }, { r->out, POLLIN, 0 },
		{ r->err, POLLIN, 0 }, { r->report, POLLIN, 0 } };

	if (poll(fds, NITEMS(fds), timeout) <= 0)
		return;
	if (fds[0].revents != 0)
		pump_in(r);
	if (fds[1].revents != 0)
		pump_out(r, &r->out);
	if (fds[2].revents != 0)
		pump_out(r, &r->err);
	if (fds[3].revents != 0)
		take_report(r);
}

/*
 * Part of the answer may still be on its way when the program has ended, as in
 * bash after "exec > >(tee log)", and a refusal must not be missed.  Background
 * processes may keep the pipe open without writing, so the wait is limited.
 */
static void
take_rest(struct run *r, int64_t until)
{
	int64_t now = clock_ms();

	if (until > now + TRAIL_MAX)
		until = now + TRAIL_MAX;
	pump(r, 0);
	while (
	    r->h->is_asked && r->status == 0 && r->out != -1 && now < until) {
		pump(r, (int)(until - now));
		now = clock_ms();
	}
}

/* False if its time was over first. */
static bool
attend(struct run *r)
{
	int64_t until = clock_ms() + r->h->timeout, left;

	while (!r->is_over) {
		left = until - clock_ms();
		if (left <= 0 || r->h->answer_is_too_long)
			return false;
		pump(r, (int)left);
	}
	take_rest(r, until);
	return true;
}

/* The guard closes its end when all processes are dead. */
static void
kill_all(struct run *r)
{
	int64_t until = clock_ms() + KILL_MAX, left;

	(void)kill(r->guard, SIGTERM);
	while (!r->is_over && (left = until - clock_ms()) > 0) {
		struct pollfd end = { r->report, POLLIN, 0 };

		if (poll(&end, 1, (int)left) > 0)
			take_report(r);
	}
	if (!r->is_over)
		(void)kill(r->guard, SIGKILL);
}

static void
reap_guard(struct run *r)
{
	while (waitpid(r->guard, NULL, 0) == -1 && errno == EINTR)
		continue;
}

static enum err_code
judge(const struct run *r, bool in_time, struct err *e)
{
	const char *colon = *r->last != '\0' ? ": " : "";
	const char *type = r->m->type;

	if (r->h->answer_is_too_long)
		return err_set(e, ERR_SYSTEM,
		    "hook %s: its answer is longer than %d bytes", type,
		    HOOK_ANSWER_MAX);
	if (!in_time)
		return err_set(e, ERR_SYSTEM,
		    "hook %s: not done after %" PRId64 " ms, killed%s%s", type,
		    r->h->timeout, colon, r->last);
	if (r->is_lost)
		return err_set(
		    e, ERR_SYSTEM, "hook %s: its exit status was lost", type);
	if (WIFSIGNALED(r->status))
		return err_set(e, ERR_SYSTEM,
		    "hook %s: killed by signal %d%s%s", type,
		    WTERMSIG(r->status), colon, r->last);
	if (WEXITSTATUS(r->status) != 0)
		return err_set(e, ERR_SYSTEM, "hook %s: exit status %d%s%s",
		    type, WEXITSTATUS(r->status), colon, r->last);
	return ERR_OK;
}

static enum err_code
exec_check(const struct conf *conf, struct err *e)
{
	int dirfd;
	enum err_code rc = open_dir(conf, &dirfd, e);

	if (rc == ERR_OK)
		(void)close(dirfd);
	return rc;
}

static enum err_code
exec_load(struct err *e)
{
	(void)e;
	return ERR_OK;
}

static bool
exec_wants(struct hook *h, enum hook_point hook)
{
	struct err e;
	int dirfd;
	enum err_code rc = find_program(h, hook_point_name(hook), &dirfd, &e);

	if (rc == ERR_OK)
		(void)close(dirfd);
	return rc != ERR_NOT_FOUND;
}

static enum err_code
exec_send(struct hook *h, const struct hook_message *m, struct err *e)
{
	struct run r = { .h = h, .m = m };
	enum err_code rc;
	bool in_time;
	int dirfd;

	/* Having no program for an event is no error; the sweep may find it
	 * removed. */
	rc = find_program(h, m->type, &dirfd, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = start(&r, dirfd, e);
	(void)close(dirfd);
	if (rc != ERR_OK)
		return rc;
	in_time = attend(&r);
	if (!in_time)
		kill_all(&r);
	reap_guard(&r);
	say(&r);
	close_ends(&r);
	return judge(&r, in_time, e);
}

static void
exec_shutdown(struct hook *h)
{
	(void)h;
}

const struct hook_way hook_exec = {
	HOOK_KEY(dir),
	.needs = exec_needs,
	.check = exec_check,
	.load = exec_load,
	.wants = exec_wants,
	.send = exec_send,
	.shutdown = exec_shutdown,
};
