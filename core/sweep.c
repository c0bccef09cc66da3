/*
 * sweep.c - the sweep: the uploads, and the order of all steps.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/digest.h"
#include "core/handle.h"
#include "core/sweep_parts.h"

/* --- Locks. --- */

/* The upload, open and locked; or not locked, where it is to be removed and a
 * full disk has no room for a lock. */
static enum err_code
open_and_lock(struct sweep *s, const char *id, bool to_remove, struct handle *h,
    struct err *e)
{
	enum lock_how how = LOCK_QUIETLY;
	enum err_code rc = handle_open(h, s->store, id, s->arena, e);

	if (rc != ERR_OK)
		return rc;
	/* A lock file that the sweep itself makes is no mark of pending
	 * work. */
	if (h->up->info.is_marked_by_lock && !to_remove)
		how = LOCK_EXISTING_QUIETLY;
	rc = handle_lock(h, s->locker, how, 0, s->arena, e);
	if (rc != ERR_NO_SPACE || !to_remove)
		return rc;
	rc = handle_open(h, s->store, id, s->arena, e);
	return rc == ERR_OK ? handle_guard(h, s->locker, e) : rc;
}

/* --- Hooks. --- */

static bool
wants(struct sweep *s, enum hook_point hook)
{
	return s->hooks != NULL && s->hooks->ops->wants(s->hooks, hook);
}

/* Add up the time that was lost on hooks that failed; one that refuses has not
 * failed. */
static void
note_answer(struct sweep *s, bool went_well, int64_t began)
{
	if (!went_well)
		s->failing += clock_ms() - began;
}

/* ERR_CONFLICT: pre-finish refuses. */
static enum err_code
ask_to_finish(struct sweep *s, const struct file_info *info, struct err *e)
{
	const struct hook_event event = { HOOK_PRE_FINISH, info, NULL };
	int64_t began = clock_ms();
	struct hook_verdict v;
	enum err_code rc;

	if (!wants(s, HOOK_PRE_FINISH))
		return ERR_OK;
	rc = s->hooks->ops->ask(s->hooks, &event, s->arena, &v, e);
	note_answer(s, rc == ERR_OK, began);
	if (rc == ERR_OK && v.reply.status >= 400)
		return err_set(e, ERR_CONFLICT, "hook pre-finish refuses: %d",
		    v.reply.status);
	return rc;
}

static enum err_code
tell_finished(struct sweep *s, const struct file_info *info, struct err *e)
{
	const struct hook_event event = { HOOK_POST_FINISH, info, NULL };
	int64_t began = clock_ms();
	struct hook_notice *n;
	bool is_told;

	if (!wants(s, HOOK_POST_FINISH))
		return ERR_OK;
	n = s->hooks->ops->note(s->hooks, &event, s->arena);
	is_told = n != NULL && s->hooks->ops->tell(s->hooks, n);
	note_answer(s, is_told, began);
	if (is_told)
		return ERR_OK;
	return err_set(e, ERR_UNAVAILABLE,
	    "post-finish was not taken; the next sweep will try again");
}

/* --- Uploads. --- */

enum fate {
	KEEP,
	EXPIRE,
	RENEW,
	FINISH,
	CONFIRM,
	ENTER,
	FORGET,
	RETIRE
};

/* Where the ledger cannot be read, all else is done nevertheless. */
static bool
is_entered(struct sweep *s, struct upload *up)
{
	bool is_right;
	struct err e;

	if (!s->has_quota || s->store->ledger == NULL)
		return true;
	if (s->store->ledger->is_right(up, &is_right, &e) == ERR_OK)
		return is_right;
	sweep_failed(s, up->info.id, &e);
	return true;
}

/* The deeds that are pending for a finished upload.  An old record does not
 * name them: then all are, if its lock, or a move that was begun, has been
 * left. */
static unsigned
pending_of(struct sweep *s, struct upload *up)
{
	const struct store_mover *mover = s->store->mover;
	const struct file_info *info = &up->info;

	if (!info->is_marked_by_lock)
		return info->pending;
	if (locker_knows(s->locker, info->id, s->arena) ||
	    (mover != NULL && mover->is_pending(up)))
		return STORE_TO_CONFIRM | STORE_TO_MOVE | STORE_TO_TELL;
	return 0;
}

