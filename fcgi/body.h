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
 * After STEP_RECEIVE: take the whole body, or as much as is to be had; then the
 * response is ready.
 */
void body_receive(FCGX_Request *, const struct settings *, struct web_call *);

/*
 * Likewise for a worker that has no time to wait: the body is taken if it is
 * small and here already, else the client is turned away.
 */
void body_receive_at_once(
    FCGX_Request *, const struct settings *, struct web_call *);

/*
 * Read what is left of a body that nobody wants, within bounds: a front end
 * whose writing fails may forget the answer it has.  Where no other worker is
 * left, it is not waited for.  False if there is more.
 */
bool body_drain(FCGX_Request *, const struct settings *, const struct board *);

/*
 * Give back the memory that the last bodies touched.  Not after each of them:
 * the next would have to touch it anew, and that costs more than all the rest.
 */
void body_trim(void);

#endif
