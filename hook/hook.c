/*
 * hook.c - the functions that the core calls, between core/hooks.h and the ways
 * to deliver.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "hook/parts.h"

/* A sweep spends at most this many times hooks.timeout on hooks that fail. */
#define PATIENCE  10

#define WAY(name) extern const struct hook_way hook_##name;
#include "hook/list.h"
#undef WAY

static const struct hook_way *const ways[] = {
#define WAY(name) &hook_##name,
#include "hook/list.h"
#undef WAY
};

/* The struct belongs to an arena; its message must be freed. */
struct hook_notice {
	struct hook_message m;
	struct hook_spooled spooled;
};

static struct hook *
hook_of(struct hooks *hooks)
{
	return OUTER(hooks, struct hook, hooks);
}

static bool
wants(struct hooks *hooks, enum hook_point hook)
{
	struct hook *h = hook_of(hooks);

	return h->is_enabled[hook] && h->way->wants(h, hook);
}

/* An upload finishes only once: the event's id is made of the upload's, and is
 * the same whenever the event is delivered. */
static void
event_id(const struct hook_event *event, char id[HOOK_EVENT_ID_MAX + 1])
{
	if (event->hook == HOOK_POST_FINISH)
		(void)snprintf(id, HOOK_EVENT_ID_MAX + 1, "%s-%" PRId64,
		    event->info->id, event->info->created);
	else
		hook_spool_new_id(id);
}

static enum err_code
make_message(const struct hook_event *event, struct arena *a,
    struct hook_message *m, struct err *e)
{
	char id[HOOK_EVENT_ID_MAX + 1];
	enum err_code rc;

	event_id(event, id);
	rc = hook_message_make(m, hook_json_event(event, a), id, e);
	if (rc == ERR_OK && event->req != NULL)
		m->request_id = event->req->request_id;
	return rc;
}

static enum err_code
ask(struct hooks *hooks, const struct hook_event *event, struct arena *a,
    struct hook_verdict *v, struct err *e)
{
	struct hook *h = hook_of(hooks);
	struct hook_message m;
	enum err_code rc;

	if ((rc = make_message(event, a, &m, e)) != ERR_OK)
		return rc;
	m.is_asked = true;
	rc = hook_send(h, &m, e);
	if (rc == ERR_OK &&
	    hook_json_answer(h->answer, h->answer_len, a, v, e) != ERR_OK) {
		/* The fault is the hook's, not the client's. */
		e->code = ERR_SYSTEM;
		rc = err_within(e, "hook %s", m.type);
	}
	hook_message_free(&m);
	if (rc == ERR_OK || event->hook != HOOK_POST_RECEIVE)
		return rc;
	log_warn("%s, upload %s", e->text, event->info->id);
	memset(v, 0, sizeof(*v));
	return ERR_OK;
}

static struct hook_notice *
note(struct hooks *hooks, const struct hook_event *event, struct arena *a)
{
	struct hook_notice *n = arena_alloc(a, sizeof(*n));
	struct hook *h = hook_of(hooks);
	struct err e;

	n->spooled = (struct hook_spooled){ .dirfd = -1, .fd = -1 };
	if (make_message(event, a, &n->m, &e) != ERR_OK) {
		log_error("%s", e.text);
		return NULL;
	}
	/* The event may be delivered when the request's memory is gone. */
	n->m.request_id = arena_strdup(a, n->m.request_id);
	if (event->hook == HOOK_POST_FINISH ||
	    hook_spool_put(h, &n->m, &n->spooled, &e) == ERR_OK)
		return n;
	log_warn("%s: event %s of %s is lost if it is not taken now", e.text,
	    n->m.type, n->m.id);
	return n;
}

static void
forget(struct hooks *hooks, struct hook_notice *n)
{
	(void)hooks;
	hook_spool_leave(&n->spooled);
	hook_message_free(&n->m);
}

static void
withdraw(struct hooks *hooks, struct hook_notice *n)
{
	hook_spool_drop(&n->spooled, n->m.event_id);
	forget(hooks, n);
}

static void
moved(struct hooks *hooks, struct hook_notice *n, const struct file_info *info,
    struct arena *a)
{
	(void)hooks;
	hook_message_move(&n->m, info, a);
}

