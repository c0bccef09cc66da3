/*
 * spool.c - events that wait until they are delivered.
 *
 * One file per event, SPOOL/EVENTID.json, with the object as it is sent.  The
 * process that delivers it holds flock() on the file, which the kernel releases
 * if the process dies, and then removes the file: so a file without a lock was
 * left behind.  The names begin with the time at which the event was written.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/pinned.h"
#include "base/log.h"
#include "hook/parts.h"

#define DIR_NAME ".hooks"

bool
hook_spool_is_needed(const struct conf *conf)
{
	static const enum hook_point hooks[] = { HOOK_POST_CREATE,
		HOOK_POST_TERMINATE, HOOK_POST_EXPIRE };
	const char *const *name;
	size_t k;

	for (name = conf->hooks.events; *name != NULL; name++)
		for (k = 0; k < NITEMS(hooks); k++)
			if (strcmp(*name, hook_point_name(hooks[k])) == 0)
				return true;
	return false;
}

/* The directories in which events wait, or waited in another configuration or
 * release; the first is the one in use. */
size_t
hook_spool_dirs(
    const struct conf *conf, struct arena *a, const char *dirs[HOOK_DIRS_MAX])
{
	const char *own = conf->hooks.spool;
	const char *locks = conf->lock.path;
	size_t n = 0;

	if (*own != '\0')
		dirs[n++] = own;
	dirs[n++] = arena_printf(a, "%s/" DIR_NAME, conf->store.path);
	if (*locks != '\0' && strcmp(locks, conf->store.path) != 0)
		dirs[n++] = arena_printf(a, "%s/" DIR_NAME, locks);
	return n;
}

void
hook_spool_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	if (*conf->hooks.spool != '\0')
		ear(arg, NEED_KEEP, "hooks.spool", conf->hooks.spool);
	else
		ear(arg, NEED_KEEP, "store.path", conf->store.path);
}

const char *
hook_spool_path(const struct conf *conf, struct arena *a)
{
	const char *dirs[HOOK_DIRS_MAX];

	(void)hook_spool_dirs(conf, a, dirs);
	return dirs[0];
}

/* Events must not be kept among uploads or locks, where they would count as
 * unknown files. */
static enum err_code
check_own_dir(const struct conf *conf, int dirfd, struct err *e)
{
	const struct {
		const char *key, *path;
	} others[] = { { "store.path", conf->store.path },
		{ "lock.path", conf->lock.path } };
	const char *own = conf->hooks.spool;
	struct stat st, other;
	size_t i;

	if (fstat(dirfd, &st) == -1)
		return err_sys(e, "hooks.spool: stat %s", own);
	for (i = 0; i < NITEMS(others); i++)
		if (stat(others[i].path, &other) == 0 &&
		    other.st_dev == st.st_dev && other.st_ino == st.st_ino)
			return err_set(e, ERR_INVALID,
			    "hooks.spool = \"%s\": it must be another "
			    "directory "
			    "than %s",
			    own, others[i].key);
	if (faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) == -1)
		return err_sys(e, "hooks.spool: write to %s", own);
	return ERR_OK;
}

static enum err_code
open_own_dir(const struct conf *conf, int *dirfd, struct err *e)
{
	enum err_code rc;

	rc = fs_open_dir(conf->hooks.spool, dirfd, e);
	if (rc != ERR_OK)
		return err_within(e, "hooks.spool");
	if ((rc = check_own_dir(conf, *dirfd, e)) != ERR_OK)
		(void)close(*dirfd);
	return rc;
}

enum err_code
hook_spool_check(const struct conf *conf, struct err *e)
{
	struct arena *a = arena_new();
	const char *path = hook_spool_path(conf, a);
	enum err_code rc = ERR_OK;
	int fd;

	if (*conf->hooks.spool != '\0') {
		if ((rc = open_own_dir(conf, &fd, e)) == ERR_OK)
			(void)close(fd);
	} else if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) ==
		-1 &&
	    errno != ENOENT && errno != EROFS) {
		rc = err_sys(e, "the spool of hooks %s", path);
	}
	arena_free(a);
	return rc;
}

