/*
 * probe.h - one request through the web server, and what came back.
 *
 * Unlike a client, a probe can announce a body and hang up in the middle of
 * it.  Redirects are not followed and no proxy is asked.
 */
#ifndef CTL_PROBE_H
#define CTL_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* As probe_request.announced: Transfer-Encoding: chunked. */
#define PROBE_CHUNKED (-1)

struct probe;

struct probe_request {
	const char *method;
	const char *url;

	/* "Name: value", NULL-terminated; NULL for none but Tus-Resumable. */
	const char *const *headers;

	/* How many zero bytes to send, and how many to announce.  If more are
	 * announced, the connection is dropped a second after the last. */
	int64_t body, announced;
};

struct probe_reply {
	/* 0 if there was none; error says why then, in words. */
	int status;
	const char *error;

	/* The lines of the header, n of them, and the start of the body. */
	const char **lines;
	size_t n;
	char body[256];
	size_t body_len;

	/* It bears the mark of a tus server, not of the web server. */
	bool is_tus;
};

/* Everything a probe hands out belongs to the arena. */
struct probe *probe_new(struct arena *);
void probe_free(struct probe *);

const struct probe_reply *probe_send(
    struct probe *, const struct probe_request *);

/* The value of a header; NULL if it did not come. */
const char *probe_header(const struct probe_reply *, const char *name);

/* The same as a number; -1 if it did not come or is none. */
int64_t probe_number(const struct probe_reply *, const char *name);

/* A reference as it stands in Location, from where it was found; NULL if it
 * is none. */
const char *probe_resolve(struct probe *, const char *base, const char *ref);

/* The same URL with another password, or without user and password if that is
 * NULL; NULL if there is no user in it. */
const char *probe_login(struct probe *, const char *url, const char *password);

/* Do both begin with the same scheme, host and port? */
bool probe_same_origin(const char *url, const char *other);

#endif
