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

/* The most bytes of an answer. */
#define HOOK_ANSWER_MAX 65536

/* "1700000000123456789-" and 32 digits, or an upload's id and a time. */
#define HOOK_EVENT_ID_MAX (ID_MAX + 24)

/* An event to be delivered.  It owns json and text: see hook_message_free(). */
struct hook_message {
	char event_id[HOOK_EVENT_ID_MAX + 1];
	json_t *json;
	char *text;
	size_t len;

	/* NULL where it is not known any more. */
	const char *request_id;

	/* Will the answer be read? */
	bool is_asked;

	/* Borrowed from json: the event's name and the upload's data; owner is
	 * NULL if there is none. */
	const char *type;
	const char *id;
	const char *owner;
	int64_t size, offset;
};

struct hook;

#define HOOK_KEY(name)                                                         \
	.key = "hooks." #name, .offset = offsetof(struct conf, hooks.name)

/* A way to deliver events: by a program, or by HTTP. */
struct hook_way {
	/* HOOK_KEY() of the key that says where events go: its name, and the
	 * place of its value in struct conf.  With "" this way is not used. */
	const char *key;
	size_t offset;

	/* Report the needs of this way; hook.c adds those of the spool. */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	/* Check the destination without creating anything. */
	MUST_CHECK enum err_code (*check)(const struct conf *, struct err *);

	/* Call once in each process, and first before any fork, so that all
	 * processes share what is loaded here. */
	MUST_CHECK enum err_code (*load)(struct err *);

	/* Does the destination want this event? */
	bool (*wants)(struct hook *, enum hook_point);

	/* Deliver an event within hooks.timeout; the answer is stored in
	 * h->answer. */
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

	/* Of hook_http: created when it is first needed. */
	struct hook_client *client;

	/* Are events flushed to the spool? */
	bool is_durable;

	/* The answer to the event that is being sent; is_asked as in the
	 * message.  The buffer is allocated for the first one. */
	bool is_asked;
	size_t answer_len;
	bool answer_is_too_long;
	char *answer;
};

/* In send.c: append a piece of the answer, or ignore it if none is wanted.
 * False: there is no room for it. */
bool hook_take_answer(struct hook *, const void *, size_t);

/* Deliver an event and log how long that took.  Errors are those of
 * hook_way.send. */
MUST_CHECK enum err_code hook_send(
    struct hook *, const struct hook_message *, struct err *);

/* In guard.c: a program to be run, and its ends of our pipes: its standard
 * files, and the one for the report, which is an int as of waitpid(). */
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

/* To be called in the child after fork(). */
NORETURN void hook_guard(const struct hook_start *);

/* In json.c. */
json_t *hook_json_event(const struct hook_event *, struct arena *);
MUST_CHECK enum err_code hook_json_answer(
    const char *, size_t, struct arena *, struct hook_verdict *, struct err *);

/*
 * Make a message of an object, take ownership of that and add the event's id.
 * ERR_CORRUPT if it is not an event.
 */
MUST_CHECK enum err_code hook_message_make(
    struct hook_message *, json_t *, const char *event_id, struct err *);
/* Change the path in the event to where the upload's file is now. */
void hook_message_move(
    struct hook_message *, const struct file_info *, struct arena *);
void hook_message_free(struct hook_message *);

/*
 * In spool.c.  hook_spool_put() writes the event and keeps it locked, so that
 * no other process delivers it, until hook_spool_drop(), which removes it, or
 * hook_spool_leave(), which keeps it.  Both close the file, and may be called
 * without one.
 */
struct hook_spooled {
	int dirfd, fd;
};

#define HOOK_READY   ".json"
#define HOOK_UNREADY ".new"

/* Larger than any event that a request of at most 1 MiB of parameters
 * causes. */
#define HOOK_EVENT_MAX (16 << 20)

/* Report the directory in which events are written. */
void hook_spool_needs(const struct conf *, need_ear *, void *arg);

/* Can there be an event that has to wait? */
bool hook_spool_is_needed(const struct conf *);

#define HOOK_DIRS_MAX 3
size_t hook_spool_dirs(
    const struct conf *, struct arena *, const char *[HOOK_DIRS_MAX]);
/* Could the spool be opened?  Does not create the directory. */
MUST_CHECK enum err_code hook_spool_check(const struct conf *, struct err *);
MUST_CHECK enum err_code hook_spool_open(
    const struct conf *, int *dirfd, struct err *);
void hook_spool_new_id(char id[HOOK_EVENT_ID_MAX + 1]);
MUST_CHECK enum err_code hook_spool_put(struct hook *,
    const struct hook_message *, struct hook_spooled *, struct err *);
void hook_spool_leave(struct hook_spooled *);
void hook_spool_drop(struct hook_spooled *, const char *event_id);

/* In late.c: deliver the events that were left in the spool. */
MUST_CHECK enum err_code hook_late_deliver(
    struct hook *, enum hook_delivery, struct hook_tally *, struct err *);

#endif
