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
#include <stdio.h>

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

struct ctl;

/* argv[0] is "tusctl COMMAND", for getopt(). */
typedef int ctl_run(struct ctl *, int argc, char **argv);

/* An option of a command, "--name" or "--name=ARGUMENT". */
struct ctl_option {
	const char *name;
	/* What ctl_option() returns for it; not '?'. */
	int value;
	/* NULL: it takes none. */
	const char *argument;
	/* A line without quotes, brackets and colons, for shells complete it.
	 */
	const char *purpose;
	/* What the argument may be, NULL-terminated; NULL: anything. */
	const char *const *words;
};

struct ctl_command {
	const char *name;
	/* The command works on the store, not only on the configuration. */
	bool wants_store;
	bool wants_conf;
	/* It may find out that others have yet to be told of something. */
	bool wants_hooks;
	ctl_run *run;
	/* The last has no name; NULL for none. */
	const struct ctl_option *options;
	/* "ID...", "" for none; and what it may be if these are words. */
	const char *arguments;
	const char *const *words;
	/* As that of an option. */
	const char *purpose;
	/* More than that, in sentences; "" for nothing. */
	const char *details;
};

struct ctl {
	/* This one, and all of them; the last has no name. */
	const struct ctl_command *command, *commands;
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

ctl_run ctl_list, ctl_show, ctl_rm, ctl_sweep, ctl_check, ctl_settle, ctl_adopt,
    ctl_doctor, ctl_top, ctl_completion;
extern const struct ctl_option ctl_list_options[], ctl_show_options[],
    ctl_sweep_options[], ctl_check_options[], ctl_top_options[];
extern const char *const ctl_shells[];

/*
 * The value of the next option of the command, as getopt_long() gives it: -1
 * after the last, and optind says where the arguments begin; '?' if there is no
 * such option, which it has said.  The argument is in optarg.
 */
int ctl_option(struct ctl *, int argc, char **argv);

/* What there is to know about a command, or about all of them. */
void ctl_help(const struct ctl_command *);
void ctl_help_all(FILE *, const struct ctl_command *commands);

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

/* What to do about a damaged upload: a sentence, from c->arena. */
const char *ctl_damage_advice(
    struct ctl *, const char *id, bool can_be_repaired);

/* The capability that several commands need; says so if it is missing. */
bool ctl_can_keep(struct ctl *);

#endif
