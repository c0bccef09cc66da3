/*
 * work.h - what each worker is at, and where the time of its requests goes.
 *
 * For the status page and the slow log.  Each worker writes one record on the
 * board, and no other process does; a reader gets a copy that belongs together,
 * or none.  Where neither the page nor the log is wanted, nothing is
 * written, and each call costs a comparison.
 *
 * Text in these records is what clients and front ends sent, cut to fit: the
 * reader has to make it fit to be shown.
 */
#ifndef FCGI_WORK_H
#define FCGI_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/log.h"
#include "web/web.h"

/* What a request waits for just now. */
enum work_phase {
	/* The client, or the web server in its place. */
	WORK_CLIENT,
	/* A lock, or a place for what takes long. */
	WORK_LOCK,
	/* The store; what the program computes meanwhile counts as well. */
	WORK_DISK,
	WORK_HOOK,
	WORK_PHASE_MAX
};

/* "client" and so on. */
const char *work_phase_name(enum work_phase);

/* A request, as far as it has got. */
struct work {
	/* By clock_ns(), and in seconds since the epoch. */
	int64_t began, when;

	/* Nanoseconds spent in each phase; the one it is in since when. */
	int64_t ns[WORK_PHASE_MAX];
	int64_t since;
	enum work_phase phase;

	/* Of the upload; -1 if that is not known. */
	int64_t offset, size;

	/* Bytes of the body, and how many came in a second lately. */
	int64_t received, rate;

	/* 0 as long as it is under way. */
	int status;

	long pid;
	char method[8];
	char id[ID_MAX + 1];
	char owner[64];
	char client[56];
	char name[96];
};

/* The record of a worker.  seq is odd while it is written. */
struct work_slot {
	_Alignas(64) _Atomic unsigned seq;
	bool is_at_work;
	struct work work;
};

/* How many of the slowest requests are kept, and of the last errors. */
#define WORK_SLOWEST 16
#define WORK_ERRORS  24

/* A request is among the slowest for so many seconds. */
#define WORK_SLOWEST_AGE 3600

struct work_error {
	_Atomic unsigned seq;
	/* Seconds since the epoch; 0: there is none. */
	int64_t when;
	long pid;
	enum log_level level;
	char text[384];
};

/* What is remembered, for all workers together. */
struct work_past {
	/* When the program started, seconds since the epoch. */
	int64_t started;
	struct work_slot slowest[WORK_SLOWEST];
	_Atomic unsigned errors_seen;
	struct work_error errors[WORK_ERRORS];
};

/* Of this process; NULL where nothing is recorded. */
extern struct work_slot *work_mine;

/*
 * This process is the worker of that record, from now on; NULL: it records
 * nothing.  A child of a worker says so, too: the record is not the child's.
 */
void work_join(struct work_slot *, struct work_past *);

/* Remember what is logged as an error or a warning from now on, by this
 * process or one that is forked later. */
void work_listen(struct work_past *);

/* The request of this worker begins; it began by clock_ms() then. */
void work_begin(const struct web_request *, int64_t began);

/* What is known of its upload by now, with so many bytes of the body. */
void work_look(const struct web_call *, int64_t received);

/* It is over.  Logged if it took slow ms or longer, unless that is 0. */
void work_end(
    const struct web_response *, const struct web_request *, int64_t slow);

/* The phase that was left for this one. */
enum work_phase work_change(enum work_phase);

static inline enum work_phase
work_enter(enum work_phase phase)
{
	return work_mine == NULL ? phase : work_change(phase);
}

/* A copy; false if there is nothing to be seen. */
bool work_read(const struct work_slot *, struct work *);

/* Nanoseconds in a phase until now, which is by clock_ns(). */
int64_t work_spent(const struct work *, enum work_phase, int64_t now);

/* Nanoseconds that were not the client's, of a request that is over. */
int64_t work_own(const struct work *);

/* The n-th of the last errors, 0 is the latest; false if there is none. */
bool work_error(const struct work_past *, unsigned n, struct work_error *);

#endif
