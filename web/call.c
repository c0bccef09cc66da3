/*
 * call.c - the way of a request: which method, which protocol, which route; and
 * the one way out.
 *
 * A route records the answer.  Only conclude() makes the response, then lets
 * the core record the outcome and release what is open, in this order, for
 * every request.
 */
#include "config.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "web/call.h"
#include "web/parse.h"

static const char *const method_names[WEB_METHOD_MAX] = {
	[WEB_POST] = "POST",
	[WEB_HEAD] = "HEAD",
	[WEB_PATCH] = "PATCH",
	[WEB_DELETE] = "DELETE",
	[WEB_GET] = "GET",
	[WEB_OPTIONS] = "OPTIONS",
	[WEB_PUT] = "PUT",
};

/* --- The method and the path.  --- */

static const char *
override_of(const struct web_request *req)
{
	const char *name = req->method_override;

	return name != NULL && name[strspn(name, " \t")] != '\0' ? name : NULL;
}

/*
 * Which methods an override may name, by the method of the request.  Web
 * servers let OPTIONS, and often GET and HEAD, through without a login: so a
 * safe method must never become one that reads or writes more.
 */
#define BIT(method) (1U << (method))
#define ANY	    (BIT(WEB_PUT) - 1)
static const struct {
	const char *came;
	unsigned may_become;
} overrides[] = {
	{ "POST", ANY },
	{ "PUT", ANY },
	{ "PATCH", ANY },
	{ "DELETE", ANY },
	{ "GET", BIT(WEB_GET) | BIT(WEB_HEAD) | BIT(WEB_OPTIONS) },
	{ "HEAD", BIT(WEB_GET) | BIT(WEB_HEAD) | BIT(WEB_OPTIONS) },
	{ "OPTIONS", BIT(WEB_OPTIONS) },
};

static bool
may_become(const char *came, enum web_method method)
{
	size_t i;

	for (i = 0; came != NULL && i < NITEMS(overrides); i++)
		if (strcmp(overrides[i].came, came) == 0)
			return (overrides[i].may_become & BIT(method)) != 0;
	return false;
}

/* WEB_METHOD_MAX for a method that is unknown, or that must not be named by an
 * override of this request. */
static enum web_method
method_of(struct web_call *c)
{
	const char *name = override_of(c->req);
	enum web_method m;

	if (name != NULL)
		name = web_parse_trim(c->arena, name);
	for (m = 0; m < WEB_METHOD_MAX; m++) {
		if (name != NULL && strcasecmp(method_names[m], name) == 0)
			return may_become(c->req->method, m) ? m :
							       WEB_METHOD_MAX;
		if (name == NULL && c->req->method != NULL &&
		    strcmp(method_names[m], c->req->method) == 0)
			return m;
	}
	return WEB_METHOD_MAX;
}

/* Find out what the path names, with or without a slash at its end.  False if
 * it is not ours. */
static bool
parse_path(struct web_call *c)
{
	const char *path = c->req->path;
	char *id = c->task.in.id;
	size_t len;

	if (path == NULL)
		return false;
	if (strcmp(path, "") == 0 || strcmp(path, "/") == 0)
		return true;
	if (*path++ != '/')
		return false;
	len = strlen(path);
	if (path[len - 1] == '/')
		len--;
	if (c->srv->takes_tusd_urls && strcspn(path, "+") < len)
		len = strcspn(path, "+");
	if (len > ID_MAX)
		return false;
	memcpy(id, path, len);
	if (id_is_valid(id))
		return true;
	id[0] = '\0';
	return false;
}

bool
web_read_body_length(struct web_call *c)
{
	const char *s = c->req->content_length;

	/* Caddy sends -1 for an unknown length. */
	return s == NULL || *s == '\0' || strcmp(s, "-1") == 0 ||
	    web_parse_int64(s, &c->task.in.body_length) ||
	    web_refuse(c, WEB_REFUSE_BODY_LENGTH);
}

/* --- The protocol and the route.  --- */

const char *
web_protocol_name(const struct web_protocol *p)
{
	return p->name;
}

static const struct web_protocol *
find_protocol(struct web_call *c)
{
	const struct web_protocol *const *p;

	/* Every protocol adds to the answer of OPTIONS, unless the request is
	 * in the first one: its clients use no other. */
	for (p = c->srv->protocols; *p != NULL; p++)
		if ((c->method != WEB_OPTIONS || p == c->srv->protocols) &&
		    (*p)->is_spoken(c))
			return *p;
	c->is_unclaimed = true;
	return c->srv->protocols[0];
}

