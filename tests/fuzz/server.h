/*
 * server.h - the core over the memory store, for the targets that send whole
 * requests.  What holds for every response is checked with each.
 */
#ifndef TESTS_FUZZ_SERVER_H
#define TESTS_FUZZ_SERVER_H

#include "tus/tus.h"

/* A lock that is busy as often as play.busy says, and wanted if it says so. */
struct play {
	int busy;
	bool wanted;

	/* Seconds since the epoch. */
	int64_t now;
};

extern struct play play;
extern struct web_server server;

/* Lives until the next server_open(). */
extern struct arena *arena;

/* A new server with an empty store; ids are "0...01", "0...02" and so on. */
void server_open(void);

struct answer {
	int status;
	const struct pair *headers;
	char *body;
	size_t len;
	/* How many bytes of the body the core has looked at. */
	size_t taken;
};

struct body {
	const char *bytes;
	size_t len;
	/* Handed over in pieces of this size, then ended for this reason. */
	size_t slice;
	enum body_end end;
};

struct answer server_ask(const struct web_request *, const struct body *);

/* NULL if it is not there. */
const char *answer_header(const struct answer *, const char *name);

/* Padded base64. */
const char *to_base64(const void *, size_t);

#endif
