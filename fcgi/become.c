/*
 * become.c - work as another user than root.
 */
#include "config.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "fcgi/become.h"

static const uid_t no_uid = (uid_t)-1;
static const gid_t no_gid = (gid_t)-1;

enum err_code
become_find(const struct conf *conf, uid_t *uid, gid_t *gid, struct err *e)
{
	const char *user = conf_str(conf, "pool.user");
	const char *group = conf_str(conf, "pool.group");
	const struct passwd *pw;
	const struct group *gr;

	*uid = no_uid;
	*gid = no_gid;
	if (*user != '\0') {
		if ((pw = getpwnam(user)) == NULL)
			return err_set(
			    e, ERR_INVALID, "pool.user: no user \"%s\"", user);
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
	}
	if (*group != '\0') {
		if ((gr = getgrnam(group)) == NULL)
			return err_set(e, ERR_INVALID,
			    "pool.group: no group \"%s\"", group);
		*gid = gr->gr_gid;
	}
	return ERR_OK;
}

enum err_code
become_pool_user(const struct conf *conf, struct err *e)
{
	const char *user = conf_str(conf, "pool.user");
	uid_t uid;
	gid_t gid;

	if (become_find(conf, &uid, &gid, e) != ERR_OK)
		return e->code;
	if (geteuid() != 0)
		return ERR_OK;
	if (gid != no_gid &&
	    ((uid != no_uid ? initgroups(user, gid) : setgroups(1, &gid)) ==
		    -1 ||
		setgid(gid) == -1))
		return err_sys(e, "become pool.group");
	if (uid != no_uid && setuid(uid) == -1)
		return err_sys(e, "become pool.user %s", user);
	return ERR_OK;
}
