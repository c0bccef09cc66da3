/*
 * become.c - work as the user whose files they are.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
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

/* A store that is not there yet is for store_open() to complain about. */
static void
read_directory(const char *path, struct identity *who)
{
	const struct passwd *pw;
	struct stat st;

	*who = (struct identity){ 0, 0, NULL };
	if (stat(path, &st) == -1 || st.st_uid == 0)
		return;
	pw = getpwuid(st.st_uid);
	*who = (struct identity){ st.st_uid, st.st_gid,
		pw != NULL ? pw->pw_name : NULL };
}

enum err_code
become_pool_user(const struct conf *conf, struct err *e)
{
	struct identity who;
	enum err_code rc;

	if (geteuid() != 0)
		return ERR_OK;
	if (conf_str(conf, "pool.user")[0] == '\0')
		read_directory(conf_str(conf, "store.path"), &who);
	else if ((rc = read_conf(conf, &who, e)) != ERR_OK)
		return rc;
	if (who.uid == 0)
		return ERR_OK;
	if ((who.name != NULL ? initgroups(who.name, who.gid) :
				setgroups(1, &who.gid)) == -1 ||
	    setgid(who.gid) == -1 || setuid(who.uid) == -1)
		return err_sys(e, "become user %ld", (long)who.uid);
	return ERR_OK;
}
