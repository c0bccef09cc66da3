/*
 * work.c - what each worker is doing, and where the time of its requests goes.
 *
 * A worker may be killed at any instruction.  A record that it was just writing
 * stays unreadable until the next worker of the slot overwrites it; an entry of
 * the slowest requests or the errors, until its turn to be replaced.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fcgi/work.h"

#define SECOND INT64_C(1000000000)

/* The record of this process; NULL where nothing is recorded. */
static struct work_slot *mine;

static long own_pid;

/* Both are set before the first fork, or once in a worker. */
static struct work_past *remembered, *listening;

/* Set while a slow request is logged: that line is not to be remembered as an
 * error, because slow requests have a list of their own. */
static bool is_known_slow;

const char *
work_phase_name(enum work_phase phase)
{
	static const char *const names[WORK_PHASE_MAX] = {
		[WORK_CLIENT] = "client",
		[WORK_LOCK] = "lock",
		[WORK_DISK] = "disk",
		[WORK_HOOK] = "hook",
	};

	return names[phase];
}

/* --- Writing. --- */

static void
open_record(_Atomic unsigned *seq)
{
	unsigned n = atomic_load_explicit(seq, memory_order_relaxed);

	atomic_store_explicit(seq, n | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void
close_record(_Atomic unsigned *seq)
{
	unsigned n = atomic_load_explicit(seq, memory_order_relaxed);

	atomic_store_explicit(seq, (n | 1) + 1, memory_order_release);
}

static void
copy(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

static void
copy_string(char *to, size_t size, const char *from)
{
	copy(to, size, from != NULL ? from : "",
	    from != NULL ? strlen(from) : 0);
}

void
work_join(struct work_slot *slot, struct work_past *past)
{
	mine = slot;
	remembered = past;
	if (mine == NULL)
		return;
	own_pid = (long)getpid();
	open_record(&mine->seq);
	mine->is_at_work = false;
	close_record(&mine->seq);
}

void
work_begin(const struct web_request *req, int64_t began)
{
	struct work *w;

	if (mine == NULL)
		return;
	w = &mine->work;
	open_record(&mine->seq);
	memset(w, 0, sizeof(*w));
	w->began = w->since = w->second = began * 1000000;
	w->when = clock_now();
	w->phase = WORK_CLIENT;
	w->offset = w->size = -1;
	w->pid = own_pid;
	copy_string(w->method, sizeof(w->method), req->method);
	copy_string(w->owner, sizeof(w->owner), req->owner);
	copy_string(w->client, sizeof(w->client), req->shown.remote);
	mine->is_at_work = true;
	close_record(&mine->seq);
}

/* The rate over the last second or so; over the whole time of a younger
 * request.  A second in which nothing came goes on: a parked request is looked
 * at before its bytes are read. */
static void
measure_rate(struct work *w, int64_t received)
{
	int64_t now = clock_ns(), took = now - w->second;
	int64_t came = received - w->before;

	w->received = received;
	if (took <= 0 || (took < SECOND && w->second != w->began))
		return;
	w->rate = (int64_t)((double)came * (double)SECOND / (double)took);
	if (took < SECOND || came == 0)
		return;
	w->second = now;
	w->before = received;
}

void
work_look(const struct web_call *call, int64_t received)
{
	struct web_sight sight;
	const struct pair *p;
	struct work *w;

	if (mine == NULL)
		return;
	w = &mine->work;
	web_look_at(call, &sight);
	open_record(&mine->seq);
	copy_string(w->method, sizeof(w->method), sight.method);
	copy_string(w->id, sizeof(w->id), sight.id);
	w->offset = sight.offset;
	w->size = sight.size;
	for (p = sight.metadata; p != NULL; p = p->next)
		if (strcmp(p->key, "filename") == 0)
			copy(w->name, sizeof(w->name), p->value, p->value_len);
	measure_rate(w, received);
	close_record(&mine->seq);
}

enum work_phase
work_enter(enum work_phase phase)
{
	enum work_phase before;
	struct work *w;
	int64_t now;

	if (mine == NULL)
		return phase;
	w = &mine->work;
	before = w->phase;
	now = clock_ns();
	open_record(&mine->seq);
	w->ns[before] += now - w->since;
	w->since = now;
	w->phase = phase;
	close_record(&mine->seq);
	return before;
}

/* The entry that a slow request may take; NULL if the request is not slow
 * enough, or if another process writes just now. */
static struct work_slot *
find_faster(struct work_past *past, const struct work *w)
{
	struct work_slot *fastest = NULL, *slot;
	int64_t own, least = work_own(w);
	struct work other;
	size_t i;

	for (i = 0; i < WORK_SLOWEST; i++) {
		slot = &past->slowest[i];
		if ((atomic_load(&slot->seq) & 1) != 0)
			continue;
		if (!work_read(slot, &other) ||
		    w->when - other.when > WORK_SLOWEST_AGE)
			return slot;
		own = work_own(&other);
		if (own < least) {
			least = own;
			fastest = slot;
		}
	}
	return fastest;
}

/* If two workers want the same entry at once, one of their requests is not
 * remembered. */
static void
remember(struct work_past *past, const struct work *w)
{
	struct work_slot *slot = find_faster(past, w);
	unsigned seq;

	if (slot == NULL)
		return;
	seq = atomic_load(&slot->seq);
	if ((seq & 1) != 0 ||
	    !atomic_compare_exchange_strong(&slot->seq, &seq, seq | 1))
		return;
	atomic_thread_fence(memory_order_release);
	slot->work = *w;
	slot->is_at_work = true;
	close_record(&slot->seq);
}

static void
log_slow(const struct work *w, const struct web_response *res,
    const struct web_request *req, int64_t ms)
{
	const struct log_field fields[] = {
		{ "method", w->method, 0 },
		{ *w->id != '\0' ? "id" : NULL, w->id, 0 },
		{ "status", NULL, res->status },
		{ "bytes", NULL, res->outcome.received },
		{ "ms", NULL, ms },
		{ "lock_ms", NULL, w->ns[WORK_LOCK] / 1000000 },
		{ "disk_ms", NULL, w->ns[WORK_DISK] / 1000000 },
		{ "hook_ms", NULL, w->ns[WORK_HOOK] / 1000000 },
		{ "client_ms", NULL, w->ns[WORK_CLIENT] / 1000000 },
		{ *w->owner != '\0' ? "owner" : NULL, w->owner, 0 },
		{ *w->client != '\0' ? "client" : NULL, w->client, 0 },
		{ req->shown.request_id != NULL ? "request_id" : NULL,
		    req->shown.request_id, 0 },
	};

	is_known_slow = true;
	log_event(LOG_LEVEL_WARN, "slow", fields, NITEMS(fields));
	is_known_slow = false;
}

void
work_end(
    const struct web_response *res, const struct web_request *req, int64_t slow)
{
	const struct web_outcome *o = &res->outcome;
	struct work *w;
	int64_t ms;

	if (mine == NULL)
		return;
	(void)work_enter(WORK_CLIENT);
	w = &mine->work;
	open_record(&mine->seq);
	w->status = res->status;
	w->received = o->received;
	if (o->offset >= 0)
		w->offset = o->offset;
	copy_string(w->id, sizeof(w->id), o->id);
	mine->is_at_work = false;
	close_record(&mine->seq);
	remember(remembered, w);
	ms = (w->since - w->began) / 1000000;
	if (slow > 0 && ms >= slow)
		log_slow(w, res, req, ms);
}

void
work_part(void)
{
	if (mine == NULL)
		return;
	open_record(&mine->seq);
	mine->is_at_work = false;
	close_record(&mine->seq);
}

/* --- Parked requests. --- */

/* In ms: a record is no longer on its way from one process to another. */
#define LOST 60000

static bool
take_place(struct work_shelf *s, unsigned place)
{
	int64_t now = clock_ms(), since = atomic_load(&s->since[place]);

	/* The process that had its note may have been killed. */
	if (since != 0 && (s->slots[place].is_at_work || now - since < LOST))
		return false;
	return atomic_compare_exchange_strong(&s->since[place], &since, now);
}

static void
set_shown(struct work_slot *slot, bool it_is)
{
	open_record(&slot->seq);
	slot->is_at_work = it_is;
	slot->work.pid = (long)getpid();
	close_record(&slot->seq);
}

int
work_shelve(struct work_shelf *s)
{
	unsigned tries, place;

	if (mine == NULL)
		return -1;
	(void)work_enter(WORK_CLIENT);
	for (tries = 0; tries < 16; tries++) {
		place = atomic_fetch_add(&s->next, 1) % WORK_SHELF;
		if (!take_place(s, place))
			continue;
		open_record(&s->slots[place].seq);
		s->slots[place].is_at_work = false;
		s->slots[place].work = mine->work;
		close_record(&s->slots[place].seq);
		/* It would be shown twice. */
		work_part();
		return (int)place;
	}
	return -1;
}

void
work_unshelve(struct work_shelf *s, int place)
{
	const struct work *from;

	if (place < 0 || place >= WORK_SHELF)
		return;
	from = &s->slots[place].work;
	if (mine != NULL && atomic_load(&s->since[place]) != 0 &&
	    from->began == mine->work.began) {
		open_record(&mine->seq);
		mine->work = *from;
		mine->work.pid = own_pid;
		mine->is_at_work = true;
		close_record(&mine->seq);
	}
	atomic_store(&s->since[place], 0);
}

void
work_show(struct work_shelf *s, int place, bool it_is)
{
	if (place >= 0 && place < WORK_SHELF)
		set_shown(&s->slots[place], it_is);
}

void
work_clear(struct work_shelf *s)
{
	size_t i, n = work_shelved(s);

	for (i = 0; i < n; i++) {
		set_shown(&s->slots[i], false);
		atomic_store(&s->since[i], 0);
	}
}

size_t
work_shelved(const struct work_shelf *s)
{
	unsigned n = atomic_load(&s->next);

	return n < WORK_SHELF ? n : WORK_SHELF;
}

static void
hear(enum log_level level, const char *text, size_t len)
{
	struct work_error *error;
	unsigned n;

	if (is_known_slow)
		return;
	n = atomic_fetch_add(&listening->errors_seen, 1);
	error = &listening->errors[n % WORK_ERRORS];
	open_record(&error->seq);
	error->when = clock_now();
	error->pid = (long)getpid();
	error->level = level;
	copy(error->text, sizeof(error->text), text, len);
	close_record(&error->seq);
}

void
work_listen(struct work_past *past)
{
	listening = past;
	log_listen(hear);
}

/* --- Reading. --- */

/* Copy a record consistently.  Writing takes less time than the pause between
 * two tries. */
static bool
read_record(
    const _Atomic unsigned *seq, const void *from, void *to, size_t size)
{
	unsigned before, tries;

	for (tries = 0; tries < 8; tries++) {
		before = atomic_load_explicit(seq, memory_order_acquire);
		if ((before & 1) != 0)
			continue;
		memcpy(to, from, size);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(seq, memory_order_relaxed) == before)
			return true;
	}
	return false;
}

bool
work_read(const struct work_slot *slot, struct work *w)
{
	struct work_slot seen;

	if (!slot->is_at_work ||
	    !read_record(&slot->seq, slot, &seen, sizeof(seen)))
		return false;
	*w = seen.work;
	return seen.is_at_work;
}

int64_t
work_spent(const struct work *w, enum work_phase phase, int64_t now)
{
	bool is_in = w->status == 0 && phase == w->phase;

	return w->ns[phase] + (is_in ? now - w->since : 0);
}

int64_t
work_own(const struct work *w)
{
	return w->ns[WORK_LOCK] + w->ns[WORK_DISK] + w->ns[WORK_HOOK];
}

bool
work_error(const struct work_past *past, unsigned n, struct work_error *error)
{
	unsigned seen = atomic_load(&past->errors_seen);
	const struct work_error *from;

	if (n >= WORK_ERRORS || n >= seen)
		return false;
	from = &past->errors[(seen - 1 - n) % WORK_ERRORS];
	return read_record(&from->seq, from, error, sizeof(*error)) &&
	    error->when != 0;
}
