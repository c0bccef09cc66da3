/*
 * look.c - check the directories and addresses that the configuration names.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mount.h"
#include "fcgi/look.h"
#include "lock/lock.h"
#include "store/store.h"

/* The most names that are checked: a start must not wait for a million. */
#define NAMES_MAX 4096

static const char *
name_of(uid_t uid, struct arena *a)
{
	const struct passwd *pw = getpwuid(uid);

	return pw != NULL ? arena_strdup(a, pw->pw_name) :
			    arena_printf(a, "%ld", (long)uid);
}

/* --- The address. --- */

enum err_code
look_at_address(const char *address, const struct conf *conf, struct err *e)
{
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	struct stat st;

	if (address == NULL)
		address = conf->pool.listen;
	if (strchr(address, '/') == NULL)
		return ERR_OK;
	if (strlen(address) > most)
		return err_set(e, ERR_INVALID,
		    "%s is too long for a socket: %zu characters at most",
		    address, most);
	if (lstat(address, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(e, ERR_EXISTS,
		    "%s exists and is not a socket: remove it, or listen "
		    "elsewhere",
		    address);
	return fs_may_make(address, e);
}

/* --- Directories. --- */

/* Refuse a directory that other users work in as well: it must not be given to
 * the pool's user. */
static enum err_code
refuse_need(bool is_ours, const char *key, const char *path, struct err *e)
{
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

/* The result of the checks so far. */
struct sight {
	const char **read_only;
	struct err *e;
	enum err_code rc;
};

/* A directory that does not exist is no error here: the start creates it, or
 * reports it. */
static void
look_at_need(void *arg, enum need need, const char *key, const char *path)
{
	struct sight *s = arg;

	if (s->rc != ERR_OK || (need != NEED_KEEP && need != NEED_PUT))
		return;
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0 ||
	    errno == ENOENT)
		return;
	if (errno == EROFS)
		*s->read_only = key;
	else
		s->rc = refuse_need(need == NEED_KEEP, key, path, s->e);
}

enum err_code
look_at_needs(const struct conf *conf, const char **read_only, struct err *e)
{
	struct sight s = { read_only, e, ERR_OK };

	*read_only = NULL;
	locker_needs(conf, look_at_need, &s);
	store_needs(conf, look_at_need, &s);
	return s.rc;
}

/* Check a directory that root would have to give away.  The start creates none
 * of these. */
static void
look_at_root(void *arg, enum need need, const char *key, const char *path)
{
	struct sight *s = arg;
	int fd;

	if (s->rc != ERR_OK || need != NEED_PUT)
		return;
	if ((s->rc = fs_open_dir(path, &fd, s->e)) != ERR_OK)
		s->rc = err_within(s->e, "%s", key);
	else
		(void)close(fd);
}

enum err_code
look_for_store(const struct conf *conf, struct err *e)
{
	const char *path = store_home(conf);
	struct sight s = { NULL, e, ERR_OK };
	struct stat st;

	if (path == NULL || stat(path, &st) == 0)
		return ERR_OK;
	if (errno != ENOENT)
		return err_sys(e, "the store %s", path);
	store_needs(conf, look_at_root, &s);
	if (s.rc != ERR_OK || fs_may_make(path, e) != ERR_OK)
		return e->code;
	return err_set(e, ERR_NOT_FOUND, "the store %s does not exist", path);
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
	const char *path = store_home(conf);
	DIR *dir;

	if (path == NULL || (dir = opendir(path)) == NULL)
		return;
	look_at_names(dir, path, out);
	(void)closedir(dir);
}

void
look_at_conf(const char *file, FILE *out)
{
	struct arena *a = arena_new();
	const struct group *group = getgrgid(getegid());

	if (file != NULL && faccessat(AT_FDCWD, file, R_OK, AT_EACCESS) == -1 &&
	    errno == EACCES)
		fprintf(out,
		    "warning: user %s may not read %s, which a reload does; "
		    "run: chgrp %s %s; chmod g+r %s\n",
		    name_of(geteuid(), a), file,
		    group != NULL ? group->gr_name : "GROUP", file, file);
	arena_free(a);
}

/* --- Locks. --- */

const char *
look_at_method(const struct conf *conf, struct arena *a)
{
	const char *path = conf->lock.path, *kind;
	char *real;

	if (!locker_has_files(conf) || strcmp(conf->lock.method, "flock") != 0)
		return NULL;
	real = realpath(*path != '\0' ? path : conf->store.path, NULL);
	kind = real != NULL ? mount_without_flock(real) : NULL;
	free(real);
	if (kind == NULL)
		return NULL;
	return arena_printf(a,
	    "lock.method = \"flock\": on %s a request that waits for an upload "
	    "is never heard, and gets 423: set lock.method = \"ofd\"",
	    kind);
}

enum err_code
look_at_locks(const struct conf *conf, struct locker *locker, struct err *e)
{
	static const char id[] = "tusfcgi-t";
	const struct timespec nap = { .tv_nsec = 20000000 };
	int64_t end = clock_ms() + conf->lock.reply;
	struct lock_figures f = { .refusal = "" };
	struct arena *a;
	struct lock *lock;
	enum err_code rc;

	if (locker->service == NULL)
		return ERR_OK;
	a = arena_new();
	/* The agent may not have its session with the service yet. */
	for (;;) {
		rc =
		    locker->ops->acquire(locker, id, LOCK_QUIETLY, a, &lock, e);
		if (rc == ERR_OK)
			locker->ops->release(lock, true);
		if (!locker->service->figures(locker, &f) ||
		    *f.refusal != '\0' || clock_ms() >= end ||
		    (rc != ERR_UNAVAILABLE &&
			(f.is_claimed || *store_id(conf) == '\0')))
			break;
		(void)nanosleep(&nap, NULL);
	}
	arena_free(a);
	if (rc == ERR_LOCKED)
		rc = ERR_OK;
	if (*f.refusal != '\0')
		rc = err_set(e, ERR_INVALID, "%s", f.refusal);
	else if (rc != ERR_OK)
		rc = err_within(e, "lock.hosts: cannot get a lock");
	return rc;
}
