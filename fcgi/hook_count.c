/*
 * hook_count.c - count the calls of hooks, for the metrics, and note that a
 * request waits for one, for the status page and the slow log.
 */
#include "config.h"

#include <stdlib.h>

#include "fcgi/hook_count.h"
#include "fcgi/work.h"

struct counting {
	struct hooks base;
	struct hooks *inner;
	struct metrics *metrics;
};

/* The object behind the struct hook_notice that callers get. */
struct counted {
	enum hook_point hook;
	struct hook_notice *inner;
};

static struct counting *
counting(struct hooks *h)
{
	return OUTER(h, struct counting, base);
}

static bool
count_wants(struct hooks *h, enum hook_point hook)
{
	struct hooks *inner = counting(h)->inner;

	return inner->ops->wants(inner, hook);
}

static enum err_code
count_ask(struct hooks *h, const struct hook_event *event, struct arena *a,
    struct hook_verdict *verdict, struct err *e)
{
	struct counting *c = counting(h);
	enum work_phase before = work_enter(WORK_HOOK);
	enum err_code rc = c->inner->ops->ask(c->inner, event, a, verdict, e);

	(void)work_enter(before);
	metrics_count_hook(c->metrics, event->hook, rc == ERR_OK);
	return rc;
}

static struct hook_notice *
count_note(struct hooks *h, const struct hook_event *event, struct arena *a)
{
	struct counting *c = counting(h);
	struct hook_notice *inner = c->inner->ops->note(c->inner, event, a);
	struct counted *n;

	if (inner == NULL)
		return NULL;
	n = arena_alloc(a, sizeof(*n));
	n->hook = event->hook;
	n->inner = inner;
	return (struct hook_notice *)(void *)n;
}

static void
count_moved(struct hooks *h, struct hook_notice *notice,
    const struct file_info *info, struct arena *a)
{
	struct counting *c = counting(h);
	const struct counted *n = (const struct counted *)(void *)notice;

	c->inner->ops->moved(c->inner, n->inner, info, a);
}

static bool
count_tell(struct hooks *h, struct hook_notice *notice)
{
	struct counting *c = counting(h);
	const struct counted *n = (const struct counted *)(void *)notice;
	enum work_phase before = work_enter(WORK_HOOK);
	bool is_taken = c->inner->ops->tell(c->inner, n->inner);

	(void)work_enter(before);
	metrics_count_hook(c->metrics, n->hook, is_taken);
	return is_taken;
}

static void
count_forget(struct hooks *h, struct hook_notice *notice)
{
	struct counting *c = counting(h);
	const struct counted *n = (const struct counted *)(void *)notice;

	c->inner->ops->forget(c->inner, n->inner);
}

static void
count_withdraw(struct hooks *h, struct hook_notice *notice)
{
	struct counting *c = counting(h);
	const struct counted *n = (const struct counted *)(void *)notice;

	c->inner->ops->withdraw(c->inner, n->inner);
}

static enum err_code
count_deliver(struct hooks *h, enum hook_delivery how, struct hook_tally *tally,
    struct err *e)
{
	struct counting *c = counting(h);
	enum err_code rc = c->inner->ops->deliver(c->inner, how, tally, e);
	enum hook_point hook;
	int64_t i;

	for (hook = 0; hook < HOOK_POINT_MAX; hook++) {
		for (i = 0; i < tally->told[hook]; i++)
			metrics_count_hook(c->metrics, hook, true);
		for (i = 0; i < tally->failed[hook]; i++)
			metrics_count_hook(c->metrics, hook, false);
	}
	return rc;
}

static void
count_shutdown(struct hooks *h)
{
	struct counting *c = counting(h);

	c->inner->ops->shutdown(c->inner);
	free(c);
}

static const struct hooks_ops ops = {
	.wants = count_wants,
	.ask = count_ask,
	.note = count_note,
	.moved = count_moved,
	.tell = count_tell,
	.forget = count_forget,
	.withdraw = count_withdraw,
	.deliver = count_deliver,
	.shutdown = count_shutdown,
};

struct hooks *
hook_count(struct metrics *metrics, struct hooks *inner)
{
	struct counting *c;

	if (inner == NULL)
		return NULL;
	c = must_alloc(sizeof(*c));
	c->base.ops = &ops;
	c->base.progress = inner->progress;
	c->base.patience = inner->patience;
	c->inner = inner;
	c->metrics = metrics;
	return &c->base;
}
