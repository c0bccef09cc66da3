/*
 * spool.c - events that wait until somebody takes them.
 *
 * One file per event, SPOOL/EVENTID.json, with the object as it is sent.  Who
 * delivers it holds flock() on the file, which dies with its holder, and then
 * removes it: so whatever has a file and no lock was left behind.  The names
 * begin with the time, hence their order is that of the events.
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
#include "base/log.h"
#include "hook/parts.h"

#define DIR_NAME ".hooks"
#define READY	 ".json"
#define UNREADY	 ".new"

/* What is older and not ready never will be. */
#define UNREADY_AGE 3600

/* Enough for 64 KiB of metadata and as much of headers, escaped. */
#define EVENT_MAX (1 << 20)

/* Failures in a row after which the rest is left for the next time: nobody is
 * there, and each may have taken as long as hooks.timeout. */
#define PATIENCE 10

static const char *
place(const struct conf *conf)
{
	const char *path = conf_str(conf, "lock.path");

	return *path != '\0' ? path : conf_str(conf, "store.path");
}

enum err_code
hook_spool_open(struct hook *h, struct err *e)
{
	mode_t mode = (mode_t)conf_int(h->conf, "store.dir_mode");
	enum err_code rc;
	int dirfd;

	h->is_durable =
	    strcmp(conf_str(h->conf, "store.durability"), "full") == 0;
	if ((rc = fs_open_dir(place(h->conf), &dirfd, e)) != ERR_OK)
		return rc;
	if (mkdirat(dirfd, DIR_NAME, mode) == -1 && errno != EEXIST)
		rc = err_sys(e, "make %s/" DIR_NAME, place(h->conf));
	if (rc == ERR_OK)
		h->spool = openat(dirfd, DIR_NAME,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (rc == ERR_OK && h->spool == -1)
		rc = err_sys(e, "open %s/" DIR_NAME, place(h->conf));
	(void)close(dirfd);
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

/* Others must not read what the client's headers say. */
enum err_code
hook_spool_put(
    struct hook *h, const struct hook_message *m, int *fd, struct err *e)
{
	char name[HOOK_EVENT_ID_MAX + 8], final[HOOK_EVENT_ID_MAX + 8];
	enum err_code rc;
	size_t done;

	(void)snprintf(name, sizeof(name), "%s" UNREADY, m->event_id);
	(void)snprintf(final, sizeof(final), "%s" READY, m->event_id);
	if ((rc = fs_create_at(h->spool, name, 0600, fd, e)) != ERR_OK)
		return rc;
	if (flock(*fd, LOCK_EX | LOCK_NB) == -1)
		rc = err_sys(e, "lock %s", name);
	if (rc == ERR_OK)
		rc = fs_pwrite(*fd, m->text, m->len, 0, &done, e);
	if (rc == ERR_OK && h->is_durable)
		rc = fs_sync_data(*fd, name, e);
	if (rc == ERR_OK)
		rc = fs_rename_at(h->spool, name, final, e);
	if (rc == ERR_OK && h->is_durable)
		rc = fs_sync(h->spool, DIR_NAME, e);
	if (rc == ERR_OK)
		return ERR_OK;
	(void)unlinkat(h->spool, name, 0);
	(void)unlinkat(h->spool, final, 0);
	(void)close(*fd);
	return rc;
}

/* Removed before the lock is gone, or somebody would take it for left over. */
void
hook_spool_drop(struct hook *h, const char *event_id, int fd)
{
	char name[HOOK_EVENT_ID_MAX + 8];
	struct err e;

	(void)snprintf(name, sizeof(name), "%s" READY, event_id);
	if (fs_unlink_at(h->spool, name, &e) != ERR_OK)
		log_warn(
		    "event %s was delivered but stays: %s", event_id, e.text);
	(void)close(fd);
}

/* --- What was left behind. --- */

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

/* Ours alone from here on?  Else somebody is busy with it, or just was. */
static enum err_code
take(struct hook *h, const char *name, int *fd, struct stat *st, struct err *e)
{
	enum err_code rc = fs_open_at(h->spool, name, O_RDWR, fd, st, e);

	if (rc != ERR_OK)
		return rc;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0 && fstat(*fd, st) == 0 &&
	    fs_has_name(h->spool, name, st))
		return ERR_OK;
	(void)close(*fd);
	return err_set(e, ERR_NOT_FOUND, "event %s: somebody has it", name);
}

static enum err_code
load(const char *name, int fd, const struct stat *st, struct hook_message *m,
    struct err *e)
{
	char id[HOOK_EVENT_ID_MAX + 1];
	char *buf;
	size_t got;
	json_t *json = NULL;
	enum err_code rc;

	if (st->st_size > EVENT_MAX ||
	    strlen(name) > HOOK_EVENT_ID_MAX + strlen(READY))
		return err_set(e, ERR_CORRUPT, "event %s: too long", name);
	buf = must_alloc((size_t)st->st_size + 1);
	rc = fs_pread(fd, buf, (size_t)st->st_size, 0, &got, e);
	if (rc == ERR_OK)
		json = json_loadb(buf, got, JSON_ALLOW_NUL, NULL);
	free(buf);
	if (rc != ERR_OK)
		return rc;
	if (json == NULL)
		return err_set(e, ERR_CORRUPT, "event %s: not JSON", name);
	(void)snprintf(
	    id, sizeof(id), "%.*s", (int)(strlen(name) - strlen(READY)), name);
	return hook_message_make(m, json, id, e);
}

static enum tus_hook
event_of(const struct hook_message *m)
{
	enum tus_hook hook = 0;

	while (hook < TUS_POST_TERMINATE &&
	    strcmp(tus_hook_name(hook), m->type) != 0)
		hook++;
	return hook;
}

static enum err_code
send_loaded(struct hook *h, const char *name, int fd, const struct stat *st,
    struct tus_tally *tally, struct err *e)
{
	struct hook_message m;
	enum err_code rc = load(name, fd, st, &m, e);

	if (rc != ERR_OK) {
		tally->damaged++;
		return rc;
	}
	rc = hook_send(h, &m, e);
	(rc == ERR_OK ? tally->told : tally->failed)[event_of(&m)]++;
	hook_message_free(&m);
	return rc;
}

/* How it went is in the tally; false if it went wrong. */
static bool
deliver_one(struct hook *h, const char *name, struct tus_tally *tally)
{
	struct stat st;
	struct err e;
	enum err_code rc;
	int fd;

	rc = take(h, name, &fd, &st, &e);
	if (rc == ERR_NOT_FOUND)
		return true;
	if (rc != ERR_OK) {
		log_warn("%s", e.text);
		tally->left++;
		return true;
	}
	rc = send_loaded(h, name, fd, &st, tally, &e);
	if (rc == ERR_OK)
		rc = fs_unlink_at(h->spool, name, &e);
	if (rc != ERR_OK)
		log_warn("event %s: %s", name, e.text);
	(void)close(fd);
	return rc == ERR_OK;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whoever began it is dead if nobody holds it. */
static void
drop_unready(struct hook *h, const char *name)
{
	struct stat st;
	struct err e;
	int fd;

	if (take(h, name, &fd, &st, &e) != ERR_OK)
		return;
	if (clock_now() - st.st_mtime > UNREADY_AGE)
		(void)unlinkat(h->spool, name, 0);
	(void)close(fd);
}

/* The names of the events, in their order; NULL after the last. */
static enum err_code
list_names(struct hook *h, struct arena *a, char ***list, struct err *e)
{
	size_t n = 0, room = 64;
	DIR *cursor = NULL;
	char **names = arena_alloc(a, room * sizeof(*names)), **more;
	const char *name;
	enum err_code rc;

	while ((rc = fs_walk_next(h->spool, &cursor, &name, e)) == ERR_OK &&
	    name != NULL) {
		if (ends_with(name, UNREADY))
			drop_unready(h, name);
		if (!ends_with(name, READY))
			continue;
		if (n + 1 == room) {
			more = arena_alloc(a, 2 * room * sizeof(*names));
			memcpy(more, names, n * sizeof(*names));
			names = more;
			room *= 2;
		}
		names[n++] = arena_strdup(a, name);
	}
	qsort(names, n, sizeof(*names), compare_names);
	*list = names;
	return rc;
}

enum err_code
hook_spool_deliver(
    struct hook *h, bool dry_run, struct tus_tally *tally, struct err *e)
{
	struct arena *a = arena_new();
	enum err_code rc = ERR_OK;
	char **names = NULL;
	int failures = 0;

	memset(tally, 0, sizeof(*tally));
	if (h->spool != -1)
		rc = list_names(h, a, &names, e);
	for (; rc == ERR_OK && names != NULL && *names != NULL; names++) {
		if (dry_run || failures == PATIENCE)
			tally->left++;
		else if (deliver_one(h, *names, tally))
			failures = 0;
		else
			failures++;
	}
	arena_free(a);
	return rc;
}
