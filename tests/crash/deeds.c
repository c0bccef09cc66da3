/*
 * deeds.c - what requests do to the store, each deed logged before and after.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/drive.h"

#define SLICE 1500

const int64_t total[UPLOADS] = {
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

const char *owner;
/* What the uploads of the owner may be together. */
static const struct store_quota quota = { .uploads = 9, .bytes = 100000 };

struct data_store *ds;
struct arena *arena;
struct err fault;
int failures;

void
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

bool
good(enum err_code rc, const char *op, const char *id)
{
	if (rc == ERR_OK)
		return true;
	say("ERR %s %s %d %s", op, id, (int)rc, fault.text);
	failures++;
	return false;
}

const char *
id_of(int number)
{
	return arena_printf(arena, "%032x", number);
}

int
number_of(const char *id)
{
	return (int)strtol(id, NULL, 16);
}

/* The right bytes are 1 to 127, refused ones have the highest bit set. */
void
fill(char *buf, int number, int64_t from, size_t len, bool is_right)
{
	size_t i;

	for (i = 0; i < len; i++) {
		int64_t at = from + (int64_t)i;
		int64_t c = 1 + (at * 7 + at / 127 + number * 31) % 127;

		buf[i] = (char)(is_right ? c : c | 0x80);
	}
}

void
finish(struct upload *up, const char *id)
{
	const unsigned todo = up->info.is_final ? STORE_TO_REMOVE : 0;

	if (!good(ds->finisher->finish(up, todo, &fault), "finish", id))
		return;
	say("ACK finish %s %lld", id, (long long)up->info.size);
	if (todo == 0)
		return;
	say("TRY done %s", id);
	(void)good(
	    ds->finisher->done(up, STORE_TO_CONFIRM | STORE_TO_REMOVE, &fault),
	    "done", id);
}

struct upload *
open_claimed(const char *id)
{
	struct upload *up = NULL;
	enum err_code rc = ds->core->get_upload(ds, id, arena, &up, &fault);

	/* A record whose bytes are gone is no upload, and no error. */
	if (rc == ERR_NOT_FOUND)
		return NULL;
	if (!good(rc, "look", id)) {
		if (up != NULL)
			ds->core->close(up);
		return NULL;
	}
	if (good(ds->core->claim(up, &fault), "claim", id))
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
	    ds->length_declarer->declare_length(up, total[number], &fault),
	    "declare", id);
}

bool
write_slices(struct upload *up, int number, int64_t len, bool is_right)
{
	char buf[SLICE];
	int64_t left, n;

	for (left = len; left > 0; left -= n) {
		n = left < SLICE ? left : SLICE;
		fill(buf, number, up->info.offset, (size_t)n, is_right);
		if (!good(ds->core->write(up, buf, (size_t)n, &fault), "write",
			up->info.id))
			return false;
	}
	return true;
}

/* The end of a request whose bytes are in order. */
static void
keep(struct upload *up, const char *id)
{
	if (!good(ds->core->write_end(up, true, &fault), "end", id))
		return;
	if (upload_is_whole(up)) {
		finish(up, id);
		return;
	}
	say("ACK patch %s %lld %d", id, (long long)up->info.offset,
	    (int)up->info.size_deferred);
}

void
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
	if (!good(ds->core->write_begin(up, c->on_probation, &fault), "begin",
		id))
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
	if (good(ds->core->write_end(up, ok, &fault), "end", id))
		say("ACK refuse %s %lld %d", id, (long long)up->info.offset,
		    (int)up->info.size_deferred);
}

void
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
bool
enter(const struct file_info *info, struct store_entry **entry)
{
	*entry = NULL;
	return owner == NULL ||
	    good(ds->ledger->enter(ds, info,
		     info->size_deferred ? 0 : info->size, &quota, arena, entry,
		     &fault),
		"enter", info->id);
}

void
entered(struct store_entry *entry, bool is_made)
{
	if (entry != NULL)
		ds->ledger->entered(entry, is_made);
}

struct upload *
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
		    ds->core->new_hidden(ds, &info, arena, &up, &fault) :
		    ds->core->new_upload(ds, &info, arena, &up, &fault),
		"create", id))
		up = NULL;
	entered(entry, up != NULL);
	return up;
}

void
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

void
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
void
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
		    ds->terminater->terminate(up, &fault), "undo", up->info.id);
	ds->core->close(up);
}

void
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
	if (!good(ds->concater->concat(ds, &info, arena, &up, &fault), "concat",
		id))
		up = NULL;
	entered(entry, up != NULL);
	if (up == NULL)
		return;
	/* Here pre-finish would be asked. */
	say("TRY agree %s", id);
	finish(up, id);
	if (!upload_is_finished(up))
		(void)good(ds->terminater->terminate(up, &fault), "undo", id);
	ds->core->close(up);
}

void
remove_upload(int number)
{
	struct upload *up = open_claimed(id_of(number));

	if (up == NULL)
		return;
	say("TRY delete %s", up->info.id);
	if (good(ds->terminater->terminate(up, &fault), "delete", up->info.id))
		say("ACK delete %s", up->info.id);
	ds->core->close(up);
}

/* HEAD: what it says is a promise. */
void
head(int number)
{
	const char *id = id_of(number);
	struct upload *up;

	if (!good(ds->core->get_upload(ds, id, arena, &up, &fault), "look", id))
		return;
	if (!up->settled &&
	    (!good(ds->core->claim(up, &fault), "claim", id) ||
		!good(ds->core->confirm(up, &fault), "confirm", id))) {
		ds->core->close(up);
		return;
	}
	say("ACK patch %s %lld %d", id, (long long)up->info.offset,
	    (int)up->info.size_deferred);
	ds->core->close(up);
}

/* The last byte has arrived, and a hook refuses the upload. */
void
refuse_finish(int number)
{
	struct upload *up = open_claimed(id_of(number));
	const char *id = id_of(number);

	if (up == NULL)
		return;
	say("TRY patch %s %lld 0", id, (long long)total[number]);
	if (good(ds->core->write_begin(up, false, &fault), "begin", id) &&
	    write_slices(up, number, total[number] - up->info.offset, true) &&
	    good(ds->core->write_end(up, true, &fault), "end", id) &&
	    good(ds->finisher->refuse(up, &fault), "refuse", id))
		say("ACK refuse %s %lld 0", id, (long long)up->info.offset);
	ds->core->close(up);
}

const char *
place_of(const struct upload *up)
{
	const struct pair *p = up->info.storage;

	while (strcmp(p->key, "Path") != 0)
		p = p->next;
	return p->value;
}

void
move(struct upload *up)
{
	const char *id = up->info.id;

	say("TRY move %s", id);
	if (good(ds->mover->move(up, &fault), "move", id) &&
	    up->info.moved != 0)
		say("ACK move %s %s", id, place_of(up));
}

void
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

bool
resize(struct upload *up, int64_t least, int64_t most)
{
	int64_t got;

	return good(ds->ledger->resize(up, most > least ? &quota : NULL, least,
			most, &got, &fault),
	    "resize", up->info.id);
}

/* More than what comes is reserved, and given back. */
void
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
