/*
 * after.c - what a program does that finds the store after a crash.
 */
#include "config.h"

#include "base/clock.h"
#include "tests/crash/drive.h"

/* All ids, collected first: what follows changes the directory. */
static size_t
collect(const char *ids[], size_t max)
{
	void *cursor = NULL;
	const char *id;
	size_t n = 0;

	while (good(ds->expirer->walk_next(
			ds, &cursor, INT64_MAX, arena, &id, &fault),
		   "walk", "-") &&
	    id != NULL && n < max)
		ids[n++] = id;
	return n;
}

static void
report(const struct upload *up)
{
	say("STATE %s %lld %lld %d %d", up->info.id, (long long)up->info.offset,
	    (long long)up->info.size, (int)up->info.size_deferred,
	    (int)upload_is_finished(up));
	if (up->info.owner != NULL)
		say("OWNED %s.%lld", up->info.id,
		    (long long)(up->info.size_deferred ? up->info.offset :
							 up->info.size));
	if (up->info.pending != 0)
		say("PENDING %s %u", up->info.id, up->info.pending);
	if (up->info.moved != 0)
		say("PLACE %s %s", up->info.id, place_of(up));
}

/* As the sweep does it. */
static void
set_right(struct upload *up)
{
	const struct file_info *info = &up->info;
	int64_t size = info->size_deferred ? info->offset : info->size;
	bool is_right = true;

	if (good(ds->ledger->is_right(up, &is_right, &fault), "look",
		info->id) &&
	    !is_right)
		(void)resize(up, size, size);
}

static void
recover_one(const char *id)
{
	struct upload *up = open_claimed(id);
	bool is_expired;

	if (up == NULL)
		return;
	if (upload_is_whole(up) && !upload_is_finished(up))
		(void)good(ds->finisher->finish(up, 0, &fault), "finish", id);
	if (upload_is_finished(up))
		(void)good(ds->mover->move(up, &fault), "move", id);
	is_expired = up->info.expires != 0 && up->info.expires < clock_now() &&
	    !upload_is_finished(up);
	if (is_expired)
		(void)good(ds->terminater->terminate(up, &fault), "expire", id);
	else if (good(ds->core->confirm(up, &fault), "confirm", id)) {
		set_right(up);
		report(up);
	}
	ds->core->close(up);
}

static void
sweep(void)
{
	void *cursor = NULL;
	struct store_leftover l;
	int64_t n;

	while (good(ds->keeper->leftover_next(
			ds, &cursor, NULL, arena, &l, &fault),
		   "sweep", "-") &&
	    (l.name != NULL || cursor != NULL))
		if (l.name != NULL && l.removable)
			(void)good(ds->keeper->leftover_remove(ds, &l, &fault),
			    "remove", l.name);
	(void)good(
	    ds->ledger->prune(ds, NULL, false, &n, &fault), "prune", "-");
}

void
recover(void)
{
	const char *ids[2 * UPLOADS];
	size_t i, n = collect(ids, NITEMS(ids));

	for (i = 0; i < n; i++)
		recover_one(ids[i]);
	sweep();
}

static void
resume_one(const char *id)
{
	struct upload *up = open_claimed(id);
	int number = number_of(id);
	struct chunk c = { .declare_within = true };

	if (up == NULL)
		return;
	if (!upload_is_finished(up)) {
		c.len = total[number] - up->info.offset;
		send_chunk(up, number, &c);
	}
	report(up);
	ds->core->close(up);
}

void
resume(void)
{
	const char *ids[2 * UPLOADS];
	size_t i, n = collect(ids, NITEMS(ids));

	for (i = 0; i < n; i++)
		resume_one(ids[i]);
}

void
settle(void)
{
	const char *ids[2 * UPLOADS];
	size_t i, n = collect(ids, NITEMS(ids));
	struct upload *up;

	for (i = 0; i < n; i++) {
		if ((up = open_claimed(ids[i])) == NULL)
			continue;
		if (!upload_is_finished(up))
			(void)good(ds->keeper->settle(up, false, &fault),
			    "settle", ids[i]);
		ds->core->close(up);
	}
}
