/*
 * status.h - what the server is at, for people and for programs.
 */
#ifndef FCGI_STATUS_H
#define FCGI_STATUS_H

#include "base/arena.h"
#include "fcgi/board.h"
#include "fcgi/settings.h"

struct status_answer {
	const char *type;
	/* More headers, each with CR and LF. */
	const char *headers;
	const char *text;
};

/*
 * The answer to a query, "?json" and so on or NULL; without one, a client that
 * accepts HTML gets the page.  The caller's own request is not in it.
 * Everything is from the arena or constant.
 */
void status_answer(struct board *, const struct settings *, const char *query,
    const char *accept, struct arena *, struct status_answer *);

#endif
