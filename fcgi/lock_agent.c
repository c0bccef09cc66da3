/*
 * lock_agent.c - tusfcgi lock-agent: waiting for what happens to it.
 */
#include "config.h"

#include <sys/wait.h>

#include <signal.h>

#include "base/log.h"
#include "fcgi/lock_agent.h"
#include "lock/lock.h"

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		(void)locker_reap(pid, status);
}

void
lock_agent_wait(const struct conf *conf)
{
	sigset_t set;
	int sig = 0;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	/* One that died before the signal was blocked. */
	reap();
	while (sigwait(&set, &sig) != 0 || (sig != SIGTERM && sig != SIGINT)) {
		if (sig == SIGCHLD)
			reap();
		if (sig != SIGHUP)
			continue;
		log_follow(conf);
		locker_follow_log();
	}
}
