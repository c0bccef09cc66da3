/*
 * forwarded.h - what a proxy in front of the web server says of the client.
 */
#ifndef FCGI_FORWARDED_H
#define FCGI_FORWARDED_H

#include "base/arena.h"

/* The headers as they came; NULL where one was absent. */
struct forwarded {
	const char *x_host, *x_proto, *x_prefix, *forwarded;
};

/*
 * The host and the scheme that the client used, in place of those that the web
 * server saw.  Of a list the first element counts, which is the client's own
 * proxy, or ours if it replaces the header as it should.  Forwarded (RFC 7239)
 * wins over X-Forwarded-*; a scheme other than http and https means nothing,
 * and the port that a scheme has anyway is left out.  What is no host is for
 * the core to find out.
 */
void forwarded_apply(const struct forwarded *, struct arena *,
    const char **host, const char **scheme);

/*
 * The path that a proxy strips from requests, without a slash at its end.  NULL
 * if there is none, or if it would not stay one in front of another path.
 */
const char *forwarded_prefix(const struct forwarded *, struct arena *);

#endif
