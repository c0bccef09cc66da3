/*
 * engine.h - what a lock service does for the agent.
 *
 * An engine is a file that fills one table, struct engine_ops: how a request is
 * sent to the service, and what its answer means.  Nothing blocks.  What all of
 * them need is in engine.c: requests that wait, their time limit, the second
 * try, the next of lock.hosts.
 *
 * An owner is the name of a lock's holder, SESSION:NUMBER, used once and never
 * again, so that an engine recognises its own first try.
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
	/* Of a session, HOST/RANDOM, with the NUL; the host is for people. */
	ENGINE_SESSION_SIZE = 64,
	/* Of an owner. */
	ENGINE_OWNER_SIZE = 128,
	ENGINE_PASSWORD_SIZE = 256,
	/* Descriptors that an engine waits for, at most. */
	ENGINE_FDS = 4
};

/* A lock that the agent holds. */
struct engine_held {
	char id[ID_MAX + 1];
	char owner[ENGINE_OWNER_SIZE];
};

/* The caller keeps it until done(). */
struct engine_call {
	/*
	 * ERR_OK; ERR_LOCKED: another owner has it, and holder is its name;
	 * ERR_UNAVAILABLE: there was no answer, and it may have happened.
	 */
	void (*done)(struct engine_call *, enum err_code, uint64_t token,
	    const char *holder);
};

/* Hints only, but for the last. */
enum engine_hint {
	ENGINE_WANTED,
	ENGINE_UNWANTED,
	ENGINE_FREE,
	/* That lock of ours is not there any more; without an id: none is of
	 * those that were taken before. */
	ENGINE_LOST
};

enum engine_kind {
	/* ERR_OK with a token: that owner has the lock. */
	ENGINE_TAKE,
	/* ERR_OK: that owner does not have it, afterwards. */
	ENGINE_DROP,
	/* Ask the owner named to let go of it, or do not any more; nobody waits
	 * for an answer. */
	ENGINE_ASK,
	ENGINE_UNASK,
	/* Keep the session, and all that is held.  ERR_OK: what is held was
	 * ours for session_ms from when this was sent, but for what told() has
	 * said is lost. */
	ENGINE_BEAT,
	ENGINE_KINDS
};

/* One question to the service. */
struct engine_request {
	struct engine *engine;
	enum engine_kind kind;
	/* NULL: nobody waits, or not any more. */
	struct engine_call *call;
	struct engine_held held;
	/* Of ENGINE_BEAT, while it is sent. */
	const struct engine_held *const *list;
	size_t n;
	/* There is no other try after this one. */
	bool is_last;
	/* Of lock.hosts, and by clock_ms(). */
	size_t host;
	int64_t sent;
	/* What the engine itself keeps with it; freed with free(). */
	void *own;
	/* Among all of the engine. */
	struct engine_request *next, **place;
};

struct engine_ops {
	/* Of what embeds struct engine. */
	size_t size;
	/* Looks at the configuration and connects to nothing yet. */
	MUST_CHECK enum err_code (*open)(struct engine *, struct err *);
	/* Its requests are gone already. */
	void (*close)(struct engine *);

	/* What to wait for: how many were filled in, and ms at most. */
	int (*prepare)(struct engine *, struct pollfd *, int *timeout_ms);
	/* After poll(), with the same array. */
	void (*work)(struct engine *, const struct pollfd *, int n);

	/* Ends in engine_finish() or engine_fail(), at once or in work(). */
	void (*send)(struct engine *, struct engine_request *);
	/* A request had no answer for lock.reply: hang up.  What is left then
	 * of this request and of others ends in engine_fail(). */
	void (*late)(struct engine *, struct engine_request *);
};

/* Engines embed this. */
struct engine {
	const struct engine_ops *ops;
	/* Set by the agent. */
	void (*told)(const char *id, enum engine_hint);
	/* Names the agent, once for all. */
	char session[ENGINE_SESSION_SIZE];
	/* lock.session, or less if the service grants less. */
	int64_t session_ms;
	/* The owner of an engine keeps it for as long. */
	const struct conf_lock *conf;
	char password[ENGINE_PASSWORD_SIZE];
	/* Of conf->hosts, the one that is asked. */
	size_t host;
	/* Why the service, which answers, refuses us; ERR_OK: it does not. */
	struct err refusal;

	/* The oldest first; and those that are to be sent again. */
	struct engine_request *waiting, **end, *again;
	int64_t said;
	bool is_closing;
};

/* HOST/RANDOM; false if the system gives no random bytes. */
bool engine_name_session(char[ENGINE_SESSION_SIZE]);

/*
 * Connects to nothing yet.  ERR_INVALID: lock.hosts, lock.password_file or
 * another key says what cannot be.
 */
MUST_CHECK enum err_code engine_open(const struct engine_ops *,
    const struct conf *, const char *session, struct engine **, struct err *);
/* Nobody is told of what was not answered yet. */
void engine_close(struct engine *);

/* For the agent.  held is copied. */
void engine_send(struct engine *, enum engine_kind, struct engine_call *,
    const struct engine_held *held);
void engine_beat(struct engine *, struct engine_call *,
    const struct engine_held *const *, size_t n);
int engine_prepare(struct engine *, struct pollfd *, int *timeout_ms);
void engine_work(struct engine *, const struct pollfd *, int n);

/* --- For engines. --- */

/* There was an answer; the request is gone. */
void engine_finish(
    struct engine_request *, enum err_code, uint64_t token, const char *holder);
/* There was none, and why.  The connection may have been a dead one: work()
 * sends it once more, to the next host, if there is time. */
void engine_fail(struct engine_request *, const char *why);
/* The same for something that is no request. */
void engine_next_host(struct engine *, const char *why);

const char *engine_host(const struct engine *);
/* HOST of HOST:PORT or [HOST]:PORT; the port. */
int engine_split(const char *host, char *name, size_t size);
/* The part of a session that has no "/". */
const char *engine_nonce(const struct engine *);

/* For the log, not oftener than every ten seconds. */
void engine_say(struct engine *, const char *why);
/* The service answers and refuses us: likewise, and a start ends with it. */
void engine_refuse(struct engine *, const char *why);

#endif
