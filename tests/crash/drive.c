/*
 * drive.c - a fixed workload on the directory store, for the crash harnesses.
 *
 *	store-drive prepare DIR MODE	the state before: an upload of tusd, and
 *					one that was never flushed
 *	store-drive run DIR MODE	the workload
 *	store-drive owned DIR MODE	another, of an owner with a quota
 *	store-drive move DIR MODE	another, whose finished uploads move
 *	store-drive recover DIR MODE	open and repair every upload, then sweep
 *	store-drive resume DIR MODE	complete every upload
 *	store-drive settle DIR MODE	as before handing the directory over
 *
 * One process, the real store, no locks.  Each deed is written to standard
 * output before ("TRY") and after ("ACK"), each time with one write(2):
 * whatever the log acknowledges must be true of the directory for ever.  MODE
 * is store.durability, or "shared" for store.shared.  STORE_BOOT stands for the
 * kernel's boot id.  If there is a directory "in" beside DIR, finished uploads
 * are moved there.
 */
#include "config.h"

#include <openssl/crypto.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/file/file.h"

/* Small, so that little data passes every limit. */
#define CHECKPOINT_EVERY 8192
#define FLUSH_EVERY	 3000
#define WAITING_ROOM	 4096
#define SLICE		 1500
#define MAX_SIZE	 20000

/* Uploads by number; the size they will have in the end. */
enum {
	PLAIN = 1,
	DEFERRED,
	CHECKED,
	WITH_BODY,
	PART_A,
	PART_B,
	FINAL,
	EMPTY,
	DECLARED_WRONGLY,
	OVERFLOWING,
	EXPIRING,
	REFUSED,
	FOREIGN,
	MOVED,
	MOVED_TOO,
	MOVED_EMPTY,
	MOVED_APART,
	MOVED_AND_GONE,
	OWNED,
	OWNED_DEFERRED,
	OWNED_PART,
	OWNED_FINAL,
	UNSAFE,
	HIDDEN,
	HIDDEN_HALF,
	HIDDEN_CHECKED,
	HIDDEN_EMPTY,
	ENDED,
	ENDED_CHECKED,
	UPLOADS
};

static const int64_t total[UPLOADS] = {
	[PLAIN] = 20000,
	[DEFERRED] = 9000,
	[CHECKED] = 16000,
	[WITH_BODY] = 12000,
	[PART_A] = 3000,
	[PART_B] = 5000,
	[FINAL] = 11000,
	[EMPTY] = 0,
	[DECLARED_WRONGLY] = 7000,
	[OVERFLOWING] = 12000,
	[EXPIRING] = 2000,
	[REFUSED] = 6000,
	[FOREIGN] = 12000,
	[UNSAFE] = 10000,
	[OWNED] = 4000,
	[OWNED_DEFERRED] = 9000,
	[OWNED_PART] = 3000,
	[OWNED_FINAL] = 6000,
	[HIDDEN] = 4000,
	[HIDDEN_HALF] = 6000,
	[HIDDEN_CHECKED] = 9000,
	[HIDDEN_EMPTY] = 0,
	[ENDED] = 8000,
	[ENDED_CHECKED] = 9000,
	[MOVED] = 5000,
	[MOVED_TOO] = 3000,
	[MOVED_EMPTY] = 0,
	[MOVED_APART] = 2000,
	[MOVED_AND_GONE] = 1000,
};

/* What becomes of a chunk. */
enum fate {
	KEPT,
	TAKEN_BACK,
	ABANDONED
};

struct chunk {
	int64_t len;
	enum fate fate;
	bool on_probation;

	/* Declare the length before the chunk, in it, or when it is written:
	 * its end is the end of the upload. */
	bool declare_before, declare_within, declare_after;
};

/* Whose uploads are made; and what they may be together. */
static const char *owner;
static const struct store_quota quota = { .uploads = 9, .bytes = 100000 };

static struct data_store *ds;
static struct arena *arena;
static struct err err;
static int failures;

static void
say(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(3);
}

static bool
good(enum err_code rc, const char *op, const char *id)
{
	if (rc == ERR_OK)
		return true;
	say("ERR %s %s %d %s", op, id, (int)rc, err.text);
	failures++;
	return false;
}

