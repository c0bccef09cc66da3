/*
 * exec.c - a hook is a program, DIR/EVENT, as with tusd's file hooks.
 *
 * It gets the event on its standard input and answers on its standard output;
 * what it says on its standard error goes to the log.  It runs in the
 * directory of the hooks, in a process group of its own, with nothing of ours
 * open, a small environment and no signal blocked or ignored.  When its time
 * is over the whole group is killed; what a hook that ended well has left
 * running in the background is its own business.
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
#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hook/parts.h"

/* Of what it says on its standard error. */
#define SAID_LINE_MAX  512
#define SAID_LINES_MAX 100
/* And of its last line, in the error. */
#define SAID_LAST_MAX 120

/* How long poll() may sleep without looking whether the program is gone, in
 * ms: with its output open, which wakes us in time as a rule, and without. */
#define LOOK_SELDOM 100
#define LOOK_OFTEN  2

/* What a hook may see of our environment. */
static const char *const allowed[] = { "PATH", "HOME", "USER", "LOGNAME",
	"LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR" };

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Those of the table, ours, and the NULL. */
#define ENV_MAX (NITEMS(allowed) + 8)

struct run {
	struct hook *h;
	const struct hook_message *m;
	pid_t pid;
	int status;
	/* Somebody else was told how it ended. */
	bool is_lost;

	/* Our ends of its standard files; -1 when they are done. */
	int in, out, err;
	size_t sent;

	/* What it says, up to the end of the line; and the line before. */
	char said[SAID_LINE_MAX + 1];
	size_t said_len;
	int lines;
	char last[SAID_LAST_MAX + 1];
};

/* --- The directory. --- */

enum err_code
hook_exec_open_dir(const struct conf *conf, int *dirfd, struct err *e)
{
	struct err inner;

	if (fs_open_dir(conf_str(conf, "hooks.dir"), dirfd, &inner) == ERR_OK)
		return ERR_OK;
	return err_set(e, inner.code, "hooks.dir: %.150s", inner.text);
}

/*
 * Look for a program in the directory that the path names now, which is not
 * the one of a minute ago if a link was switched to another release.
 * ERR_NOT_FOUND: there is none.  Any other error: nobody can say.
 */
