/*
 * worker.h - a process that serves one request after the other.
 */
#ifndef FCGI_WORKER_H
#define FCGI_WORKER_H

#include "fcgi/board.h"
#include "fcgi/settings.h"
#include "fcgi/sweeper.h"

/* Why worker_run() came back. */
enum worker_end {
	/* A signal, or pool.max_requests. */
	WORKER_LEFT,
	/* SIGHUP, where there is no master. */
	WORKER_RELOAD,
	/* The log says what is wrong. */
	WORKER_FAILED
};

struct worker {
	/* With the store open. */
	const struct settings *settings;
	int listen_fd;
	struct board *board;
	size_t slot;
	/* There is no pool. */
	bool is_alone;
	/* Of whom we think between two requests; NULL in a pool. */
	struct sweeper *sweeper;
};

/* Once, before the first worker_run() and before any fork. */
void worker_prepare(void);

enum worker_end worker_run(const struct worker *);

#endif