static bool
may_be_forgotten(const struct sweep *s, const struct upload *up)
{
	return upload_is_finished(up) && up->info.forget != 0 &&
	    up->info.forget < s->now.real;
}

/* Bytes that were moved out of the store are not removed. */
static bool
was_kept_long_enough(const struct sweep *s, const struct upload *up)
{
	const struct file_info *info = &up->info;
	int64_t kept = info->retention > 0 ? info->retention : s->retention;

	return kept > 0 && info->moved == 0 && info->finished > 0 &&
	    info->finished < s->now.real - kept;
}

/* Is it of the days when the clock was not set yet? */
static bool
is_timeless(const struct sweep *s, int64_t when)
{
	return !s->force && !clock_was_set(when) && clock_was_set(s->now.real);
}

static enum fate
fate_by_time(struct sweep *s, struct upload *up)
{
	int64_t change = s->store->expirer->last_change(up);
	int64_t quiet = s->now.real - change;
	const struct file_info *info = &up->info;

	if (upload_is_finished(up) && pending_of(s, up) != 0)
		return CONFIRM;
	if (upload_is_finished(up) && may_be_forgotten(s, up))
		return FORGET;
	if (upload_is_finished(up))
		return was_kept_long_enough(s, up) &&
			!is_timeless(s, info->finished) ?
		    RETIRE :
		    KEEP;
	if (upload_is_whole(up))
		return quiet > SWEEP_QUIET ? FINISH : KEEP;
	if (info->expires != 0 && info->expires < s->now.real)
		return is_timeless(s, info->expires) ? RENEW : EXPIRE;
	if (s->older_than >= 0 && quiet > s->older_than)
		return is_timeless(s, change) ? KEEP : EXPIRE;
	return KEEP;
}

/* One thing at a time: the next sweep finds what else there is to do. */
static enum fate
fate_of(struct sweep *s, struct upload *up)
{
	enum fate fate = fate_by_time(s, up);

	return fate == EXPIRE || fate == RETIRE || is_entered(s, up) ? fate :
								       ENTER;
}

/* It was there before there was a quota, or a crash left it so. */
static enum err_code
enter(struct sweep *s, struct upload *up, struct err *e)
{
	const struct file_info *info = &up->info;
	int64_t size = info->size_deferred ? info->offset : info->size;

	return s->store->ledger->resize(up, NULL, size, size, &size, e);
}

/* The whole time that the upload was given, from now on. */
static enum err_code
renew(struct sweep *s, struct upload *up, struct err *e)
{
	int64_t time = up->info.expires - up->info.created;

	return s->store->expirer->set_expiry(
	    up, s->now.real + (time > 0 ? time : up->info.expires), e);
}

/* ERR_CONFLICT: it is not what the client said that it would be. */
static enum err_code
check_digest(struct sweep *s, struct upload *up, struct err *e)
{
	const char *wrong;
	enum err_code rc = whole_check(up, s->arena, &wrong, e);

	if (rc == ERR_OK && wrong != NULL)
		return err_set(e, ERR_CONFLICT, "its %s is another", wrong);
	return rc;
}

/*
 * As the request would have done that brought the last byte.  A hook that
 * fails is asked again by the next sweep; one that refuses has decided.
 */
static enum err_code
finish(struct sweep *s, struct handle *h, struct err *e)
{
	const struct store_finisher *finisher = s->store->finisher;
	enum err_code rc;
	struct err inner;

	rc = check_digest(s, h->up, e);
	if (rc == ERR_OK)
		rc = ask_to_finish(s, &h->up->info, e);
	if (rc == ERR_CONFLICT && h->up->info.size > 0 &&
	    finisher->refuse(h->up, &inner) != ERR_OK)
		*e = inner;
	if (rc != ERR_OK)
		return rc;
	return finisher->finish(
	    h->up, pending_for(s->store, s->hooks, &h->up->info), e);
}

static enum err_code
move_and_tell(
    struct sweep *s, struct upload *up, unsigned *pending, struct err *e)
{
	enum err_code rc = ERR_OK;