/* Can the request belong to any protocol?  PATCH cannot: the type of its body
 * tells. */
static bool
may_be_of_any(const struct web_call *c)
{
	if (!c->is_unclaimed || c->srv->protocols[1] == NULL ||
	    c->task.in.id[0] == '\0' ||
	    (c->srv->core.owner_required && c->req->owner == NULL))
		return false;
	return c->method == WEB_HEAD || c->method == WEB_GET ||
	    c->method == WEB_DELETE ||
	    (c->method == WEB_PATCH &&
		!web_parse_is_type(
		    c->req->content_type, c->protocol->patch_type));
}

/* Then it belongs to the protocol in which the upload was created.  If there is
 * no such upload, the client's protocol is unknown. */
static bool
follow_maker(struct web_call *c)
{
	const struct web_protocol *const *p;
	const char *name;

	if (!may_be_of_any(c))
		return true;
	if (!task_find_maker(&c->task, &name))
		return (c->method != WEB_HEAD && c->method != WEB_DELETE) ||
		    web_refuse(c, REFUSE_NOT_FOUND);
	for (p = c->srv->protocols; name != NULL && *p != NULL; p++)
		if (strcmp((*p)->name, name) == 0)
			c->protocol = *p;
	return true;
}

static bool
fits(const struct web_call *c, const struct web_route *route)
{
	enum web_target target =
	    c->task.in.id[0] == '\0' ? WEB_COLLECTION : WEB_UPLOAD;

	return route->target == target && route->offered(&c->srv->core);
}

const char *
web_allow(struct web_call *c)
{
	const struct web_protocol *const *p;
	const char *list = "";
	unsigned seen = 0;
	size_t i;

	for (p = c->srv->protocols; *p != NULL; p++)
		for (i = 0; i < (*p)->nroutes; i++) {
			const struct web_route *r = &(*p)->routes[i];

			if (!web_is_meant(c, *p) || !fits(c, r) ||
			    (seen & BIT(r->method)) != 0)
				continue;
			seen |= BIT(r->method);
			list = arena_printf(
			    c->arena, "%s%s, ", list, method_names[r->method]);
		}
	return arena_printf(c->arena, "%sOPTIONS", list);
}

static const struct web_route *
find_route(const struct web_call *c)
{
	const struct web_protocol *p = c->protocol;
	size_t i;

	for (i = 0; i < p->nroutes; i++)
		if (p->routes[i].method == c->method && fits(c, &p->routes[i]))
			return &p->routes[i];
	return NULL;
}

/* Answer with the capabilities of this server.  Checks neither version nor
 * existence. */
static void
answer_options(struct web_call *c)
{
	const struct web_protocol *const *p;

	web_header(c, "Allow", web_allow(c));
	web_header_accept_patch(c);
	for (p = c->srv->protocols; *p != NULL; p++)
		if (web_is_meant(c, *p))
			(*p)->offer(c);
}

/* Everything that can be decided before the core is called; false if the
 * request is done then. */
static bool
find_work(struct web_call *c)
{
	const struct web_route *route;

	if (!web_cors_allows(c))
		return web_refuse(c, WEB_REFUSE_ORIGIN);
	if (c->method == WEB_METHOD_MAX && override_of(c->req) != NULL)
		return web_refuse(c, WEB_REFUSE_METHOD);
	if (c->method == WEB_OPTIONS) {
		c->answer = answer_options;
		return false;
	}
	if (!follow_maker(c) || !c->protocol->admit(c))
		return false;
	if (!c->is_ours)
		return web_refuse(c, REFUSE_NOT_FOUND);
	route = find_route(c);
	if (route == NULL)
		return web_refuse(c, WEB_REFUSE_METHOD);
	if (c->srv->core.owner_required && c->req->owner == NULL)
		return web_refuse(c, WEB_REFUSE_OWNER);
	c->answer = route->answer;
	return route->read(c);
}

static bool
prepare(struct web_call *c)
{
	if (!c->is_prepared)
		c->has_work = find_work(c);
	c->is_prepared = true;
	return c->has_work;
}

