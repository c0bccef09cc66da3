/*
 * agent_claim.c - a lock.prefix belongs to one store.
 *
 * Two stores whose locks have the same names would keep each other's requests
 * apart, by accident.  So the id of the store stands in the service as a lock
 * of its own: its owner is the store, and all hosts that share the store are
 * one owner.  It goes with the last of them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "lock/agentd.h"

/* No upload has such an id. */
#define CLAIM ".store"

enum {
	/* While another host keeps it, or another store has it. */
	AGAIN_MS = 1000,
	QUIET_MS = 10000
};

static struct {
	/* Without an owner: no store is known. */
	struct engine_held held;
	struct engine_call call;
	const struct conf_lock *conf;
	struct agent_board *board;
	bool is_out, is_refused, is_ours, is_leaving, is_guest;
	int64_t next, said;
} claim;

void
claim_as_guest(void)
{
	claim.is_guest = true;
}

bool
claim_store(const char *id)
{
	char owner[ENGINE_OWNER_SIZE];

	(void)snprintf(owner, sizeof(owner), "store/%s:0", id);
	if (*claim.held.owner == '\0') {
		(void)stpcpy(claim.held.id, CLAIM);
		(void)stpcpy(claim.held.owner, owner);
	}
	return strcmp(claim.held.owner, owner) == 0;
}

static void
say_foreign(const char *holder)
{
	int64_t now = clock_ms();
	char text[LOCK_TEXT];

	(void)snprintf(text, sizeof(text),
	    "lock.prefix = \"%s\" belongs to another store, %.36s: each store "
	    "needs one of its own",
	    claim.conf->prefix,
	    strncmp(holder, "store/", 6) == 0 ? holder + 6 : holder);
	agent_refuse(claim.board, text);
	if (claim.said != 0 && now - claim.said < QUIET_MS)
		return;
	claim.said = now;
	log_error("locks: %s", text);
}

static void
done(struct engine_call *call, enum err_code rc, uint64_t token,
    const char *holder)
{
	(void)call;
	(void)token;
	claim.is_out = false;
	claim.next = clock_ms() + AGAIN_MS;
	if (claim.is_leaving) {
		claim.is_ours = false;
		return;
	}
	if (rc != ERR_OK && rc != ERR_LOCKED)
		return;
	claim.is_ours = rc == ERR_OK;
	claim.is_refused =
	    !claim.is_ours && strcmp(holder, claim.held.owner) != 0;
	if (claim.is_refused)
		say_foreign(holder);
	else
		agent_refuse(claim.board, "");
	claim.board->is_claimed = !claim.is_refused;
	/* What a guest takes it leaves to those that stay. */
	if (claim.is_guest && claim.is_ours) {
		claim.is_ours = false;
		claim.next = INT64_MAX;
	}
}

void
claim_look(struct engine *e, struct agent_board *board)
{
	if (*claim.held.owner == '\0' || claim.is_out || claim.is_ours ||
	    claim.is_leaving || clock_ms() < claim.next)
		return;
	claim.board = board;
	claim.conf = e->conf;
	claim.call.done = done;
	claim.is_out = true;
	engine_send(e, ENGINE_TAKE, &claim.call, &claim.held);
}

bool
claim_was_told(const char *id, enum engine_hint hint)
{
	if (id != NULL && strcmp(id, CLAIM) != 0)
		return false;
	/* Another host of ours may have given it up. */
	if (hint == ENGINE_LOST || hint == ENGINE_FREE) {
		claim.is_ours = false;
		claim.next = 0;
	}
	return true;
}

const struct engine_held *
claim_held(void)
{
	return claim.is_ours ? &claim.held : NULL;
}

bool
claim_is_refused(void)
{
	return claim.is_refused;
}

bool
claim_leave(struct engine *e)
{
	if (claim.is_ours && !claim.is_leaving) {
		claim.is_leaving = true;
		claim.is_out = true;
		engine_send(e, ENGINE_DROP, &claim.call, &claim.held);
	}
	return !claim.is_out;
}

void
claim_show_refusal(struct engine *e, struct agent_board *board)
{
	static bool is_shown;
	bool is_refused = e->refusal.code != ERR_OK;

	if (is_refused)
		agent_refuse(board, e->refusal.text);
	else if (is_shown && !claim_is_refused())
		agent_refuse(board, "");
	is_shown = is_refused;
}
