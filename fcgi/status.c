/*
 * status.c - the state of the server: collected, and written as text and as
 * JSON.
 *
 * The data comes from the board.  Only the events that wait for a sweep are
 * counted in their directory.
 */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/utf8.h"
#include "fcgi/status.h"
#include "fcgi/status_parts.h"

#define HTML  "text/html; charset=utf-8"
#define PLAIN "text/plain; charset=utf-8"

/* Make text that a client chose fit to be shown; it may have been cut within a
 * character. */
static const char *
fit(struct arena *a, const char *text)
{
	size_t len, at, n;
	char *clean = utf8_clean(a, text, strlen(text), &len);

	for (at = 0; at < len; at += n) {
		n = utf8_char(clean + at, len - at);
		if (utf8_is_control(clean + at, n))
			memset(clean + at, '?', n);
	}
	return clean;
}

/* --- Looking it up. --- */

static void
show_work(struct arena *a, const struct work *w, int64_t now,
    struct status_work *shown)
{
	enum work_phase phase;

	*shown = (struct status_work){ .work = *w,
		.method = fit(a, w->method),
		.id = fit(a, w->id),
		.owner = fit(a, w->owner),
		.client = fit(a, w->client),
		.name = fit(a, w->name) };
	shown->ms = ((w->status == 0 ? now : w->since) - w->began) / 1000000;
	for (phase = 0; phase < WORK_PHASE_MAX; phase++)
		shown->spent[phase] = work_spent(w, phase, now) / 1000000;
}

static int
by_age(const void *a, const void *b)
{
	const struct status_work *x = a, *y = b;

	return (x->ms < y->ms) - (x->ms > y->ms);
}

static int
by_own_time(const void *a, const void *b)
{
	int64_t x = work_own(&((const struct status_work *)a)->work);
	int64_t y = work_own(&((const struct status_work *)b)->work);

	return (x < y) - (x > y);
}

/* A request that sends a body is an upload; a download is not. */
static bool
is_upload(enum worker_state state, const struct work *w)
{
	return state == WORKER_RECEIVING && strcmp(w->method, "GET") != 0;
}

#define SECOND INT64_C(1000000000)

/* A rate that was measured long ago, or over a moment, says nothing: a client
 * that goes on sending is seen by a worker every two seconds. */
static int64_t
rate_of_parked(const struct work *w, int64_t now)
{
	if (now - w->since > 3 * SECOND || now - w->began < SECOND / 10)
		return 0;
	if (w->since - w->began >= SECOND)
		return w->rate;
	return (int64_t)((double)w->received * (double)SECOND /
	    (double)(now - w->began));
}

static void
see_upload(struct status *st, struct work *w, int64_t now)
{
	st->rate += w->rate;
	show_work(st->arena, w, now, &st->uploads[st->n_uploads++]);
}

static void
see_parked(
    struct status *st, const struct work_shelf *shelf, size_t n, int64_t now)
{
	struct work w;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!work_read(&shelf->slots[i], &w))
			continue;
		w.rate = rate_of_parked(&w, now);
		see_upload(st, &w, now);
	}
}

static void
see_work(struct status *st, const struct board *b)
{
	size_t i, n = atomic_load(&b->used), parked = work_shelved(&b->shelf);
	int64_t now = clock_ns();
	struct work w;

	st->uploads =
	    arena_alloc(st->arena, (n + parked) * sizeof(*st->uploads));
	st->others = arena_alloc(st->arena, n * sizeof(*st->others));
	for (i = 0; i < n; i++) {
		enum worker_state state =
		    (enum worker_state)atomic_load(&b->slots[i].state);

		if (state <= WORKER_IDLE || !work_read(&b->work[i], &w))
			continue;
		st->hooks_running += w.phase == WORK_HOOK;
		if (is_upload(state, &w))
			see_upload(st, &w, now);
		else
			show_work(
			    st->arena, &w, now, &st->others[st->n_others++]);
	}
	see_parked(st, &b->shelf, parked, now);
	qsort(st->uploads, st->n_uploads, sizeof(*st->uploads), by_age);
	qsort(st->others, st->n_others, sizeof(*st->others), by_age);
}

