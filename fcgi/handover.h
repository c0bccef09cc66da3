/*
 * handover.h - a worker gives a request to the parking process, and gets one
 * from it.
 */
#ifndef FCGI_HANDOVER_H
#define FCGI_HANDOVER_H

#include <fcgiapp.h>

#include "fcgi/board.h"
#include "fcgi/note.h"
#include "web/web.h"

struct handover {
	/* To the parking process and from it; -1: there is none. */
	int up, down;
	struct board *board;
	/* Of this worker. */
	size_t slot;

	/* The request at hand came with this note; NULL: from the web
	 * server. */
	const struct note *from;
};

/* Is there a parking process that has room for another request? */
bool handover_has_room(const struct handover *);

/*
 * Take a request from the parking process; false if there is none.  True:
 * FCGX_Accept_r() reads it once more, and handover_check() says whether it did,
 * or whether libfcgi has accepted another one instead.
 */
bool handover_take(struct handover *, FCGX_Request *);
void handover_check(struct handover *, const FCGX_Request *);

/* The call has the lock of that request by now. */
void handover_adopted(struct handover *);

/* Nothing is to be done for that request any more.  A lock that no call has is
 * let go. */
void handover_end(struct handover *);

/*
 * Give the request away in the middle of its body; true: it is gone, and the
 * call has parted with it.  keep: what the web server wants of the connection.
 */
bool handover_give(struct handover *, const FCGX_Request *, struct web_call *,
    struct note *, int64_t began, bool keep);

/* Give it back as it came, before anything of its body was read. */
bool handover_give_back(struct handover *, const FCGX_Request *);

/* After it was given away: let go of our copy of the connection. */
void handover_part(FCGX_Request *);

#endif
