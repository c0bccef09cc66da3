/*
 * count.h - counters of the requests to S3, for the metrics.
 *
 * The counters are in a page that a process shares with those that it forks.
 */
#ifndef STORE_S3_COUNT_H
#define STORE_S3_COUNT_H

#include "store/s3/s3.h"
#include "store/store.h"

/* Have the counters, unless this process or its parent has them already. */
MUST_CHECK enum err_code s3_count_open(struct err *);

/* A request that took so many microseconds, whatever its result; is_retry: it
 * was not the first. */
void s3_count_call(
    const struct s3_store *, const struct s3_call *, int64_t us, bool is_retry);

/* For struct store_class. */
void s3_figures(store_figure *, void *arg);

#endif
