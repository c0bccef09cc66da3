/*
 * board.c - memory that the processes of a pool share.
 */
#include "config.h"

#include <sys/mman.h>

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fcgi/board.h"

struct board *
board_new(void)
{
	struct board *b;

	/* Untouched pages cost nothing. */
	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		return NULL;
	b->wake_fd = -1;
	b->past.started = clock_now();
	atomic_store(&b->permits, INT_MAX);
	return b;
}

/* Few workers are idle: tell the master, but only once. */
static void
wake_master(struct board *b)
{
	if (b->wake_fd != -1 && !atomic_exchange(&b->is_woken, true))
		(void)!write(b->wake_fd, "", 1);
}

void
board_set(struct board *b, size_t slot, enum worker_state state)
{
	int old = atomic_exchange(&b->slots[slot].state, (int)state);
	int idle;

	if (slot >= atomic_load(&b->used))
		atomic_store(&b->used, slot + 1);
	if (state == WORKER_IDLE && old != WORKER_IDLE)
		(void)atomic_fetch_add(&b->idle, 1);
	if (state != WORKER_IDLE && old == WORKER_IDLE) {
		(void)atomic_fetch_add_explicit(
		    &b->slots[slot].begun, 1, memory_order_relaxed);
		idle = atomic_fetch_sub(&b->idle, 1) - 1;
		if (idle < atomic_load(&b->min_spare))
			wake_master(b);
	}
}

static int
count_permits(const struct board *b)
{
	size_t i, words = (atomic_load(&b->used) + 63) / 64;
	int n = 0;

	for (i = 0; i < words; i++)
		n += __builtin_popcountll(atomic_load(&b->permitted[i]));
	return n;
}

bool
board_has_permit(const struct board *b, size_t slot)
{
	uint64_t bit = UINT64_C(1) << slot % 64;

	return (atomic_load(&b->permitted[slot / 64]) & bit) != 0;
}

/*
 * Set the bit first, count afterwards.  Two workers that do this at the same
 * time may both give up although one permit was left, but never more workers
 * have one than there are.
 */
bool
board_take_permit(struct board *b, size_t slot)
{
	uint64_t bit = UINT64_C(1) << slot % 64;

	if (board_has_permit(b, slot))
		return true;
	(void)atomic_fetch_or(&b->permitted[slot / 64], bit);
	if (count_permits(b) <= atomic_load(&b->permits))
		return true;
	(void)atomic_fetch_and(&b->permitted[slot / 64], ~bit);
	return false;
}

void
board_return_permit(struct board *b, size_t slot)
{
	uint64_t bit = UINT64_C(1) << slot % 64;

	if (!board_has_permit(b, slot))
		return;
	(void)atomic_fetch_and(&b->permitted[slot / 64], ~bit);
	board_set(b, slot, WORKER_BUSY);
}

bool
board_may_free(const struct board *b)
{
	int count[WORKER_STATE_MAX];

	board_count(b, count);
	return count_permits(b) > count[WORKER_RECEIVING];
}

bool
board_may_wait(const struct board *b)
{
	return atomic_load(&b->idle) > 0 || !atomic_load(&b->is_full);
}

bool
board_is_short(const struct board *b)
{
	return atomic_load(&b->idle) < atomic_load(&b->min_spare);
}

void
board_begin_turn(struct board *b, size_t slot)
{
	atomic_store(&b->slots[slot].turn, clock_ms());
	(void)atomic_fetch_add(&b->parking.taken, 1);
}

bool
board_end_turn(struct board *b, size_t slot)
{
	return atomic_exchange(&b->slots[slot].turn, 0) != 0;
}

int
board_count_turns(const struct board *b, int64_t since)
{
	size_t i, used = atomic_load(&b->used);
	int n = 0;

	for (i = 0; i < used; i++)
		if (atomic_load(&b->slots[i].turn) > since)
			n++;
	return n;
}

void
board_set_giving(struct board *b, size_t slot, bool it_is)
{
	atomic_store(&b->slots[slot].is_giving, it_is);
}

bool
board_is_giving(const struct board *b)
{
	size_t i, used = atomic_load(&b->used);

	for (i = 0; i < used; i++)
		if (atomic_load(&b->slots[i].is_giving))
			return true;
	return false;
}

void
board_wipe(struct board *b, size_t slot)
{
	board_set_giving(b, slot, false);
	(void)board_end_turn(b, slot);
	board_return_permit(b, slot);
	board_set(b, slot, WORKER_ABSENT);
}

void
board_count(const struct board *b, int count[WORKER_STATE_MAX])
{
	size_t i, n = atomic_load(&b->used);

	memset(count, 0, WORKER_STATE_MAX * sizeof(*count));
	for (i = 0; i < n; i++)
		count[atomic_load(&b->slots[i].state)]++;
}

bool
board_is_brisk(const struct board *b, struct board_pace *pace, int64_t now)
{
	size_t i, n = atomic_load(&b->used);
	struct board_pace last = *pace;
	int count[WORKER_STATE_MAX];
	int64_t begun;

	*pace = (struct board_pace){ .at = now };
	for (i = 0; i < n; i++)
		pace->begun += atomic_load(&b->slots[i].begun);
	board_count(b, count);
	begun = (int64_t)(pace->begun - last.begun);
	return begun > 0 && begun >= count[WORKER_BUSY] * (now - last.at);
}