static enum err_code
find_program(const struct hook *h, const char *type, int *dirfd, struct err *e)
{
	struct stat st;
	enum err_code rc;

	if ((rc = hook_exec_open_dir(h->conf, dirfd, e)) != ERR_OK)
		return rc;
	if (fstatat(*dirfd, type, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ERR_OK;
	rc = errno == ENOENT ?
	    err_set(e, ERR_NOT_FOUND, "hook %s: there is none", type) :
	    err_sys(e, "hooks.dir: look for %.120s/%s", h->dir, type);
	(void)close(*dirfd);
	return rc;
}

/* --- The child, between fork() and exec(). --- */

#ifndef HAVE_CLOSEFROM
static void
closefrom(int fd)
{
	long max = sysconf(_SC_OPEN_MAX);

	for (; fd < max; fd++)
		(void)close(fd);
}
#endif

#ifdef HAVE_SYS_PRCTL_H
/* Nobody would wait for it, and the sweep would start it once more. */
static void
die_with_parent(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}
#else
static void
die_with_parent(void)
{
}
#endif

static void
reset_signals(void)
{
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static NORETURN void
become(int dirfd, const char *path, const int ends[3], char **env)
{
	char *const argv[] = { (char *)path, NULL };
	int i;

	die_with_parent();
	(void)setpgid(0, 0);
	reset_signals();
	for (i = 0; i < 3; i++)
		if (dup2(ends[i], i) == -1)
			_exit(127);
	if (fchdir(dirfd) == 0) {
		closefrom(3);
		(void)execve(path, argv, env);
	}
	(void)dprintf(2, "cannot run %s: %s\n", path,
	    errno == ENOENT ? "it or its interpreter is not there" :
			      strerror(errno));
	_exit(127);
}

/* --- The parent. --- */

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

/* Three pipes; ours[] do not block, theirs[] do. */
static enum err_code
make_pipes(int ours[3], int theirs[3], struct err *e)
{
	int i, ends[2];

	for (i = 0; i < 3; i++)
		ours[i] = theirs[i] = -1;
	for (i = 0; i < 3; i++) {
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
}

/* A hook that does not want to read all of it is none of our business. */
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
start(struct run *r, int dirfd, struct err *e)
{
	struct arena *a = arena_new();
	const char *path = arena_printf(a, "%s/%s", r->h->dir, r->m->type);
	char **env = make_env(a, r->m);
	int i, ours[3], theirs[3];
	enum err_code rc;

	rc = make_pipes(ours, theirs, e);
	r->in = ours[0];
	r->out = ours[1];
	r->err = ours[2];
	if (rc == ERR_OK) {
		/* As a rule the pipe takes all of it: then no hook can see half
		 * an event, even if we are killed. */
		pump_in(r);
		r->pid = fork();
		if (r->pid == 0)
			become(dirfd, path, theirs, env);
		if (r->pid == -1)
			rc = err_sys(e, "fork for %s", path);
	}
	for (i = 0; i < 3; i++)
		close_end(&theirs[i]);
	/* Whoever of the two comes first: it must be done before a kill. */
	if (rc == ERR_OK)
		(void)setpgid(r->pid, r->pid);
	else
		close_ends(r);
	arena_free(a);
	return rc;
}

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

/* Read what is there.  At the end, or when it is broken, close it. */
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

static void
pump(struct run *r, int timeout)
{
	struct pollfd fds[3] = { { r->in, POLLOUT, 0 }, { r->out, POLLIN, 0 },
		{ r->err, POLLIN, 0 } };

	if (poll(fds, 3, timeout) <= 0)
		return;
	if (fds[0].revents != 0)
		pump_in(r);
	if (fds[1].revents != 0)
		pump_out(r, &r->out);
	if (fds[2].revents != 0)
		pump_out(r, &r->err);
}

static bool
is_gone(struct run *r)
{
	pid_t pid = waitpid(r->pid, &r->status, WNOHANG);

	r->is_lost = pid == -1;
	return pid != 0;
}

/* False if its time was over before it was. */
static bool
attend(struct run *r)
{
	int64_t until = clock_ms() + r->h->timeout;

	while (!is_gone(r)) {
		bool is_open = r->out != -1 || r->err != -1;

		if (clock_ms() >= until || r->h->answer_is_too_long)
			return false;
		pump(r, is_open ? LOOK_SELDOM : LOOK_OFTEN);
	}
	/* What it said last; others may hold the pipes open for long. */
	pump(r, 0);
	return true;
}

static void
kill_group(struct run *r)
{
	(void)kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &r->status, 0) == -1 && errno == EINTR)
		continue;
}

static enum err_code
judge(const struct run *r, bool in_time, struct err *e)
{
	const char *type = r->m->type;

	if (r->h->answer_is_too_long)
		return err_set(e, ERR_SYSTEM,
		    "hook %s: its answer is longer than %d bytes", type,
		    HOOK_ANSWER_MAX);
	if (!in_time)
		return err_set(e, ERR_SYSTEM,
		    "hook %s: not done after %" PRId64 " ms, killed", type,
		    r->h->timeout);
	if (r->is_lost)
		return err_set(
		    e, ERR_SYSTEM, "hook %s: nobody knows how it ended", type);
	if (WIFSIGNALED(r->status))
		return err_set(e, ERR_SYSTEM, "hook %s: killed by signal %d",
		    type, WTERMSIG(r->status));
	if (WEXITSTATUS(r->status) != 0)
		return err_set(e, ERR_SYSTEM, "hook %s: exit status %d%s%s",
		    type, WEXITSTATUS(r->status), *r->last != '\0' ? ": " : "",
		    r->last);
	return ERR_OK;
}

static bool
exec_wants(struct hook *h, enum tus_hook hook)
{
	struct err e;
	int dirfd;
	enum err_code rc = find_program(h, tus_hook_name(hook), &dirfd, &e);

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

	/* It is no error not to have one; the sweep may find it gone. */
	rc = find_program(h, m->type, &dirfd, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = start(&r, dirfd, e);
	(void)close(dirfd);
	if (rc != ERR_OK)
		return rc;
	in_time = attend(&r);
	if (!in_time)
		kill_group(&r);
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
	.wants = exec_wants,
	.send = exec_send,
	.shutdown = exec_shutdown,
};
