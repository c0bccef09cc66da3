/*
 * sweeper.h - the server sweeps its store itself at intervals.
 *
 * This is for hosts that have neither timer nor cron.  A sweep runs in its own
 * process, so no request waits for it.  The note of the last sweep, whichever
 * program made that, tells whether the next is due.
 */
#ifndef FCGI_SWEEPER_H
#define FCGI_SWEEPER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/board.h"
#include "fcgi/settings.h"

/* Starts as all zero. */
struct sweeper {
	/* The running sweep; 0 if there is none. */
	pid_t pid;

	/* When to check again, by clock_ms(). */
	int64_t next;

	/* The log already has the message that the clock jumped. */
	bool has_warned;
};

/*
 * Start a sweep if one is due.  Returns the number of milliseconds after which
 * to call this again; -1: any time.
 */
int64_t sweeper_look(
    struct sweeper *, const struct settings *, struct board *, int listen_fd);

/* Note that a child has died; false: it was not a sweep. */
bool sweeper_reap(struct sweeper *, pid_t, int status);

/* Stop the sweep without waiting for it: a sweep may be killed at any point. */
void sweeper_stop(struct sweeper *);

#endif
