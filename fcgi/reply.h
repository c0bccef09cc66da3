/*
 * reply.h - from a struct web_response to FastCGI.
 */
#ifndef FCGI_REPLY_H
#define FCGI_REPLY_H

#include <fcgiapp.h>

#include "base/arena.h"
#include "fcgi/settings.h"
#include "web/web.h"

/*
 * Send the response of a call, content and all.  ERR_OK also if the client
 * did not wait for the end; an error is one of the store.
 */
enum err_code reply_send(FCGX_Request *, const struct settings *,
    struct web_call *, struct arena *, struct err *);

/* Send a response with status 104 and these headers, before the body is read;
 * NULL sends nothing. */
void reply_interim(FCGX_Request *, const struct pair *headers);

/*
 * Where there is no call: a text, or "ERR_...: ...\n".  With all that every
 * response has, and without a body to HEAD.  A 405 allows GET and HEAD.
 * headers: more of them, each with CR and LF.
 */
void reply_text(
    FCGX_Request *, const char *headers, const char *type, const char *text);
void reply_error(FCGX_Request *, int status, const char *text);

#endif
