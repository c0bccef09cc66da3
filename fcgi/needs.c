/*
 * needs.c - the files, sockets and hosts that the configured store, locker and
 * hooks need.
 */
#include "config.h"

#include "fcgi/needs.h"
#include "hook/hook.h"
#include "lock/lock.h"
#include "store/store.h"

void
needs_each(const struct conf *conf, need_ear *ear, void *arg)
{
	locker_needs(conf, ear, arg);
	store_needs(conf, ear, arg);
	hook_needs(conf, ear, arg);
}

struct search {
	enum need wanted;
	bool is_found;
};

static void
compare(void *arg, enum need need, const char *key, const char *path)
{
	struct search *s = arg;

	(void)key;
	(void)path;
	if (need == s->wanted)
		s->is_found = true;
}

bool
needs_any(const struct conf *conf, enum need wanted)
{
	struct search s = { wanted, false };

	needs_each(conf, compare, &s);
	return s.is_found;
}
