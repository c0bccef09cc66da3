/*
 * probe.h - send one request through the web server and keep the answer.
 *
 * Unlike a client, a probe can announce a body and drop the connection in the
 * middle of it.  It follows no redirects and uses no proxy.
 */
#ifndef CTL_PROBE_H
#define CTL_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* For probe_request.announced: Transfer-Encoding: chunked. */
#define PROBE_CHUNKED (-1)

struct probe;

struct probe_request {
	const char *method;
	const char *url;

	/* "Name: value", NULL-terminated; NULL to send only Tus-Resumable. */
	const char *const *headers;

	/* How many zero bytes to send, and how many to announce.  If more are
	 * announced than sent, the connection is dropped one second after the
	 * last byte. */
	int64_t body, announced;
};

struct probe_reply {
	/* 0 if there was no answer; then error says why, in words. */
	int status;
	const char *error;

	/* The n lines of the header, and the beginning of the body. */
	const char **lines;
	size_t n;
	char body[256];
	size_t body_len;

	/* The answer is a tus server's, not the web server's own. */
	bool is_tus;
};

/* All strings that a probe returns belong to the arena. */
struct probe *probe_new(struct arena *);
void probe_free(struct probe *);

const struct probe_reply *probe_send(
    struct probe *, const struct probe_request *);

/* The value of a header; NULL if it is absent. */
const char *probe_header(const struct probe_reply *, const char *name);

/* The same as a number; -1 if it is absent or not a number. */
int64_t probe_number(const struct probe_reply *, const char *name);

/* Resolve a reference, as in Location, against the URL where it was found; NULL
 * if it is not valid. */
const char *probe_resolve(struct probe *, const char *base, const char *ref);

/* The URL with another password, or without user and password if password is
 * NULL; NULL if the URL has no user. */
const char *probe_login(struct probe *, const char *url, const char *password);

/* Do both URLs have the same scheme, host and port? */
bool probe_same_origin(const char *url, const char *other);

#endif
