/*
 * lock.c - the lockers built in, found by name.
 */
#include "config.h"

#include <string.h>

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
locker_open(const struct conf *conf, struct locker **locker, struct err *e)
{
	const char *type = conf_str(conf, "lock.type");
	size_t i;

	for (i = 0; i < NITEMS(classes); i++)
		if (strcmp(classes[i]->name, type) == 0)
			return classes[i]->open(conf, locker, e);
	return err_set(e, ERR_INVALID,
	    "lock.type: \"%s\" is not built in; tusfcgi -V says what is", type);
}

const char *
locker_name(size_t n)
{
	return n < NITEMS(classes) ? classes[n]->name : NULL;
}
