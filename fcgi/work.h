/*
 * work.h - what each worker is doing, and where the time of its requests goes.
 *
 * For the status page and the slow log.  Each worker writes its own record on
 * the board, and no other process does; a reader gets a consistent copy, or
 * none.  With page and log both off nothing is written, and each call costs a
 * comparison.
 *
 * Text in these records comes from clients and front ends, cut to fit: the
 * reader must escape it before showing it.
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

/* What a request is waiting for. */
enum work_phase {
	/* The client, or the web server in its place. */
	WORK_CLIENT,
	/* A lock, or a permit for a long request. */
	WORK_LOCK,
	/* The store; computing time of the program counts here as well. */
	WORK_DISK,
	WORK_HOOK,
	WORK_PHASE_MAX
};

/* "client" and so on. */
const char *work_phase_name(enum work_phase);

/* A request and its progress. */
struct work {
	/* By clock_ns(), and in seconds since the epoch. */
	int64_t began, when;

	/* Nanoseconds spent in each phase so far, and when the current one
	 * began. */
	int64_t ns[WORK_PHASE_MAX];
	int64_t since;
	enum work_phase phase;

	/* Of the upload; -1 if unknown. */
	int64_t offset, size;

	/* Bytes of the body received, and bytes a second of late: since a
	 * moment by clock_ns(), when so many had been received. */
	int64_t received, rate;
	int64_t second, before;

	/* 0 until the response is known. */
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

/* How many of the slowest requests, and of the last errors, are kept. */
#define WORK_SLOWEST 16
#define WORK_ERRORS  24

/* A request stays among the slowest for this many seconds. */
#define WORK_SLOWEST_AGE 3600

struct work_error {
	_Atomic unsigned seq;
	/* Seconds since the epoch; 0: there is none. */
	int64_t when;
	long pid;
	enum log_level level;
	char text[384];
};

/* Records of past requests, for all workers together. */
struct work_past {
	/* When the program started, seconds since the epoch. */
	int64_t started;
	struct work_slot slowest[WORK_SLOWEST];
	_Atomic unsigned errors_seen;
	struct work_error errors[WORK_ERRORS];
};

/* Of so many parked requests the records are kept. */
#define WORK_SHELF 1024

/*
 * The records of requests that are parked.  The process that has the request's
 * note is the only one to write to its record.
 */
struct work_shelf {
	_Atomic unsigned next;
	/* When the record was put here, by clock_ms(); 0: the place is free. */
	_Atomic int64_t since[WORK_SHELF];
	struct work_slot slots[WORK_SHELF];
};

/*
 * Let this process write to that record from now on; NULL: it records nothing.
 * A child of a worker must call this too: the record is its parent's.
 */
void work_join(struct work_slot *, struct work_past *);

/* From now on, remember the errors and warnings that this process, or one
 * forked later, writes to the log. */
void work_listen(struct work_past *);

/* A request of this worker begins; began is its time by clock_ms(). */
void work_begin(const struct web_request *, int64_t began);

/* Record what is known of the request's upload by now, and how many bytes of
 * the body have arrived. */
void work_look(const struct web_call *, int64_t received);

/* The request has ended.  Logged if it took slow ms or longer and slow is not
 * 0. */
void work_end(
    const struct web_response *, const struct web_request *, int64_t slow);

/* The request goes on in another process. */
void work_part(void);

/*
 * For a request that is to be parked: put this worker's record on the shelf;
 * its place, or -1.  The parking process shows and hides it; the worker that
 * gets the request goes on with it.  A place that is none does nothing.
 */
int work_shelve(struct work_shelf *);
void work_unshelve(struct work_shelf *, int place);
void work_show(struct work_shelf *, int place, bool it_is);

/* For the master: the parking process has died. */
void work_clear(struct work_shelf *);

/* How many places of the shelf were ever used. */
size_t work_shelved(const struct work_shelf *);

/* Enter a phase; returns the one that was left. */
enum work_phase work_enter(enum work_phase);

/* Copy a record; false if there is nothing to show. */
bool work_read(const struct work_slot *, struct work *);

/* Nanoseconds spent in a phase until now (by clock_ns()). */
int64_t work_spent(const struct work *, enum work_phase, int64_t now);

/* Of a request that has ended: nanoseconds that the client did not cause. */
int64_t work_own(const struct work *);

/* The n-th of the last errors, 0 is the latest; false if there is none. */
bool work_error(const struct work_past *, unsigned n, struct work_error *);

#endif
