/*
 * engine.h - the interface between the agent and a lock service.
 *
 * An engine is a file that fills one table, struct engine_ops: it sends
 * requests to the service and interprets the answers, and never blocks.
 * engine.c has the parts that all engines share: the queue of requests, their
 * time limit, the second try, and the choice of the next of lock.hosts.
 *
 * An owner is the name of a lock's holder, SESSION:NUMBER.  It is never used
 * again, so an engine can recognise its own first try.
 */
#ifndef LOCK_ENGINE_H
#define LOCK_ENGINE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/id.h"

enum {
	/* Of a session, HOST/RANDOM, with the NUL; the host is for
	 * administrators. */
	ENGINE_SESSION_SIZE = 64,
	/* Of an owner. */
	ENGINE_OWNER_SIZE = 128,
	ENGINE_PASSWORD_SIZE = 256,
	/* Of a sentence for an administrator. */
	ENGINE_TEXT = 256,
	/* The most descriptors that an engine polls. */
	ENGINE_FDS = 4
};

/* A lock that the agent holds. */
struct engine_held {
	char id[ID_MAX + 1];
	char owner[ENGINE_OWNER_SIZE];
};

/* The caller keeps it valid until done() is called. */
struct engine_call {
	/*
	 * ERR_OK; ERR_LOCKED: another owner has the lock, and holder is its
	 * name; ERR_UNAVAILABLE: there was no answer, and the request may have
	 * been carried out.
	 */
	void (*done)(struct engine_call *, enum err_code, uint64_t token,
	    const char *holder);
};

/* These are hints, except for the last, which is certain. */
enum engine_hint {
	ENGINE_WANTED,
	ENGINE_UNWANTED,
	ENGINE_FREE,
	/* That lock of ours is not there any more; without an id: none is of
	 * those that were taken before. */
	ENGINE_LOST
};

enum engine_kind {
	/* ERR_OK with a token: the owner has the lock. */
	ENGINE_TAKE,
	/* ERR_OK: the owner does not have the lock any more. */
	ENGINE_DROP,
	/* Ask the named owner to release its lock, or withdraw that; no answer
	 * is needed. */
	ENGINE_ASK,
	ENGINE_UNASK,
	/* Renew the session and all held locks.  ERR_OK: they were ours for
	 * session_ms from when this was sent, except those that told() reported
	 * as lost. */
	ENGINE_BEAT,
	/* Report what is wrong with the settings of the service, by noted(), or
	 * engine_refuse() if it is not safe with them; in a process that does
	 * nothing else. */
	ENGINE_LOOK,
	ENGINE_KINDS
};

/* One request to the service. */
struct engine_request {
	struct engine *engine;
	enum engine_kind kind;
	/* NULL: no caller waits for the answer, or not any more. */
	struct engine_call *call;
	struct engine_held held;
	/* For ENGINE_BEAT, while it is being sent. */
	const struct engine_held *const *list;
	size_t n;
	/* This is the last try. */
	bool is_last;
	/* The index in lock.hosts, and the time by clock_ms(). */
	size_t host;
	int64_t sent;
	/* Data of the engine itself; freed with free(). */
	void *own;
	/* Links in the engine's list of requests. */
	struct engine_request *next, **place;
};

struct engine_ops {
	/* The size of the struct in which the engine embeds struct engine. */
	size_t size;
	/* Reads the configuration; does not connect yet. */
	MUST_CHECK enum err_code (*open)(struct engine *, struct err *);
	/* The requests have been freed before this call. */
	void (*close)(struct engine *);

	/* Fill in the descriptors to poll, return how many, and set the longest
	 * wait in ms. */
	int (*prepare)(struct engine *, struct pollfd *, int *timeout_ms);
	/* Called after poll(), with the same array. */
	void (*work)(struct engine *, const struct pollfd *, int n);

	/* Send a request.  Ends in engine_finish() or engine_fail(), at once or
	 * from work(). */
	void (*send)(struct engine *, struct engine_request *);
	/* A request got no answer within lock.reply: drop the connection.  Each
	 * request that waits on it ends in engine_fail(). */
	void (*late)(struct engine *, struct engine_request *);
};

/* To be embedded by engines. */
struct engine {
	const struct engine_ops *ops;
	/* Set by the agent, which it calls with hints. */
	void (*told)(const char *id, enum engine_hint);
	/* Set by a trial, for ENGINE_LOOK. */
	void (*noted)(bool is_bad, const char *text);
	/* The name of the agent, which never changes. */
	char session[ENGINE_SESSION_SIZE];
	/* lock.session, or less if the service grants less. */
	int64_t session_ms;
	/* The configuration must outlive the engine. */
	const struct conf_lock *conf;
	char password[ENGINE_PASSWORD_SIZE];
	/* The index in conf->hosts of the server in use. */
	size_t host;
	/* Why the service, which answers, refuses us; ERR_OK if it does not. */
	struct err refusal;
	/* What went wrong last. */
	char trouble[ENGINE_TEXT];

	/* The oldest first; and those that are to be sent again. */
	struct engine_request *waiting, **end, *again;
	int64_t said;
	bool is_closing;
};

/* Make a name HOST/RANDOM; false if the system has no random bytes. */
bool engine_name_session(char[ENGINE_SESSION_SIZE]);

/*
 * Open an engine; does not connect yet.  ERR_INVALID: lock.hosts,
 * lock.password_file or another key has an impossible value.
 */
MUST_CHECK enum err_code engine_open(const struct engine_ops *,
    const struct conf *, const char *session, struct engine **, struct err *);
/* Callers of unanswered requests are not notified. */
void engine_close(struct engine *);

/* For the agent: send a request.  held is copied. */
void engine_send(struct engine *, enum engine_kind, struct engine_call *,
    const struct engine_held *held);
void engine_beat(struct engine *, struct engine_call *,
    const struct engine_held *const *, size_t n);
int engine_prepare(struct engine *, struct pollfd *, int *timeout_ms);
void engine_work(struct engine *, const struct pollfd *, int n);

/* --- For engines. --- */

/* End a request that was answered, and free it. */
void engine_finish(
    struct engine_request *, enum err_code, uint64_t token, const char *holder);
/* End a request that failed.  The cause may be a connection that was already
 * dead, so work() sends it once more, to the next host, if there is time. */
void engine_fail(struct engine_request *, const char *why);
/* The same for a failure that belongs to no request. */
void engine_next_host(struct engine *, const char *why);

const char *engine_host(const struct engine *);
/* Split HOST:PORT or [HOST]:PORT; returns the port. */
int engine_split(const char *host, char *name, size_t size);
/* The random part of the session's name. */
const char *engine_nonce(const struct engine *);

/* Log a message, at most every ten seconds. */
void engine_say(struct engine *, const char *why);
/* For ENGINE_LOOK. */
void engine_note(struct engine *, bool is_bad, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The service answers and refuses us: log it likewise, with what can be done
 * about it.  A start fails with it. */
void engine_refuse(struct engine *, const char *why);

#endif