static const char *
id_of(int number)
{
	return arena_printf(arena, "%032x", number);
}

static int
number_of(const char *id)
{
	return (int)strtol(id, NULL, 16);
}

/* The right bytes are 1 to 127, refused ones have the highest bit set. */
static void
fill(char *buf, int number, int64_t from, size_t len, bool is_right)
{
	size_t i;

	for (i = 0; i < len; i++) {
		int64_t at = from + (int64_t)i;
		int64_t c = 1 + (at * 7 + at / 127 + number * 31) % 127;

		buf[i] = (char)(is_right ? c : c | 0x80);
	}
}

static void
finish(struct upload *up, const char *id)
{
	const unsigned todo = up->info.is_final ? STORE_TO_REMOVE : 0;

	if (!good(ds->finisher->finish(up, todo, &err), "finish", id))
		return;
	say("ACK finish %s %lld", id, (long long)up->info.size);
	if (todo == 0)
		return;
	say("TRY done %s", id);
	(void)good(
	    ds->finisher->done(up, STORE_TO_CONFIRM | STORE_TO_REMOVE, &err),
	    "done", id);
}

static struct upload *
open_claimed(const char *id)
{
	struct upload *up = NULL;
	enum err_code rc = ds->core->get_upload(ds, id, arena, &up, &err);

	/* A record whose bytes are gone is no upload, and no error. */
	if (rc == ERR_NOT_FOUND)
		return NULL;
	if (!good(rc, "look", id)) {
		if (up != NULL)
			ds->core->close(up);
		return NULL;
	}
	if (good(ds->core->claim(up, &err), "claim", id))
		return up;
	ds->core->close(up);
	return NULL;
}

static bool
declare(struct upload *up, int number)
{
	const char *id = up->info.id;

	if (!up->info.size_deferred)
		return true;
	return good(
	    ds->length_declarer->declare_length(up, total[number], &err),
	    "declare", id);
}

static bool
write_slices(struct upload *up, int number, int64_t len, bool is_right)
{
	char buf[SLICE];
	int64_t left, n;

	for (left = len; left > 0; left -= n) {
		n = left < SLICE ? left : SLICE;
		fill(buf, number, up->info.offset, (size_t)n, is_right);
		if (!good(ds->core->write(up, buf, (size_t)n, &err), "write",
			up->info.id))
			return false;
	}
	return true;
}

/* The end of a request whose bytes are in order. */
static void
keep(struct upload *up, const char *id)
{
	if (!good(ds->core->write_end(up, true, &err), "end", id))
		return;
	if (upload_is_whole(up)) {
		finish(up, id);
		return;
	}
	say("ACK patch %s %lld %d", id, (long long)up->info.offset,
	    (int)up->info.size_deferred);
}

static void
send_chunk(struct upload *up, int number, const struct chunk *c)
{
	const char *id = up->info.id;
	int64_t start = up->info.offset;
	bool ok;

	if (c->fate == KEPT)
		say("TRY patch %s %lld %d", id, (long long)(start + c->len),
		    (int)(c->declare_before || c->declare_within ||
			c->declare_after));
	else if (c->on_probation)
		say("TRY refuse %s %lld", id, (long long)start);
	else
		say("TRY overflow %s %lld %lld", id, (long long)start,
		    (long long)(start + c->len));
	if (c->declare_before && !declare(up, number))
		return;
	if (!good(
		ds->core->write_begin(up, c->on_probation, &err), "begin", id))
		return;
	ok = (!c->declare_within || declare(up, number)) &&
	    write_slices(up, number, c->len, c->fate == KEPT) &&
	    (!c->declare_after || declare(up, number));
	if (c->fate == ABANDONED)
		return;
	if (ok && c->fate == KEPT) {
		keep(up, id);
		return;
	}
	ok = c->fate == KEPT && !c->on_probation && !c->declare_within &&
	    !c->declare_after;
	if (good(ds->core->write_end(up, ok, &err), "end", id))
		say("ACK refuse %s %lld %d", id, (long long)up->info.offset,
		    (int)up->info.size_deferred);
}

