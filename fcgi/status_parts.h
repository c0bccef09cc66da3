/*
 * status_parts.h - what the three formats of the status have in common.
 */
#ifndef FCGI_STATUS_PARTS_H
#define FCGI_STATUS_PARTS_H

#include "base/arena.h"
#include "base/compat.h"
#include "fcgi/board.h"

/* A request, ready to be shown: its text is UTF-8 without control
 * characters. */
struct status_work {
	struct work work;
	const char *method, *id, *owner, *client, *name;
	/* Milliseconds: in total, and by phase. */
	int64_t ms, spent[WORK_PHASE_MAX];
};

struct status_error {
	int64_t when;
	long pid;
	const char *level, *text;
};

struct status {
	struct arena *arena;

	/* Seconds since the epoch. */
	int64_t now, started;
	int workers[WORKER_STATE_MAX], max_workers, reserve;
	/* Requests that wait for their clients in no worker. */
	int parked;

	/* Totals since the start. */
	uint64_t requests, refusals, bytes, created, finished, terminated;

	/* Bytes a second of all running uploads together. */
	int64_t rate;

	/* How many requests wait for a hook, and how many events wait for a
	 * sweep; -1 if unknown. */
	int64_t hooks_running, hooks_waiting;

	/* Uploads, and other requests; the one that has run longest comes
	 * first. */
	struct status_work *uploads, *others;
	size_t n_uploads, n_others;

	/* The slowest first; of the errors the latest first. */
	struct status_work *slowest;
	size_t n_slowest;
	struct status_error *errors;
	size_t n_errors;
};

/* A text that grows. */
struct text {
	struct arena *arena;
	char *at;
	size_t len, size;
};

/* See status_text.c. */
struct text text_new(struct arena *);
void text_put(struct text *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "12.3 MiB", "1 h 05 min". */
const char *status_size(struct arena *, int64_t bytes);
const char *status_time(struct arena *, int64_t ms);

/* In percent, 0 to 100; -1 if the length is not known. */
int status_percent(const struct work *);

/* Write the page; nonce goes into its style and script elements. */
void status_page(struct text *, const struct status *, const char *nonce);

#endif
