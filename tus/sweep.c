/*
 * sweep.c - carry out what time has decided, in a whole store.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "tus/expire.h"
#include "tus/pending.h"
#include "tus/sweep.h"

enum {
	/* How long, in seconds, nothing must have changed before something
	 * counts as left behind. */
	QUIET = 3600
};

/* An upload that is open and locked.  Where there is no room for a lock nobody
 * has it; who makes room must not need any, and has NULL. */
struct held {
	struct upload *up;
	struct lock *lock;
	/* Nobody will lock it again. */
	bool is_over;
};

const char *
tus_sweep_says(enum tus_sweep_deed deed)
{
	static const char *const words[TUS_SWEEP_MAX] = {
		[TUS_SWEEP_EXPIRED] = "removed: expired",
		[TUS_SWEEP_RENEWED] = "renewed: the clock was not set before",
		[TUS_SWEEP_FINISHED] = "finished: it was complete",
		[TUS_SWEEP_FORGOTTEN] = "forgotten: it was moved away",
		[TUS_SWEEP_CONFIRMED] = "unlocked: it is finished",
		[TUS_SWEEP_ORPHAN] = "unlocked: there is no such upload",
		[TUS_SWEEP_LEFTOVER] = "removed",
		[TUS_SWEEP_ENTERED] = "entered: its owner has a quota",
		[TUS_SWEEP_IN_USE] = "in use",
		[TUS_SWEEP_DAMAGED] = "damaged, see tusctl check",
		[TUS_SWEEP_STRANGER] = "left alone",
	};

	return words[deed];
}

static void
met(struct tus_sweep *s, enum tus_sweep_deed deed, const char *name,
    const char *what)
{
	s->count[deed]++;
	s->ears->met(s, deed, name, what);
}

static void
failed(struct tus_sweep *s, const char *name, const struct err *e)
{
	s->ears->failed(s, arena_printf(s->arena, "%s: %s", name, e->text));
}

/* --- Locks. --- */

static enum err_code
take_lock(struct tus_sweep *s, const char *id, enum lock_how how,
    struct lock **lock, struct err *e)
{
	const struct locker_ops *ops = s->locker->ops;
	enum err_code rc;

	rc = ops->acquire(s->locker, id, how, s->arena, lock, e);
	if (rc == ERR_LOCKED)
		ops->stop_asking(s->locker, id);
	return rc;
}

static void
give_lock(struct lock *lock, bool is_over)
{
	lock->locker->ops->release(lock, is_over);
}

static enum err_code
hold(struct tus_sweep *s, const char *id, bool to_remove, struct held *h,
    struct err *e)
{
	enum lock_how how = LOCK_QUIETLY;
	enum err_code rc;

	*h = (struct held){ 0 };
	rc = s->store->core->get_upload(s->store, id, s->arena, &h->up, e);
	if (rc != ERR_OK && rc != ERR_CORRUPT)
		return rc;
	/* A lock of our own making would be no note of anything. */
	if (h->up->info.is_marked_by_lock && !to_remove)
		how = LOCK_EXISTING;
	rc = take_lock(s, id, how, &h->lock, e);
	if (rc == ERR_NO_SPACE && to_remove)
		return ERR_OK;
	if (rc != ERR_OK)
		s->store->core->close(h->up);
	return rc;
}

static void
let_go(struct tus_sweep *s, struct held *h)
{
	s->store->core->close(h->up);
	if (h->lock != NULL)
		give_lock(h->lock, h->is_over);
}

/* --- Hooks. --- */

static bool
wants(struct tus_sweep *s, enum tus_hook hook)
{
	return s->hooks != NULL && s->hooks->ops->wants(s->hooks, hook);
}

/* What was lost on those who did not answer; whoever refuses has. */
static void
note_answer(struct tus_sweep *s, bool went_well, int64_t began)
{
	if (!went_well)
		s->failing += clock_ms() - began;
}

