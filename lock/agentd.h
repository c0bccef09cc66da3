/*
 * agentd.h - the parts of the agent's process.
 */
#ifndef LOCK_AGENTD_H
#define LOCK_AGENTD_H

#include "lock/agent.h"

/* --- agent_wait.c: who waits on this host, by its connection. --- */

int wait_count(const char *id);
/* False: LOCK_WAITERS do already, or too many altogether. */
bool wait_begin(int fd, const char *id);
void wait_end(int fd, const char *id);
/* One of the ids that it waits for; NULL: none. */
const char *wait_for_what(int fd);

/* An upload whose lock another host holds. */
struct far {
	char id[ID_MAX + 1];
	char holder[ENGINE_OWNER_SIZE];
	/* Until when that is known, by clock_ms(), and since when the holder is
	 * asked for it, 0: it is not. */
	int64_t until, asked;
};

/* NULL: nothing is known. */
struct far *far_find(const char *id);
struct far *far_note(const char *id, const char *holder);
/* Ask the holder, if it was not asked of late, for those who wait; and not any
 * more, when nobody does. */
void far_ask(struct engine *, struct far *);
void far_unask(struct engine *, const char *id);
/* The name of its host, fit for a terminal. */
void far_name_host(const struct far *, char *host, size_t);

/* --- agent_claim.c: lock.prefix belongs to one store. --- */

/* Note the store of a process that connects; false: the agent serves another
 * store. */
bool claim_store(const char *id);
/* From now on the claim is made but neither kept nor given up: this agent lives
 * for a moment only. */
void claim_as_guest(void);
/* Once in a turn of the loop, while the service answers. */
void claim_look(struct engine *, struct agent_board *);
/* told() of an id, or of all: true if it was ours. */
bool claim_was_told(const char *id, enum engine_hint);
/* For the beat; NULL: nothing. */
const struct engine_held *claim_held(void);
/* Has another store the prefix? */
bool claim_is_refused(void);
/* Why the service refuses us, for the pool; withdrawn when it does not. */
void claim_show_refusal(struct engine *, struct agent_board *);
/* Give it up; true when that is done. */
bool claim_leave(struct engine *);

#endif
