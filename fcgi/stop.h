/*
 * stop.h - the signals of a process that serves requests.
 *
 * They are blocked while a request is handled, so that no system call is
 * interrupted, and checked between two requests and whenever the process waits
 * for a body.
 */
#ifndef FCGI_STOP_H
#define FCGI_STOP_H

#include <stdbool.h>

/*
 * Install the handlers and block the signals.  In a pool SIGTERM means "now",
 * SIGUSR1 "after this request", and the other signals are for the master.  In a
 * process without a master SIGTERM, SIGINT and SIGUSR1 (which mod_fcgid sends)
 * mean "now", and SIGHUP "read the configuration again".  Call this after
 * FCGX_Init(), which installs handlers too.
 */
void stop_install(bool alone);

/* For a process that serves no requests: the signals end it, or are ignored. */
void stop_uninstall(void);

/* Between two requests: let in the signals that came meanwhile, as on a busy
 * socket no process sleeps.  True as stop_is_due(). */
bool stop_let_in(void);

/*
 * Sleep until something waits at a listening socket or at another one, -1 is
 * none; of all processes that sleep there one is woken, not all.  Returns the
 * socket.  -1: a signal came instead, or nothing within this many ms; -1 is no
 * limit.
 */
int stop_or_wait_for(int listen_fd, int other_fd, int ms);

/* Is even the current request to be ended? */
bool stop_is_wanted(void);

/* Is the process to end after the current request? */
bool stop_is_due(void);

/* SIGHUP came, and is to be obeyed after this request. */
bool stop_reload_is_due(void);

/* SIGHUP came since the last call of this function. */
bool stop_reload_is_wanted(void);

#endif