struct web_call *
web_call_new(const struct web_server *srv, const struct web_request *req,
    struct arena *a)
{
	struct web_call *c = arena_alloc(a, sizeof(*c));
	struct intent *in = &c->task.in;

	c->srv = srv;
	c->req = req;
	c->arena = a;
	c->header_end = (struct pair **)&c->res.headers;
	c->status = 200;
	task_init(&c->task, &srv->core, a);
	if (req->max_size >= 0)
		in->max_size = req->max_size;
	in->owner = req->owner;
	in->create.retention = req->retention;
	in->shown = &req->shown;
	in->is_here = req->is_here;
	c->method = method_of(c);
	c->is_ours = parse_path(c);
	c->res.err = &c->task.err;
	c->res.outcome.offset = -1;
	c->res.outcome.version = -1;
	c->protocol = find_protocol(c);
	if (c->method < WEB_METHOD_MAX)
		c->res.outcome.method = method_names[c->method];
	return c;
}

/* --- The response. --- */

/* HTTP looks at the method of the request, a protocol at the one after the
 * override: if either is HEAD, there is no body. */
bool
web_is_head(const struct web_call *c)
{
	const char *method = c->req->method;

	return c->method == WEB_HEAD ||
	    (method != NULL && strcmp(method, "HEAD") == 0);
}

/*
 * A client that gets a 5xx for HEAD starts again at offset 0.  So every failure
 * that may pass is answered like a lock; the log has the true code.  A damaged
 * record does not pass.
 */
int
web_status_of(const struct web_call *c, int status)
{
	if (c->method == WEB_HEAD && status >= 500 &&
	    c->task.err.code != ERR_CORRUPT)
		return web_words(REFUSE_LOCKED)->status;
	return status;
}

static void
add_refusal(struct web_call *c)
{
	const struct web_words *words = c->protocol->refuse(c);

	if (words == NULL)
		words = web_words(c->task.why);
	c->status = web_status_of(c, words->status);
	c->res.outcome.code = words->code;
	c->res.outcome.is_soft = c->status != words->status;
	if (!web_is_head(c) && !web_has_header(c, "Content-Type"))
		web_header(c, "Content-Type", "text/plain; charset=utf-8");
	if (c->res.text == NULL)
		c->res.text = arena_printf(
		    c->arena, "%s: %s\n", words->code, words->text);
	if (c->status == 405)
		web_header(c, "Allow", web_allow(c));
	if (c->status == 423 || c->status == 503)
		web_header(c, "Retry-After",
		    c->task.why == REFUSE_LOCK_UNAVAILABLE ? "5" : "1");
}

/* Header fields that only the transport can know. */
static bool
is_ours_alone(const char *key)
{
	static const char *const keys[] = { "Status", "Content-Length",
		"Connection", "Transfer-Encoding", "Trailer", "Upgrade" };
	size_t i;

	for (i = 0; i < NITEMS(keys); i++)
		if (strcasecmp(keys[i], key) == 0)
			return true;
	return false;
}

/* The answer of a hook replaces ours. */
static int
apply_reply(struct web_call *c, int status)
{
	const struct hook_reply *reply = &c->task.reply;
	const struct pair *p;

	for (p = reply->headers; p != NULL; p = p->next)
		if (!is_ours_alone(p->key))
			web_header_set(c, p->key, p->value);
	if (reply->body != NULL) {
		c->res.text = reply->body;
		if (!web_has_header(c, "Content-Type"))
			web_header(
			    c, "Content-Type", "text/plain; charset=utf-8");
	}
	return reply->status != 0 ? reply->status : status;
}

static void
respond(struct web_call *c)
{
	struct web_response *res = &c->res;
	int status;

	if (c->task.why == REFUSE_NOTHING)
		c->answer(c);
	if (c->task.why != REFUSE_NOTHING)
		add_refusal(c);
	c->protocol->sign(c);
	web_header(c, "X-Content-Type-Options", "nosniff");
	if (c->method != WEB_OPTIONS && res->content == NULL &&
	    c->status != 304)
		web_header(c, "Cache-Control", "no-store");
	web_cors_headers(c);
	status = apply_reply(c, c->status);
	res->status = status;
	res->reason = web_reason(status);
	res->bodiless = web_is_head(c) || status == 204 || status == 304;
	if (res->bodiless)
		res->text = NULL;
	c->is_done = true;
}