static void
patch(int number, const struct chunk *c)
{
	struct upload *up = open_claimed(id_of(number));

	if (up == NULL)
		return;
	/* Earlier failures may have left another offset, or a whole upload. */
	if (upload_is_whole(up) && !upload_is_finished(up))
		finish(up, up->info.id);
	else if (up->info.offset + c->len <= total[number] &&
	    !upload_is_finished(up))
		send_chunk(up, number, c);
	ds->core->close(up);
}

/* As a request does it: the entry first. */
static bool
enter(const struct file_info *info, struct store_entry **entry)
{
	*entry = NULL;
	return owner == NULL ||
	    good(ds->ledger->enter(ds, info,
		     info->size_deferred ? 0 : info->size, &quota, arena, entry,
		     &err),
		"enter", info->id);
}

static void
entered(struct store_entry *entry, bool is_made)
{
	if (entry != NULL)
		ds->ledger->entered(entry, is_made);
}

static struct upload *
create(int number, bool is_deferred, int64_t expires, bool is_hidden)
{
	const char *id = id_of(number);
	struct pair name = { NULL, "filename", "world.txt", 9 };
	struct file_info info = { .id = id,
		.size = total[number],
		.size_deferred = is_deferred,
		.metadata = &name,
		.metadata_raw = "filename d29ybGQudHh0",
		.is_partial = number == PART_A || number == PART_B,
		.move_to = number == MOVED_APART ? "sub/dir/world.txt" : NULL,
		.created = clock_now(),
		.expires = expires,
		.owner = owner };
	struct store_entry *entry;
	struct upload *up = NULL;

	say("TRY %s %s %lld %d %lld", is_hidden ? "hide" : "create", id,
	    (long long)total[number], (int)is_deferred, (long long)expires);
	if (!enter(&info, &entry))
		return NULL;
	if (!good(is_hidden ?
		    ds->core->new_hidden(ds, &info, arena, &up, &err) :
		    ds->core->new_upload(ds, &info, arena, &up, &err),
		"create", id))
		up = NULL;
	entered(entry, up != NULL);
	return up;
}

static void
create_only(int number, bool is_deferred, int64_t expires)
{
	struct upload *up = create(number, is_deferred, expires, false);

	if (up == NULL)
		return;
	say("ACK create %s 0 %d", up->info.id, (int)is_deferred);
	if (upload_is_whole(up))
		finish(up, up->info.id);
	ds->core->close(up);
}

static void
create_with_body(int number, int64_t len)
{
	struct upload *up = create(number, false, 0, false);
	struct chunk c = { .len = len };

	if (up == NULL)
		return;
	send_chunk(up, number, &c);
	ds->core->close(up);
}

/* What a POST does that has its body with it: all or nothing. */
static void
create_hidden(int number, bool is_deferred, const struct chunk *c)
{
	struct upload *up = create(number, is_deferred, 0, true);
	int before = failures;

	if (up == NULL)
		return;
	if (total[number] > 0)
		send_chunk(up, number, c);
	else
		finish(up, up->info.id);
	if (c->fate == TAKEN_BACK || failures > before)
		(void)good(
		    ds->terminater->terminate(up, &err), "undo", up->info.id);
	ds->core->close(up);
}

static void
concat(int number, int a, int b, int c)
{
	const char *id = id_of(number);
	const char *parts[] = { id_of(a), id_of(b), id_of(c), NULL };
	struct file_info info = { .id = id,
		.size = total[number],
		.is_final = true,
		.parts = parts,
		.concat_raw = "final;a b c",
		.created = clock_now(),
		.owner = owner };
	struct store_entry *entry;
	struct upload *up = NULL;

	say("TRY concat %s %lld %d %d %d", id, (long long)total[number], a, b,
	    c);
	if (!enter(&info, &entry))
		return;
	if (!good(ds->concater->concat(ds, &info, arena, &up, &err), "concat",
		id))
		up = NULL;
	entered(entry, up != NULL);
	if (up == NULL)
		return;
	/* Here pre-finish would be asked. */
	say("TRY agree %s", id);
	finish(up, id);
	if (!upload_is_finished(up))
		(void)good(ds->terminater->terminate(up, &err), "undo", id);
	ds->core->close(up);
}

