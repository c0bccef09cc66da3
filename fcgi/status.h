/*
 * status.h - the state of the server, for people and for programs.
 */
#ifndef FCGI_STATUS_H
#define FCGI_STATUS_H

#include "base/arena.h"
#include "fcgi/board.h"
#include "fcgi/settings.h"

struct status_answer {
	const char *type;
	/* Further headers, each ending in CR LF. */
	const char *headers;
	const char *text;
};

/*
 * The answer to a query ("?json" and so on, or NULL).  Without a query, a
 * client that accepts HTML gets the page.  The request for the status itself is
 * left out.  The strings are constant or from the arena.
 */
void status_answer(struct board *, const struct settings *, const char *query,
    const char *accept, struct arena *, struct status_answer *);

#endif