/* Copy the data for the log before the upload is closed. */
static void
note_outcome(struct web_call *c)
{
	struct web_outcome *o = &c->res.outcome;
	const struct task *t = &c->task;

	o->id = t->in.id[0] != '\0' ? t->in.id : NULL;
	o->offset = -1;
	if (t->up != NULL && t->up->info.id != NULL) {
		o->id = arena_strdup(c->arena, t->up->info.id);
		o->offset = t->up->info.offset;
	}
	o->received = t->past.received;
	o->created = t->past.created;
	o->finished = t->finished;
	o->terminated = t->removed;
	o->waited = t->past.waited;
	o->lock_host = t->lock_host;
	o->interrupted = t->interrupted;
	if (c->srv->protocols[1] != NULL)
		o->protocol = c->protocol->name;
}

static enum step
conclude(struct web_call *c, enum step step)
{
	if (step != STEP_DONE)
		return step;
	task_check_lock(&c->task);
	respond(c);
	note_outcome(c);
	task_conclude(&c->task);
	return STEP_DONE;
}

/* --- The functions that the transport calls.  --- */

enum step
web_begin(struct web_call *c)
{
	return conclude(c, prepare(c) ? task_begin(&c->task) : STEP_DONE);
}

const struct pair *
web_interim(struct web_call *c)
{
	return c->protocol->tell != NULL && task_tell(&c->task) ?
	    c->protocol->tell(c) :
	    NULL;
}

enum step
web_receive(struct web_call *c, const void *buf, size_t len)
{
	return conclude(c, task_receive(&c->task, buf, len));
}

enum step
web_tick(struct web_call *c)
{
	return conclude(c, task_tick(&c->task));
}

bool
web_park(struct web_call *c, struct task_note *note)
{
	return task_park(&c->task, note);
}

void
web_parted(struct web_call *c)
{
	task_parted(&c->task);
}

/* The configuration may have changed, so that it is refused now. */
enum step
web_resume(struct web_call *c, const struct task_note *note)
{
	if (prepare(c))
		return conclude(c,
		    note->is_blank ? task_begin(&c->task) :
				     task_resume(&c->task, note));
	if (note->loan.fd != -1)
		(void)close(note->loan.fd);
	return conclude(c, STEP_DONE);
}

bool
web_has_to_report(const struct web_call *c)
{
	return task_has_to_report(&c->task);
}

void
web_end(struct web_call *c, enum body_end why)
{
	(void)conclude(c, task_end(&c->task, why));
}

const struct wait *
web_wait(const struct web_call *c)
{
	return &c->task.wait;
}

void
web_give_up(struct web_call *c)
{
	(void)conclude(c, task_refuse(&c->task, REFUSE_LOCKED));
}

void
web_turn_away(struct web_call *c)
{
	/* Discard an earlier answer that was not sent. */
	web_close_content(c);
	c->res.headers = NULL;
	c->header_end = (struct pair **)&c->res.headers;
	(void)conclude(c, task_refuse(&c->task, REFUSE_TOO_BUSY));
}

int64_t
web_wanted(const struct web_call *c)
{
	return task_wanted(&c->task);
}

bool
web_may_take_long(struct web_call *c)
{
	return prepare(c) && task_may_take_long(&c->task);
}

bool
web_may_move(const struct web_call *c)
{
	return task_may_move(&c->task);
}

void
web_look_at(const struct web_call *c, struct web_sight *sight)
{
	const struct task *t = &c->task;

	*sight = (struct web_sight){ .method = c->res.outcome.method,
		.id = t->in.id,
		.metadata = t->in.create.metadata,
		.offset = t->up != NULL ? t->up->info.offset : 0,
		.size = t->in.length };
	if (t->up == NULL)
		return;
	sight->id = t->up->info.id;
	sight->metadata = t->up->info.metadata;
	if (!t->up->info.size_deferred)
		sight->size = t->up->info.size;
}

const struct web_response *
web_response(const struct web_call *c)
{
	return c->is_done ? &c->res : NULL;
}

bool
web_has_to_tell(const struct web_call *c)
{
	return task_has_to_tell(&c->task);
}

bool
web_has_to_move(const struct web_call *c)
{
	return task_has_to_move(&c->task);
}

void
web_close(struct web_call *c)
{
	if (c->res.content != NULL)
		web_close_content(c);
	task_close(&c->task);
}

void
web_forget(struct web_call *c)
{
	web_close_content(c);
	task_forget(&c->task);
}