enum err_code
hook_spool_open(const struct conf *conf, int *dirfd, struct err *e)
{
	const char *store = conf->store.path;
	mode_t mode = (mode_t)conf->store.dir_mode;
	enum err_code rc;
	bool is_made;
	int fd;

	if (*conf->hooks.spool != '\0')
		return open_own_dir(conf, dirfd, e);
	if ((rc = pinned_open_dir(store, &fd, e)) != ERR_OK)
		return rc;
	rc = fs_make_subdir(fd, DIR_NAME, mode, dirfd, &is_made, e);
	if (rc != ERR_OK)
		rc = err_within(e, "%s", store);
	(void)close(fd);
	return rc;
}

void
hook_spool_new_id(char id[HOOK_EVENT_ID_MAX + 1])
{
	char random[ID_MAX + 1];
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	id_new(random);
	(void)snprintf(id, HOOK_EVENT_ID_MAX + 1, "%010lld%09ld-%.32s",
	    (long long)now.tv_sec, now.tv_nsec, random);
}

static enum err_code
write_event(const struct hook *h, const struct hook_message *m,
    const struct hook_spooled *s, struct err *e)
{
	char name[HOOK_EVENT_ID_MAX + 8], final[HOOK_EVENT_ID_MAX + 8];
	enum err_code rc = ERR_OK;
	size_t done;

	(void)snprintf(name, sizeof(name), "%s" HOOK_UNREADY, m->event_id);
	(void)snprintf(final, sizeof(final), "%s" HOOK_READY, m->event_id);
	if (flock(s->fd, LOCK_EX | LOCK_NB) == -1)
		rc = err_sys(e, "lock %s", name);
	if (rc == ERR_OK)
		rc = fs_pwrite(s->fd, m->text, m->len, 0, &done, e);
	if (rc == ERR_OK && h->is_durable)
		rc = fs_sync_data(s->fd, name, e);
	if (rc == ERR_OK)
		rc = fs_rename_at(s->dirfd, name, final, e);
	if (rc == ERR_OK && h->is_durable)
		rc = fs_sync(s->dirfd, "the spool", e);
	if (rc == ERR_OK)
		return ERR_OK;
	(void)unlinkat(s->dirfd, name, 0);
	(void)unlinkat(s->dirfd, final, 0);
	return rc;
}

/* The mode keeps other users from reading the client's headers. */
enum err_code
hook_spool_put(struct hook *h, const struct hook_message *m,
    struct hook_spooled *s, struct err *e)
{
	char name[HOOK_EVENT_ID_MAX + 8];
	enum err_code rc;

	*s = (struct hook_spooled){ .dirfd = -1, .fd = -1 };
	if (m->len > HOOK_EVENT_MAX)
		return err_set(e, ERR_INVALID, "an event of %zu bytes", m->len);
	(void)snprintf(name, sizeof(name), "%s" HOOK_UNREADY, m->event_id);
	rc = hook_spool_open(h->conf, &s->dirfd, e);
	if (rc == ERR_OK)
		rc = fs_create_at(s->dirfd, name, 0600, &s->fd, e);
	if (rc == ERR_OK)
		rc = write_event(h, m, s, e);
	if (rc != ERR_OK)
		hook_spool_leave(s);
	return rc;
}

void
hook_spool_leave(struct hook_spooled *s)
{
	if (s->fd != -1)
		(void)close(s->fd);
	if (s->dirfd != -1)
		(void)close(s->dirfd);
	*s = (struct hook_spooled){ .dirfd = -1, .fd = -1 };
}

/* Remove the file before unlocking it, or a sweep would take it for left
 * over. */
void
hook_spool_drop(struct hook_spooled *s, const char *event_id)
{
	char name[HOOK_EVENT_ID_MAX + 8];
	struct err e;

	if (s->fd == -1)
		return;
	(void)snprintf(name, sizeof(name), "%s" HOOK_READY, event_id);
	if (fs_unlink_at(s->dirfd, name, &e) != ERR_OK)
		log_warn(
		    "event %s was delivered but stays: %s", event_id, e.text);
	hook_spool_leave(s);
}
