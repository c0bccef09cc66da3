/*
 * post.h - HTTP requests that do not block, for engines.
 *
 * Many are under way at a time, on a few connections that are kept.  Nothing is
 * called but in post_work(), and nothing after post_stop().
 */
#ifndef LOCK_POST_H
#define LOCK_POST_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "lock/engine.h"

struct post_office;
struct post;

struct post_answer {
	/* Of HTTP; 0: there was no answer, and why says why not. */
	long status;
	const char *why;
	/* Not to be trusted: a certificate, ours or theirs. */
	bool is_refusal;
	/* With a NUL behind it. */
	const char *text;
	size_t len;
};

/* The request is gone. */
typedef void post_done(void *arg, const struct post_answer *);
/* Of an answer without an end, each line as it comes. */
typedef void post_line(void *arg, const char *line, size_t len);

/* For this process alone; NULL with why if libcurl cannot be had. */
struct post_office *post_open(const struct conf_lock *, struct err *);
/* Stops all requests. */
void post_close(struct post_office *);

int post_prepare(const struct post_office *, struct pollfd *, int *timeout_ms);
void post_work(struct post_office *);

/*
 * JSON to http(s)://HOST/PATH.  authorization "": none.  The body is freed with
 * free().  line NULL: the answer is told as a whole.
 */
struct post *post_send(struct post_office *, const char *host, const char *path,
    const char *authorization, char *body, post_line *, post_done *, void *arg);
/* Nobody is told.  NULL is allowed. */
void post_stop(struct post *);

#endif
