/*
 * sweep_rest.c - the part of a sweep that is about no upload: leftover files in
 * the store, locks that are not needed any more, the ledger, and events.  Both
 * parts tell what they do with sweep_met() and sweep_failed().
 */
#include "config.h"

#include <inttypes.h>

#include "base/id.h"
#include "core/handle.h"
#include "core/sweep_parts.h"

/* --- Reports. --- */

const char *
sweep_says(enum sweep_deed deed)
{
	static const char *const words[SWEEP_MAX] = {
		[SWEEP_EXPIRED] = "removed: expired",
		[SWEEP_RETIRED] = "removed: kept long enough",
		[SWEEP_RENEWED] = "renewed: the clock was not set before",
		[SWEEP_FINISHED] = "finished: it was complete",
		[SWEEP_FORGOTTEN] = "forgotten: it was moved away",
		[SWEEP_CONFIRMED] = "unlocked: it is finished",
		[SWEEP_ORPHAN] = "unlocked: there is no such upload",
		[SWEEP_LEFTOVER] = "removed",
		[SWEEP_ENTERED] = "entered: its owner has a quota",
		[SWEEP_IN_USE] = "in use",
		[SWEEP_DAMAGED] = "damaged, see tusctl check",
		[SWEEP_STRANGER] = "left alone",
	};

	return words[deed];
}

void
sweep_met(
    struct sweep *s, enum sweep_deed deed, const char *name, const char *what)
{
	s->count[deed]++;
	s->ears->met(s, deed, name, what);
}

void
sweep_failed(struct sweep *s, const char *name, const struct err *e)
{
	s->ears->failed(s, arena_printf(s->arena, "%s: %s", name, e->text));
}

/* --- Files that belong to no upload. --- */

/* Where the name does not tell, the lock that the maker of the file took
 * does. */
static bool
is_ours(struct sweep *s, const struct store_leftover *l)
{
	return l->removable ||
	    (l->may_be_ours && locker_knows(s->locker, l->id, s->arena));
}

static enum err_code
remove_locked(struct sweep *s, const struct store_leftover *l, struct err *e)
{
	struct data_store *store = s->store;
	struct lock *lock = NULL;
	enum err_code rc = ERR_OK;

	if (l->id != NULL)
		rc = handle_lock_id(
		    s->locker, l->id, LOCK_QUIETLY, 0, s->arena, &lock, e);
	if (rc == ERR_OK && !l->removable)
		rc = store->terminater->clear(store, l->id, false, e);
	else if (rc == ERR_OK || rc == ERR_NO_SPACE)
		rc = store->keeper->leftover_remove(store, l, e);
	if (lock != NULL)
		lock->locker->ops->release(lock, rc == ERR_OK && !l->removable);
	return rc;
}

static void
sweep_leftover(struct sweep *s, const struct store_leftover *l)
{
	enum err_code rc = ERR_OK;
	struct err e;

	if (!is_ours(s, l)) {
		sweep_met(s, SWEEP_STRANGER, l->name, l->what);
		return;
	}
	if (s->now.real - l->changed <= SWEEP_QUIET)
		return;
	if (!s->dry_run)
		rc = remove_locked(s, l, &e);
	if (rc == ERR_OK)
		sweep_met(s, SWEEP_LEFTOVER, l->name, l->what);
	else if (rc == ERR_LOCKED)
		sweep_met(s, SWEEP_IN_USE, l->name, l->what);
	else if (rc != ERR_CONFLICT && rc != ERR_EXISTS && rc != ERR_NOT_FOUND)
		sweep_failed(s, l->name, &e);
}

void
sweep_leftovers(struct sweep *s)
{
	const struct store_keeper *keeper = s->store->keeper;
	struct store_leftover l;
	void *cursor = NULL;
	int64_t n = 0;
	struct err e;

	while (keeper != NULL) {
		arena_reset(s->arena);
		if (keeper->leftover_next(s->store, &cursor, &s->seen.base,
			s->arena, &l, &e) != ERR_OK) {
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

/* --- Locks that are needed no more. --- */

/*
 * The deed to report if the lock of this id is removed; SWEEP_MAX: it stays.
 * The lock beside leftovers that are too young to be removed shows that they
 * are ours; and the lock of another program may look like one of ours.
 */
static enum sweep_deed
judge_lock(struct sweep *s, const char *id)
{
	enum sweep_deed deed = SWEEP_MAX;
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = s->store->core->get_upload(s->store, id, s->arena, &up, &e);
	if (rc == ERR_OK && upload_is_finished(up) && up->info.pending == 0 &&
	    !up->info.is_marked_by_lock)
		deed = SWEEP_CONFIRMED;
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		s->store->core->close(up);
	if (rc == ERR_NOT_FOUND && id_is_ours(id) &&
	    s->store->terminater->clear(s->store, id, true, &e) ==
		ERR_NOT_FOUND)
		deed = SWEEP_ORPHAN;
	return deed;
}

static void
sweep_lock(struct sweep *s, const char *id)
{
	enum sweep_deed deed = SWEEP_MAX;
	struct lock *lock;
	enum err_code rc;
	struct err e;

	if (id_set_mark(s->seen.ids, id) != SWEEP_SAW_UNFINISHED)
		deed = judge_lock(s, id);
	if (deed == SWEEP_MAX)
		return;
	if (!s->dry_run) {
		rc = handle_lock_id(s->locker, id, LOCK_EXISTING_QUIETLY, 0,
		    s->arena, &lock, &e);
		if (rc == ERR_LOCKED)
			sweep_met(s, SWEEP_IN_USE, id, NULL);
		else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
			sweep_failed(s, id, &e);
		if (rc != ERR_OK)
			return;
		deed = judge_lock(s, id);
		lock->locker->ops->release(lock, deed != SWEEP_MAX);
	}
	if (deed != SWEEP_MAX)
		sweep_met(s, deed, id, NULL);
}

void
sweep_locks(struct sweep *s)
{
	void *cursor = NULL;
	const char *id;
	struct err e;

	if (s->locker->traces == NULL)
		return;
	for (;;) {
		arena_reset(s->arena);
		if (s->locker->traces->walk_next(
			s->locker, &cursor, s->arena, &id, &e) != ERR_OK) {
			s->ears->failed(s, e.text);
			break;
		}
		if (id == NULL)
			break;
		sweep_lock(s, id);
	}
}

/* --- The records of removed uploads.  --- */

void
sweep_ledger(struct sweep *s)
{
	const struct store_ledger *ledger = s->store->ledger;
	struct err e;

	if (ledger != NULL &&
	    ledger->prune(
		s->store, &s->seen.base, s->dry_run, &s->struck, &e) != ERR_OK)
		s->ears->failed(s, e.text);
}

/* --- Events that were not taken. --- */

static int64_t
count_failed(const struct hook_tally *t)
{
	int64_t n = 0;
	enum hook_point hook;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++)
		n += t->failed[hook];
	return n;
}

void
sweep_events(struct sweep *s)
{
	enum hook_delivery how = s->dry_run ? HOOK_DELIVER_NONE :
	    s->every > 0		    ? HOOK_DELIVER_DUE :
					      HOOK_DELIVER_ALL;
	struct hook_tally *t = &s->events;
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
