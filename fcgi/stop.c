/*
 * stop.c - the signals of a process that serves requests.
 */
#include "config.h"

#ifdef HAVE_EPOLL_PWAIT
#include <sys/epoll.h>
#endif

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/compat.h"
#include "fcgi/stop.h"

static const int signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP };

static volatile sig_atomic_t is_wanted, is_due, reload_is_wanted;
static bool is_alone;

/* The signal masks while a request is handled, and while the process sleeps. */
static sigset_t held, asleep;

static void
on_signal(int sig)
{
	if (sig == SIGTERM || sig == SIGINT || (sig == SIGUSR1 && is_alone))
		is_wanted = 1;
	if (sig == SIGHUP)
		reload_is_wanted = 1;
	if (sig == SIGUSR1)
		is_due = 1;
}

static void
set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(sig, &sa, NULL);
}

void
stop_install(bool alone)
{
	size_t i;

	is_alone = alone;
	(void)sigemptyset(&held);
	for (i = 0; i < NITEMS(signals); i++)
		(void)sigaddset(&held, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &held, NULL);
	(void)sigprocmask(SIG_BLOCK, NULL, &asleep);
	for (i = 0; i < NITEMS(signals); i++) {
		set_handler(signals[i], on_signal);
		(void)sigdelset(&asleep, signals[i]);
	}
	/* These are for the master, which tells the workers what to do. */
	if (!alone) {
		set_handler(SIGINT, SIG_IGN);
		set_handler(SIGHUP, SIG_IGN);
	}
	set_handler(SIGCHLD, SIG_DFL);
	set_handler(SIGPIPE, SIG_IGN);
	/* Writing beyond the limit on file sizes becomes an error like any
	 * other. */
	set_handler(SIGXFSZ, SIG_IGN);
}

void
stop_uninstall(void)
{
	static const struct {
		int sig;
		void (*handler)(int);
	} as[] = { { SIGTERM, SIG_DFL }, { SIGINT, SIG_DFL },
		{ SIGHUP, SIG_IGN }, { SIGUSR1, SIG_IGN },
		{ SIGCHLD, SIG_DFL } };
	sigset_t none;
	size_t i;

	for (i = 0; i < NITEMS(as); i++)
		set_handler(as[i].sig, as[i].handler);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

#if defined(HAVE_EPOLL_PWAIT) && defined(EPOLLEXCLUSIVE)
static void
watch(int epoll_fd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.fd = fd };

	if (fd != -1)
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* Of two that are ready, the kernel names each in turn. */
static int
wait_for(int fd, int other_fd, int ms)
{
	static int epoll_fd;
	struct epoll_event ev;

	if (epoll_fd <= 0) {
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		watch(epoll_fd, fd);
		watch(epoll_fd, other_fd);
	}
	return epoll_pwait(epoll_fd, &ev, 1, ms, &asleep) > 0 ? ev.data.fd : -1;
}
#else
/* Of two that are ready, each in turn. */
static int
wait_for(int fd, int other_fd, int ms)
{
	static unsigned turn;
	struct pollfd pfd[] = { { .fd = fd, .events = POLLIN },
		{ .fd = other_fd, .events = POLLIN } };
	struct timespec ts = { .tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000 };
	unsigned first = ++turn % 2;

	if (ppoll(pfd, 2, ms >= 0 ? &ts : NULL, &asleep) <= 0)
		return -1;
	return pfd[first].revents != 0 ? pfd[first].fd : pfd[1 - first].fd;
}
#endif

static sigset_t
pending(void)
{
	sigset_t set;

	if (sigpending(&set) == -1)
		(void)sigemptyset(&set);
	return set;
}

bool
stop_let_in(void)
{
	sigset_t set = pending();
	size_t i = 0;

	while (i < NITEMS(signals) && sigismember(&set, signals[i]) != 1)
		i++;
	if (i < NITEMS(signals)) {
		(void)sigprocmask(SIG_SETMASK, &asleep, NULL);
		(void)sigprocmask(SIG_BLOCK, &held, NULL);
	}
	return is_due || is_wanted;
}

int
stop_or_wait_for(int listen_fd, int other_fd, int ms)
{
	if (is_wanted || is_due || reload_is_wanted)
		return -1;
	return wait_for(listen_fd, other_fd, ms);
}

static bool
says_stop(const sigset_t *set)
{
	return sigismember(set, SIGTERM) == 1 ||
	    (is_alone &&
		(sigismember(set, SIGINT) == 1 ||
		    sigismember(set, SIGUSR1) == 1));
}

bool
stop_is_wanted(void)
{
	sigset_t set;

	if (is_wanted)
		return true;
	set = pending();
	return says_stop(&set);
}

bool
stop_is_due(void)
{
	sigset_t set;

	if (is_due || is_wanted)
		return true;
	set = pending();
	return sigismember(&set, SIGUSR1) == 1 || says_stop(&set);
}

bool
stop_reload_is_due(void)
{
	sigset_t set = pending();

	return reload_is_wanted || sigismember(&set, SIGHUP) == 1;
}

bool
stop_reload_is_wanted(void)
{
	bool wanted = reload_is_wanted;

	reload_is_wanted = 0;
	return wanted;
}
