/*
 * metrics.c - the counters for Prometheus.
 *
 * The names are those of tusd where it has the same metric, so that dashboards
 * made for tusd work.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "fcgi/board.h"
#include "fcgi/metrics.h"
#include "lock/lock.h"
#include "store/store.h"

enum entry_state {
	ENTRY_FREE,
	ENTRY_CLAIMED,
	ENTRY_READY
};

static const char *const methods[METRICS_METHODS] = { "DELETE", "GET", "HEAD",
	"OPTIONS", "PATCH", "POST", "other" };

static const char *const protocols[] = { "tus", "rufh" };

_Static_assert(NITEMS(protocols) <= METRICS_PROTOCOLS, "room for each");

static const struct {
	const char *name, *help;
} counters[METRIC_MAX] = {
	[METRIC_BYTES] = { "bytes_received",
	    "Bytes of bodies that were received." },
	[METRIC_CREATED] = { "uploads_created", "Uploads that were created." },
	[METRIC_FINISHED] = { "uploads_finished",
	    "Uploads that were finished." },
	[METRIC_TERMINATED] = { "uploads_terminated",
	    "Uploads that were terminated." },
	[METRIC_LOCK_WAITS] = { "lock_waits_total",
	    "Requests that waited for a lock." },
	[METRIC_LOCK_TAKEOVERS] = { "lock_takeovers_total",
	    "Uploads that gave way to another request." },
	[METRIC_FENCED] = { "store_fenced_total",
	    "Requests whose upload another host may have had by then." },
	[METRIC_PARKS] = { "parks_total",
	    "Requests that were given to the parking process." },
	[METRIC_UNPARKED] = { "park_refused_total",
	    "Requests that the parking process could not be given." },
};

static const struct {
	const char *name;
	enum worker_state state;
} states[] = {
	{ "idle", WORKER_IDLE },
	{ "busy", WORKER_BUSY },
	{ "receiving", WORKER_RECEIVING },
};

static const struct {
	const char *name;
	enum note_why why;
} reasons[] = {
	{ "bytes", NOTE_BYTES },
	{ "timer", NOTE_TIMER },
	{ "end", NOTE_END },
	{ "lock", NOTE_LOCK },
	{ "silence", NOTE_SILENCE },
	{ "stop", NOTE_STOP },
};

static size_t
method_index(const char *name)
{
	size_t i;

	for (i = 0; i < METRICS_METHODS - 1; i++)
		if (name != NULL && strcmp(methods[i], name) == 0)
			break;
	return i;
}

static size_t
protocol_index(const char *name)
{
	size_t i = NITEMS(protocols);

	while (--i > 0 && (name == NULL || strcmp(protocols[i], name) != 0))
		;
	return i;
}

static void
add(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Find the entry of this error, or add one. */
static void
count_error(struct metrics *m, int status, const char *code)
{
	size_t i;

	for (i = 0; i < METRICS_ERRORS; i++) {
		int state = ENTRY_FREE;

		if (atomic_compare_exchange_strong(
			&m->errors[i].state, &state, ENTRY_CLAIMED)) {
			m->errors[i].status = status;
			(void)strncpy(
			    m->errors[i].code, code, METRICS_CODE - 1);
			atomic_store(&m->errors[i].state, ENTRY_READY);
			state = ENTRY_READY;
		}
		if (state == ENTRY_READY && m->errors[i].status == status &&
		    strncmp(m->errors[i].code, code, METRICS_CODE - 1) == 0) {
			add(&m->errors[i].n, 1);
			return;
		}
	}
}

void
metrics_count(struct metrics *m, const struct web_response *res)
{
	const struct web_outcome *o = &res->outcome;

	add(&m->requests[method_index(o->method)], 1);
	add(&m->protocols[protocol_index(o->protocol)], 1);
	if (o->received > 0)
		add(&m->counters[METRIC_BYTES], (uint64_t)o->received);
	add(&m->counters[METRIC_CREATED], o->created);
	add(&m->counters[METRIC_FINISHED], o->finished);
	add(&m->counters[METRIC_TERMINATED], o->terminated);
	add(&m->counters[METRIC_LOCK_WAITS], o->waited);
	add(&m->counters[METRIC_LOCK_TAKEOVERS], o->interrupted);
	add(&m->counters[METRIC_FENCED],
	    res->err != NULL && res->err->code == ERR_FENCED);
	add(&m->sync_ns, (uint64_t)fs_take_sync_ns());
	if (o->code != NULL)
		count_error(m, res->status, o->code);
}

