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

/* The same without a body, and with a lock that is free. */
struct answer server_look(const struct web_request *);

/* NULL if it is not there. */
const char *answer_header(const struct answer *, const char *name);
/* -1 if it is not there. */
int64_t answer_number(const struct answer *, const char *name);

/* --- The input of the target, byte by byte. --- */

extern struct input {
	const uint8_t *at;
	size_t left;
} input;

/* 0 at the end. */
unsigned int next_byte(void);
/* Bytes for a body, other ones than before. */
const char *new_bytes(size_t len);

const char *to_decimal(int64_t);

/* Padded base64. */
const char *to_base64(const void *, size_t);

#endif