static void
see_past(struct status *st, const struct work_past *past)
{
	static const char *const levels[] = { "error", "warn" };
	struct work_error error;
	struct work w;
	unsigned i;

	st->slowest = arena_alloc(st->arena, sizeof(w) * 2 * WORK_SLOWEST);
	for (i = 0; i < WORK_SLOWEST; i++)
		if (work_read(&past->slowest[i], &w) &&
		    st->now - w.when <= WORK_SLOWEST_AGE)
			show_work(
			    st->arena, &w, 0, &st->slowest[st->n_slowest++]);
	qsort(st->slowest, st->n_slowest, sizeof(*st->slowest), by_own_time);
	st->errors = arena_alloc(st->arena, sizeof(*st->errors) * WORK_ERRORS);
	for (i = 0; i < WORK_ERRORS; i++)
		if (work_error(past, i, &error))
			st->errors[st->n_errors++] =
			    (struct status_error){ .when = error.when,
				    .pid = error.pid,
				    .level =
					levels[error.level == LOG_LEVEL_WARN],
				    .text = fit(st->arena, error.text) };
}

static void
see_counters(struct status *st, const struct metrics *m)
{
	size_t i;

	for (i = 0; i < METRICS_METHODS; i++)
		st->requests += atomic_load(&m->requests[i]);
	for (i = 0; i < METRICS_ERRORS; i++)
		st->refusals += atomic_load(&m->errors[i].n);
	st->bytes = atomic_load(&m->counters[METRIC_BYTES]);
	st->created = atomic_load(&m->counters[METRIC_CREATED]);
	st->finished = atomic_load(&m->counters[METRIC_FINISHED]);
	st->terminated = atomic_load(&m->counters[METRIC_TERMINATED]);
}

static int64_t
count_waiting(struct hooks *hooks)
{
	struct hook_tally tally;
	struct err e;

	if (hooks == NULL)
		return 0;
	if (hooks->ops->deliver(hooks, HOOK_DELIVER_NONE, &tally, &e) != ERR_OK)
		return -1;
	return tally.left;
}

static struct status *
look(struct board *b, const struct settings *s, struct arena *a)
{
	struct status *st = arena_alloc(a, sizeof(*st));

	st->arena = a;
	st->now = clock_now();
	st->started = b->past.started;
	st->max_workers = s->max_workers;
	st->reserve = s->reserve;
	board_count(b, st->workers);
	st->parked = atomic_load(&b->parking.parked);
	see_counters(st, &b->metrics);
	see_work(st, b);
	see_past(st, &b->past);
	st->hooks_waiting = count_waiting(s->server.core.hooks);
	return st;
}

/* --- As JSON. --- */

static json_t *
spent_to_json(const struct status_work *w)
{
	json_t *spent = json_object();
	enum work_phase phase;

	for (phase = 0; phase < WORK_PHASE_MAX; phase++)
		(void)json_object_set_new(spent, work_phase_name(phase),
		    json_integer(w->spent[phase]));
	return spent;
}

static json_t *
number_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *
text_or_null(const char *text)
{
	return *text == '\0' ? json_null() : json_string(text);
}

static json_t *
work_to_json(const struct status_work *w)
{
	json_t *object = json_object();

	json_object_set_new(object, "pid", json_integer(w->work.pid));
	json_object_set_new(object, "since", json_integer(w->work.when));
	json_object_set_new(object, "method", json_string(w->method));
	json_object_set_new(object, "id", text_or_null(w->id));
	json_object_set_new(object, "name", text_or_null(w->name));
	json_object_set_new(object, "owner", text_or_null(w->owner));
	json_object_set_new(object, "client", text_or_null(w->client));
	json_object_set_new(object, "offset", number_or_null(w->work.offset));
	json_object_set_new(object, "size", number_or_null(w->work.size));
	json_object_set_new(object, "received", json_integer(w->work.received));
	if (w->work.status != 0)
		json_object_set_new(
		    object, "status", json_integer(w->work.status));
	else
		json_object_set_new(object, "waits_for",
		    json_string(work_phase_name(w->work.phase)));
	if (w->work.status == 0)
		json_object_set_new(object, "rate", json_integer(w->work.rate));
	json_object_set_new(object, "ms", json_integer(w->ms));
	json_object_set_new(object, "spent_ms", spent_to_json(w));
	return object;
}