static void
remove_upload(int number)
{
	struct upload *up = open_claimed(id_of(number));

	if (up == NULL)
		return;
	say("TRY delete %s", up->info.id);
	if (good(ds->terminater->terminate(up, &err), "delete", up->info.id))
		say("ACK delete %s", up->info.id);
	ds->core->close(up);
}

/* HEAD: what it says is a promise. */
static void
head(int number)
{
	const char *id = id_of(number);
	struct upload *up;

	if (!good(ds->core->get_upload(ds, id, arena, &up, &err), "look", id))
		return;
	if (!up->settled &&
	    (!good(ds->core->claim(up, &err), "claim", id) ||
		!good(ds->core->confirm(up, &err), "confirm", id))) {
		ds->core->close(up);
		return;
	}
	say("ACK patch %s %lld %d", id, (long long)up->info.offset,
	    (int)up->info.size_deferred);
	ds->core->close(up);
}

/* The last byte has arrived, and a hook refuses the upload. */
static void
refuse_finish(int number)
{
	struct upload *up = open_claimed(id_of(number));
	const char *id = id_of(number);

	if (up == NULL)
		return;
	say("TRY patch %s %lld 0", id, (long long)total[number]);
	if (good(ds->core->write_begin(up, false, &err), "begin", id) &&
	    write_slices(up, number, total[number] - up->info.offset, true) &&
	    good(ds->core->write_end(up, true, &err), "end", id) &&
	    good(ds->finisher->refuse(up, &err), "refuse", id))
		say("ACK refuse %s %lld 0", id, (long long)up->info.offset);
	ds->core->close(up);
}

static const char *
place_of(const struct upload *up)
{
	const struct pair *p = up->info.storage;

	while (strcmp(p->key, "Path") != 0)
		p = p->next;
	return p->value;
}

static void
move(struct upload *up)
{
	const char *id = up->info.id;

	say("TRY move %s", id);
	if (good(ds->mover->move(up, &err), "move", id) && up->info.moved != 0)
		say("ACK move %s %s", id, place_of(up));
}

static void
create_and_move(int number)
{
	struct upload *up;

	if (total[number] > 0)
		create_with_body(number, total[number]);
	else
		create_only(number, false, 0);
	up = open_claimed(id_of(number));
	if (up == NULL)
		return;
	if (upload_is_finished(up))
		move(up);
	ds->core->close(up);
}

#define CHUNK(...) (&(struct chunk){ __VA_ARGS__ })

/* What goes on as it was meant to, or breaks off. */
static void
run_plain(void)
{
	create_only(PLAIN, false, 0);
	patch(PLAIN, CHUNK(.len = 5000));
	head(PLAIN);
	patch(PLAIN, CHUNK(.len = 9000));
	head(PLAIN);

	create_only(DEFERRED, true, 0);
	patch(DEFERRED, CHUNK(.len = 3000));
	patch(DEFERRED, CHUNK(.len = 3000, .declare_before = true));
	patch(DEFERRED, CHUNK(.len = 3000));

	create_only(CHECKED, false, 0);
	patch(CHECKED, CHUNK(.len = 6000, .on_probation = true));
	patch(CHECKED,
	    CHUNK(.len = 9500, .on_probation = true, .fate = TAKEN_BACK));
	head(CHECKED);
	patch(CHECKED,
	    CHUNK(.len = 6000, .on_probation = true, .fate = ABANDONED));
	patch(CHECKED, CHUNK(.len = 3000, .on_probation = true));
	patch(CHECKED,
	    CHUNK(.len = 2000, .on_probation = true, .fate = TAKEN_BACK));
	patch(CHECKED, CHUNK(.len = 7000, .on_probation = true));

	create_with_body(WITH_BODY, 5000);
	patch(WITH_BODY,
	    CHUNK(.len = 6000, .on_probation = true, .fate = ABANDONED));

	create_with_body(PART_A, 3000);
	create_with_body(PART_B, 5000);
	concat(FINAL, PART_A, PART_B, PART_A);
	create_only(EMPTY, false, 0);

	create_hidden(HIDDEN, false, CHUNK(.len = 4000));
	create_hidden(HIDDEN_HALF, true, CHUNK(.len = 2000));
	create_hidden(HIDDEN_CHECKED, false,
	    CHUNK(.len = 9000, .on_probation = true, .fate = TAKEN_BACK));
	create_hidden(
	    HIDDEN_CHECKED, false, CHUNK(.len = 9000, .on_probation = true));
	create_hidden(HIDDEN_EMPTY, false, CHUNK(.len = 0));
	patch(HIDDEN_HALF, CHUNK(.len = 4000, .declare_before = true));

	create_only(ENDED, true, 0);
	patch(ENDED, CHUNK(.len = 3000));
	patch(ENDED, CHUNK(.len = 5000, .declare_after = true));
	create_only(ENDED_CHECKED, true, 0);
	patch(ENDED_CHECKED, CHUNK(.len = 3000));
	patch(ENDED_CHECKED,
	    CHUNK(.len = 6000, .on_probation = true, .declare_after = true));
}

