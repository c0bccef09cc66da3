/*
 * play.h - hooks, locks and a mover that write down how they are called.
 *
 * "pre-finish 11" is a call with that offset, "lock" and "release" are the
 * lock's, and "retire" is a release for good.
 */
#ifndef TESTS_TUS_PLAY_H
#define TESTS_TUS_PLAY_H

#include "tests/tus/drive.h"

/* The log of events, and the answers of the hooks. */
struct play {
	char log[1024];
	bool unwanted[HOOK_POINT_MAX];
	bool fails[HOOK_POINT_MAX];
	struct hook_verdict verdicts[HOOK_POINT_MAX];
	/* The upload of the last event. */
	struct file_info seen;
	bool lock_is_taken;
	/* The mover fails. */
	bool move_fails;
};

extern struct play play;
extern struct hooks play_hooks;

/* The memory store keeps the bytes; this only says that it moved them. */
extern const struct store_mover play_mover;

/* Open and close a world with all of these but the mover. */
int play_open(void **state);
int play_close(void **state);

/* Call no hooks but those in the list. */
void play_only(const char *list);

/* The log since the last call. */
const char *play_happened(struct world *);

#endif
