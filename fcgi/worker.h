/*
 * worker.h - a process that serves one request after another.
 */
#ifndef FCGI_WORKER_H
#define FCGI_WORKER_H

#include "fcgi/board.h"
#include "fcgi/settings.h"
#include "fcgi/sweeper.h"

/* Why worker_run() returned. */
enum worker_end {
	/* A signal came, or pool.max_requests was reached. */
	WORKER_LEFT,
	/* SIGHUP came, and there is no master. */
	WORKER_RELOAD,
	/* An error; it has been logged. */
	WORKER_FAILED
};

struct worker {
	/* Their store is open. */
	const struct settings *settings;
	int listen_fd;
	/* To the parking process and from it; -1: there is none. */
	int up, down;
	struct board *board;
	size_t slot;
	/* There is no pool. */
	bool is_alone;
	/* Checked between two requests; NULL in a pool. */
	struct sweeper *sweeper;
};

/* Call once, before the first worker_run() and before any fork. */
void worker_prepare(void);

enum worker_end worker_run(const struct worker *);

#endif
