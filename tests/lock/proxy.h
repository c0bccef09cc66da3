/*
 * proxy.h - a network between an agent and its lock service that loses things.
 */
#ifndef TESTS_LOCK_PROXY_H
#define TESTS_LOCK_PROXY_H

enum proxy_fault {
	PROXY_NONE,
	/* The request arrives, its answer is lost with the connection. */
	PROXY_LOSE_ANSWER,
	/* The answer to it, and what comes after that, takes PROXY_LATE_MS. */
	PROXY_LATE_ANSWER,
	/* The request, and what comes after it, arrives PROXY_LATE_MS later,
	 * though the sender has hung up by then. */
	PROXY_LATE_REQUEST
};

enum {
	PROXY_LATE_MS = 3500
};

/* In a process of its own, which dies with ours; returns the port. */
int proxy_start(int to_port);
void proxy_stop(void);

/* The next request with one of these words in it has that fault, once. */
void proxy_plan(enum proxy_fault, const char *word, const char *other_word);
/* Has it happened? */
int proxy_has_failed(void);

/* Hang up all connections, as an engine does that is started anew. */
void proxy_hang_up(void);

#endif