void
metrics_count_park(struct metrics *m)
{
	add(&m->counters[METRIC_PARKS], 1);
}

void
metrics_count_unparked(struct metrics *m)
{
	add(&m->counters[METRIC_UNPARKED], 1);
}

void
metrics_count_handover(struct metrics *m, enum note_why why)
{
	add(&m->handovers[why], 1);
}

void
metrics_count_hook(struct metrics *m, enum hook_point hook, bool went_well)
{
	add(&m->hook_calls[hook], 1);
	add(&m->hook_errors[hook], !went_well);
}

/* The text so far.  A line that does not fit is left out. */
struct page {
	const char *prefix;
	char text[24576];
	size_t len;
};

static void PRINTF_LIKE(2, 3) put(struct page *p, const char *fmt, ...)
{
	size_t room = sizeof(p->text) - p->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p->text + p->len, room, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		p->len += (size_t)n;
}

static void
put_head(struct page *p, const char *name, const char *type, const char *help)
{
	put(p, "# HELP %s_%s %s\n# TYPE %s_%s %s\n", p->prefix, name, help,
	    p->prefix, name, type);
}

static uint64_t
get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
put_requests(struct page *p, const struct metrics *m)
{
	size_t i;

	put_head(p, "requests_total", "counter", "Requests by method.");
	for (i = 0; i < METRICS_METHODS; i++)
		put(p, "%s_requests_total{method=\"%s\"} %" PRIu64 "\n",
		    p->prefix, methods[i], get(&m->requests[i]));
	put_head(p, "requests_by_protocol_total", "counter",
	    "Requests by the protocol that they were answered in.");
	for (i = 0; i < NITEMS(protocols); i++)
		put(p,
		    "%s_requests_by_protocol_total{protocol=\"%s\"} %" PRIu64
		    "\n",
		    p->prefix, protocols[i], get(&m->protocols[i]));
	put_head(p, "errors_total", "counter", "Refusals by status and code.");
	for (i = 0; i < METRICS_ERRORS; i++)
		if (atomic_load(&m->errors[i].state) == ENTRY_READY)
			put(p,
			    "%s_errors_total{status=\"%d\",code=\"%s\"} "
			    "%" PRIu64 "\n",
			    p->prefix, m->errors[i].status, m->errors[i].code,
			    get(&m->errors[i].n));
}

static void
put_counters(struct page *p, const struct metrics *m)
{
	size_t i;

	for (i = 0; i < METRIC_MAX; i++) {
		put_head(p, counters[i].name, "counter", counters[i].help);
		put(p, "%s_%s %" PRIu64 "\n", p->prefix, counters[i].name,
		    get(&m->counters[i]));
	}
}

static void
put_sync_time(struct page *p, const struct metrics *m)
{
	static const uint64_t second = 1000000000;
	uint64_t ns = get(&m->sync_ns);

	put_head(p, "fsync_seconds_total", "counter",
	    "Time that requests waited for the disk to flush.");
	put(p, "%s_fsync_seconds_total %" PRIu64 ".%09" PRIu64 "\n", p->prefix,
	    ns / second, ns % second);
}

static void
put_hooks(struct page *p, const char *name, const char *help,
    const _Atomic uint64_t *counts)
{
	enum hook_point hook;

	put_head(p, name, "counter", help);
	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		put(p, "%s_%s{hooktype=\"%s\"} %" PRIu64 "\n", p->prefix, name,
		    hook_point_name(hook), get(&counts[hook]));
}

