/*
 * lock.c - the lockers built in, found by name.
 */
#include "config.h"

#include <string.h>

#include "base/table.h"
#include "lock/agent.h"
#include "lock/lock.h"

#define LOCKER(name) extern const struct locker_class locker_##name;
#include "lock/list.h"
#undef LOCKER

static const struct locker_class *const classes[] = {
#define LOCKER(name) &locker_##name,
#include "lock/list.h"
#undef LOCKER
};

enum err_code
locker_check(const struct locker *l, struct err *e)
{
	if (table_has_hole(l->ops, sizeof(*l->ops)))
		return err_set(e, ERR_INVALID,
		    "locker %s has only part of its operations", l->name);
	if (l->traces != NULL && table_has_hole(l->traces, sizeof(*l->traces)))
		return err_set(e, ERR_INVALID,
		    "locker %s has only part of its traces", l->name);
	if (l->service != NULL &&
	    table_has_hole(l->service, sizeof(*l->service)))
		return err_set(e, ERR_INVALID,
		    "locker %s has only part of its service", l->name);
	if (l->lender != NULL && table_has_hole(l->lender, sizeof(*l->lender)))
		return err_set(e, ERR_INVALID,
		    "locker %s has only part of its lender", l->name);
	return ERR_OK;
}

static const struct locker_class *
find_class(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(classes); i++)
		if (strcmp(classes[i]->name, name) == 0)
			return classes[i];
	return NULL;
}

static const struct table_option optional[] = {
	{ "redis", "libhiredis-dev" },
	{ "zookeeper", "libzookeeper-st-dev" },
	{ NULL, NULL },
};

static enum err_code
refuse_type(const char *type, struct err *e)
{
	return table_refuse("lock.type", type, optional, e);
}

enum err_code
locker_start(const struct conf *conf, struct err *e)
{
	const char *type = conf->lock.type;
	const struct locker_class *class = find_class(type);

	if (class == NULL)
		return refuse_type(type, e);
	if (class->engine == NULL)
		return ERR_OK;
	return agent_begin(class->engine, conf, e);
}

enum err_code
locker_serve(const struct conf *conf, int listen_fd, struct err *e)
{
	const char *type = conf->lock.type;
	const struct locker_class *class = find_class(type);

	if (class == NULL)
		return refuse_type(type, e);
	if (class->engine == NULL)
		return err_set(
		    e, ERR_INVALID, "lock.type = \"%s\" needs no agent", type);
	return agent_begin_for_all(class->engine, conf, listen_fd, e);
}

void
locker_know_store(const char *id, bool is_guest)
{
	agent_know_store(id, is_guest);
}

void
locker_confine_agent(void (*confine)(const struct conf *))
{
	agent_confine(confine);
}

void
locker_agent_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	agent_needs(conf, ear, arg);
}

void
locker_follow_log(void)
{
	agent_follow_log();
}

bool
locker_reap(pid_t pid, int status)
{
	return agent_reap(pid, status);
}

void
locker_look(void)
{
	agent_look();
}

void
locker_stop(void)
{
	agent_end();
}

enum err_code
locker_check_keys(const struct conf *conf, struct err *e)
{
	const char *type = conf->lock.type;
	const struct locker_class *class = find_class(type);

	if (class == NULL)
		return refuse_type(type, e);
	if (class->is_for_one_pool && conf->store.shared)
		return err_set(e, ERR_INVALID,
		    "store.shared: lock.type = \"%s\" is for one pool on "
		    "one host; take \"flock\" with lock.method = \"ofd\"",
		    type);
	return class->check_keys != NULL ? class->check_keys(conf, e) : ERR_OK;
}

enum err_code
locker_open(const struct conf *conf, struct locker **locker, struct err *e)
{
	const char *type = conf->lock.type;
	const struct locker_class *class = find_class(type);
	enum err_code rc;

	if ((rc = locker_check_keys(conf, e)) != ERR_OK)
		return rc;
	if (class->engine != NULL)
		rc = agent_open(class->name, conf, locker, e);
	else
		rc = class->open(conf, locker, e);
	if (rc == ERR_OK && (rc = locker_check(*locker, e)) != ERR_OK)
		*locker = NULL;
	return rc;
}

void
locker_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	const struct locker_class *class = find_class(conf->lock.type);

	if (class != NULL && class->needs != NULL)
		class->needs(conf, ear, arg);
}

static void
take_home(void *arg, enum need need, const char *key, const char *path)
{
	const char **home = arg;

	(void)key;
	if (need == NEED_KEEP)
		*home = path;
}

const char *
locker_home(const struct conf *conf)
{
	const char *home = NULL;

	locker_needs(conf, take_home, &home);
	return home;
}

bool
locker_is_for_one_pool(const struct conf *conf)
{
	const struct locker_class *class = find_class(conf->lock.type);

	return class != NULL && class->is_for_one_pool;
}

enum err_code
locker_try_host(
    const struct conf *conf, size_t n, struct lock_trial *t, struct err *e)
{
	const struct locker_class *class = find_class(conf->lock.type);

	if (class == NULL || class->engine == NULL ||
	    conf->lock.hosts[n] == NULL)
		return err_set(e, ERR_NOT_FOUND, "no more of lock.hosts");
	return agent_try_host(class->engine, conf, conf->lock.hosts[n], t, e);
}

bool
locker_has_files(const struct conf *conf)
{
	const struct locker_class *class = find_class(conf->lock.type);

	return class != NULL && class->has_files;
}

bool
locker_is_far(const struct conf *conf)
{
	const struct locker_class *class = find_class(conf->lock.type);

	return class != NULL && class->engine != NULL;
}

const struct locker_lender *
locker_lender_of(const struct conf *conf)
{
	const struct locker_class *class = find_class(conf->lock.type);

	if (class == NULL)
		return NULL;
	return class->engine != NULL ? &agent_lender : class->lender;
}

bool
locker_knows(struct locker *locker, const char *id, struct arena *a)
{
	const struct locker_ops *ops = locker->ops;
	struct lock *lock;
	struct err e;
	enum err_code rc;

	if (locker->traces == NULL)
		return false;
	rc = ops->acquire(locker, id, LOCK_EXISTING_QUIETLY, a, &lock, &e);
	if (rc == ERR_OK)
		ops->release(lock, false);
	/* If the lock cannot be looked up, it counts as known: taking it will
	 * show why. */
	return rc != ERR_NOT_FOUND && rc != ERR_INVALID;
}

const char *
locker_name(size_t n)
{
	return n < NITEMS(classes) ? classes[n]->name : NULL;
}