/* ERR_CONFLICT: pre-finish refuses. */
static enum err_code
ask_to_finish(struct tus_sweep *s, const struct file_info *info, struct err *e)
{
	const struct tus_event event = { TUS_PRE_FINISH, info, NULL };
	int64_t began = clock_ms();
	struct tus_verdict v;
	enum err_code rc;

	if (!wants(s, TUS_PRE_FINISH))
		return ERR_OK;
	rc = s->hooks->ops->ask(s->hooks, &event, s->arena, &v, e);
	note_answer(s, rc == ERR_OK, began);
	if (rc == ERR_OK && v.reply.status >= 400)
		return err_set(e, ERR_CONFLICT, "hook pre-finish refuses: %d",
		    v.reply.status);
	return rc;
}

static enum err_code
tell_finished(struct tus_sweep *s, const struct file_info *info, struct err *e)
{
	const struct tus_event event = { TUS_POST_FINISH, info, NULL };
	int64_t began = clock_ms();
	struct tus_notice *n;
	bool is_told;

	if (!wants(s, TUS_POST_FINISH))
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
	FORGET
};

/* Where nobody can know, all the rest is done nevertheless. */
static bool
is_entered(struct tus_sweep *s, struct upload *up)
{
	bool is_right;
	struct err e;

	if (!s->has_quota || s->store->ledger == NULL)
		return true;
	if (s->store->ledger->is_right(up, &is_right, &e) == ERR_OK)
		return is_right;
	failed(s, up->info.id, &e);
	return true;
}

/* What is still to be done for a finished upload.  An old record does not say:
 * then all of it is, if its lock, or a move that was begun, has been left. */
static unsigned
pending_of(struct tus_sweep *s, struct upload *up)
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
may_be_forgotten(const struct tus_sweep *s, const struct upload *up)
{
	return upload_is_finished(up) && up->info.forget != 0 &&
	    up->info.forget < s->now.real;
}

/* Is it of the days when the clock was not set yet? */
static bool
is_timeless(const struct tus_sweep *s, int64_t when)
{
	return !s->force && !clock_was_set(when) && clock_was_set(s->now.real);
}

static enum fate
fate_by_time(struct tus_sweep *s, struct upload *up)
{
	int64_t change = s->store->keeper->last_change(up);
	int64_t quiet = s->now.real - change;
	const struct file_info *info = &up->info;

	if (upload_is_finished(up) && pending_of(s, up) != 0)
		return CONFIRM;
	if (upload_is_finished(up))
		return may_be_forgotten(s, up) ? FORGET : KEEP;
	if (upload_is_whole(up))
		return quiet > QUIET ? FINISH : KEEP;
	if (info->expires != 0 && info->expires < s->now.real)
		return is_timeless(s, info->expires) ? RENEW : EXPIRE;
	if (s->older_than >= 0 && quiet > s->older_than)
		return is_timeless(s, change) ? KEEP : EXPIRE;
	return KEEP;
}

/* One thing at a time: the next sweep finds what else there is to do. */
static enum fate
fate_of(struct tus_sweep *s, struct upload *up)
{
	enum fate fate = fate_by_time(s, up);

	return fate == EXPIRE || is_entered(s, up) ? fate : ENTER;
}

/* It was there before there was a quota, or a crash left it so. */
static enum err_code
enter(struct tus_sweep *s, struct upload *up, struct err *e)
{
	const struct file_info *info = &up->info;
	int64_t size = info->size_deferred ? info->offset : info->size;

	return s->store->ledger->resize(up, NULL, size, size, &size, e);
}

/* As much time as it was given, from now on. */
static enum err_code
renew(struct tus_sweep *s, struct upload *up, struct err *e)
{
	int64_t time = up->info.expires - up->info.created;

	return s->store->expirer->set_expiry(
	    up, s->now.real + (time > 0 ? time : up->info.expires), e);
}

/*
 * As the request would have done that brought the last byte.  A hook that
 * fails is asked again by the next sweep; one that refuses has decided.
 */
static enum err_code
finish(struct tus_sweep *s, struct held *h, struct err *e)
{
	const struct store_finisher *finisher = s->store->finisher;
	enum err_code rc;
	struct err inner;

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
    struct tus_sweep *s, struct upload *up, unsigned *pending, struct err *e)
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

