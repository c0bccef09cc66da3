/*
 * ctl.h - what the commands of tusctl share.
 *
 * A command is one row of the table in tusctl.c and one function.  The function
 * is called with the store and the locker open, prints its result to stdout and
 * errors to stderr, and returns the exit status of the program.
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
#include "core/handle.h"
#include "lock/lock.h"
#include "store/store.h"

enum ctl_status {
	CTL_OK = 0,
	/* Something could not be done, or is damaged. */
	CTL_FAILED = 1,
	/* Wrong command line or configuration. */
	CTL_USAGE = 2
};

/* Which configuration a command reads. */
enum ctl_conf {
	CTL_NO_CONF,
	/* Only a file that -c or TUSFCGI_CONF names. */
	CTL_NAMED_CONF,
	/* Such a file, else the one of the system. */
	CTL_ANY_CONF
};

/* The parts that are open when a command is called; none is the default. */
enum ctl_opens {
	CTL_NOTHING,
	CTL_STORE,
	CTL_STORE_AND_LOCKS,
	/* Both, and uploads are seen as the server's own sweep sees them. */
	CTL_STORE_TO_SWEEP
};

struct ctl;

/* argv[0] is "tusctl COMMAND", for getopt(). */
typedef int ctl_run(struct ctl *, int argc, char **argv);

/* An option of a command, "--name" or "--name=ARGUMENT". */
struct ctl_option {
	const char *name;
	/* The value that ctl_option() returns for it; not '?'. */
	int value;
	/* The name of its argument; NULL if it takes none. */
	const char *argument;
	/* A line without quotes, brackets and colons: shells show it as a
	 * completion. */
	const char *purpose;
	/* The possible arguments, NULL-terminated; NULL: any text. */
	const char *const *words;
};

struct ctl_command {
	const char *name;
	enum ctl_opens opens;
	enum ctl_conf conf;
	/* The command may find events that hooks have yet to be told. */
	bool wants_hooks;
	ctl_run *run;
	/* The last entry has no name; NULL if there are no options. */
	const struct ctl_option *options;
	/* "ID...", or "" for none; words: the possible arguments, if they are
	 * fixed. */
	const char *arguments;
	const char *const *words;
	/* As for an option. */
	const char *purpose;
	/* Further sentences for --help; "" for none. */
	const char *details;
};

struct ctl {
	/* The current command, and the table of all; its last entry has no
	 * name. */
	const struct ctl_command *command, *commands;
	/* All keys have their defaults if no file was read. */
	struct conf *conf;

	/* NULL as long as they are not open. */
	struct data_store *store;
	struct locker *locker;

	/* For the sweep; NULL if no hooks are configured. */
	struct hooks *hooks;

	/* Emptied after every upload of ctl_each(). */
	struct arena *arena;

	/* Where ctl_found() writes, in a child of ctl_search(). */
	FILE *found;

	/* When the program started, seconds since the epoch. */
	int64_t now;

	/* Set by ctl_warn(). */
	bool failed;
};

ctl_run ctl_list, ctl_show, ctl_rm, ctl_sweep, ctl_check, ctl_settle, ctl_adopt,
    ctl_doctor, ctl_top, ctl_completion;
extern const struct ctl_option ctl_list_options[], ctl_show_options[],
    ctl_sweep_options[], ctl_check_options[], ctl_settle_options[],
    ctl_top_options[];
extern const char *const ctl_shells[];

/*
 * Parse the next option of the command.  Returns its value as getopt_long()
 * does: -1 after the last one, when optind is the index of the first argument;
 * '?' for an unknown option, after printing an error.  The option's argument is
 * in optarg.
 */
int ctl_option(struct ctl *, int argc, char **argv);

/* Print the help for one command, or for all. */
void ctl_help(const struct ctl_command *);
void ctl_help_all(FILE *, const struct ctl_command *commands);

/* ctl_warn() prints an error to stderr and makes the program exit with
 * CTL_FAILED.  ctl_note() prints a line that is no error. */
void ctl_warn(struct ctl *, const char *, ...) PRINTF_LIKE(2, 3);
void ctl_note(const char *, ...) PRINTF_LIKE(1, 2);

/* Print "tusctl COMMAND takes ..." and return CTL_USAGE. */
int ctl_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* CTL_FAILED if ctl_warn() was called, else CTL_OK. */
int ctl_status(const struct ctl *);

/*
 * Call one() for every upload.  what is a noun for the progress line on a
 * terminal; NULL shows none.
 */
void ctl_each(struct ctl *, const char *what,
    void (*one)(struct ctl *, const char *id, void *arg), void *arg);

/*
 * Look at all uploads, in several processes at the same time if the store can
 * be read like that.  Returns how many there were.
 */
struct ctl_search {
	/* As for ctl_each(). */
	const char *what;

	/* Called for each upload, perhaps in a child.  It changes nothing and
	 * prints nothing but with ctl_found() and ctl_warn(). */
	void (*look)(struct ctl *, const char *id, const struct ctl_search *);

	/* Called in this process for each line that was found, in any order. */
	void (*take)(struct ctl *, const char *line, void *arg);
	void *arg;
};
int64_t ctl_search(struct ctl *, const struct ctl_search *);

/* For look(): a line without a line feed. */
void ctl_found(struct ctl *, const struct ctl_search *, const char *line);

/* Show the progress of something else that may take long; n 0 clears the
 * line. */
void ctl_progress(const char *what, int64_t n);

/*
 * Lock an id.  With wait_ms 0: try once, and do not ask the holder to release
 * it; else ask and wait as a request does.
 */
MUST_CHECK enum err_code ctl_lock(struct ctl *, const char *id, int64_t wait_ms,
    struct lock **, struct err *);

/* Lock an upload like ctl_lock() and open it; it is not claimed.
 * ERR_NOT_FOUND: there is no such upload, and nothing is locked. */
MUST_CHECK enum err_code ctl_open(struct ctl *, const char *id, int64_t wait_ms,
    struct handle *, struct err *);

/*
 * Claim an upload that is held.  If it is complete but not finished, finish it,
 * unless there are hooks to be run or the file is to be moved: the sweep or the
 * next request does that.  Sets is_over if the upload is finished.
 */
MUST_CHECK enum err_code ctl_repair(
    struct ctl *, struct handle *, struct err *);

/* A sentence on what to do about a damaged upload, from c->arena. */
const char *ctl_damage_advice(
    struct ctl *, const char *id, bool can_be_repaired);

/* Open what the command has not had opened for it. */
MUST_CHECK enum err_code ctl_open_store(struct ctl *, struct err *);
MUST_CHECK enum err_code ctl_open_locker(struct ctl *, struct err *);
/* Print why one of them failed, and return the exit status. */
int ctl_cannot_open(const struct err *);

/* check --locks: CTL_FAILED if no lock can be had, or not from each host of the
 * service.  Opens the locker. */
int ctl_check_locks(struct ctl *);

enum ctl_grade {
	CTL_GOOD,
	CTL_NOTE,
	CTL_SLOW,
	CTL_BAD
};
typedef void ctl_finding(void *arg, enum ctl_grade, const char *text);

/*
 * Try each host of the lock service, its settings, the agent and the clock of
 * this host, and report what is found.  The store must be open; opens the
 * locker, unless a host refuses us.
 */
MUST_CHECK enum err_code ctl_try_lock_service(
    struct ctl *, ctl_finding *, void *arg, struct err *);

/* Does the store have the capability that several commands need?  If not, an
 * error is printed. */
bool ctl_can_keep(struct ctl *);

#endif
