/*
 * metrics.h - the counters for Prometheus.
 *
 * All processes of a pool share them.  They never decrease, not even when a
 * worker dies or is replaced.
 */
#ifndef FCGI_METRICS_H
#define FCGI_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "fcgi/note.h"
#include "web/web.h"

/* How many different errors are counted separately; further ones are not
 * counted. */
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
	METRIC_PARKS,
	METRIC_UNPARKED,
	METRIC_MAX
};

/* In the order of metrics.c's table of methods; the last is any other
 * method. */
#define METRICS_METHODS 7

/* Room for metrics.c's table of protocols, in its order; the first is for
 * requests without a name of a protocol, which is so where only one is
 * configured. */
#define METRICS_PROTOCOLS 4

/* Starts as all zero. */
struct metrics {
	_Atomic uint64_t requests[METRICS_METHODS];
	_Atomic uint64_t protocols[METRICS_PROTOCOLS];
	_Atomic uint64_t counters[METRIC_MAX];
	_Atomic uint64_t sync_ns;
	_Atomic uint64_t handovers[NOTE_WHY_MAX];
	_Atomic uint64_t hook_calls[HOOK_POINT_MAX];
	_Atomic uint64_t hook_errors[HOOK_POINT_MAX];

	/* Once state says so, an entry belongs to one kind of error for
	 * good. */
	struct {
		_Atomic int state;
		int status;
		char code[METRICS_CODE];
		_Atomic uint64_t n;
	} errors[METRICS_ERRORS];
};

/* Count a request that was given to the parking process; one that could not be
 * given, for want of buffers or descriptors; and one that came back. */
void metrics_count_park(struct metrics *);
void metrics_count_unparked(struct metrics *);
void metrics_count_handover(struct metrics *, enum note_why);

/* Count a call of a hook, and whether it succeeded. */
void metrics_count_hook(struct metrics *, enum hook_point, bool went_well);

/* Count a request that has ended. */
void metrics_count(struct metrics *, const struct web_response *);

struct board;
struct locker;

/* All metrics as Prometheus text; each name begins with metrics.prefix. */
const char *metrics_text(
    const struct board *, const struct conf *, struct locker *, struct arena *);

#endif
