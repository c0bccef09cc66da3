/*
 * become.c - work as the user whose files they are.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "ctl/become.h"

struct identity {
	uid_t uid;
	gid_t gid;
	/* For the supplementary groups; NULL if the uid has no name. */
	const char *name;
};

static enum err_code
read_conf(const struct conf *conf, struct identity *who, struct err *e)
{
	const char *user = conf_str(conf, "pool.user");
	const char *group = conf_str(conf, "pool.group");
	const struct passwd *pw = getpwnam(user);
	const struct group *gr;

	if (pw == NULL)
		return err_set(
		    e, ERR_INVALID, "pool.user: there is no user %s", user);
	*who = (struct identity){ pw->pw_uid, pw->pw_gid, user };
	if (group[0] == '\0')
		return ERR_OK;
	if ((gr = getgrnam(group)) == NULL)
		return err_set(
		    e, ERR_INVALID, "pool.group: there is no group %s", group);
	who->gid = gr->gr_gid;
	return ERR_OK;
}

static enum err_code
read_directory(const char *path, struct identity *who, struct err *e)
{
	const struct passwd *pw;
	struct stat st;

	if (stat(path, &st) == -1)
		return err_sys(e, "the store %s", path);
	pw = getpwuid(st.st_uid);
	*who = (struct identity){ st.st_uid, st.st_gid,
		pw != NULL ? pw->pw_name : NULL };
	return ERR_OK;
}

enum err_code
become_pool_user(const struct conf *conf, struct err *e)
{
	const char *path = conf_str(conf, "store.path");
	struct identity who = { 0, 0, NULL };
	enum err_code rc = ERR_OK;

	/* Opening a store may make it; to look at it is no reason to. */
	if (strcmp(conf_str(conf, "store.type"), "file") == 0)
		rc = read_directory(path, &who, e);
	if (rc == ERR_OK && conf_str(conf, "pool.user")[0] != '\0')
		rc = read_conf(conf, &who, e);
	if (rc != ERR_OK || geteuid() != 0)
		return rc;
	if (who.uid == 0)
		return ERR_OK;
	if ((who.name != NULL ? initgroups(who.name, who.gid) :
				setgroups(1, &who.gid)) == -1 ||
	    setgid(who.gid) == -1 || setuid(who.uid) == -1)
		return err_sys(e, "become user %ld", (long)who.uid);
	return ERR_OK;
}
