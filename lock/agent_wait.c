/*
 * agent_wait.c - who waits for which upload on this host, and what the agent
 * knows of uploads that another host holds.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "lock/agentd.h"

enum {
	ASKS = 4096,
	FARS = 1024,
	/* In ms: how long the answer "held elsewhere" is used. */
	FAR_MS = 100,
	/* In ms: the interval at which a holder is asked again. */
	ASK_AGAIN = 1000
};

/* A process that waits for an id. */
struct ask {
	int fd;
	char id[ID_MAX + 1];
};

static struct {
	struct ask asks[ASKS];
	int asks_top;
	struct far fars[FARS];
} mine;

/* --- This host. --- */

int
wait_count(const char *id)
{
	int i, n = 0;

	for (i = 0; i < mine.asks_top; i++)
		n += mine.asks[i].fd != -1 && strcmp(mine.asks[i].id, id) == 0;
	return n;
}

bool
wait_begin(int fd, const char *id)
{
	int i, room = -1, n = 0;

	for (i = 0; i < mine.asks_top; i++) {
		if (mine.asks[i].fd == -1) {
			room = i;
			continue;
		}
		if (strcmp(mine.asks[i].id, id) != 0)
			continue;
		if (mine.asks[i].fd == fd)
			return true;
		n++;
	}
	if (room == -1 && mine.asks_top < ASKS)
		room = mine.asks_top++;
	if (n >= LOCK_WAITERS || room == -1)
		return false;
	mine.asks[room].fd = fd;
	(void)stpcpy(mine.asks[room].id, id);
	return true;
}

void
wait_end(int fd, const char *id)
{
	int i;

	for (i = 0; i < mine.asks_top; i++)
		if (mine.asks[i].fd == fd && strcmp(mine.asks[i].id, id) == 0)
			mine.asks[i].fd = -1;
}

const char *
wait_for_what(int fd)
{
	int i;

	for (i = 0; i < mine.asks_top; i++)
		if (mine.asks[i].fd == fd)
			return mine.asks[i].id;
	return NULL;
}

/* --- Another host. --- */

struct far *
far_find(const char *id)
{
	int i;

	for (i = 0; i < FARS; i++)
		if (strcmp(mine.fars[i].id, id) == 0)
			return &mine.fars[i];
	return NULL;
}

static void
ask(struct engine *e, enum engine_kind kind, const struct far *far)
{
	struct engine_held held;

	(void)stpcpy(held.id, far->id);
	(void)stpcpy(held.owner, far->holder);
	engine_send(e, kind, NULL, &held);
}

void
far_ask(struct engine *e, struct far *far)
{
	int64_t now = clock_ms();

	if (wait_count(far->id) == 0 ||
	    (far->asked != 0 && now - far->asked < ASK_AGAIN))
		return;
	far->asked = now;
	ask(e, ENGINE_ASK, far);
}

/* It takes the place of the oldest. */
struct far *
far_note(const char *id, const char *holder)
{
	struct far *far = far_find(id);
	int i;

	if (far == NULL) {
		far = &mine.fars[0];
		for (i = 1; i < FARS; i++)
			if (mine.fars[i].until < far->until)
				far = &mine.fars[i];
		far->asked = 0;
		(void)stpcpy(far->id, id);
	}
	/* A new holder does not know yet that we wait. */
	if (far->asked != 0 && strcmp(far->holder, holder) != 0)
		far->asked = 1;
	(void)snprintf(far->holder, sizeof(far->holder), "%s", holder);
	far->until = clock_ms() + FAR_MS;
	return far;
}

void
far_unask(struct engine *e, const char *id)
{
	struct far *far = far_find(id);

	if (far == NULL || wait_count(id) > 0)
		return;
	if (far->asked != 0)
		ask(e, ENGINE_UNASK, far);
	far->asked = 0;
}

void
far_name_host(const struct far *far, char *host, size_t size)
{
	(void)snprintf(
	    host, size, "%.*s", (int)strcspn(far->holder, "/"), far->holder);
	/* The service may say anything. */
	for (; *host != '\0'; host++)
		if (*host <= ' ' || *host > '~')
			*host = '?';
}
