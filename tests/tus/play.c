/*
 * play.c - hooks, locks and a mover that write down how they are called.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/tus/gate.h"
#include "tests/tus/play.h"

struct play play;

static void
log_word(const char *word, int64_t number)
{
	size_t len = strlen(play.log);

	(void)snprintf(play.log + len, sizeof(play.log) - len,
	    number < 0 ? "%s%s" : "%s%s %lld", len == 0 ? "" : ", ", word,
	    (long long)number);
}

static bool
wants(struct hooks *hooks, enum hook_point hook)
{
	(void)hooks;
	return !play.unwanted[hook];
}

static enum err_code
ask(struct hooks *hooks, const struct hook_event *event, struct arena *a,
    struct hook_verdict *v, struct err *e)
{
	(void)hooks;
	(void)a;
	log_word(hook_point_name(event->hook), event->info->offset);
	play.seen = *event->info;
	*v = play.verdicts[event->hook];
	if (play.fails[event->hook])
		return err_set(e, ERR_SYSTEM, "the hook failed");
	return ERR_OK;
}

struct hook_notice {
	enum hook_point hook;
	int64_t offset;
};

static struct hook_notice *
note(struct hooks *hooks, const struct hook_event *event, struct arena *a)
{
	struct hook_notice *n = arena_alloc(a, sizeof(*n));

	(void)hooks;
	log_word("note", -1);
	n->hook = event->hook;
	n->offset = event->info->offset;
	play.seen = *event->info;
	return n;
}

static void
moved(struct hooks *hooks, struct hook_notice *n, const struct file_info *info,
    struct arena *a)
{
	(void)hooks;
	(void)n;
	(void)a;
	log_word("moved", -1);
	play.seen = *info;
}

static bool
tell(struct hooks *hooks, struct hook_notice *n)
{
	(void)hooks;
	log_word(hook_point_name(n->hook), n->offset);
	return !play.fails[n->hook];
}

static void
forget(struct hooks *h, struct hook_notice *n)
{
	(void)h;
	(void)n;
	log_word("forget", -1);
}

static void
shutdown_hooks(struct hooks *hooks)
{
	(void)hooks;
}

static const struct hooks_ops hook_ops = { wants, ask, note, moved, tell,
	forget, NULL, NULL, shutdown_hooks };
struct hooks play_hooks = { &hook_ops, 1000, 0 };

static enum err_code
refuse(enum lock_how how, struct err *e)
{
	(void)how;
	return play.lock_is_taken ? err_set(e, ERR_LOCKED, "busy") : ERR_OK;
}

static void
taken(void)
{
	log_word("lock", -1);
}

static void
released(bool for_good)
{
	log_word(for_good ? "retire" : "release", -1);
}

/* The memory store keeps what it has; this only says that it moved it. */
static bool
mover_wants(struct data_store *ds, const struct file_info *info)
{
	(void)ds;
	return !info->is_partial && info->moved == 0;
}

static enum err_code
mover_choose(struct data_store *ds, const char *path, struct arena *a,
    const char **move_to, struct err *e)
{
	(void)ds;
	if (*path == '/')
		return err_set(e, ERR_INVALID, "elsewhere");
	*move_to = arena_strdup(a, path);
	return ERR_OK;
}

static enum err_code
mover_move(struct upload *up, struct err *e)
{
	log_word("move", up->info.offset);
	if (play.move_fails)
		return err_set(e, ERR_NO_SPACE, "the disk is full");
	up->info.moved = 1;
	return ERR_OK;
}

static bool
mover_is_pending(struct upload *up)
{
	(void)up;
	return false;
}

static enum err_code
mover_probe(struct data_store *ds, struct template_names *names, struct err *e)
{
	(void)ds;
	(void)e;
	*names = (struct template_names){ TEMPLATE_NAME_MAX, false };
	return ERR_OK;
}

const struct store_mover play_mover = { mover_wants, mover_choose, mover_move,
	mover_is_pending, mover_probe };

int
play_open(void **state)
{
	static struct world w;

	memset(&play, 0, sizeof(play));
	world_time = 1700000000;
	world_open(&w, 1000);
	w.srv.core.locker = gate_open();
	gate.refuse = refuse;
	gate.taken = taken;
	gate.released = released;
	w.srv.core.hooks = &play_hooks;
	*state = &w;
	return 0;
}

int
play_close(void **state)
{
	world_close(*state);
	return 0;
}

void
play_only(const char *list)
{
	enum hook_point h;

	for (h = 0; h < HOOK_POINT_MAX; h++)
		play.unwanted[h] = strstr(list, hook_point_name(h)) == NULL;
}

const char *
play_happened(struct world *w)
{
	char *log = arena_strdup(w->arena, play.log);

	play.log[0] = '\0';
	return log;
}