	if ((*pending & STORE_TO_MOVE) != 0 && s->store->mover != NULL)
		rc = s->store->mover->move(up, e);
	if (rc != ERR_OK)
		return rc;
	*pending &= ~(unsigned)STORE_TO_MOVE;
	if ((*pending & STORE_TO_TELL) != 0)
		rc = tell_finished(s, &up->info, e);
	if (rc == ERR_OK)
		*pending &= ~(unsigned)STORE_TO_TELL;
	return rc;
}

/* Work that was done is cleared in the record; the next sweep finds the
 * rest. */
static enum err_code
follow_up(struct sweep *s, struct upload *up, unsigned pending, struct err *e)
{
	const struct store_finisher *finisher = s->store->finisher;
	unsigned left = pending & ~(unsigned)STORE_TO_CONFIRM;
	enum err_code rc, parts = ERR_OK;
	struct err inner;

	rc = move_and_tell(s, up, &left, e);
	if ((left & STORE_TO_REMOVE) != 0)
		parts = pending_remove_parts(
		    s->store, s->locker, &up->info, s->arena, &inner);
	if (parts == ERR_OK)
		left &= ~(unsigned)STORE_TO_REMOVE;
	else if (rc == ERR_OK)
		*e = inner;
	if (rc == ERR_OK)
		rc = parts;
	if (finisher != NULL &&
	    (parts = finisher->done(up, pending & ~left, &inner)) != ERR_OK &&
	    rc == ERR_OK) {
		*e = inner;
		rc = parts;
	}
	return rc;
}

static enum err_code
carry_out(struct sweep *s, struct handle *h, enum fate fate, struct err *e)
{
	unsigned pending = 0;
	enum err_code rc = ERR_OK;

	switch (fate) {
	case KEEP:
		break;
	case EXPIRE:
	case RETIRE:
		rc = expire_upload(
		    h->up, s->store, s->hooks, s->arena, &s->failing, e);
		break;
	case FORGET:
		rc = s->store->terminater->terminate(h->up, e);
		break;
	case RENEW:
		rc = renew(s, h->up, e);
		break;
	case FINISH:
		rc = finish(s, h, e);
		break;
	case CONFIRM:
		pending = pending_of(s, h->up);
		rc = s->store->core->confirm(h->up, e);
		break;
	case ENTER:
		rc = enter(s, h->up, e);
		break;
	}
	if (fate == FINISH && rc == ERR_OK)
		pending = h->up->info.pending;
	if (rc == ERR_OK && pending != 0)
		rc = follow_up(s, h->up, pending, e);
	h->is_over =
	    fate != KEEP && fate != ENTER && fate != RENEW && rc == ERR_OK;
	return rc;
}

/* By now an old record is locked by us, which is no note of anything pending.
 */
static bool
is_still(struct sweep *s, struct upload *up, enum fate seen)
{
	switch (seen) {
	case FORGET:
		return may_be_forgotten(s, up);
	case RETIRE:
		return was_kept_long_enough(s, up) && up->info.pending == 0;
	default:
		return fate_of(s, up) == seen;
	}
}

/* The lock is held: is what was true without it still true? */
static enum err_code
sweep_locked(struct sweep *s, struct handle *h, enum fate *fate, struct err *e)
{
	enum fate seen = *fate;
	enum err_code rc = ERR_OK;

	*fate = KEEP;
	if (h->lock != NULL || h->is_guarded)
		rc = s->store->core->claim(h->up, e);
	h->is_over = rc == ERR_NOT_FOUND;
	if (rc != ERR_OK)
		return rc;
	if (!is_still(s, h->up, seen))
		return ERR_OK;
	*fate = seen;
	return carry_out(s, h, seen, e);
}