static json_t *
works_to_json(const struct status_work *w, size_t n)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(list, work_to_json(&w[i]));
	return list;
}

static json_t *
errors_to_json(const struct status *st)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < st->n_errors; i++) {
		const struct status_error *e = &st->errors[i];

		json_array_append_new(list,
		    json_pack("{s:I, s:s, s:I, s:s}", "time",
			(json_int_t)e->when, "level", e->level, "pid",
			(json_int_t)e->pid, "text", e->text));
	}
	return list;
}

static const char *
as_json(const struct status *st)
{
	json_t *root = json_pack(
	    "{s:s, s:I, s:I, s:{s:i, s:i, s:i, s:i, s:i}, s:i, s:I, s:I, s:I, "
	    "s:I, s:I, s:I, s:I, s:{s:I, s:o}}",
	    "version", PACKAGE_VERSION, "time", (json_int_t)st->now, "started",
	    (json_int_t)st->started, "workers", "idle",
	    st->workers[WORKER_IDLE], "busy", st->workers[WORKER_BUSY],
	    "receiving", st->workers[WORKER_RECEIVING], "max", st->max_workers,
	    "reserve", st->reserve, "parked", st->parked, "requests",
	    (json_int_t)st->requests, "refusals", (json_int_t)st->refusals,
	    "bytes_received", (json_int_t)st->bytes, "uploads_created",
	    (json_int_t)st->created, "uploads_finished",
	    (json_int_t)st->finished, "uploads_terminated",
	    (json_int_t)st->terminated, "rate", (json_int_t)st->rate, "hooks",
	    "running", (json_int_t)st->hooks_running, "waiting",
	    number_or_null(st->hooks_waiting));
	char *dump;
	const char *text;

	json_object_set_new(
	    root, "uploads", works_to_json(st->uploads, st->n_uploads));
	json_object_set_new(
	    root, "others", works_to_json(st->others, st->n_others));
	json_object_set_new(
	    root, "slowest", works_to_json(st->slowest, st->n_slowest));
	json_object_set_new(root, "errors", errors_to_json(st));
	dump = json_dumps(root, JSON_INDENT(1));
	json_decref(root);
	if (dump == NULL)
		out_of_memory();
	text = arena_printf(st->arena, "%s\n", dump);
	free(dump);
	return text;
}

/* --- As plain text. --- */

static void
put_time(struct text *t, const char *name, int64_t when, int64_t now)
{
	char date[CLOCK_HTTP_DATE_MAX];

	clock_http_date(when, date);
	text_put(t, "%-18s %s, %s ago\n", name, date,
	    status_time(t->arena, (now - when) * 1000));
}

static void
put_totals(struct text *t, const struct status *st)
{
	text_put(t, "%-18s %s\n", "tusfcgi", PACKAGE_VERSION);
	put_time(t, "started", st->started, st->now);
	text_put(t, "%-18s %d idle, %d busy, %d receiving; at most %d\n",
	    "workers", st->workers[WORKER_IDLE], st->workers[WORKER_BUSY],
	    st->workers[WORKER_RECEIVING], st->max_workers);
	text_put(t, "%-18s %d, which wait for their clients in no worker\n",
	    "parked", st->parked);
	text_put(t, "%-18s %" PRIu64 ", %" PRIu64 " of them refused\n",
	    "requests", st->requests, st->refusals);
	text_put(t, "%-18s %" PRIu64 " (%s), now %s/s\n", "bytes received",
	    st->bytes, status_size(t->arena, (int64_t)st->bytes),
	    status_size(t->arena, st->rate));
	text_put(t,
	    "%-18s %" PRIu64 " created, %" PRIu64 " finished, %" PRIu64
	    " terminated\n",
	    "uploads", st->created, st->finished, st->terminated);
	text_put(t, "%-18s %" PRId64 " running, ", "hooks", st->hooks_running);
	if (st->hooks_waiting < 0)
		text_put(t, "events that wait cannot be counted\n");
	else
		text_put(t, "%" PRId64 " events wait\n", st->hooks_waiting);
}

static const char *
or_dash(const char *text)
{
	return *text != '\0' ? text : "-";
}

