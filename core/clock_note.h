/*
 * clock_note.h - can the sweep and requests trust the clock?
 */
#ifndef CORE_CLOCK_NOTE_H
#define CORE_CLOCK_NOTE_H

#include "base/clock.h"
#include "base/id.h"
#include "store/store.h"

/* What a sweep leaves to the next: three clocks at one moment, and how far
 * it got. */
struct clock_note {
	char boot[CLOCK_BOOT_ID_LEN + 1];
	/* Seconds since the epoch, and since boot. */
	int64_t real, running;
	/* The id of the last upload that the sweep looked at, if it did not
	 * come to all of them; else "". */
	char after[ID_MAX + 1];
};

void clock_note_now(struct clock_note *);

#define CLOCK_NOTE_MAX 256

void clock_note_write(const struct clock_note *, char text[CLOCK_NOTE_MAX]);

/* False if the text is no clock note. */
bool clock_note_read(struct clock_note *, const char *text);

/*
 * By how many seconds the time of day and the time since boot disagree about
 * the time between two notes; 0 if they agree.  After a reboot only a clock
 * that went back is noticed.
 */
int64_t clock_note_jump(
    const struct clock_note *then, const struct clock_note *now);

/* Does the clock contradict what the last sweep of this store has noted? */
bool clock_is_wrong(struct data_store *);

/* False for a time before this program was written: small machines begin at
 * 1970 until their clock is set. */
bool clock_was_set(int64_t when);

/* Milliseconds between two notes. */
int64_t clock_note_age(
    const struct clock_note *then, const struct clock_note *now);

#endif