static void
put_parking(struct page *p, const struct board *b)
{
	size_t i;

	put_head(p, "uploads_parked", "gauge",
	    "Requests that wait for their clients in no worker.");
	put(p, "%s_uploads_parked %d\n", p->prefix,
	    atomic_load(&b->parking.parked));
	put_head(p, "handovers_total", "counter",
	    "Parked requests that a worker got, by the reason.");
	for (i = 0; i < NITEMS(reasons); i++)
		put(p, "%s_handovers_total{why=\"%s\"} %" PRIu64 "\n",
		    p->prefix, reasons[i].name,
		    get(&b->metrics.handovers[reasons[i].why]));
}

static void
put_workers(struct page *p, const struct board *b)
{
	int count[WORKER_STATE_MAX];
	size_t i;

	board_count(b, count);
	put_head(p, "connections_open", "gauge", "Requests under way.");
	put(p, "%s_connections_open %d\n", p->prefix,
	    count[WORKER_BUSY] + count[WORKER_RECEIVING]);
	put_head(p, "workers", "gauge", "Workers by what they do.");
	for (i = 0; i < NITEMS(states); i++)
		put(p, "%s_workers{state=\"%s\"} %d\n", p->prefix,
		    states[i].name, count[states[i].state]);
}

static void
put_service_call(struct page *p, const struct lock_figures *f)
{
	static const char name[] = "lock_engine_seconds";
	uint64_t n = 0;
	size_t i;

	put_head(p, name, "histogram",
	    "Calls to the lock service that were answered.");
	for (i = 0; i < LOCK_CALL_LIMITS; i++) {
		n += f->calls[i];
		put(p, "%s_%s_bucket{le=\"%g\"} %" PRIu64 "\n", p->prefix, name,
		    (double)lock_call_limits[i] / 1e6, n);
	}
	n += f->calls[i];
	put(p, "%s_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", p->prefix, name, n);
	put(p, "%s_%s_sum %.6f\n%s_%s_count %" PRIu64 "\n", p->prefix, name,
	    (double)f->us / 1e6, p->prefix, name, n);
}

static void
put_one(struct page *p, const char *name, const char *type, const char *help,
    double value)
{
	put_head(p, name, type, help);
	put(p, "%s_%s %.15g\n", p->prefix, name, value);
}

/* Where a service keeps the locks. */
static void
put_service(struct page *p, struct locker *locker)
{
	struct lock_figures f;
	bool is_there = locker->service->figures(locker, &f);

	put_one(p, "lock_agent_up", "gauge",
	    "Is the lock agent there, and has it a session?",
	    is_there && f.session_ms > 0);
	put_one(p, "lock_session_seconds", "gauge",
	    "For how long what is locked is locked for sure.",
	    (double)f.session_ms / 1000);
	put_one(p, "lock_held", "gauge", "Uploads that this host has locked.",
	    (double)f.held);
	put_one(p, "lock_lost_total", "counter",
	    "Locks that were lost while they were held.", (double)f.lost);
	put_one(p, "lock_engine_errors_total", "counter",
	    "Calls to the lock service without an answer.", (double)f.errors);
	put_service_call(p, &f);
}

static void
put_figure(void *arg, const char *name, const char *type, const char *help,
    const char *label, const char *what, double value)
{
	struct page *p = arg;

	if (type != NULL)
		put_head(p, name, type, help);
	if (what != NULL)
		put(p, "%s_%s{%s=\"%s\"} %.15g\n", p->prefix, name, label, what,
		    value);
	else if (label == NULL && strcmp(type, "summary") != 0)
		put(p, "%s_%s %.15g\n", p->prefix, name, value);
}

const char *
metrics_text(const struct board *b, const struct conf *conf,
    struct locker *locker, struct arena *a)
{
	struct page *p = arena_alloc(a, sizeof(*p));

	p->prefix = conf->metrics.prefix;
	put_requests(p, &b->metrics);
	put_counters(p, &b->metrics);
	put_sync_time(p, &b->metrics);
	put_hooks(p, "hook_invocations_total", "Hooks that were asked or told.",
	    b->metrics.hook_calls);
	put_hooks(p, "hook_errors_total", "Hooks that failed.",
	    b->metrics.hook_errors);
	put_workers(p, b);
	if (locker->service != NULL)
		put_service(p, locker);
	put_parking(p, b);
	store_figures(conf, put_figure, p);
	return p->text;
}
