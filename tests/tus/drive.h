/*
 * drive.h - drive the core in-process, as a web server would.
 */
#ifndef TESTS_TUS_DRIVE_H
#define TESTS_TUS_DRIVE_H

#include "tus/tus.h"

/* A store with a server around it, and a clock that only we move. */
struct world {
	struct conf *conf;
	struct data_store *store;
	struct web_server srv;
	struct arena *arena;

	/* How often web_receive() said that the store is busy. */
	int waits;

	/* Bodies are handed over in slices of this many bytes. */
	size_t slice;
};

extern int64_t world_time;

void world_open(struct world *, size_t slice);

/* Likewise, with uploads in a directory instead of in memory. */
void world_open_in(struct world *, size_t slice, const char *dir);
void world_close(struct world *);

struct ask {
	const char *method;
	const char *path;
	/* "Name: value\n..."; Tus-Resumable: 1.0.0 and a Content-Length that
	 * fits the body are added unless named here; "Name: -" is absent. */
	const char *headers;
	const char *body;
	/* Of the body; 0 means up to its NUL. */
	size_t len;
	enum body_end end;
	/* Called while the lock is busy, before it is tried once more; NULL:
	 * give up. */
	void (*while_busy)(struct world *);
	/* All of it has arrived when the request begins. */
	bool is_here;
	/* There is nobody free to receive the body, or to send the content. */
	bool turn_away;
};

struct reply {
	int status;
	const struct pair *headers;
	char *body;
	size_t len;
	const char *code;
	const struct web_response *res;
};

/* One whole request; all of the reply lives in the arena of the world. */
struct reply world_ask(struct world *, struct ask);

/* The value of a response header; NULL if absent.  Fails the test if it is
 * there twice. */
const char *reply_header(const struct reply *, const char *name);

/* POST with these headers and no body, expecting 201: the new path. */
const char *world_create(struct world *, const char *headers);

/* HEAD, expecting 200: the offset. */
long long world_offset(struct world *, const char *path);

#endif
