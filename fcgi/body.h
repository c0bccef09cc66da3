/*
 * body.h - receive a request's body and hand it to the core in large slices.
 */
#ifndef FCGI_BODY_H
#define FCGI_BODY_H

#include <fcgiapp.h>

#include "fcgi/board.h"
#include "fcgi/note.h"
#include "fcgi/settings.h"
#include "web/web.h"

/* How a body that keeps its worker waiting gives that worker back. */
struct body_exit {
	/* Give the request away, with this note, to which it adds what it knows
	 * itself.  True: it is gone, and the call with it. */
	bool (*park)(void *arg, struct note *);
	/* Take a permit for a body that flows; false: there is none. */
	bool (*claim)(void *arg);
	/* Does another request wait for a worker, and for this one at that? */
	bool (*is_needed)(void *arg);
	void *arg;

	bool has_permit;
	/* The note that the request came with; NULL: from the web server. */
	const struct note *from;
};

/*
 * As body_receive(); but the body may leave for another process before it is
 * over.  True: it has left, and nothing is to be answered.
 */
bool body_receive_or_park(FCGX_Request *, const struct settings *,
    struct web_call *, const struct body_exit *);

/*
 * After STEP_RECEIVE: take the whole body, or as much of it as the client
 * sends; then the response is ready.
 */
void body_receive(FCGX_Request *, const struct settings *, struct web_call *);

/*
 * The same for a worker without a permit, which must not wait: a small body
 * that has already arrived is taken, any other is refused with 503.
 */
void body_receive_at_once(
    FCGX_Request *, const struct settings *, struct web_call *);

/*
 * Read and discard the rest of a body, up to a limit: a front end whose write
 * fails may lose the answer that it already has.  If no other worker is idle,
 * the rest is not waited for.  False if there is more to read.
 */
bool body_drain(FCGX_Request *, const struct settings *, const struct board *);

/*
 * Give back the memory that the last bodies touched.  Do not call this after
 * every body: the next one would fault the pages in again, which costs more
 * than the rest of the request.
 */
void body_trim(void);

#endif