/* Uploads that are refused, rolled back, owned by another server, or
 * removed. */
static void
run_odd(void)
{
	create_only(DECLARED_WRONGLY, true, 0);
	patch(DECLARED_WRONGLY,
	    CHUNK(.len = 7000, .on_probation = true, .declare_within = true,
		.fate = TAKEN_BACK));
	patch(DECLARED_WRONGLY, CHUNK(.len = 2000));
	patch(DECLARED_WRONGLY,
	    CHUNK(.len = 5000, .on_probation = true, .declare_within = true));

	create_only(OVERFLOWING, false, 0);
	patch(OVERFLOWING, CHUNK(.len = 2000));
	patch(OVERFLOWING, CHUNK(.len = 9999, .fate = TAKEN_BACK));
	head(OVERFLOWING);
	patch(OVERFLOWING, CHUNK(.len = 4000));

	create_only(EXPIRING, false, 1);
	create_with_body(REFUSED, 2000);
	refuse_finish(REFUSED);
	head(REFUSED);
	patch(REFUSED, CHUNK(.len = 1));

	patch(FOREIGN, CHUNK(.len = 3000));
	patch(FOREIGN, CHUNK(.len = 3000, .declare_before = true));
	patch(FOREIGN, CHUNK(.len = 3000));

	patch(UNSAFE, CHUNK(.len = 3000));
	head(UNSAFE);
	patch(UNSAFE, CHUNK(.len = 2000));

	remove_upload(WITH_BODY);
	remove_upload(FINAL);
	remove_upload(EMPTY);
	patch(PLAIN, CHUNK(.len = 6000));
}

static void
run(void)
{
	run_plain();
	run_odd();
}

static bool
resize(struct upload *up, int64_t least, int64_t most)
{
	int64_t got;

	return good(ds->ledger->resize(up, most > least ? &quota : NULL, least,
			most, &got, &err),
	    "resize", up->info.id);
}

/* More than what comes is reserved, and given back. */
static void
patch_growing(int number, const struct chunk *c)
{
	struct upload *up = open_claimed(id_of(number));
	int64_t end;

	if (up == NULL)
		return;
	end = c->declare_before ? total[number] : up->info.offset + c->len;
	if (resize(up, end, c->declare_before ? end : 2 * end))
		send_chunk(up, number, c);
	end = up->info.size_deferred ? up->info.offset : up->info.size;
	(void)resize(up, end, end);
	ds->core->close(up);
}

