/*
 * reply.h - send a struct web_response over FastCGI.
 */
#ifndef FCGI_REPLY_H
#define FCGI_REPLY_H

#include <fcgiapp.h>

#include "base/arena.h"
#include "fcgi/settings.h"
#include "web/web.h"

/*
 * Send the response of a call with its content.  ERR_OK also if the client left
 * before the end; an error comes from the store.
 */
enum err_code reply_send(FCGX_Request *, const struct settings *,
    struct web_call *, struct arena *, struct err *);

/* Send a response with status 104 and these headers, before the body is read;
 * NULL sends nothing. */
void reply_interim(FCGX_Request *, const struct pair *headers);

/*
 * Send a text, or "ERR_...: ...\n", for a request that has no call.  It has the
 * headers of every response, and no body if the method is HEAD. A 405 allows
 * GET and HEAD. headers: further headers, each ending in CR LF.
 */
void reply_text(
    FCGX_Request *, const char *headers, const char *type, const char *text);
void reply_error(FCGX_Request *, int status, const char *text);

#endif
