/*
 * answer.c - what is to be answered: recorded here, sent out by end.c.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "tus/call.h"

/* May it be (part of) a header value as it is? */
static bool
is_header_text(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 ? *s != '\t' : *s == 0x7f)
			return false;
	return true;
}

void
tus_header(struct web_call *c, const char *key, const char *value)
{
	struct pair *p;

	if (!is_header_text(value))
		return;
	p = arena_alloc(c->arena, sizeof(*p));
	p->key = key;
	p->value = value;
	p->value_len = strlen(value);
	*c->header_end = p;
	c->header_end = &p->next;
}

static struct pair *
find_header(struct web_call *c, const char *key)
{
	struct pair *p = (struct pair *)c->res.headers;

	/* c->header_end is in the last of them. */
	for (; p != NULL; p = p->next)
		if (strcasecmp(p->key, key) == 0)
			return p;
	return NULL;
}

bool
tus_has_header(struct web_call *c, const char *key)
{
	return find_header(c, key) != NULL;
}

void
tus_header_set(struct web_call *c, const char *key, const char *value)
{
	struct pair *old = find_header(c, key);

	if (old == NULL)
		tus_header(c, key, value);
	else if (is_header_text(value))
		old->value = value;
}

void
tus_merge(struct web_call *c, const struct hook_reply *later)
{
	struct hook_reply *r = &c->reply;
	struct pair *copy, **end;
	const struct pair *p;

	if (later->status != 0)
		r->status = later->status;
	if (later->body != NULL)
		r->body = later->body;
	for (end = (struct pair **)&r->headers; *end != NULL;)
		end = &(*end)->next;
	for (p = later->headers; p != NULL; p = p->next) {
		copy = arena_alloc(c->arena, sizeof(*copy));
		*copy = *p;
		*end = copy;
		end = &copy->next;
	}
}

void
tus_header_int(struct web_call *c, const char *key, int64_t value)
{
	tus_header(c, key, arena_printf(c->arena, "%" PRId64, value));
}

void
tus_header_expires(struct web_call *c)
{
	char *date;

	if (!tus_has_expiry(c->srv) || c->up->info.expires == 0 ||
	    upload_is_finished(c->up))
		return;
	date = arena_alloc(c->arena, CLOCK_HTTP_DATE_MAX);
	clock_http_date(c->up->info.expires, date);
	tus_header(c, "Upload-Expires", date);
}

static bool
is_host(const char *s)
{
	return s != NULL && *s != '\0' &&
	    s[strspn(s,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789.:[]-")] == '\0';
}

/* What stands before the path of the endpoint for those outside. */
static const char *
prefix_of(const struct web_call *c)
{
	const char *url = c->srv->location_base;

	if (c->srv->location == WEB_LOCATION_BASE)
		return url + strcspn(url, ":") + 3 +
		    strcspn(url + strcspn(url, ":") + 3, "/");
	return c->req->prefix != NULL ? c->req->prefix : "";
}

static const char *
base_of(const struct web_call *c)
{
	return c->req->base != NULL ? c->req->base : "";
}

const char *
tus_location(const struct web_call *c, const char *id)
{
	const struct web_request *req = c->req;
	const char *scheme = "http";

	switch (c->srv->location) {
	case WEB_LOCATION_BASE:
		return arena_printf(
		    c->arena, "%s%s/%s", c->srv->location_base, base_of(c), id);
	case WEB_LOCATION_ABSOLUTE:
		if (!is_host(req->host))
			break;
		if (req->scheme != NULL && strcmp(req->scheme, "https") == 0)
			scheme = "https";
		return arena_printf(c->arena, "%s://%s%s%s/%s", scheme,
		    req->host, prefix_of(c), base_of(c), id);
	case WEB_LOCATION_PATH:
		break;
	}
	return arena_printf(c->arena, "%s%s/%s", prefix_of(c), base_of(c), id);
}

const char *
tus_reference(const struct web_call *c, const char *ref)
{
	const char *outside =
	    arena_printf(c->arena, "%s%s", prefix_of(c), base_of(c));
	const char *id = tus_parse_reference(c->arena, ref, base_of(c));

	return id != NULL ? id : tus_parse_reference(c->arena, ref, outside);
}

enum step
tus_done(struct web_call *c, int status)
{
	c->status = status;
	c->is_done = true;
	return STEP_DONE;
}

enum step
tus_refuse(struct web_call *c, enum tus_refusal why)
{
	static const struct hook_reply nothing = { 0, NULL, NULL };

	/* What a hook said goes with what did not happen. */
	return tus_reject(c, why, &nothing);
}

enum step
tus_reject(
    struct web_call *c, enum tus_refusal why, const struct hook_reply *reply)
{
	c->reply = *reply;
	c->why = why;
	c->is_refused = true;
	return tus_done(c, tus_answer(why)->status);
}

enum step
tus_fail(struct web_call *c)
{
	return tus_refuse(c, tus_refusal_for(c->res.err.code));
}
