/*
 * parker.h - the parking process: it waits for clients, so that no worker has
 * to.
 *
 * A worker whose body is dry gives the request away and serves another one.
 * This process keeps connection, lock and note, looks whether something is
 * readable, never at what, and gives all three to an idle worker when there is
 * something to do.  It has no store and no libfcgi.
 *
 * If it is killed, every request that it keeps is cut off: bytes that a worker
 * has seen are stored, and what was not acknowledged the client sends again.
 */
#ifndef FCGI_PARKER_H
#define FCGI_PARKER_H

#include "fcgi/board.h"
#include "lock/lock.h"

struct parker {
	/* Notes come here from workers, and go there to them.  Both are kept
	 * open by the master, so that what nobody has read outlives all. */
	int up, down;
	struct board *board;
	/* How it sees that a lock is wanted; NULL: there are no locks. */
	const struct locker_lender *lender;
	/* The most requests at a time; fewer if the limit of open files is too
	 * low. */
	size_t max;
};

/* A process of its own; returns on SIGTERM, when all were given away, and at
 * once if it could see nothing. */
void parker_run(const struct parker *);

#endif
