/*
 * hooks.h - the hooks: programs or endpoints that are asked before something
 * happens, or told afterwards.
 *
 * The events and their names are tusd's.  Whether a hook is a program or is
 * reached over HTTP is not the core's concern: it only calls these functions.
 *
 * A pre-hook is asked before something happens and may refuse it; post-receive
 * is asked as well, and may stop an upload.  The other post-hooks are told
 * after the response was sent.  An event is noted before the response, so that
 * neither a crash in between nor a hook that does not answer loses it.
 */
#ifndef CORE_HOOKS_H
#define CORE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

enum hook_point {
	HOOK_PRE_CREATE,
	HOOK_POST_CREATE,
	HOOK_POST_RECEIVE,
	HOOK_PRE_FINISH,
	HOOK_POST_FINISH,
	HOOK_PRE_TERMINATE,
	HOOK_POST_TERMINATE,
	/* Of a sweep, and only where hooks.events names it. */
	HOOK_POST_EXPIRE,
	HOOK_POINT_MAX
};

/* "pre-create" and so on. */
const char *hook_point_name(enum hook_point);

/* What a client asked for, as hooks are shown it; the core does not read it. */
struct hook_request {
	/* The one that counts, "PATCH", where another may stand for it. */
	const char *method;
	const char *uri;
	/* "host:port" */
	const char *remote;
	/* All headers as the front end handed them on, by their usual names. */
	const struct pair *headers;
	/* It is found in the log, too. */
	const char *request_id;
};

/* What happened, to which upload, in which request; req is NULL where there
 * is none, as in a sweep. */
struct hook_event {
	enum hook_point hook;
	const struct file_info *info;
	const struct hook_request *req;
};

/* What to tell the client instead of, or besides, our own words. */
struct hook_reply {
	/* 0 if it says nothing about it, else 200 to 599. */
	int status;
	/* NULL if it says nothing about it. */
	const char *body;
	/* Names are tokens. */
	const struct pair *headers;
};

/* An answer; all zero is "go on". */
struct hook_verdict {
	struct hook_reply reply;

	bool reject_upload;
	bool reject_termination;
	bool stop_upload;

	/* For pre-create: what shall be different; NULL is nothing.  Without
	 * metadata at all, has_metadata says that this is meant. */
	const char *id;
	const struct pair *metadata;
	bool has_metadata;
	const char *storage_path;
	/* 0 is no limit but that of the server. */
	int64_t max_size;
};

struct hooks;

/* What became of the events that were left behind. */
struct hook_tally {
	/* By event: taken; not taken. */
	int64_t told[HOOK_POINT_MAX];
	int64_t failed[HOOK_POINT_MAX];
	/* No events at all: moved aside. */
	int64_t damaged;
	/* Not tried: others failed for too long, or not ours to read. */
	int64_t left;
	/* Failed not long ago. */
	int64_t waiting;
};

/* Which of the events that were left behind are to be told. */
enum hook_delivery {
	/* None: count them. */
	HOOK_DELIVER_NONE,
	/* Those that have waited long enough since they failed. */
	HOOK_DELIVER_DUE,
	HOOK_DELIVER_ALL
};

/* An event that was noted; belongs to its maker until it is told. */
struct hook_notice;

struct hooks_ops {
	/* Is there a hook for it?  Cheap (about 1 us). */
	bool (*wants)(struct hooks *, enum hook_point);

	/*
	 * Ask, and wait for the answer, whose strings come from the arena.
	 * An error means that the hook failed: nothing may go on.  That of
	 * post-receive is logged instead, and the answer is then "go on".
	 */
	MUST_CHECK enum err_code (*ask)(struct hooks *,
	    const struct hook_event *, struct arena *, struct hook_verdict *,
	    struct err *);

	/*
	 * Before the response: write the event down.  Where that is not
	 * possible it is logged, and the notice lives in memory only.
	 * post-finish needs no writing: the record of the upload says that it
	 * is still to be told (STORE_TO_TELL).
	 */
	struct hook_notice *(*note)(
	    struct hooks *, const struct hook_event *, struct arena *);

	/* Before it is told: the upload is somewhere else by now. */
	void (*moved)(struct hooks *, struct hook_notice *,
	    const struct file_info *, struct arena *);

	/* After the response: tell it, once, and let go of it.  False if it
	 * was not taken; that is logged, and it stays written down. */
	bool (*tell)(struct hooks *, struct hook_notice *);

	/* Let go of it without telling: a child process has a copy of it, and
	 * of this, and tells it. */
	void (*forget)(struct hooks *, struct hook_notice *);

	/* It has not happened: what was written down goes. */
	void (*withdraw)(struct hooks *, struct hook_notice *);

	/*
	 * For a sweep: tell the events that are written down and that no other
	 * process is busy with.  Those that were not tried yet come first, then
	 * those that were tried longest ago, so that each gets its turn.  A
	 * file that holds no event is moved aside.  With HOOK_DELIVER_NONE only
	 * count, in left.
	 */
	MUST_CHECK enum err_code (*deliver)(struct hooks *, enum hook_delivery,
	    struct hook_tally *, struct err *);

	void (*shutdown)(struct hooks *);
};

/* All hooks of a server.  An implementation embeds this and adds its own. */
struct hooks {
	const struct hooks_ops *ops;

	/* Milliseconds between two post-receive of one request; 0: only one,
	 * when the body is over. */
	int64_t progress;

	/* Milliseconds that a sweep may spend on hooks that fail. */
	int64_t patience;
};

#endif
