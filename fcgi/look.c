/*
 * look.c - what could be wrong with the places that the configuration names.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/template.h"
#include "fcgi/look.h"
#include "lock/lock.h"

/* Of so many names at most; a start must not wait for a million. */
#define NAMES_MAX 4096

static const char *
name_of(uid_t uid, struct arena *a)
{
	const struct passwd *pw = getpwuid(uid);

	return pw != NULL ? arena_strdup(a, pw->pw_name) :
			    arena_printf(a, "%ld", (long)uid);
}

static bool
is_file_store(const struct conf *conf)
{
	return strcmp(conf_str(conf, "store.type"), "file") == 0;
}

/* --- The address. --- */

enum err_code
look_at_address(const char *address, const struct conf *conf, struct err *e)
{
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	struct stat st;

	if (address == NULL)
		address = conf_str(conf, "pool.listen");
	if (strchr(address, '/') == NULL)
		return ERR_OK;
	if (strlen(address) > most)
		return err_set(e, ERR_INVALID,
		    "%s is too long for a socket: %zu characters at most",
		    address, most);
	if (lstat(address, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(e, ERR_EXISTS,
		    "%s is there and is not a socket: remove it, or listen "
		    "elsewhere",
		    address);
	return fs_may_make(address, e);
}

/* --- Directories. --- */

/* Ours alone can be handed over; finished uploads go where others work, too. */
static enum err_code
refuse_place(const char *key, const char *path, struct err *e)
{
	bool is_ours = strcmp(key, "finish.move_to") != 0;
	int sys = errno;
	struct arena *a = arena_new();
	const char *user = name_of(geteuid(), a);
	struct stat st;

	if (stat(path, &st) == 0 && st.st_uid != geteuid())
		(void)err_set(e, ERR_SYSTEM,
		    "%s: %s belongs to user %s, and user %s may not write to "
		    "it%s%s%s%s",
		    key, path, name_of(st.st_uid, a), user,
		    is_ours ? "; run: chown -R " : "", is_ours ? user : "",
		    is_ours ? ": " : "", is_ours ? path : "");
	else
		(void)err_set(e, ERR_SYSTEM,
		    "%s: user %s may not write to %s: %s", key, user, path,
		    strerror(sys));
	arena_free(a);
	return e->code;
}

/* What is not there is for somebody else to make, or to miss. */
static enum err_code
look_at_place(
    const char *key, const char *path, const char **read_only, struct err *e)
{
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0 ||
	    errno == ENOENT)
		return ERR_OK;
	if (errno == EROFS)
		*read_only = key;
	else
		return refuse_place(key, path, e);
	return ERR_OK;
}

enum err_code
look_at_places(const struct conf *conf, const char **read_only, struct err *e)
{
	const char *locks = conf_str(conf, "lock.path");
	const char *move = conf_str(conf, "finish.move_to");
	enum err_code rc = ERR_OK;
	struct arena *a;

	*read_only = NULL;
	if (*locks != '\0')
		rc = look_at_place("lock.path", locks, read_only, e);
	if (rc != ERR_OK || !is_file_store(conf))
		return rc;
	rc = look_at_place(
	    "store.path", conf_str(conf, "store.path"), read_only, e);
	if (rc != ERR_OK || *move == '\0')
		return rc;
	a = arena_new();
	rc = look_at_place(
	    "finish.move_to", template_root(a, move), read_only, e);
	arena_free(a);
	return rc;
}

/* Without a store it cannot be opened, which would tell. */
static enum err_code
look_at_locker(const char *type, struct err *e)
{
	size_t i;

	for (i = 0; locker_name(i) != NULL; i++)
		if (strcmp(locker_name(i), type) == 0)
			return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "lock.type: \"%s\" is not built in; tusfcgi -V says what is", type);
}

/* Nor can the place that finished uploads go to, and nobody makes that one. */
static enum err_code
look_at_root(const char *template, struct err *e)
{
	struct arena *a;
	enum err_code rc;
	int fd;

	if (*template == '\0')
		return ERR_OK;
	a = arena_new();
	rc = fs_open_dir(template_root(a, template), &fd, e);
	arena_free(a);
	if (rc != ERR_OK)
		return err_within(e, "finish.move_to");
	(void)close(fd);
	return ERR_OK;
}

enum err_code
look_for_store(const struct conf *conf, struct err *e)
{
	const char *path = conf_str(conf, "store.path");
	struct stat st;

	if (!is_file_store(conf) || stat(path, &st) == 0)
		return ERR_OK;
	if (errno != ENOENT)
		return err_sys(e, "store.path: %s", path);
	if (look_at_locker(conf_str(conf, "lock.type"), e) != ERR_OK ||
	    look_at_root(conf_str(conf, "finish.move_to"), e) != ERR_OK ||
	    fs_may_make(path, e) != ERR_OK)
		return e->code;
	return err_set(e, ERR_NOT_FOUND, "store.path: %s is not there", path);
}

/* --- Uploads. --- */

static bool
is_stranger(int dirfd, const char *name, struct stat *st)
{
	return name[0] != '.' &&
	    fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st->st_mode) &&
	    faccessat(dirfd, name, R_OK | W_OK, AT_EACCESS) == -1 &&
	    errno == EACCES;
}

static void
look_at_names(DIR *dir, const char *path, FILE *out)
{
	struct arena *a = arena_new();
	const struct dirent *entry;
	const char *user = name_of(geteuid(), a);
	struct stat st;
	int i;

	for (i = 0; i < NAMES_MAX && (entry = readdir(dir)) != NULL; i++)
		if (is_stranger(dirfd(dir), entry->d_name, &st)) {
			fprintf(out,
			    "warning: %s/%s belongs to user %s, and user %s "
			    "may not read and write it; to hand over all "
			    "uploads: chown -R %s: %s\n",
			    path, entry->d_name, name_of(st.st_uid, a), user,
			    user, path);
			break;
		}
	arena_free(a);
}

void
look_at_uploads(const struct conf *conf, FILE *out)
{
	const char *path = conf_str(conf, "store.path");
	DIR *dir;

	if (!is_file_store(conf) || (dir = opendir(path)) == NULL)
		return;
	look_at_names(dir, path, out);
	(void)closedir(dir);
}