static void
run_owned(void)
{
	struct file_info never = { .id = "never", .size = 5, .owner = "joe" };
	struct store_entry *entry;

	owner = "joe";
	create_only(OWNED, false, 0);
	patch(OWNED, CHUNK(.len = 1000));
	create_only(OWNED_DEFERRED, true, 0);
	patch_growing(OWNED_DEFERRED, CHUNK(.len = 2000));
	patch_growing(OWNED_DEFERRED, CHUNK(.len = 3000, .fate = TAKEN_BACK));
	patch_growing(
	    OWNED_DEFERRED, CHUNK(.len = 3000, .declare_before = true));
	create_with_body(OWNED_PART, 3000);
	create_hidden(HIDDEN, false, CHUNK(.len = 4000));
	create_only(EMPTY, false, 0);
	concat(OWNED_FINAL, OWNED_PART, OWNED_PART, EMPTY);
	if (enter(&never, &entry))
		entered(entry, false);
	create_only(EXPIRING, false, 1);
	remove_upload(OWNED_PART);
	remove_upload(OWNED_FINAL);
	remove_upload(OWNED_DEFERRED);
	patch(OWNED, CHUNK(.len = 3000));
}

/* Several of one name, which a file of another program has already. */
static void
run_moves(void)
{
	create_and_move(MOVED);
	create_and_move(MOVED_TOO);
	head(MOVED);
	create_and_move(MOVED_EMPTY);
	create_and_move(PART_A);
	create_and_move(MOVED_APART);
	create_and_move(MOVED_AND_GONE);
	remove_upload(MOVED_AND_GONE);
}

/* --- afterwards ---------------------------------------------------------- */