static void
sweep_upload(struct sweep *s, const char *id, enum fate fate)
{
	static const enum sweep_deed deeds[] = {
		[EXPIRE] = SWEEP_EXPIRED,
		[RETIRE] = SWEEP_RETIRED,
		[RENEW] = SWEEP_RENEWED,
		[FINISH] = SWEEP_FINISHED,
		[CONFIRM] = SWEEP_CONFIRMED,
		[ENTER] = SWEEP_ENTERED,
		[FORGET] = SWEEP_FORGOTTEN,
	};
	struct handle h;
	enum err_code rc = ERR_OK;
	struct err e;

	if (!s->dry_run)
		rc = open_and_lock(
		    s, id, fate == EXPIRE || fate == RETIRE, &h, &e);
	if (!s->dry_run && rc == ERR_OK) {
		rc = sweep_locked(s, &h, &fate, &e);
		handle_close(&h);
	}
	if (rc == ERR_OK && fate != KEEP)
		sweep_met(s, deeds[fate], id, NULL);
	else if (rc == ERR_LOCKED)
		sweep_met(s, SWEEP_IN_USE, id, NULL);
	else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
		sweep_failed(s, id, &e);
}

/* Hooks that fail must not keep it from the rest of the store. */
static bool
may_take_long(struct sweep *s, enum fate fate)
{
	return (fate == FINISH || fate == CONFIRM) && !s->dry_run &&
	    (wants(s, HOOK_POST_FINISH) || wants(s, HOOK_PRE_FINISH));
}

/* --- Turns. --- */

static void
add_turn(struct turns *t, const char *id, int fate)
{
	struct turn *more;

	if (t->n == t->room) {
		t->room = t->room == 0 ? 64 : 2 * t->room;
		more = arena_alloc(t->arena, t->room * sizeof(*more));
		if (t->n > 0)
			memcpy(more, t->list, t->n * sizeof(*more));
		t->list = more;
	}
	t->list[t->n++] = (struct turn){ arena_strdup(t->arena, id), fate };
}

static int
compare_turns(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return strcmp(x->id, y->id);
}

/* Those behind an id come first; "" is before any. */
static void
order_turns(struct turns *t, const char *after)
{
	struct turn *sorted;
	size_t first = 0;

	if (t->n == 0)
		return;
	qsort(t->list, t->n, sizeof(*t->list), compare_turns);
	while (first < t->n && strcmp(t->list[first].id, after) <= 0)
		first++;
	sorted = arena_alloc(t->arena, t->n * sizeof(*sorted));
	memcpy(sorted, t->list + first, (t->n - first) * sizeof(*sorted));
	memcpy(sorted + (t->n - first), t->list, first * sizeof(*sorted));
	t->list = sorted;
}

