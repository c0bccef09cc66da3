/*
 * listen.h - the socket that the workers accept on.
 */
#ifndef FCGI_LISTEN_H
#define FCGI_LISTEN_H

#include <sys/types.h>

#include <stdbool.h>

#include "base/conf.h"
#include "base/err.h"

struct listener {
	int fd;

	/* For people: the address, or how we came by the socket. */
	char *name;

	/* The path that we made and will remove, while it is still this
	 * file; NULL if there is none. */
	char *path;
	dev_t dev;
	ino_t ino;

	/* Descriptor 0: spawn-fcgi, mod_fcgid or the like started us. */
	bool inherited;
};

/*
 * Listen on an address of the command line (NULL if it said none), else on
 * pool.listen, else on what systemd passed, else on descriptor 0.  ERR_INVALID
 * if there is nothing to listen on; ERR_EXISTS if somebody else listens there.
 */
MUST_CHECK enum err_code listen_open(
    const char *address, const struct conf *, struct listener *, struct err *);

/* What listen_open() would take, without touching it; NULL if nothing. */
const char *listen_address(const char *address, const struct conf *);

/* Is descriptor 0 a listening socket? */
bool listen_is_inherited(void);

/* Remove the path, if it is still ours, and close the socket. */
void listen_close(struct listener *);

#endif
