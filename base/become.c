/*
 * become.c - work as another user than root.
 */
#include "config.h"

#include <sys/stat.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/become.h"

static const uid_t no_uid = (uid_t)-1;
static const gid_t no_gid = (gid_t)-1;

enum err_code
become_find(const struct conf *conf, uid_t *uid, gid_t *gid, struct err *e)
{
	const char *user = conf->pool.user;
	const char *group = conf->pool.group;
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

/* The supplementary groups are those of the user, if it has a name. */
static enum err_code
become(uid_t uid, gid_t gid, struct err *e)
{
	const struct passwd *pw = uid != no_uid ? getpwuid(uid) : NULL;

	if (gid != no_gid &&
	    ((pw != NULL ? initgroups(pw->pw_name, gid) : setgroups(1, &gid)) ==
		    -1 ||
		setgid(gid) == -1))
		return err_sys(e, "become group %ld", (long)gid);
	if (uid != no_uid && setuid(uid) == -1)
		return err_sys(e, "become user %ld", (long)uid);
	return ERR_OK;
}

enum err_code
become_pool_user(const struct conf *conf, struct err *e)
{
	uid_t uid;
	gid_t gid;

	if (become_find(conf, &uid, &gid, e) != ERR_OK)
		return e->code;
	return geteuid() == 0 ? become(uid, gid, e) : ERR_OK;
}

enum err_code
become_owner_of(const char *name, const char *directory,
    const struct conf *conf, struct err *e)
{
	struct stat st = { 0 };
	uid_t uid;
	gid_t gid;

	/* Opening a store may create it; a check must not. */
	if (directory != NULL && stat(directory, &st) == -1)
		return err_sys(e, "%s %s", name, directory);
	if (become_find(conf, &uid, &gid, e) != ERR_OK)
		return e->code;
	if (geteuid() != 0)
		return ERR_OK;
	if (uid == no_uid && st.st_uid != 0) {
		uid = st.st_uid;
		if (gid == no_gid)
			gid = st.st_gid;
	}
	return become(uid, gid, e);
}
