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
	/* Sent by a sweep, and only where hooks.events names it. */
	HOOK_POST_EXPIRE,
	HOOK_POINT_MAX
};

/* "pre-create" and so on. */
const char *hook_point_name(enum hook_point);

/* What a client asked for, as hooks are shown it; the core does not read it. */
struct hook_request {
	/* The effective method, as "PATCH", whatever the request line says. */
	const char *method;
	const char *uri;
	/* "host:port" */
	const char *remote;
	/* All headers as the front end handed them on, by their usual names. */
	const struct pair *headers;
	/* The log has it, too. */
	const char *request_id;
};

/* What happened, to which upload, in which request; req is NULL where there
 * is none, as in a sweep. */
struct hook_event {
	enum hook_point hook;
	const struct file_info *info;
	const struct hook_request *req;
};

/* The answer to the client that a hook wants, in place of the server's own or
 * added to it. */
struct hook_reply {
	/* 0 if the hook sets none, else 200 to 599. */
	int status;
	/* NULL if the hook sets none. */
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

	/*
	 * For pre-create: the changes to the upload; NULL is no change.
	 * has_metadata tells metadata that the hook has emptied from metadata
	 * that it leaves alone.
	 */
	const char *id;
	const struct pair *metadata;
	bool has_metadata;
	const char *storage_path;
	/* 0 is no limit but that of the server. */
	int64_t max_size;
};

struct hooks;

/* The results of delivering the events that wait. */
struct hook_tally {
	/* By event: delivered; failed. */
	int64_t told[HOOK_POINT_MAX];
	int64_t failed[HOOK_POINT_MAX];
	/* Files that hold no event: moved aside. */
	int64_t damaged;
	/* Not tried: others failed for too long, or this user may not read
	 * them. */
	int64_t left;
	/* Failed not long ago. */
	int64_t waiting;
};

/* Which of the waiting events are to be delivered. */
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
	 * Ask, and wait for the answer, whose strings come from the arena.  An
	 * error means that the hook failed, and the task must not go on.  An
	 * error of post-receive is logged instead, and the answer is then "go
	 * on".
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

	/* Before the event is delivered: note that the upload was moved. */
	void (*moved)(struct hooks *, struct hook_notice *,
	    const struct file_info *, struct arena *);

	/*
	 * After the response: try to deliver the event, once, and free the
	 * notice.  False if that failed, which is logged; the event stays
	 * written down.
	 */
	bool (*tell)(struct hooks *, struct hook_notice *);

	/* Free the notice without delivering the event: a child process has a
	 * copy of both, and delivers it. */
	void (*forget)(struct hooks *, struct hook_notice *);

	/* The event has not happened: remove what was written down. */
	void (*withdraw)(struct hooks *, struct hook_notice *);

	/*
	 * For a sweep: deliver the events that are written down and that no
	 * other process is delivering.  Those that were not tried yet come
	 * first, then those that were tried longest ago, so that each gets its
	 * turn.  A file that holds no event is moved aside.  With
	 * HOOK_DELIVER_NONE only count, in left.
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
