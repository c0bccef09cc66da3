/*
 * drive.c - drive the core in-process, as a web server would.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "tests/tus/drive.h"
#include "tests/tus/features.h"

static const struct web_protocol *const protocols[] = { &tus_protocol, NULL };

int64_t world_time = 1700000000;

static int64_t
now(void)
{
	return world_time;
}

static int64_t
now_ms(void)
{
	return world_time * 1000;
}

void
world_open(struct world *w, size_t slice)
{
	world_open_in(w, slice, NULL);
}

void
world_open_in(struct world *w, size_t slice, const char *dir)
{
	const char *type = dir != NULL ? "file" : "memory";
	struct err e;

	memset(w, 0, sizeof(*w));
	w->conf = conf_new();
	w->arena = arena_new();
	w->slice = slice;
	assert_int_equal(conf_set(w->conf, "store.type", type, &e), ERR_OK);
	if (dir != NULL)
		assert_int_equal(
		    conf_set(w->conf, "store.path", dir, &e), ERR_OK);
	if (store_open(w->conf, &w->store, &e) != ERR_OK)
		fail_msg("%s", e.text);
	w->srv = (struct web_server){
		.protocols = protocols,
		.core.store = w->store,
		ALL_FEATURES,
		.core.now = now,
		.core.now_ms = now_ms,
		.core.new_id = id_new,
	};
}

void
world_close(struct world *w)
{
	w->store->core->shutdown(w->store);
	arena_free(w->arena);
	conf_free(w->conf);
}

/* Where each header goes; the struct is the one of the request below. */
static void
set_header(struct web_request *r, const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **field;
	} fields[] = {
		{ "Tus-Resumable", &r->tus_resumable },
		{ "Content-Length", &r->content_length },
		{ "Content-Type", &r->content_type },
		{ "X-HTTP-Method-Override", &r->method_override },
		{ "Upload-Length", &r->upload_length },
		{ "Upload-Defer-Length", &r->upload_defer_length },
		{ "Upload-Offset", &r->upload_offset },
		{ "Upload-Metadata", &r->upload_metadata },
		{ "Upload-Concat", &r->upload_concat },
		{ "Upload-Checksum", &r->upload_checksum },
		{ "Trailer", &r->trailer },
		{ "Range", &r->range },
		{ "If-Range", &r->if_range },
		{ "If-None-Match", &r->if_none_match },
		{ "Host", &r->host },
		{ "Scheme", &r->scheme },
		{ "Origin", &r->origin },
		{ "Owner", &r->owner },
	};
	size_t i;

	for (i = 0; i < NITEMS(fields); i++) {
		if (strcasecmp(fields[i].name, name) != 0)
			continue;
		*fields[i].field = strcmp(value, "-") == 0 ? NULL : value;
		return;
	}
	fail_msg("no such request header: %s", name);
}

static void
parse_headers(struct world *w, struct web_request *r, const char *headers)
{
	char *line, *colon, *rest = arena_strdup(w->arena, headers);

	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		colon = strchr(line, ':');
		assert_non_null(colon);
		*colon++ = '\0';
		set_header(r, line, *colon == ' ' ? colon + 1 : colon);
	}
}

/* The store is busy; with bytes that are handed over nevertheless, the test
 * would go wrong. */
static enum step
wait_for_store(struct web_call *c, enum step step)
{
	while (step == STEP_WAIT) {
		assert_true(web_wait(c)->ms > 0);
		step = web_tick(c);
	}
	return step;
}

static enum step
send_body(struct world *w, struct web_call *c, struct ask ask)
{
	enum step step = STEP_RECEIVE;
	size_t n;

	while (step == STEP_RECEIVE && ask.len > 0) {
		n = ask.len < w->slice ? ask.len : w->slice;
		step = web_receive(c, ask.body, n);
		w->waits += step == STEP_WAIT;
		step = wait_for_store(c, step);
		ask.body += n;
		ask.len -= n;
		if (step == STEP_RECEIVE)
			step = wait_for_store(c, web_tick(c));
	}
	return step;
}

static void
read_content(struct world *w, struct web_call *c, struct reply *r)
{
	struct err e;
	ssize_t n;

	r->body = arena_alloc(w->arena, 1 << 20);
	do {
		n = web_content(
		    c, r->body + r->len, w->slice < 4096 ? w->slice : 4096, &e);
		assert_true(n >= 0);
		r->len += (size_t)n;
	} while (n > 0);
	assert_int_equal(r->len, r->res->content->length);
}

struct reply
world_ask(struct world *w, struct ask ask)
{
	struct web_request req = {
		.method = ask.method,
		.base = "/files",
		.path = ask.path,
		.tus_resumable = TUS_VERSION,
		.max_size = -1,
		.is_here = ask.is_here,
	};
	struct reply r = { 0 };
	struct web_call *c;
	enum step step;

	if (ask.path != NULL && strncmp(ask.path, "/files", 6) == 0)
		req.path = ask.path + 6;
	if (ask.body != NULL && ask.len == 0)
		ask.len = strlen(ask.body);
	req.content_length = arena_printf(w->arena, "%zu", ask.len);
	parse_headers(w, &req, ask.headers);
	c = web_call_new(&w->srv, &req, w->arena);
	assert_null(web_response(c));
	step = web_begin(c);
	if (step == STEP_WAIT && ask.while_busy != NULL) {
		ask.while_busy(w);
		step = web_begin(c);
	}
	if (step == STEP_WAIT)
		web_give_up(c);
	if (ask.turn_away)
		web_turn_away(c);
	else if (step == STEP_RECEIVE && send_body(w, c, ask) == STEP_RECEIVE)
		web_end(c, ask.end);
	r.res = web_response(c);
	assert_non_null(r.res);
	r.status = r.res->status;
	r.headers = r.res->headers;
	r.code = r.res->outcome.code;
	if (r.res->text != NULL) {
		r.body = arena_strdup(w->arena, r.res->text);
		r.len = strlen(r.body);
	}
	if (r.res->content != NULL)
		read_content(w, c, &r);
	assert_string_equal(reply_header(&r, "Tus-Resumable"), "1.0.0");
	web_close(c);
	return r;
}

const char *
reply_header(const struct reply *r, const char *name)
{
	const struct pair *p;
	const char *value = NULL;

	for (p = r->headers; p != NULL; p = p->next) {
		if (strcasecmp(p->key, name) != 0)
			continue;
		if (value != NULL)
			fail_msg("header %s twice", name);
		value = p->value;
	}
	return value;
}

const char *
world_create(struct world *w, const char *headers)
{
	struct reply r = world_ask(w,
	    (struct ask){
		.method = "POST", .path = "/files", .headers = headers });

	if (r.status != 201)
		fail_msg("creation answered %d %s%s", r.status, r.body,
		    r.res->err->text);
	return reply_header(&r, "Location");
}

long long
world_offset(struct world *w, const char *path)
{
	struct reply r =
	    world_ask(w, (struct ask){ .method = "HEAD", .path = path });

	if (r.status != 200)
		fail_msg("HEAD answered %d", r.status);
	return atoll(reply_header(&r, "Upload-Offset"));
}
