/*
 * http_loop.h - requests of libcurl that are under way side by side.
 *
 * Nothing blocks, and there is one descriptor to wait for, beside whatever else
 * the caller waits for.
 */
#ifndef BASE_HTTP_LOOP_H
#define BASE_HTTP_LOOP_H

#include "base/http.h"

struct http_loop;

/* A request is over; own is its CURLOPT_PRIVATE.  The function may remove it
 * and add others. */
typedef void http_over(void *own, CURLcode);

/* For this process alone, with so many connections to a host at most. */
struct http_loop *http_loop_open(
    const struct http_lib *, long connections, http_over *);
/* All requests have been removed. */
void http_loop_close(struct http_loop *);

void http_loop_add(struct http_loop *, CURL *);
/* It may be under way, be over, or not have been added. */
void http_loop_remove(struct http_loop *, CURL *);

/* Readable when http_loop_work() has something to do. */
int http_loop_fd(const struct http_loop *);
/* The ms, up to most, after which it has something to do all the same. */
int http_loop_timeout(const struct http_loop *, int most);

/* Go on with all requests, and tell of those that are over. */
void http_loop_work(struct http_loop *);

#endif
