/*
 * call.h - the state of one request; shared by web/ and the protocols.
 *
 * web/ finds the protocol and the route of a request.  The route's read() makes
 * an intent of the request, the core carries it out, and the route's answer()
 * makes header fields and a status of the outcome; web/ adds the fields that
 * every answer has.  A refusal is a number in task.why, and web/ asks the
 * protocol for its words.
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

/* The words for a refusal.  The codes are tusd's where tusd has one, so that
 * users find them in the web; the texts are fixed, so no part of the request
 * and no path is ever in them. */
struct web_words {
	int status;
	const char *code;
	const char *text;
};

/* A method that a protocol handles, and on which path. */
struct web_route {
	enum web_method method;
	enum web_target target;
	bool (*offered)(const struct core *);

	/* Make the intent: fill in task.in; false if refused. */
	bool (*read)(struct web_call *);

	/* Make the answer of a request that was not refused: header fields and
	 * status.  It may still refuse. */
	void (*answer)(struct web_call *);
};

struct web_protocol {
	const char *name;

	/* The media type of a body of PATCH. */
	const char *patch_type;

	const struct web_route *routes;
	size_t nroutes;

	/*
	 * Does this request belong to the protocol?  The first that says so
	 * gets it.  If none does, a request to an upload belongs to the
	 * protocol in which that was created, and any other to the first.
	 */
	bool (*is_spoken)(struct web_call *);

	/* Called before a route is looked for; false if refused. */
	bool (*admit)(struct web_call *);

	/* Words for task.why, and their header fields; NULL means those of
	 * web_words(). */
	const struct web_words *(*refuse)(struct web_call *);

	/* Add to an answer: this protocol's fields for OPTIONS; and those of
	 * all answers to its requests. */
	void (*offer)(struct web_call *);
	void (*sign)(struct web_call *);

	/* The header fields of a 104 for a creation that the client is told of
	 * early; NULL if the protocol has none. */
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

	/* No protocol has claimed the request. */
	bool is_unclaimed;

	/* The header fields as the protocol has parsed them; private to it. */
	void *words;

	/* is_prepared: the protocol and the route are known.  has_work: there
	 * is an intent too. */
	bool is_prepared, has_work;
	void (*answer)(struct web_call *);

	bool is_done;
	int status;
	struct web_response res;
	struct pair **header_end;

	/* Bytes of the content that were sent. */
	int64_t sent;
};

/* --- parse.h has the grammar. --- */

/* --- answer.c: refusals. --- */

/* The words for a refusal of the core or of web/. */
const struct web_words *web_words(int why);
/* Refuse, and say false. */
bool web_refuse(struct web_call *, int why);

/* --- Header fields.  A value that is not allowed in one is left out, with its
 * field.  --- */

void web_header(struct web_call *, const char *key, const char *value);
/* Set the field, replacing the present value. */
void web_header_set(struct web_call *, const char *key, const char *value);
bool web_has_header(struct web_call *, const char *key);
void web_header_int(struct web_call *, const char *key, int64_t value);
/* Should the answer mention this protocol?  OPTIONS that no protocol claims
 * mentions all of them, any other request only its own. */
bool web_is_meant(const struct web_call *, const struct web_protocol *);
/* List the media types that PATCH accepts. */
void web_header_accept_patch(struct web_call *);
/* The path or URL of an upload, as web_server.location requires. */
const char *web_location(const struct web_call *, const char *id);
/* The id of the upload that a client refers to, by its path here or by any form
 * of its Location; NULL if it is not ours. */
const char *web_reference(const struct web_call *, const char *ref);
/* web_cors_allows(): false if the origin is refused.  web_cors_names() is
 * stricter: true if there is no Origin, or the configuration names it. */
bool web_cors_allows(const struct web_call *);
bool web_cors_names(const struct web_call *);
void web_cors_headers(struct web_call *);

/* --- download.c: GET, for the routes of any protocol; and HEAD of that. --- */

bool web_read_download(struct web_call *);
void web_answer_download(struct web_call *);
/* Is there a file to be sent; does the web server send it? */
bool web_has_content(const struct web_call *);
bool web_is_offloaded(const struct web_call *);
void web_close_content(struct web_call *);

/* --- call.c --- */

/* Parse Content-Length into task.in.body_length; false if it is invalid. */
bool web_read_body_length(struct web_call *);
/* The status of a refusal for the method of this request. */
int web_status_of(const struct web_call *, int status);
/* Is the request HEAD, before or after the override?  Then it gets no body. */
bool web_is_head(const struct web_call *);
/* The methods that are offered for the path. */
const char *web_allow(struct web_call *);

#endif
