/*
 * forwarded.h - the headers in which a proxy before the web server describes
 * the client's request.
 */
#ifndef FCGI_FORWARDED_H
#define FCGI_FORWARDED_H

#include "base/arena.h"

/* The headers as they were received; NULL where one was absent. */
struct forwarded {
	const char *x_host, *x_proto, *x_prefix, *forwarded;
};

/*
 * Replace the host and the scheme that the web server saw by those that the
 * client used.  The first element of a list counts: it was added by the proxy
 * nearest to the client (or by our own proxy, if that replaces the header as it
 * should).  Forwarded (RFC 7239) has precedence over X-Forwarded-*.  Schemes
 * other than http and https are ignored, and the default port of a scheme is
 * left out.  The host is not validated here: web/ does that.
 */
void forwarded_apply(const struct forwarded *, struct arena *,
    const char **host, const char **scheme);

/*
 * The path that a proxy strips from requests, without a slash at its end.  NULL
 * if there is none, or if it could be read as a host when another path is
 * appended.
 */
const char *forwarded_prefix(const struct forwarded *, struct arena *);

#endif
