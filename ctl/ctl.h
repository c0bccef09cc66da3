/*
 * ctl.h - what the commands of tusctl share.
 *
 * A command is one row of the table in tusctl.c and one function.  It gets
 * the store and the locker open, prints its result to stdout and what went
 * wrong to stderr, and returns the exit status of the program.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "hook/hook.h"
#include "core/hold.h"
#include "lock/lock.h"
#include "store/store.h"

enum ctl_status {
	CTL_OK = 0,
	/* Something could not be done, or is damaged. */
	CTL_FAILED = 1,
	/* Wrong command line or configuration. */
	CTL_USAGE = 2
};

struct ctl {
	struct conf *conf;

	/* NULL for a command that does not ask for them. */
	struct data_store *store;
	struct locker *locker;

	/* For the sweep; NULL if nobody is told of anything. */
	struct hooks *hooks;

	/* Forgotten after every upload of ctl_each(). */
	struct arena *arena;

	/* When the program started, seconds since the epoch. */
	int64_t now;

	/* Set by ctl_warn(). */
	bool failed;
};

/* argv[0] is "tusctl COMMAND", for getopt(). */
typedef int ctl_run(struct ctl *, int argc, char **argv);

ctl_run ctl_list, ctl_show, ctl_rm, ctl_sweep, ctl_check, ctl_settle, ctl_adopt,
    ctl_doctor;

/* A line to stderr about something that went wrong; the program will exit
 * with CTL_FAILED.  ctl_note() is for what did not. */
void ctl_warn(struct ctl *, const char *, ...) PRINTF_LIKE(2, 3);
void ctl_note(const char *, ...) PRINTF_LIKE(1, 2);

/* "tusctl COMMAND takes ..." and CTL_USAGE. */
int ctl_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* CTL_OK, or CTL_FAILED if anything was warned of. */
int ctl_status(const struct ctl *);

/*
 * Call one() for every upload.  what is a word for the progress shown on a
 * terminal, NULL for none.
 */
void ctl_each(struct ctl *, const char *what,
    void (*one)(struct ctl *, const char *id, void *arg), void *arg);

/* The progress of something else that may take long; n 0 wipes it. */
void ctl_progress(const char *what, int64_t n);

/*
 * Lock an id: once and without asking the holder if wait_ms is 0, else like a
 * request that waits.
 */
MUST_CHECK enum err_code ctl_lock(struct ctl *, const char *id, int64_t wait_ms,
    struct lock **, struct err *);

/* Open an upload and lock it in this way; it is not claimed.  ERR_NOT_FOUND if
 * there is no such upload: nothing is locked then. */
MUST_CHECK enum err_code ctl_hold(
    struct ctl *, const char *id, int64_t wait_ms, struct hold *, struct err *);

/*
 * Claim what is held, and finish it if only that is missing, there are no
 * hooks to be asked and told, and it is not to be moved; these are left to the
 * sweep, or to the next request.  Sets is_over if it does.
 */
MUST_CHECK enum err_code ctl_repair(struct ctl *, struct hold *, struct err *);

/* The capability that several commands need; says so if it is missing. */
bool ctl_can_keep(struct ctl *);

#endif
