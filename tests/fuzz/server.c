/*
 * server.c - send a request to the core and look at what comes back.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"
#include "tests/tus/features.h"
#include "tests/tus/gate.h"

struct play play;
static const struct web_protocol *const protocols[] = { &tus_protocol, NULL };
struct web_server server;
struct arena *arena;
struct input input;

static unsigned int ids;

static void
next_id(char id[ID_MAX + 1])
{
	(void)snprintf(id, ID_MAX + 1, "%032x", ++ids);
}

static int64_t
now(void)
{
	return play.now;
}

/* Every look at the clock takes a while: locks are soon old enough. */
static int64_t
now_ms(void)
{
	static int64_t ms;

	return ms += 100;
}

static enum err_code
refuse(enum lock_how how, struct err *e)
{
	if (play.busy < 0)
		return err_set(e, ERR_CROWDED, "too many");
	if (play.busy == 0 || how == LOCK_QUIETLY)
		return ERR_OK;
	play.busy--;
	return err_set(e, ERR_LOCKED, "busy");
}

static enum lock_state
state(void)
{
	return play.wanted ? LOCK_WANTED : LOCK_HELD;
}

void
server_open(void)
{
	static struct conf *conf;
	struct err e;

	if (conf == NULL) {
		conf = conf_new();
		arena = arena_new();
		if (conf_set(conf, "store.type", "memory", &e) != ERR_OK)
			fuzz_bug("%s", e.text);
	}
	if (server.core.store != NULL)
		server.core.store->core->shutdown(server.core.store);
	arena_reset(arena);
	ids = 0;
	play = (struct play){ .now = 1700000000 };
	server = (struct web_server){
		.protocols = protocols,
		.core.locker = gate_open(),
		ALL_FEATURES,
		.core.now = now,
		.core.now_ms = now_ms,
		.core.new_id = next_id,
	};
	gate.refuse = refuse;
	gate.state = state;
	if (store_open(conf, &server.core.store, &e) != ERR_OK)
		fuzz_bug("%s", e.text);
}

/* What a client may ever see; 5xx only where we are going down. */
static void
check_status(int status, const struct body *body)
{
	static const int known[] = { 200, 201, 204, 206, 304, 400, 403, 404,
		405, 409, 410, 412, 413, 415, 416, 423, 431, 460 };
	size_t i;

	for (i = 0; i < NITEMS(known); i++)
		if (known[i] == status)
			return;
	if (status != 503 || body == NULL || body->end != END_SHUTDOWN)
		fuzz_bug("status %d", status);
}

static void
check_header(const struct pair *p)
{
	const struct pair *q;
	const char *s;

	for (s = p->value; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			fuzz_bug("%s has byte %#x", p->key, (unsigned)*s);
	for (q = p->next; q != NULL; q = q->next)
		if (strcasecmp(p->key, q->key) == 0)
			fuzz_bug("%s twice", p->key);
}

static void
check_answer(const struct web_response *r, const struct body *body)
{
	const struct pair *p;

	check_status(r->status, body);
	for (p = r->headers; p != NULL; p = p->next)
		check_header(p);
	if (r->bodiless && r->text != NULL)
		fuzz_bug("a body where there is none");
	if (r->status >= 400 && r->outcome.code == NULL)
		fuzz_bug("%d without a code", r->status);
}

static size_t
hand_over(struct web_call *call, const struct body *body)
{
	size_t at = 0, n;

	while (at < body->len) {
		n = body->len - at < body->slice ? body->len - at : body->slice;
		at += n;
		if (web_receive(call, body->bytes + at - n, n) == STEP_DONE)
			return at;
		if (web_tick(call) == STEP_DONE)
			return at;
	}
	web_end(call, body->end);
	return at;
}

static void
read_content(struct web_call *call, struct answer *a, int64_t length)
{
	struct err e;
	ssize_t n;

	a->body = arena_alloc(arena, (size_t)length + 64);
	while ((n = web_content(call, a->body + a->len, 33, &e)) > 0)
		if ((a->len += (size_t)n) > (size_t)length)
			fuzz_bug("more content than announced");
	if (n < 0 || a->len != (size_t)length)
		fuzz_bug("%zu of %lld bytes", a->len, (long long)length);
}

struct answer
server_ask(const struct web_request *req, const struct body *body)
{
	struct web_call *call = web_call_new(&server, req, arena);
	const struct web_response *r;
	struct answer a = { 0 };
	enum step step;
	int tries = 0;

	while ((step = web_begin(call)) == STEP_WAIT)
		if (++tries == 3) {
			web_give_up(call);
			step = STEP_DONE;
			break;
		}
	if (step == STEP_RECEIVE)
		a.taken = hand_over(call, body);
	r = web_response(call);
	if (r == NULL)
		fuzz_bug("no response");
	check_answer(r, body);
	a.status = r->status;
	a.headers = r->headers;
	if (r->content != NULL)
		read_content(call, &a, r->content->length);
	web_close(call);
	if (gate.held != 0 || gate.asking != 0)
		fuzz_bug("%d locks held, %d asked for", gate.held, gate.asking);
	return a;
}

struct answer
server_look(const struct web_request *req)
{
	const struct body none = { "", 0, 1, END_COMPLETE };
	const struct play before = play;
	struct answer a;

	play.busy = 0;
	play.wanted = false;
	a = server_ask(req, &none);
	play.busy = before.busy;
	play.wanted = before.wanted;
	return a;
}

const char *
answer_header(const struct answer *a, const char *name)
{
	const struct pair *p;

	for (p = a->headers; p != NULL; p = p->next)
		if (strcasecmp(p->key, name) == 0)
			return p->value;
	return NULL;
}

int64_t
answer_number(const struct answer *a, const char *name)
{
	const char *value = answer_header(a, name);

	return value != NULL ? strtoll(value, NULL, 10) : -1;
}

unsigned int
next_byte(void)
{
	if (input.left == 0)
		return 0;
	input.left--;
	return *input.at++;
}

const char *
new_bytes(size_t len)
{
	static unsigned int seed;
	char *bytes = arena_alloc(arena, len + 1);
	size_t i;

	seed = input.left == 0 ? 0 : seed + 17;
	for (i = 0; i < len; i++)
		bytes[i] = (char)(seed + i * 7);
	return bytes;
}

const char *
to_decimal(int64_t n)
{
	return arena_printf(arena, "%" PRId64, n);
}

const char *
to_base64(const void *bytes, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(arena, (len + 2) / 3 * 4 + 1);
	const uint8_t *p = bytes;
	size_t i, n = 0;

	for (i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16;

		if (i + 1 < len)
			bits |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			bits |= p[i + 2];
		out[n++] = digits[bits >> 18];
		out[n++] = digits[bits >> 12 & 63];
		out[n++] = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		out[n++] = i + 2 < len ? digits[bits & 63] : '=';
	}
	return out;
}
