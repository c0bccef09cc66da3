/*
 * call.h - one request in the making; shared by web/ and the protocols.
 *
 * web/ finds the protocol and the route of a request.  The route's read() makes
 * an intent of the request, the core carries it out, and the route's answer()
 * makes header fields and a status of the outcome; web/ adds what every answer
 * has.  Whatever is refused is a number in task.why, and web/ asks the protocol
 * for its words.
 */
#ifndef WEB_CALL_H
#define WEB_CALL_H

#include "core/task.h"
#include "web/web.h"

enum web_method {
	WEB_POST,
	WEB_HEAD,
	WEB_PATCH,
	WEB_DELETE,
	WEB_GET,
	WEB_OPTIONS,
	WEB_PUT,
	WEB_METHOD_MAX
};

enum web_target {
	WEB_COLLECTION,
	WEB_UPLOAD
};

/* Refusals of web/; those of a protocol begin at WEB_REFUSE_MAX. */
enum web_refusal {
	WEB_REFUSE_ORIGIN = REFUSE_MAX,
	WEB_REFUSE_METHOD,
	WEB_REFUSE_OWNER,
	WEB_REFUSE_BODY_LENGTH,
	WEB_REFUSE_RANGE,
	WEB_REFUSE_PRECONDITION,
	WEB_REFUSE_MAX
};

/* What a client is told of a refusal.  The codes are tusd's where it has one,
 * so that users find them; the texts are fixed, so that nothing of the request
 * and no path is ever in them. */
struct web_words {
	int status;
	const char *code;
	const char *text;
};

/* What a protocol takes, and where. */
struct web_route {
	enum web_method method;
	enum web_target target;
	bool (*offered)(const struct core *);

	/* The intent: fill in task.in; false if refused. */
	bool (*read)(struct web_call *);

	/* The answer to what was not refused: header fields and status.  It may
	 * still refuse. */
	void (*answer)(struct web_call *);
};

struct web_protocol {
	const char *name;

	/* The type of a body that PATCH takes. */
	const char *patch_type;

	const struct web_route *routes;
	size_t nroutes;

	/*
	 * Does this request speak it?  The first that says so has it.  If none
	 * does, a request to an upload is in the words of the protocol in which
	 * that was made, and all others in those of the first.
	 */
	bool (*is_spoken)(struct web_call *);

	/* Before a route is looked for; false if refused. */
	bool (*admit)(struct web_call *);

	/* Words for task.why, and the header fields that go with them; NULL:
	 * those of web_words(). */
	const struct web_words *(*refuse)(struct web_call *);

	/* Add to an answer: what OPTIONS tells of this protocol; what all
	 * answers to its requests have. */
	void (*offer)(struct web_call *);
	void (*sign)(struct web_call *);

	/* The header fields of a 104 for a creation that is told early; NULL if
	 * it never is. */
	const struct pair *(*tell)(struct web_call *);
};

struct web_call {
	struct task task;

	const struct web_server *srv;
	const struct web_request *req;
	struct arena *arena;

	const struct web_protocol *protocol;
	enum web_method method;
	/* The path is the collection's or an upload's. */
	bool is_ours;

	/* No protocol has said that this is its own. */
	bool is_unclaimed;

	/* What the protocol has read in the header fields, for itself. */
	void *words;

	/* is_prepared: the protocol and the route are known.  has_work: there
	 * is an intent, too. */
	bool is_prepared, has_work;
	void (*answer)(struct web_call *);

	bool is_done;
	int status;
	struct web_response res;
	struct pair **header_end;

	/* Bytes of the content that went out. */
	int64_t sent;
};

/* --- parse.h has the grammar. --- */

/* --- answer.c: refusals. --- */

/* The words for a refusal of the core or of web/. */
const struct web_words *web_words(int why);
/* Refuse, and say false. */
bool web_refuse(struct web_call *, int why);

/* --- And header fields.  A value that cannot stand in one is left out,
 * and so is its field. --- */

void web_header(struct web_call *, const char *key, const char *value);
/* Instead of the value that is there, if there is one. */
void web_header_set(struct web_call *, const char *key, const char *value);
bool web_has_header(struct web_call *, const char *key);
void web_header_int(struct web_call *, const char *key, int64_t value);
/* Does the answer tell of this protocol?  OPTIONS in nobody's words is told of
 * all of them, any other request of its own alone. */
bool web_is_meant(const struct web_call *, const struct web_protocol *);
/* The media types that PATCH takes. */
void web_header_accept_patch(struct web_call *);
/* The path or URL of an upload, as web_server.location wants it. */
const char *web_location(const struct web_call *, const char *id);
/* The id of the upload that a client refers to, by its path here or by any form
 * of its Location; NULL if it is none of ours. */
const char *web_reference(const struct web_call *, const char *ref);
/* False if the origin is refused.  names: stricter, there is none, or the
 * configuration names it. */
bool web_cors_allows(const struct web_call *);
bool web_cors_names(const struct web_call *);
void web_cors_headers(struct web_call *);

/* --- download.c: GET, for the routes of any protocol; and HEAD of that. --- */

bool web_read_download(struct web_call *);
void web_answer_download(struct web_call *);
/* Is there a file to be had; does the web server send it? */
bool web_has_content(const struct web_call *);
bool web_is_offloaded(const struct web_call *);
void web_close_content(struct web_call *);

/* --- call.c --- */

/* The Content-Length, into task.in.body_length; false if it is none. */
bool web_read_body_length(struct web_call *);
/* The status that the method is told, for one of a refusal. */
int web_status_of(const struct web_call *, int status);
/* Nothing that is HEAD, as it came or as it counts, has a body. */
bool web_is_head(const struct web_call *);
/* The methods that are offered there. */
const char *web_allow(struct web_call *);

#endif
