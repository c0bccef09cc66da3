/*
 * parking.h - the master's side of the parking process: start it, reap it, stop
 * it.
 */
#ifndef FCGI_PARKING_H
#define FCGI_PARKING_H

#include <sys/types.h>

#include "fcgi/board.h"
#include "fcgi/settings.h"

/* What ps(1) calls the process. */
#define PARKING_NAME "tusfcgi-park"

struct parking {
	struct board *board;
	/* [0] is where notes are written, [1] where they are read.  -1: nothing
	 * is parked. */
	int up[2], down[2];
	/* 0: there is no such process; not before then. */
	pid_t pid;
	int64_t start_at;
	/* The most requests, as at the start. */
	int64_t max;
	bool is_stopping;
};

/* Before the first fork.  False: the log says why nothing can be parked. */
bool parking_set_up(struct parking *, const struct settings *, struct board *);

/* Start the process if it is to be there and is not, and end one that is
 * stuck. */
void parking_look(struct parking *, const struct settings *, pid_t master);

/* That child has died: was it the parking process? */
bool parking_reap(struct parking *, pid_t, int status);

/* All that is parked goes to the workers, and the process leaves. */
void parking_stop(struct parking *, bool at_once);

#endif