static bool
tell(struct hooks *hooks, struct hook_notice *n)
{
	struct hook *h = hook_of(hooks);
	struct err e;
	bool is_told = hook_send(h, &n->m, &e) == ERR_OK;

	if (is_told)
		hook_spool_drop(&n->spooled, n->m.event_id);
	else
		log_warn("%s, upload %s", e.text, n->m.id);
	hook_spool_leave(&n->spooled);
	hook_message_free(&n->m);
	return is_told;
}

static enum err_code
deliver(struct hooks *hooks, enum hook_delivery how, struct hook_tally *tally,
    struct err *e)
{
	return hook_late_deliver(hook_of(hooks), how, tally, e);
}

static void
close_all(struct hooks *hooks)
{
	struct hook *h = hook_of(hooks);

	h->way->shutdown(h);
	free(h->answer);
	free(h);
}

static const struct hooks_ops ops = {
	.wants = wants,
	.ask = ask,
	.note = note,
	.moved = moved,
	.tell = tell,
	.forget = forget,
	.withdraw = withdraw,
	.deliver = deliver,
	.shutdown = close_all,
};

/* --- Opening. --- */

static void
enable(struct hook *h)
{
	const char *const *name;
	enum hook_point hook;

	for (name = h->conf->hooks.events; *name != NULL; name++)
		for (hook = 0; hook < HOOK_POINT_MAX; hook++)
			if (strcmp(*name, hook_point_name(hook)) == 0)
				h->is_enabled[hook] = true;
}

/* A hook may close its end before it has read everything.  With SIGCHLD
 * ignored, waitpid() gives no status. */
static void
set_signals(void)
{
	struct sigaction sa;

	(void)signal(SIGPIPE, SIG_IGN);
	if (sigaction(SIGCHLD, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
		(void)signal(SIGCHLD, SIG_DFL);
}

/* The configured destination of events by this way. */
static const char *const *
target_of(const struct hook_way *way, const struct conf *conf)
{
	return (const void *)((const char *)conf + way->offset);
}

/* The first way that is configured; NULL if there are no hooks. */
static const struct hook_way *
find_way(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < NITEMS(ways); i++)
		if (**target_of(ways[i], conf) != '\0')
			return ways[i];
	return NULL;
}

enum err_code
hook_check_keys(const struct conf *conf, struct err *e)
{
	const struct hook_way *way = find_way(conf);
	size_t i;

	if (way == NULL)
		return ERR_OK;
	for (i = 0; i < NITEMS(ways); i++)
		if (ways[i] != way && **target_of(ways[i], conf) != '\0')
			return err_set(e, ERR_INVALID,
			    "%s cannot be set together with %s", ways[i]->key,
			    way->key);
	if (conf->store.shared && *conf->hooks.spool == '\0')
		return err_set(e, ERR_INVALID,
		    "store.shared: set hooks.spool to a directory of this host "
		    "alone, for the events that wait");
	return ERR_OK;
}

const char *
hook_target(const struct conf *conf)
{
	const struct hook_way *way = find_way(conf);

	return way != NULL ? *target_of(way, conf) : "";
}

void
hook_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	const struct hook_way *way = find_way(conf);

	if (way == NULL)
		return;
	way->needs(conf, ear, arg);
	if (hook_spool_is_needed(conf))
		hook_spool_needs(conf, ear, arg);
}

enum err_code
hook_check(const struct conf *conf, struct err *e)
{
	const struct hook_way *way = find_way(conf);
	enum err_code rc;

	if (way == NULL || (rc = way->check(conf, e)) != ERR_OK)
		return way == NULL ? ERR_OK : rc;
	return hook_spool_is_needed(conf) ? hook_spool_check(conf, e) : ERR_OK;
}

enum err_code
hook_open(const struct conf *conf, struct hooks **hooks, struct err *e)
{
	const struct hook_way *way = find_way(conf);
	enum err_code rc;
	struct hook *h;

	*hooks = NULL;
	if (way == NULL)
		return ERR_OK;
	if ((rc = hook_check_keys(conf, e)) != ERR_OK)
		return rc;
	h = must_alloc(sizeof(*h));
	h->hooks.ops = &ops;
	h->hooks.progress = conf->hooks.progress;
	h->conf = conf;
	h->timeout = conf->hooks.timeout;
	h->way = way;
	enable(h);
	set_signals();
	h->is_durable = strcmp(conf->store.durability, "full") == 0;
	h->hooks.patience = PATIENCE * h->timeout;
	rc = way->load(e);
	if (rc == ERR_OK)
		*hooks = &h->hooks;
	else
		close_all(&h->hooks);
	return rc;
}