/* All ids, collected first: what follows changes the directory. */
static size_t
collect(const char *ids[], size_t max)
{
	void *cursor = NULL;
	const char *id;
	size_t n = 0;

	while (good(ds->expirer->walk_next(
			ds, &cursor, INT64_MAX, arena, &id, &err),
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

	if (good(ds->ledger->is_right(up, &is_right, &err), "look", info->id) &&
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
		(void)good(ds->finisher->finish(up, 0, &err), "finish", id);
	if (upload_is_finished(up))
		(void)good(ds->mover->move(up, &err), "move", id);
	is_expired = up->info.expires != 0 && up->info.expires < clock_now() &&
	    !upload_is_finished(up);
	if (is_expired)
		(void)good(ds->terminater->terminate(up, &err), "expire", id);
	else if (good(ds->core->confirm(up, &err), "confirm", id)) {
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

	while (good(ds->keeper->leftover_next(ds, &cursor, arena, &l, &err),
		   "sweep", "-") &&
	    (l.name != NULL || cursor != NULL))
		if (l.name != NULL && l.removable)
			(void)good(ds->keeper->leftover_remove(ds, &l, &err),
			    "remove", l.name);
	(void)good(ds->ledger->prune(ds, false, &n, &err), "prune", "-");
}

static void
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

static void
resume(void)
{
	const char *ids[2 * UPLOADS];
	size_t i, n = collect(ids, NITEMS(ids));

	for (i = 0; i < n; i++)
		resume_one(ids[i]);
}

static void
settle(void)
{
	const char *ids[2 * UPLOADS];
	size_t i, n = collect(ids, NITEMS(ids));
	struct upload *up;

	for (i = 0; i < n; i++) {
		if ((up = open_claimed(ids[i])) == NULL)
			continue;
		if (!upload_is_finished(up))
			(void)good(ds->keeper->settle(up, false, &err),
			    "settle", ids[i]);
		ds->core->close(up);
	}
}

static void
write_file(const char *dir, const char *name, const char *buf, size_t len)
{
	const char *path = arena_printf(arena, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(buf, 1, len, f) != len || fclose(f) != 0)
		exit(3);
}

/* What tusd leaves behind: half of a deferred upload. */
static void
prepare(const char *dir)
{
	const char *id = id_of(FOREIGN);
	const char *info = arena_printf(arena,
	    "{\"ID\":\"%s\",\"Size\":0,\"SizeIsDeferred\":true,\"Offset\":0,"
	    "\"MetaData\":{\"filename\":\"world.txt\"},\"IsPartial\":false,"
	    "\"IsFinal\":false,\"PartialUploads\":null,\"Storage\":{"
	    "\"InfoPath\":\"%s/%s.info\",\"Path\":\"%s/%s\","
	    "\"Type\":\"filestore\"}}",
	    id, dir, id, dir, id);
	char bytes[3000];

	fill(bytes, FOREIGN, 0, sizeof(bytes), true);
	write_file(dir, id, bytes, sizeof(bytes));
	write_file(dir, arena_printf(arena, "%s.info", id), info, strlen(info));
	say("TRY create %s %lld 1 0", id, (long long)total[FOREIGN]);
	say("ACK create %s 3000 1", id);
}

/* Half of an upload from when durability was none. */
static void
prepare_unsafe(void)
{
	struct file_store *fs = file_store_of(ds);
	enum durability durability = fs->durability;
	struct upload *up;

	fs->durability = DURABILITY_NONE;
	up = create(UNSAFE, false, 0, false);
	if (up == NULL || ds->core->write_begin(up, false, &err) != ERR_OK ||
	    !write_slices(up, UNSAFE, 5000, true) ||
	    ds->core->write_end(up, true, &err) != ERR_OK)
		exit(3);
	say("ACK create %s 5000 0", up->info.id);
	ds->core->close(up);
	fs->durability = durability;
}

/* How many descriptors are open beside the standard ones. */
static int
count_open(void)
{
	int fd, n = 0;

	for (fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			n++;
	return n;
}

/* NULL if there is none. */
static const char *
root_beside(const char *dir)
{
	int len = (int)(strrchr(dir, '/') - dir);
	const char *root = arena_printf(arena, "%.*s/in", len, dir);

	return access(root, F_OK) == 0 ? root : NULL;
}

static bool
open_store(const char *dir, const char *mode)
{
	struct conf *conf = conf_new();
	const char *boot = getenv("STORE_BOOT"), *root = root_beside(dir);
	bool is_shared = strcmp(mode, "shared") == 0;
	struct file_store *fs;

	if (root != NULL)
		root = arena_printf(arena, "%s/{filename}", root);
	if (conf_set(conf, "finish.move_to", root != NULL ? root : "", &err) !=
		ERR_OK ||
	    conf_set(conf, "store.path", dir, &err) != ERR_OK ||
	    conf_set(conf, "store.durability", is_shared ? "full" : mode,
		&err) != ERR_OK ||
	    conf_set(conf, "store.shared", is_shared ? "true" : "false",
		&err) != ERR_OK ||
	    conf_set(conf, "lock.method", is_shared ? "ofd" : "flock", &err) !=
		ERR_OK ||
	    conf_set(conf, "store.min_free", "0", &err) != ERR_OK ||
	    /* What tries out names is not what a move flushes. */
	    conf_set(conf, "finish.names", "unix", &err) != ERR_OK ||
	    store_open(conf, &ds, &err) != ERR_OK) {
		fprintf(stderr, "store-drive: %s\n", err.text);
		return false;
	}
	fs = file_store_of(ds);
	fs->checkpoint_every = CHECKPOINT_EVERY;
	fs->flush_every = FLUSH_EVERY;
	fs->waiting_room = WAITING_ROOM;
	if (boot != NULL && !is_shared)
		(void)snprintf(fs->boot, sizeof(fs->boot), "%s", boot);
	conf_free(conf);
	return true;
}

int
main(int argc, char **argv)
{
	int opened;

	if (argc != 4) {
		fprintf(stderr,
		    "usage: store-drive prepare|run|owned|move|recover|"
		    "resume|settle DIR MODE\n");
		return 2;
	}
	(void)umask(007);
	arena = arena_new();
	if (!open_store(argv[2], argv[3]))
		return 3;
	/* It reads a configuration of its own when it is first used. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
	/* What reads a file the first time it is called. */
	tzset();
	opened = count_open();
	say("BEGIN");
	if (strcmp(argv[1], "prepare") == 0) {
		prepare(argv[2]);
		prepare_unsafe();
	} else if (strcmp(argv[1], "run") == 0)
		run();
	else if (strcmp(argv[1], "owned") == 0)
		run_owned();
	else if (strcmp(argv[1], "move") == 0)
		run_moves();
	else if (strcmp(argv[1], "recover") == 0)
		recover();
	else if (strcmp(argv[1], "resume") == 0)
		resume();
	else if (strcmp(argv[1], "settle") == 0)
		settle();
	say("OPEN %d", count_open() - opened);
	say("END");
	ds->core->shutdown(ds);
	return failures > 0;
}
