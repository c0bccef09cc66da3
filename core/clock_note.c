/*
 * clock_note.c - can the sweep and requests trust the clock?
 *
 * On a machine whose clock is a year ahead, all uploads would expire at once.
 * The time since boot cannot be set, so a difference between the two clocks
 * shows that the time of day was changed.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock_note.h"

enum {
	/* A jump is more than this, or than a tenth of the time between two
	 * sweeps. */
	JUMP_MAX = 3600,
	/* Less than this is an ordinary correction. */
	JUMP_MIN = 60,
	/* 2020-01-01T00:00:00Z */
	NEVER_SET = 1577836800
};

void
clock_note_now(struct clock_note *note)
{
	*note = (struct clock_note){
		.real = clock_now(),
		.running = clock_boottime(),
	};
	if (!clock_boot_id(note->boot))
		(void)snprintf(note->boot, sizeof(note->boot), "unknown");
}

void
clock_note_write(const struct clock_note *note, char text[CLOCK_NOTE_MAX])
{
	(void)snprintf(text, CLOCK_NOTE_MAX,
	    "boot %s real %" PRId64 " running %" PRId64 "%s%s", note->boot,
	    note->real, note->running, *note->after != '\0' ? " after " : "",
	    note->after);
}

bool
clock_note_read(struct clock_note *note, const char *text)
{
	*note->after = '\0';
	return sscanf(text,
		   "boot %36s real %" SCNd64 " running %" SCNd64 " after %64s",
		   note->boot, &note->real, &note->running, note->after) >= 3;
}

int64_t
clock_note_jump(const struct clock_note *then, const struct clock_note *now)
{
	int64_t passed = now->real - then->real, ran, jump;

	/* After a reboot at least the time since boot has passed.  Some boards
	 * give every boot the same id. */
	ran = now->running;
	if (strcmp(then->boot, now->boot) == 0 && now->running >= then->running)
		ran -= then->running;
	else if (passed >= ran)
		return 0;
	jump = passed - ran;
	if (llabs(jump) <= JUMP_MIN)
		return 0;
	return llabs(jump) > JUMP_MAX || llabs(jump) > ran / 10 ? jump : 0;
}

int64_t
clock_note_age(const struct clock_note *then, const struct clock_note *now)
{
	int64_t age = strcmp(then->boot, now->boot) == 0 ?
	    now->running - then->running :
	    now->real - then->real;

	return age * 1000;
}

bool
clock_is_wrong(struct data_store *store)
{
	struct clock_note then, now;
	char text[CLOCK_NOTE_MAX];
	struct err e;

	if (store->expirer == NULL ||
	    store->expirer->read_note(store, text, sizeof(text), &e) !=
		ERR_OK ||
	    !clock_note_read(&then, text))
		return false;
	clock_note_now(&now);
	return clock_note_jump(&then, &now) != 0;
}

bool
clock_was_set(int64_t when)
{
	return when >= NEVER_SET;
}
