/*
 * metrics.h - what Prometheus may know.
 *
 * The counters are shared by all processes of a pool and never go back, not
 * even when a worker dies or is replaced.
 */
#ifndef FCGI_METRICS_H
#define FCGI_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "web/web.h"

/* How many different errors are told apart; the rest is not counted. */
#define METRICS_ERRORS 64
#define METRICS_CODE   40

enum metrics_counter {
	METRIC_BYTES,
	METRIC_CREATED,
	METRIC_FINISHED,
	METRIC_TERMINATED,
	METRIC_LOCK_WAITS,
	METRIC_LOCK_TAKEOVERS,
	METRIC_FENCED,
	METRIC_MAX
};

/* Order of metrics.c's table of methods; the last is any other. */
#define METRICS_METHODS 7

/* Likewise of its table of protocols; the first is that of requests which name
 * none, because there is but one. */
#define METRICS_PROTOCOLS 2

/* All zero at first. */
struct metrics {
	_Atomic uint64_t requests[METRICS_METHODS];
	_Atomic uint64_t protocols[METRICS_PROTOCOLS];
	_Atomic uint64_t counters[METRIC_MAX];
	_Atomic uint64_t sync_ns;
	_Atomic uint64_t hook_calls[HOOK_POINT_MAX];
	_Atomic uint64_t hook_errors[HOOK_POINT_MAX];

	/* An entry belongs to one kind of error once it is ready. */
	struct {
		_Atomic int state;
		int status;
		char code[METRICS_CODE];
		_Atomic uint64_t n;
	} errors[METRICS_ERRORS];
};

/* A hook was asked or told, and did what it should. */
void metrics_count_hook(struct metrics *, enum hook_point, bool went_well);

/* A request is over. */
void metrics_count(struct metrics *, const struct web_response *);

struct board;

/* All of it as Prometheus text; names begin with the prefix. */
const char *metrics_text(
    const struct board *, const char *prefix, struct arena *);

#endif
