/*
 * sweep_rest.c - the part of a sweep that is about no upload: what lies around
 * in the store, locks that nobody needs any more, the ledger, and events.
 */
#include "config.h"

#include <inttypes.h>

#include "base/id.h"
#include "tus/sweep_parts.h"

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
		rc = tus_sweep_lock(s, l->id, LOCK_QUIETLY, &lock, e);
	if (rc == ERR_OK && !l->removable)
		rc = store->terminater->clear(store, l->id, false, e);
	else if (rc == ERR_OK || rc == ERR_NO_SPACE)
		rc = store->keeper->leftover_remove(store, l, e);
	if (lock != NULL)
		tus_sweep_unlock(lock, rc == ERR_OK && !l->removable);
	return rc;
}

static void
sweep_leftover(struct tus_sweep *s, const struct store_leftover *l)
{
	enum err_code rc = ERR_OK;
	struct err e;

	if (!is_ours(s, l)) {
		tus_sweep_met(s, TUS_SWEEP_STRANGER, l->name, l->what);
		return;
	}
	if (s->now.real - l->changed <= TUS_SWEEP_QUIET)
		return;
	if (!s->dry_run)
		rc = remove_locked(s, l, &e);
	if (rc == ERR_OK)
		tus_sweep_met(s, TUS_SWEEP_LEFTOVER, l->name, l->what);
	else if (rc == ERR_LOCKED)
		tus_sweep_met(s, TUS_SWEEP_IN_USE, l->name, l->what);
	else if (rc != ERR_CONFLICT && rc != ERR_EXISTS && rc != ERR_NOT_FOUND)
		tus_sweep_failed(s, l->name, &e);
}

void
tus_sweep_leftovers(struct tus_sweep *s)
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
		rc = tus_sweep_lock(s, id, LOCK_EXISTING_QUIETLY, &lock, &e);
		if (rc == ERR_LOCKED)
			tus_sweep_met(s, TUS_SWEEP_IN_USE, id, NULL);
		else if (rc != ERR_OK && rc != ERR_NOT_FOUND)
			tus_sweep_failed(s, id, &e);
		if (rc != ERR_OK)
			return;
		deed = judge_lock(s, id);
		tus_sweep_unlock(lock, deed != TUS_SWEEP_MAX);
	}
	if (deed != TUS_SWEEP_MAX)
		tus_sweep_met(s, deed, id, NULL);
}

void
tus_sweep_locks(struct tus_sweep *s)
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

/* --- What is written down of uploads that are gone. --- */

void
tus_sweep_ledger(struct tus_sweep *s)
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

void
tus_sweep_events(struct tus_sweep *s)
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
