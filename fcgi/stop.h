/*
 * stop.h - the signals of a process that serves requests.
 *
 * They are held while a request is handled, so that no system call below is
 * ever interrupted, and looked at where there is time: between two requests
 * and whenever a body keeps us waiting.
 */
#ifndef FCGI_STOP_H
#define FCGI_STOP_H

#include <stdbool.h>

/*
 * In a pool SIGTERM is "now", SIGUSR1 "after this request", and the rest is
 * for the master.  Alone, SIGTERM, SIGINT and SIGUSR1 (as mod_fcgid means it)
 * are "now", and SIGHUP is "read the configuration again".  Held from here on.
 * After FCGX_Init(), which has ideas of its own.
 */
void stop_install(bool alone);

/* In a process that serves none: the signals end it, or say nothing to it. */
void stop_uninstall(void);

/*
 * Sleep until a connection waits at a listening socket; of all processes that
 * sleep there, one wakes rather than all.  False: a signal came instead, or no
 * connection within so many ms; -1 is for ever.
 */
bool stop_or_wait_for(int listen_fd, int ms);

/* Now: end even the request that is being handled. */
bool stop_is_wanted(void);

/* After this request. */
bool stop_is_due(void);

/* SIGHUP came, and is to be looked at after this request. */
bool stop_reload_is_due(void);

/* SIGHUP came since this was asked last. */
bool stop_reload_is_wanted(void);

#endif
