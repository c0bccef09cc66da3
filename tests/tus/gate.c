/*
 * gate.c - a locker for tests: lock/memory.c behind a gate.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/tus/gate.h"

struct gate_lock {
	struct lock base;
	struct lock *real;
};

struct gate gate;

static struct locker *real;

static enum err_code
acquire(struct locker *locker, const char *id, enum lock_how how,
    struct arena *a, struct lock **lock, struct err *e)
{
	enum err_code rc = gate.refuse != NULL ? gate.refuse(how, e) : ERR_OK;
	struct gate_lock *own = arena_alloc(a, sizeof(*own));

	if (rc == ERR_OK)
		rc = real->ops->acquire(real, id, how, a, &own->real, e);
	gate.asking = rc == ERR_LOCKED && how != LOCK_QUIETLY &&
	    how != LOCK_EXISTING_QUIETLY;
	if (rc != ERR_OK)
		return rc;
	own->base.locker = locker;
	*lock = &own->base;
	gate.held++;
	if (gate.taken != NULL)
		gate.taken();
	return ERR_OK;
}

static void
stop_asking(struct locker *locker, const char *id)
{
	(void)locker;
	gate.asking = 0;
	real->ops->stop_asking(real, id);
}

static void
release(struct lock *lock, bool for_good)
{
	gate.held--;
	gate.retired += for_good;
	if (gate.released != NULL)
		gate.released(for_good);
	real->ops->release(OUTER(lock, struct gate_lock, base)->real, for_good);
}

static enum lock_state
state_of(struct lock *lock)
{
	if (gate.state != NULL)
		return gate.state();
	return real->ops->state(OUTER(lock, struct gate_lock, base)->real);
}

static const struct locker_ops ops = {
	.acquire = acquire,
	.stop_asking = stop_asking,
	.release = release,
	.state = state_of,
};

struct locker *
gate_open(void)
{
	static struct locker locker = { .name = "gate", .ops = &ops };
	struct conf *conf;
	struct err e;

	gate = (struct gate){ 0 };
	if (real != NULL)
		return &locker;
	conf = conf_new();
	if (conf_set(conf, "lock.type", "memory", &e) != ERR_OK ||
	    locker_open(conf, &real, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		abort();
	}
	conf_free(conf);
	return &locker;
}
