/*
 * sweeper.h - the server sweeps its own store now and then.
 *
 * For hosts that have neither timer nor cron.  A sweep is a process of its
 * own, so no request ever waits for it; the note of the last sweep, by
 * whatever program, says whether the next is due.
 */
#ifndef FCGI_SWEEPER_H
#define FCGI_SWEEPER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/board.h"
#include "fcgi/settings.h"

/* All zero at first. */
struct sweeper {
	/* 0: none is at work. */
	pid_t pid;

	/* When to look again, by clock_ms(). */
	int64_t next;

	/* It was logged that the clock jumped; once is enough. */
	bool has_warned;
};

/*
 * Begin a sweep if it is time for that.  How many milliseconds until this
 * should be asked again; -1: as long as you like.
 */
int64_t sweeper_look(
    struct sweeper *, const struct settings *, struct board *, int listen_fd);

/* A child has died; false: it was none of ours. */
bool sweeper_bury(struct sweeper *, pid_t, int status);

/* Do not wait for it.  It may be ended anywhere. */
void sweeper_stop(struct sweeper *);

#endif
