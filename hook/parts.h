/*
 * parts.h - what the files of hook/ share; private to it.
 */
#ifndef HOOK_PARTS_H
#define HOOK_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/id.h"
#include "hook/hook.h"

/* An answer is never longer. */
#define HOOK_ANSWER_MAX 65536

/* "1700000000123456789-" and 32 digits, or an upload's id and a time. */
#define HOOK_EVENT_ID_MAX (ID_MAX + 24)

/* An event on its way.  json and text belong to it: hook_message_free(). */
struct hook_message {
	char event_id[HOOK_EVENT_ID_MAX + 1];
	json_t *json;
	char *text;
	size_t len;

	/* NULL where nobody knows it any more. */
	const char *request_id;

	/* Does anybody read what comes back? */
	bool is_asked;

	/* From json: the event's name and what the upload is; owner is NULL if
	 * there is none. */
	const char *type;
	const char *id;
	const char *owner;
	int64_t size, offset;
};

struct hook;

/* How an event gets there: by a program, or by HTTP. */
struct hook_way {
	/* What the configuration says where events go; "" if this is not the
	 * way. */
	const char *(*target)(const struct conf *);

	/* What it needs of the system; hook.c adds the spool. */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	/* What may be wrong with the target.  Makes nothing. */
	MUST_CHECK enum err_code (*check)(const struct conf *, struct err *);

	/* Once in a process, and best before any fork, which then shares what
	 * is loaded here. */
	MUST_CHECK enum err_code (*load)(struct err *);

	/* Does the target have a place for this event? */
	bool (*wants)(struct hook *, enum hook_point);

	/* Deliver it, within hooks.timeout; what came back is in h->answer. */
	MUST_CHECK enum err_code (*send)(
	    struct hook *, const struct hook_message *, struct err *);

	void (*shutdown)(struct hook *);
};

struct hook {
	struct hooks hooks;
	const struct conf *conf;
	const struct hook_way *way;
	bool is_enabled[HOOK_POINT_MAX];

	/* Milliseconds. */
	int64_t timeout;

	/* hook_http: made when it is first needed. */
	struct hook_client *client;

	/* Events are flushed to the spool. */
	bool is_durable;

	/* The answer to what is being sent; is_asked as in its message.  Room
	 * for it is made when there is the first one. */
	bool is_asked;
	size_t answer_len;
	bool answer_is_too_long;
	char *answer;
};

/* send.c: take in a piece of the answer, or ignore it if nobody asked.  False:
 * there is no room for it. */
bool hook_take_answer(struct hook *, const void *, size_t);

/* Deliver an event and log how long that took.  Errors are those of
 * hook_way.send. */
MUST_CHECK enum err_code hook_send(
    struct hook *, const struct hook_message *, struct err *);

/* guard.c: a program that is to be run, and its ends of our pipes: its standard
 * files, and that of the report, an int as of waitpid(). */
#define HOOK_REPORT 3
#define HOOK_ENDS   4
struct hook_start {
	pid_t parent;
	int dirfd;
	const char *path;
	char **env;
	int ends[HOOK_ENDS];
};

/* Milliseconds after which the guard gives up killing. */
#define HOOK_KILL_MAX 2000

/* After a fork(). */
NORETURN void hook_guard(const struct hook_start *);

/* json.c */
json_t *hook_json_event(const struct hook_event *, struct arena *);
MUST_CHECK enum err_code hook_json_answer(
    const char *, size_t, struct arena *, struct hook_verdict *, struct err *);

/*
 * A message around an object, which it takes over and gives its id.
 * ERR_CORRUPT if it is no event.
 */
MUST_CHECK enum err_code hook_message_make(
    struct hook_message *, json_t *, const char *event_id, struct err *);
/* The same event of an upload whose file is somewhere else. */
void hook_message_move(
    struct hook_message *, const struct file_info *, struct arena *);
void hook_message_free(struct hook_message *);

/*
 * spool.c.  put: what is spooled holds the event until drop(), which removes
 * it, or leave(), and nobody else delivers it meanwhile.  Both close what is
 * open, and may be called where nothing is.
 */
struct hook_spooled {
	int dirfd, fd;
};

#define HOOK_READY   ".json"
#define HOOK_UNREADY ".new"

/* More than a request can make of 1 MiB of parameters. */
#define HOOK_EVENT_MAX (16 << 20)

/* The directory that an event has to be written to. */
void hook_spool_needs(const struct conf *, need_ear *, void *arg);

/* Is there an event that waits there? */
bool hook_spool_is_needed(const struct conf *);

#define HOOK_PLACES_MAX 3
size_t hook_spool_places(
    const struct conf *, struct arena *, const char *[HOOK_PLACES_MAX]);
/* Could it be opened?  Makes no directory, open makes it. */
MUST_CHECK enum err_code hook_spool_check(const struct conf *, struct err *);
MUST_CHECK enum err_code hook_spool_open(
    const struct conf *, int *dirfd, struct err *);
void hook_spool_new_id(char id[HOOK_EVENT_ID_MAX + 1]);
MUST_CHECK enum err_code hook_spool_put(struct hook *,
    const struct hook_message *, struct hook_spooled *, struct err *);
void hook_spool_leave(struct hook_spooled *);
void hook_spool_drop(struct hook_spooled *, const char *event_id);

/* late.c: what was left in the spool. */
MUST_CHECK enum err_code hook_late_deliver(
    struct hook *, enum hook_delivery, struct hook_tally *, struct err *);

#endif
