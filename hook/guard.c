/*
 * guard.c - a process between us and a program, which can kill the program with
 * all its descendants.
 *
 * A program may start others, which may leave its process group, its session
 * and their parent.  Where the kernel can make a process the parent of all
 * orphans below it (Linux), they become children of the guard, which kills one
 * generation after another.  Processes that run as another user, or that
 * another program started on request (at, systemd-run), are out of reach.
 *
 * The guard reports the program's exit status and ends; processes that still
 * run then are left alone.  On SIGTERM, which it also gets when our process
 * dies, it kills them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hook/parts.h"

/* Nanoseconds between two rounds of killing. */
#define ROUND_NS 1000000L

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
static void
die_with_parent(int sig)
{
	(void)prctl(PR_SET_PDEATHSIG, sig);
}

static void
adopt_orphans(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}
#else
static void
die_with_parent(int sig)
{
	(void)sig;
}

static void
adopt_orphans(void)
{
}
#endif

/* --- The program, between fork() and exec(). --- */

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
become(const struct hook_start *how)
{
	char *const argv[] = { (char *)how->path, NULL };
	int i;

	/* If its parent dies it must die too: no process would wait for it, and
	 * the sweep would start the hook again. */
	die_with_parent(SIGKILL);
	(void)setpgid(0, 0);
	reset_signals();
	for (i = 0; i < HOOK_REPORT; i++)
		if (dup2(how->ends[i], i) == -1)
			_exit(127);
	if (fchdir(how->dirfd) == 0) {
		closefrom(HOOK_REPORT);
		(void)execve(how->path, argv, how->env);
	}
	/* The reason comes first, because the log cuts long lines. */
	(void)dprintf(2, "cannot be run: %s: %s\n",
	    errno == ENOENT ? "it or its interpreter does not exist" :
			      strerror(errno),
	    how->path);
	_exit(127);
}

/* --- The guard. --- */

/* May miss some of many: there is another round. */
static void
kill_children(void)
{
	char list[4096], *p = list, *end;
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, list, sizeof(list) - 1);
	long pid;

	if (fd != -1)
		(void)close(fd);
	list[n > 0 ? n : 0] = '\0';
	/* The last number may be incomplete. */
	if (n == (ssize_t)sizeof(list) - 1 &&
	    (end = strrchr(list, ' ')) != NULL)
		*end = '\0';
	while ((pid = strtol(p, &end, 10)) > 0 && end != p) {
		(void)kill((pid_t)pid, SIGKILL);
		p = end;
	}
}

/* Kill the group first: otherwise it would fork further processes, which take
 * more rounds. */
static NORETURN void
kill_all(pid_t program)
{
	const struct timespec pause = { 0, ROUND_NS };
	int64_t until = clock_ms() + HOOK_KILL_MAX;
	pid_t gone;

	(void)kill(-program, SIGKILL);
	while (clock_ms() < until) {
		kill_children();
		do
			gone = waitpid(-1, NULL, WNOHANG);
		while (gone > 0);
		if (gone == -1)
			break;
		(void)nanosleep(&pause, NULL);
	}
	_exit(0);
}

/* Ended orphans are reaped as well. */
static void
reap(pid_t program, int report)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program) {
			(void)!write(report, &status, sizeof(status));
			_exit(0);
		}
}

static void
keep_only(int fd)
{
	(void)dup2(fd, 0);
	closefrom(1);
}

void
hook_guard(const struct hook_start *how)
{
	sigset_t ours;
	pid_t program;
	int sig;

	/* Signals that come before sigwait() stay pending. */
	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGCHLD);
	(void)sigprocmask(SIG_SETMASK, &ours, NULL);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)setpgid(0, 0);
	adopt_orphans();
	die_with_parent(SIGTERM);
	if (getppid() != how->parent)
		_exit(1);
	program = fork();
	if (program == 0)
		become(how);
	if (program == -1)
		_exit(1);
	(void)setpgid(program, program);
	keep_only(how->ends[HOOK_REPORT]);
	for (;;) {
		if (sigwait(&ours, &sig) == 0 && sig == SIGTERM)
			kill_all(program);
		reap(program, 0);
	}
}