static void
put_uploads(struct text *t, const struct status *st)
{
	size_t i;

	text_put(t, "\nuploads under way  %zu\n", st->n_uploads);
	for (i = 0; i < st->n_uploads; i++) {
		const struct status_work *w = &st->uploads[i];
		int percent = status_percent(&w->work);

		text_put(t, "  %-32s %3s%% of %10s  %10s/s  %9s  %s  %s  %s\n",
		    or_dash(w->id),
		    percent < 0 ? "?" : arena_printf(t->arena, "%d", percent),
		    status_size(t->arena, w->work.size),
		    status_size(t->arena, w->work.rate),
		    status_time(t->arena, w->ms), or_dash(w->owner),
		    or_dash(w->client), or_dash(w->name));
	}
}

static void
put_requests(struct text *t, const char *title, const struct status_work *list,
    size_t n, const char *(*last)(struct arena *, const struct status_work *))
{
	enum work_phase phase;
	size_t i;

	text_put(t, "\n%-18s %zu\n", title, n);
	for (i = 0; i < n; i++) {
		const struct status_work *w = &list[i];

		text_put(t, "  %-7s %-32s %9s ", w->method, or_dash(w->id),
		    status_time(t->arena, w->ms));
		for (phase = 0; phase < WORK_PHASE_MAX; phase++)
			text_put(t, "  %s %s", work_phase_name(phase),
			    status_time(t->arena, w->spent[phase]));
		text_put(t, "  %s  %s  %s\n", last(t->arena, w),
		    or_dash(w->owner), or_dash(w->client));
	}
}

static const char *
status_text(struct arena *a, const struct status_work *w)
{
	return arena_printf(a, "%d", w->work.status);
}

static const char *
phase_text(struct arena *a, const struct status_work *w)
{
	(void)a;
	return work_phase_name(w->work.phase);
}

static const char *
as_plain(const struct status *st)
{
	struct text t = text_new(st->arena);
	char date[CLOCK_HTTP_DATE_MAX];
	size_t i;

	put_totals(&t, st);
	put_uploads(&t, st);
	put_requests(
	    &t, "other requests", st->others, st->n_others, phase_text);
	put_requests(
	    &t, "slowest requests", st->slowest, st->n_slowest, status_text);
	text_put(&t, "\n%-18s %zu\n", "last errors", st->n_errors);
	for (i = 0; i < st->n_errors; i++) {
		clock_http_date(st->errors[i].when, date);
		text_put(&t, "  %s  %-5s [%ld] %s\n", date, st->errors[i].level,
		    st->errors[i].pid, st->errors[i].text);
	}
	return t.at;
}

/* --- Which of them. --- */

static void
as_page(const struct status *st, struct status_answer *answer)
{
	struct text t = text_new(st->arena);
	char nonce[ID_MAX + 1];

	id_new(nonce);
	status_page(&t, st, nonce);
	answer->type = HTML;
	answer->text = t.at;
	answer->headers = arena_printf(st->arena,
	    "Vary: Accept\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "Content-Security-Policy: default-src 'none'; "
	    "style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'; "
	    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
	    nonce, nonce);
}

/* "json" in "?json" or "?x=1&json". */
static bool
asks_for(const char *query, const char *form)
{
	size_t len = strlen(form);

	for (; query != NULL; query = strchr(query + 1, '&'))
		if (strncmp(query + 1, form, len) == 0 &&
		    strchr("&=", query[1 + len]) != NULL)
			return true;
	return false;
}

void
status_answer(struct board *b, const struct settings *s, const char *query,
    const char *accept, struct arena *a, struct status_answer *answer)
{
	bool wants_page = accept != NULL && strstr(accept, "text/html") != NULL;
	const struct status *st;

	*answer = (struct status_answer){
		.type = PLAIN, .headers = "Vary: Accept\r\n", .text = "pong\n"
	};
	if (asks_for(query, "ping"))
		return;
	st = look(b, s, a);
	if (asks_for(query, "json")) {
		answer->type = "application/json";
		answer->text = as_json(st);
	} else if (asks_for(query, "html") ||
	    (wants_page && !asks_for(query, "plain"))) {
		as_page(st, answer);
	} else {
		answer->text = as_plain(st);
	}
}