static void
look_at_upload(struct sweep *s, const char *id)
{
	struct upload *up;
	enum fate fate = KEEP;
	enum err_code rc;
	struct err e;

	rc = s->store->core->get_upload(s->store, id, s->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return;
	if (rc != ERR_OK && rc != ERR_CORRUPT) {
		sweep_failed(s, id, &e);
		return;
	}
	if (rc == ERR_CORRUPT)
		sweep_met(s, SWEEP_DAMAGED, id, NULL);
	else
		fate = fate_of(s, up);
	if (rc == ERR_OK && fate == KEEP)
		id_set_add(s->seen.ids, id,
		    upload_is_finished(up) ? SWEEP_SAW_FINISHED :
					     SWEEP_SAW_UNFINISHED);
	s->store->core->close(up);
	if (may_take_long(s, fate))
		add_turn(&s->turns, id, (int)fate);
	else if (fate != KEEP)
		sweep_upload(s, id, fate);
}

/* Until hooks have failed for too long; the next sweep goes on from there. */
static void
take_turns(struct sweep *s)
{
	const struct turns *t = &s->turns;
	size_t i;

	order_turns(&s->turns, s->now.after);
	for (i = 0; i < t->n && (i == 0 || s->failing < s->hooks->patience);
	     i++) {
		arena_reset(s->arena);
		sweep_upload(s, t->list[i].id, (enum fate)t->list[i].fate);
	}
	*s->now.after = '\0';
	if (i == t->n)
		return;
	(void)snprintf(
	    s->now.after, sizeof(s->now.after), "%s", t->list[i - 1].id);
	s->ears->failed(s,
	    arena_printf(s->arena,
		"%zu finished uploads not tried, because hooks fail: the next "
		"sweep will go on with them",
		t->n - i));
}

int64_t
sweep_young(const struct conf *conf, bool has_hooks)
{
	const int64_t times[] = { conf->expiration.after,
		conf->retention.after };
	int64_t young = SWEEP_QUIET;
	size_t i;

	for (i = 0; i < NITEMS(times); i++)
		if (times[i] > 0 && times[i] / 1000 < young)
			young = times[i] / 1000;
	return has_hooks ? 0 : young;
}

static void
sweep_uploads(struct sweep *s)
{
	const struct store_expirer *expirer = s->store->expirer;
	int64_t since = s->young > 0 && s->older_than < 0 ?
	    clock_now() - s->young :
	    INT64_MAX;
	void *cursor = NULL;
	const char *id;
	int64_t n = 0;
	struct err e;

	for (;;) {
		arena_reset(s->arena);
		if (expirer->walk_next(s->store, &cursor, since, s->arena, &id,
			&e) != ERR_OK) {
			s->ears->failed(s, e.text);
			break;
		}
		if (id == NULL)
			break;
		s->ears->progress(s, "uploads", ++n);
		look_at_upload(s, id);
	}
	s->ears->progress(s, "uploads", 0);
}

/* --- All of it. --- */

static bool
was_seen(const struct store_seen *base, const char *id)
{
	const struct sweep_seen *seen =
	    OUTER(base, const struct sweep_seen, base);

	return id_set_mark(seen->ids, id) != 0;
}

/*
 * After a jump of the clock the old note stays, so that the next sweep sees the
 * jump, too.
 */
static enum err_code
check_clock(struct sweep *s, struct err *e)
{
	struct clock_note then;
	char text[CLOCK_NOTE_MAX];
	int64_t age, jump;
	enum err_code rc;

	rc = s->store->expirer->read_note(s->store, text, sizeof(text), e);
	if (rc != ERR_OK || !clock_note_read(&then, text))
		return rc;
	memcpy(s->now.after, then.after, sizeof(s->now.after));
	age = clock_note_age(&then, &s->now);
	if (s->every > 0 && age >= 0 && age < s->every)
		return err_set(e, ERR_EXISTS, "not yet");
	jump = clock_note_jump(&then, &s->now);
	if (jump != 0)
		return err_set(e, ERR_CONFLICT,
		    "the clock jumped by %" PRId64
		    " seconds since the last sweep: nothing is removed",
		    jump);
	return ERR_OK;
}

enum err_code
sweep_begin(struct sweep *s, struct err *e)
{
	const struct data_store *store = s->store;
	enum err_code rc = ERR_OK;

	if (store->expirer == NULL || store->terminater == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "the store \"%s\" cannot do that", store->name);
	/* The sweep that held it before may have renewed the note. */
	if (!s->dry_run)
		rc = store->expirer->lock_note(s->store, e);
	if (rc != ERR_OK && rc != ERR_NO_SPACE && s->every > 0)
		return rc;
	clock_note_now(&s->now);
	rc = check_clock(s, e);
	return s->force ? ERR_OK : rc;
}

void
sweep_run(struct sweep *s)
{
	char text[CLOCK_NOTE_MAX];
	struct err e;

	s->arena = arena_new();
	s->turns = (struct turns){ .arena = arena_new() };
	s->seen =
	    (struct sweep_seen){ { was_seen }, id_set_new(SWEEP_SEEN_MAX) };
	sweep_uploads(s);
	take_turns(s);
	sweep_leftovers(s);
	sweep_locks(s);
	sweep_ledger(s);
	sweep_events(s);
	clock_note_write(&s->now, text);
	if (!s->dry_run &&
	    s->store->expirer->write_note(s->store, text, &e) != ERR_OK)
		s->ears->failed(s, e.text);
	id_set_free(s->seen.ids);
	arena_free(s->turns.arena);
	arena_free(s->arena);
	s->arena = NULL;
}

bool
sweep_follow_up(struct sweep *s, struct upload *up, struct err *e)
{
	unsigned pending = pending_of(s, up);

	if (pending == 0)
		return true;
	if (s->hooks != NULL && s->failing > 0 &&
	    s->failing >= s->hooks->patience) {
		(void)err_set(e, ERR_UNAVAILABLE, "hooks have failed too long");
		return false;
	}
	return s->store->core->confirm(up, e) == ERR_OK &&
	    follow_up(s, up, pending, e) == ERR_OK;
}
