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

	/* For messages: the address, or where the socket came from. */
	char *name;

	/* The path of the socket that this process created and will remove,
	 * unless another file (dev, ino) has taken its place; NULL if there is
	 * none. */
	char *path;
	dev_t dev;
	ino_t ino;

	/* The socket is descriptor 0, passed by spawn-fcgi, mod_fcgid or the
	 * like. */
	bool inherited;
};

/*
 * Listen on the address of the command line (or NULL), else on pool.listen,
 * else on the socket that systemd passed, else on descriptor 0.  ERR_INVALID if
 * there is no address at all; ERR_EXISTS if another program listens there.
 */
MUST_CHECK enum err_code listen_open(
    const char *address, const struct conf *, struct listener *, struct err *);

/*
 * The same for the agent that lock.agent names: a socket of packets there, for
 * pool.user alone.
 */
MUST_CHECK enum err_code listen_for_locks(
    const struct conf *, struct listener *, struct err *);

/* The address that listen_open() would use, without opening it; NULL if
 * none. */
const char *listen_address(const char *address, const struct conf *);

/* Is descriptor 0 a listening socket? */
bool listen_is_inherited(void);

/* Remove the path, if it is still our socket, and close the socket. */
void listen_close(struct listener *);

#endif
