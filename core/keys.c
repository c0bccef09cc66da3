/*
 * keys.c - do the store and the locker of a configuration fit together?
 *
 * Neither knows the other: each says what it is, and all that both have to
 * agree upon is checked here, and what is the one's or the other's is found.
 */
#include "config.h"

#include "base/become.h"
#include "core/core.h"

enum err_code
core_check_keys(const struct conf *conf, struct err *e)
{
	const char *home = store_home(conf);
	enum err_code rc;

	if ((rc = store_check_keys(conf, e)) != ERR_OK ||
	    (rc = locker_check_keys(conf, e)) != ERR_OK)
		return rc;
	/* A host that was suspended may write late, and a lock in a service
	 * does not prevent that. */
	if (home != NULL && !conf->store.shared && locker_is_far(conf))
		return err_set(e, ERR_INVALID,
		    "lock.type = \"%s\" alone is not safe over a directory, "
		    "for "
		    "a host that slept may write late: set store.shared, or on "
		    "one host lock.type = \"flock\"",
		    conf->lock.type);
	if (home == NULL && *conf->lock.path == '\0' &&
	    locker_has_files(conf) && !store_is_private(conf))
		return err_set(e, ERR_INVALID,
		    "lock.path: has to be set where store.type is \"%s\"",
		    conf->store.type);
	return ERR_OK;
}

enum err_code
core_become_owner(const struct conf *conf, struct err *e)
{
	const char *home = store_home(conf);

	if (home != NULL)
		return become_owner_of("the store", home, conf, e);
	return become_owner_of("lock.path:", locker_home(conf), conf, e);
}
