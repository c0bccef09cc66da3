/*
 * body.h - receive a request's body and hand it to the core in large slices.
 */
#ifndef FCGI_BODY_H
#define FCGI_BODY_H

#include <fcgiapp.h>

#include "fcgi/board.h"
#include "fcgi/settings.h"
#include "web/web.h"

/*
 * After STEP_RECEIVE: take the whole body, or as much of it as the client
 * sends; then the response is ready.
 */
void body_receive(FCGX_Request *, const struct settings *, struct web_call *);

/*
 * The same for a worker without a place, which must not wait: a small body that
 * has already arrived is taken, any other is refused with 503.
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