/* Whatever was done is struck out, whatever was not is found again. */
static enum err_code
follow_up(
    struct tus_sweep *s, struct upload *up, unsigned pending, struct err *e)
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
carry_out(struct tus_sweep *s, struct held *h, enum fate fate, struct err *e)
{
	unsigned pending = 0;
	enum err_code rc = ERR_OK;

	switch (fate) {
	case KEEP:
		break;
	case EXPIRE:
		rc = tus_expire(
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

/* The lock is held: is what was true without it still true? */
static enum err_code
sweep_held(struct tus_sweep *s, struct held *h, enum fate *fate, struct err *e)
{
	enum fate seen = *fate;
	enum err_code rc = ERR_OK;

	*fate = KEEP;
	if (h->lock != NULL)
		rc = s->store->core->claim(h->up, e);
	h->is_over = rc == ERR_NOT_FOUND;
	if (rc != ERR_OK)
		return rc;
	if (seen == FORGET ? !may_be_forgotten(s, h->up) :
			     fate_of(s, h->up) != seen)
		return ERR_OK;
	*fate = seen;
	return carry_out(s, h, seen, e);
}

static void
sweep_upload(struct tus_sweep *s, const char *id, enum fate fate)
{
	static const enum tus_sweep_deed deeds[] = {
		[EXPIRE] = TUS_SWEEP_EXPIRED,
		[RENEW] = TUS_SWEEP_RENEWED,
		[FINISH] = TUS_SWEEP_FINISHED,
		[CONFIRM] = TUS_SWEEP_CONFIRMED,
		[ENTER] = TUS_SWEEP_ENTERED,
		[FORGET] = TUS_SWEEP_FORGOTTEN,
	};
	struct held held;
	enum err_code rc = ERR_OK;
	struct err e;

	if (!s->dry_run)
		rc = hold(s, id, fate == EXPIRE, &held, &e);
	if (!s->dry_run && rc == ERR_OK) {
		rc = sweep_held(s, &held, &fate, &e);
		let_go(s, &held);
	}
	if (rc == ERR_OK && fate != KEEP)
		met(s, deeds[fate], id, NULL);
	else if (rc == ERR_LOCKED)
		met(s, TUS_SWEEP_IN_USE, id, NULL);
	else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
		failed(s, id, &e);
}

/* Hooks that fail must not keep it from the rest of the store. */
static bool
may_take_long(struct tus_sweep *s, enum fate fate)
{
	return (fate == FINISH || fate == CONFIRM) && !s->dry_run &&
	    (wants(s, TUS_POST_FINISH) || wants(s, TUS_PRE_FINISH));
}

static void
look_at_upload(struct tus_sweep *s, const char *id)
{
	struct upload *up;
	enum fate fate = KEEP;
	enum err_code rc;
	struct err e;

	rc = s->store->core->get_upload(s->store, id, s->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return;
	if (rc != ERR_OK && rc != ERR_CORRUPT) {
		failed(s, id, &e);
		return;
	}
	if (rc == ERR_CORRUPT)
		met(s, TUS_SWEEP_DAMAGED, id, NULL);
	else
		fate = fate_of(s, up);
	s->store->core->close(up);
	if (may_take_long(s, fate))
		turns_add(&s->turns, id, (int)fate);
	else if (fate != KEEP)
		sweep_upload(s, id, fate);
}

/* Until hooks have failed for too long; the next sweep goes on from there. */
static void
take_turns(struct tus_sweep *s)
{
	const struct turns *t = &s->turns;
	size_t i;

	turns_order(&s->turns, s->now.after);
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

static void
sweep_uploads(struct tus_sweep *s)
{
	const struct store_expirer *expirer = s->store->expirer;
	void *cursor = NULL;
	const char *id;
	int64_t n = 0;
	struct err e;

	for (;;) {
		arena_reset(s->arena);
		if (expirer->walk_next(s->store, &cursor, s->arena, &id, &e) !=
		    ERR_OK) {
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

/* --- What is no upload. --- */

/* If not even its id tells, the lock that its maker took does. */
static bool
is_ours(struct tus_sweep *s, const struct store_leftover *l)
{
	return l->removable ||
	    (l->may_be_ours && locker_knows(s->locker, l->id, s->arena));
}

static enum err_code
remove_locked(
    struct tus_sweep *s, const struct store_leftover *l, struct err *e)
{
	struct data_store *store = s->store;
	struct lock *lock = NULL;
	enum err_code rc = ERR_OK;

	if (l->id != NULL)
		rc = take_lock(s, l->id, LOCK_QUIETLY, &lock, e);
	if (rc == ERR_OK && !l->removable)
		rc = store->terminater->clear(store, l->id, false, e);
	else if (rc == ERR_OK || rc == ERR_NO_SPACE)
		rc = store->keeper->leftover_remove(store, l, e);
	if (lock != NULL)
		give_lock(lock, rc == ERR_OK && !l->removable);
	return rc;
}

static void
sweep_leftover(struct tus_sweep *s, const struct store_leftover *l)
{
	enum err_code rc = ERR_OK;
	struct err e;

	if (!is_ours(s, l)) {
		met(s, TUS_SWEEP_STRANGER, l->name, l->what);
		return;
	}
	if (s->now.real - l->changed <= QUIET)
		return;
	if (!s->dry_run)
		rc = remove_locked(s, l, &e);
	if (rc == ERR_OK)
		met(s, TUS_SWEEP_LEFTOVER, l->name, l->what);
	else if (rc == ERR_LOCKED)
		met(s, TUS_SWEEP_IN_USE, l->name, l->what);
	else if (rc != ERR_CONFLICT && rc != ERR_EXISTS && rc != ERR_NOT_FOUND)
		failed(s, l->name, &e);
}

static void
sweep_leftovers(struct tus_sweep *s)
{
	const struct store_keeper *keeper = s->store->keeper;
	struct store_leftover l;
	void *cursor = NULL;
	int64_t n = 0;
	struct err e;

	for (;;) {
		arena_reset(s->arena);
		if (keeper->leftover_next(
			s->store, &cursor, s->arena, &l, &e) != ERR_OK) {
			s->ears->failed(s, e.text);
			break;
		}
		if (l.name == NULL && cursor == NULL)
			break;
		n += l.looked;
		s->ears->progress(s, "files", n);
		if (l.name != NULL)
			sweep_leftover(s, &l);
	}
	s->ears->progress(s, "files", 0);
}

/* --- Locks that nobody needs any more. --- */

/*
 * What is to be said if the lock of this id goes; TUS_SWEEP_MAX: it stays.
 * The lock of what is left of an upload, and too young to go, says that it is
 * ours; and that of another program may look like one of ours.
 */
static enum tus_sweep_deed
judge_lock(struct tus_sweep *s, const char *id)
{
	enum tus_sweep_deed deed = TUS_SWEEP_MAX;
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = s->store->core->get_upload(s->store, id, s->arena, &up, &e);
	if (rc == ERR_OK && upload_is_finished(up) && up->info.pending == 0 &&
	    !up->info.is_marked_by_lock)
		deed = TUS_SWEEP_CONFIRMED;
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		s->store->core->close(up);
	if (rc == ERR_NOT_FOUND && id_is_ours(id) &&
	    s->store->terminater->clear(s->store, id, true, &e) ==
		ERR_NOT_FOUND)
		deed = TUS_SWEEP_ORPHAN;
	return deed;
}

static void
sweep_lock(struct tus_sweep *s, const char *id)
{
	enum tus_sweep_deed deed = judge_lock(s, id);
	struct lock *lock;
	enum err_code rc;
	struct err e;

	if (deed == TUS_SWEEP_MAX)
		return;
	if (!s->dry_run) {
		rc = take_lock(s, id, LOCK_EXISTING, &lock, &e);
		if (rc == ERR_LOCKED)
			met(s, TUS_SWEEP_IN_USE, id, NULL);
		else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
			failed(s, id, &e);
		if (rc != ERR_OK)
			return;
		deed = judge_lock(s, id);
		give_lock(lock, deed != TUS_SWEEP_MAX);
	}
	if (deed != TUS_SWEEP_MAX)
		met(s, deed, id, NULL);
}

static void
sweep_locks(struct tus_sweep *s)
{
	void *cursor = NULL;
	const char *id;
	struct err e;

	for (;;) {
		arena_reset(s->arena);
		if (s->locker->ops->walk_next(
			s->locker, &cursor, s->arena, &id, &e) != ERR_OK) {
			s->ears->failed(s, e.text);
			break;
		}
		if (id == NULL)
			break;
		sweep_lock(s, id);
	}
}

/* --- What is written down of uploads that are gone. --- */

static void
sweep_ledger(struct tus_sweep *s)
{
	const struct store_ledger *ledger = s->store->ledger;
	struct err e;

	if (ledger != NULL &&
	    ledger->prune(s->store, s->dry_run, &s->struck, &e) != ERR_OK)
		s->ears->failed(s, e.text);
}

/* --- Events that were not taken. --- */

static int64_t
count_failed(const struct tus_tally *t)
{
	int64_t n = 0;
	enum tus_hook hook;

	for (hook = 0; hook < TUS_HOOK_MAX; hook++)
		n += t->failed[hook];
	return n;
}

static void
sweep_events(struct tus_sweep *s)
{
	enum tus_delivery how = s->dry_run ? TUS_DELIVER_NONE :
	    s->every > 0		   ? TUS_DELIVER_DUE :
					     TUS_DELIVER_ALL;
	struct tus_tally *t = &s->events;
	struct err e;

	if (s->hooks == NULL)
		return;
	if (s->hooks->ops->deliver(s->hooks, how, t, &e) != ERR_OK)
		s->ears->failed(s, e.text);
	if (t->damaged > 0)
		s->ears->failed(s,
		    arena_printf(s->arena,
			"%" PRId64 " events cannot be told: see tusctl check",
			t->damaged));
	if (count_failed(t) > 0)
		s->ears->failed(s,
		    arena_printf(s->arena,
			"%" PRId64 " events were not taken, %" PRId64
			" not tried: the next sweep will try again",
			count_failed(t), t->left));
}

/* --- All of it. --- */

/*
 * After a jump of the clock the old note stays, so that the question stays,
 * too.
 */
static enum err_code
check_clock(struct tus_sweep *s, struct err *e)
{
	struct clock_note then;
	char text[CLOCK_NOTE_MAX];
	int64_t age, jump;
	enum err_code rc;

	rc = s->store->keeper->read_note(s->store, text, sizeof(text), e);
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
tus_sweep_begin(struct tus_sweep *s, struct err *e)
{
	const struct data_store *store = s->store;
	enum err_code rc = ERR_OK;

	if (store->keeper == NULL || store->terminater == NULL ||
	    store->expirer == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "the store \"%s\" cannot do that", store->name);
	/* Whoever holds it may have brought the note up to date. */
	if (!s->dry_run)
		rc = store->keeper->lock_note(s->store, e);
	if (rc != ERR_OK && rc != ERR_NO_SPACE && s->every > 0)
		return rc;
	clock_note_now(&s->now);
	rc = check_clock(s, e);
	return s->force ? ERR_OK : rc;
}

void
tus_sweep_run(struct tus_sweep *s)
{
	char text[CLOCK_NOTE_MAX];
	struct err e;

	s->arena = arena_new();
	s->turns = (struct turns){ .arena = arena_new() };
	sweep_uploads(s);
	take_turns(s);
	sweep_leftovers(s);
	sweep_locks(s);
	sweep_ledger(s);
	sweep_events(s);
	clock_note_write(&s->now, text);
	if (!s->dry_run &&
	    s->store->keeper->write_note(s->store, text, &e) != ERR_OK)
		s->ears->failed(s, e.text);
	arena_free(s->turns.arena);
	arena_free(s->arena);
	s->arena = NULL;
}

bool
tus_sweep_follow_up(struct tus_sweep *s, struct upload *up, struct err *e)
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
