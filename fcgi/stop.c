/*
 * stop.c - the signals of a process that serves requests.
 */
#include "config.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "fcgi/stop.h"

static volatile sig_atomic_t is_wanted, is_due, reload_is_wanted;
static bool is_alone;
static sigset_t held, outside;

/*
 * libfcgi looks at nothing between our looking at the flags and its accept():
 * a signal that comes just there would be slept over.  So whoever is to leave
 * gets another one every second until he has.
 */
static void
on_signal(int sig)
{
	if (sig == SIGTERM || sig == SIGINT || (sig == SIGUSR1 && is_alone))
		is_wanted = 1;
	if (sig == SIGHUP)
		reload_is_wanted = 1;
	if (sig == SIGUSR1)
		is_due = 1;
	if (is_wanted || is_due || reload_is_wanted)
		(void)alarm(1);
}

static void catch (int sig, void (*handler)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	/* Without SA_RESTART: accept() shall come back. */
	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(sig, &sa, NULL);
}

void
stop_install(bool alone)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP,
		SIGALRM };
	size_t i;

	is_alone = alone;
	(void)sigemptyset(&held);
	for (i = 0; i < NITEMS(signals); i++)
		(void)sigaddset(&held, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &held, NULL);
	(void)sigprocmask(SIG_BLOCK, NULL, &outside);
	for (i = 0; i < NITEMS(signals); i++) {
		catch (signals[i], on_signal);
		(void)sigdelset(&outside, signals[i]);
	}
	/* These are meant for the master: it tells us what to do. */
	if (!alone) {
		catch (SIGINT, SIG_IGN);
		catch (SIGHUP, SIG_IGN);
	}
	catch (SIGCHLD, SIG_DFL);
	catch (SIGPIPE, SIG_IGN);
	/* A file that grows too large is an error like any other. */
	catch (SIGXFSZ, SIG_IGN);
}

void
stop_let_in(void)
{
	(void)sigprocmask(SIG_SETMASK, &outside, NULL);
}

void
stop_hold(void)
{
	(void)sigprocmask(SIG_BLOCK, &held, NULL);
}

static bool
is_pending(int sig)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, sig) == 1;
}

bool
stop_is_wanted(void)
{
	return is_wanted || is_pending(SIGTERM) ||
	    (is_alone && (is_pending(SIGINT) || is_pending(SIGUSR1)));
}

bool
stop_is_due(void)
{
	return is_wanted || is_due;
}

bool
stop_reload_is_wanted(void)
{
	bool wanted = reload_is_wanted;

	reload_is_wanted = 0;
	return wanted;
}
