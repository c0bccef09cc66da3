/*
 * late.c - deliver events that were left in the spool.
 *
 * An event that fails must not delay the others: each has its turn.  Events
 * that were not tried since they were written come first, in their order; then
 * those whose last try is longest ago.  The time of a file's last change is
 * that of the last try.  The longer an event has been failing, the longer it
 * waits for its next try: the wait doubles, up to a day.
 *
 * A file that can never be delivered, because it is not an event, gets another
 * name and is left for the administrator.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "hook/parts.h"

/* The suffix of files that can never be delivered. */
#define ASIDE ".bad"

enum {
	/* In seconds.  After how long an unready file is given up; after how
	 * long without an event a directory of an old configuration is removed;
	 * the longest wait between two tries; and the wait before the first
	 * try. */
	UNREADY_AGE = 3600,
	PLACE_AGE = 3600,
	REST_MAX = 24 * 3600,
	FIRST_TRY = 2
};

/* A waiting event.  Times are seconds since the epoch; made is 0 if the name
 * does not contain it. */
struct late {
	const char *name;
	int64_t made, tried;
	long tried_ns;
};

/* One pass over one directory. */
struct round {
	struct hook *h;
	const char *path;
	int dirfd;
	enum hook_delivery how;
	struct hook_tally *tally;

	struct arena *arena;
	struct late *list;
	size_t n, room;
	int64_t now;

	/* Milliseconds spent on failures. */
	int64_t failing;
};

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

/* Lock an event.  ERR_NOT_FOUND: another process delivers it, or has delivered
 * it. */
static enum err_code
take(struct round *r, const char *name, int *fd, struct stat *st, struct err *e)
{
	enum err_code rc = fs_open_at(r->dirfd, name, O_RDWR, fd, st, e);
	bool is_named;

	if (rc != ERR_OK)
		return rc;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0 && fstat(*fd, st) == 0 &&
	    fs_has_name(r->dirfd, name, st, &is_named, e) == ERR_OK && is_named)
		return ERR_OK;
	(void)close(*fd);
	return err_set(
	    e, ERR_NOT_FOUND, "event %s: another process has its lock", name);
}

/* --- One event. --- */

static enum err_code
check_type(const struct hook_message *m, enum hook_point *hook, struct err *e)
{
	for (*hook = 0; *hook < HOOK_POINT_MAX; (*hook)++)
		if (strcmp(hook_point_name(*hook), m->type) == 0)
			return ERR_OK;
	return err_set(e, ERR_CORRUPT, "there is no event \"%.60s\"", m->type);
}

static enum err_code
parse(const char *name, const char *buf, size_t len, struct hook_message *m,
    enum hook_point *hook, struct err *e)
{
	char id[HOOK_EVENT_ID_MAX + 1];
	json_t *json = json_loadb(buf, len, JSON_ALLOW_NUL, NULL);
	enum err_code rc;

	if (json == NULL)
		return err_set(e, ERR_CORRUPT, "not JSON");
	(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(name, "."), name);
	if ((rc = hook_message_make(m, json, id, e)) != ERR_OK)
		return rc;
	if ((rc = check_type(m, hook, e)) != ERR_OK)
		hook_message_free(m);
	return rc;
}

/* ERR_CORRUPT: it is not an event, and never will be. */
static enum err_code
load(const char *name, int fd, const struct stat *st, struct hook_message *m,
    enum hook_point *hook, struct err *e)
{
	char *buf;
	size_t got;
	enum err_code rc;

	if (st->st_size == 0)
		return err_set(e, ERR_CORRUPT, "empty");
	if (st->st_size > HOOK_EVENT_MAX)
		return err_set(e, ERR_CORRUPT, "longer than any event");
	if (strlen(name) > HOOK_EVENT_ID_MAX + strlen(HOOK_READY))
		return err_set(e, ERR_CORRUPT, "its name is no event's id");
	buf = must_alloc((size_t)st->st_size);
	rc = fs_pread(fd, buf, (size_t)st->st_size, 0, &got, e);
	if (rc == ERR_OK)
		rc = parse(name, buf, got, m, hook, e);
	free(buf);
	return rc;
}

static void
move_aside(struct round *r, const char *name, const struct err *why)
{
	const char *aside =
	    arena_printf(r->arena, "%.*s" ASIDE, (int)strcspn(name, "."), name);
	struct err e;

	r->tally->damaged++;
	if (fs_rename_new(r->dirfd, name, r->dirfd, aside, &e) == ERR_OK)
		log_warn("%s/%s can never be told: %s; it is now %s", r->path,
		    name, why->text, aside);
	else
		log_warn("%s/%s can never be told: %s; it stays: %s", r->path,
		    name, why->text, e.text);
}

/* Postpone it, so that the next sweep begins with other events. */
static void
note_failure(struct round *r, const char *name, int fd, int64_t began)
{
	r->failing += clock_ms() - began;
	if (futimens(fd, NULL) == -1)
		log_warn("event %s: set its time: %s", name, strerror(errno));
}

static void
tell(struct round *r, const char *name, int fd, const struct stat *st)
{
	int64_t began = clock_ms();
	struct hook_message m;
	enum hook_point hook;
	enum err_code rc;
	struct err e;

	rc = load(name, fd, st, &m, &hook, &e);
	if (rc == ERR_CORRUPT) {
		move_aside(r, name, &e);
		return;
	}
	if (rc == ERR_OK) {
		rc = hook_send(r->h, &m, &e);
		(rc == ERR_OK ? r->tally->told : r->tally->failed)[hook]++;
		hook_message_free(&m);
	} else {
		r->tally->left++;
	}
	if (rc == ERR_OK)
		rc = fs_unlink_at(r->dirfd, name, &e);
	if (rc == ERR_OK)
		return;
	log_warn("event %s: %s", name, e.text);
	note_failure(r, name, fd, began);
}

static void
tell_one(struct round *r, const char *name)
{
	struct stat st;
	struct err e;
	enum err_code rc;
	int fd;

	rc = take(r, name, &fd, &st, &e);
	if (rc == ERR_OK) {
		tell(r, name, fd, &st);
		(void)close(fd);
	} else if (rc != ERR_NOT_FOUND) {
		log_warn("%s", e.text);
		r->tally->left++;
	}
}

/* --- Which are there, and in which order. --- */

/* Remove an unready file.  If it is not locked, the process that wrote it is
 * dead. */
static void
drop_unready(struct round *r, const char *name)
{
	struct stat st;
	struct err e;
	int fd;

	if (take(r, name, &fd, &st, &e) != ERR_OK)
		return;
	if (r->now - st.st_mtime > UNREADY_AGE)
		(void)unlinkat(r->dirfd, name, 0);
	(void)close(fd);
}

/* The time in the name, which hook_spool_new_id() writes first. */
static int64_t
made_at(const char *name)
{
	long long seconds;

	return sscanf(name, "%10lld", &seconds) == 1 ? seconds : 0;
}

static void
add(struct round *r, const char *name)
{
	struct late *l, *more;
	struct stat st;

	/* A file that is gone was delivered. */
	if (fstatat(r->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	if (r->n == r->room) {
		r->room = r->room == 0 ? 64 : 2 * r->room;
		more = arena_alloc(r->arena, r->room * sizeof(*more));
		if (r->n > 0)
			memcpy(more, r->list, r->n * sizeof(*more));
		r->list = more;
	}
	l = &r->list[r->n++];
	l->name = arena_strdup(r->arena, name);
	l->made = made_at(name);
	l->tried = st.st_mtim.tv_sec;
	l->tried_ns = st.st_mtim.tv_nsec;
}

static bool
is_fresh(const struct late *l)
{
	return l->tried - l->made < FIRST_TRY;
}

static int
compare(const void *a, const void *b)
{
	const struct late *x = a, *y = b;

	if (is_fresh(x) != is_fresh(y))
		return is_fresh(x) ? -1 : 1;
	if (!is_fresh(x) && x->tried != y->tried)
		return x->tried < y->tried ? -1 : 1;
	if (!is_fresh(x) && x->tried_ns != y->tried_ns)
		return x->tried_ns < y->tried_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* However the clock was set meanwhile, an event is due within a day. */
static bool
is_due(const struct round *r, const struct late *l)
{
	int64_t rest = l->tried - l->made, rested = r->now - l->tried;

	return is_fresh(l) || rested < 0 ||
	    rested >= (rest < REST_MAX ? rest : REST_MAX);
}

static enum err_code
list(struct round *r, struct err *e)
{
	DIR *cursor = NULL;
	const char *name;
	enum err_code rc;

	while ((rc = fs_walk_next(r->dirfd, &cursor, &name, e)) == ERR_OK &&
	    name != NULL) {
		if (ends_with(name, HOOK_UNREADY) &&
		    r->how != HOOK_DELIVER_NONE)
			drop_unready(r, name);
		else if (ends_with(name, HOOK_READY))
			add(r, name);
	}
	if (r->n > 0)
		qsort(r->list, r->n, sizeof(*r->list), compare);
	return rc;
}

static enum err_code
go_round(struct round *r, struct err *e)
{
	enum err_code rc = list(r, e);
	size_t i;

	for (i = 0; i < r->n && rc == ERR_OK; i++) {
		if (r->how == HOOK_DELIVER_NONE ||
		    r->failing >= r->h->hooks.patience)
			r->tally->left++;
		else if (r->how == HOOK_DELIVER_DUE && !is_due(r, &r->list[i]))
			r->tally->waiting++;
		else
			tell_one(r, r->list[i].name);
	}
	return rc;
}

/* --- The dirs. --- */

static bool
is_same(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	    x.st_ino == y.st_ino;
}

/* Remove a directory that is not used any more.  A process that still writes
 * there has its event locked. */
static void
remove_dir_of(const char *path, int dirfd, int64_t now)
{
	struct stat st;

	if (fstat(dirfd, &st) == 0 && now - st.st_mtime > PLACE_AGE)
		(void)rmdir(path);
}

static enum err_code
deliver_from(struct hook *h, const char *path, int dirfd,
    enum hook_delivery how, struct hook_tally *tally, struct err *e)
{
	struct round r = { .h = h,
		.path = path,
		.dirfd = dirfd,
		.how = how,
		.tally = tally,
		.arena = arena_new(),
		.now = clock_now() };
	enum err_code rc = go_round(&r, e);

	arena_free(r.arena);
	return rc;
}

/* Deliver the events in a directory of an old configuration, then remove it. */
static enum err_code
deliver_old(struct hook *h, const char *path, int own, enum hook_delivery how,
    struct hook_tally *tally, struct err *e)
{
	enum err_code rc;
	int fd;

	if ((rc = fs_open_dir(path, &fd, e)) != ERR_OK)
		return e->sys == ENOENT ? ERR_OK : rc;
	if (!is_same(own, fd)) {
		rc = deliver_from(h, path, fd, how, tally, e);
		if (how != HOOK_DELIVER_NONE)
			remove_dir_of(path, fd, clock_now());
	}
	(void)close(fd);
	return rc;
}

enum err_code
hook_late_deliver(struct hook *h, enum hook_delivery how,
    struct hook_tally *tally, struct err *e)
{
	const char *dirs[HOOK_DIRS_MAX];
	struct arena *a;
	enum err_code rc;
	size_t i, n;
	int own;

	memset(tally, 0, sizeof(*tally));
	if (!hook_spool_is_needed(h->conf))
		return ERR_OK;
	if ((rc = hook_spool_open(h->conf, &own, e)) != ERR_OK)
		return rc;
	a = arena_new();
	n = hook_spool_dirs(h->conf, a, dirs);
	rc = deliver_from(h, dirs[0], own, how, tally, e);
	for (i = 1; i < n && rc == ERR_OK; i++)
		rc = deliver_old(h, dirs[i], own, how, tally, e);
	(void)close(own);
	arena_free(a);
	return rc;
}

/* --- For people. --- */

static void
show(struct round *r, const char *name,
    void (*one)(void *, const struct hook_waiting *), void *arg)
{
	struct hook_waiting w = { .since = made_at(name) };
	struct hook_message m;
	enum hook_point hook;
	enum err_code rc;
	struct stat st;
	struct err e;
	int fd;

	rc = take(r, name, &fd, &st, &e);
	if (rc == ERR_NOT_FOUND)
		return;
	if (rc == ERR_OK) {
		if (w.since == 0)
			w.since = st.st_mtime;
		rc = load(name, fd, &st, &m, &hook, &e);
		(void)close(fd);
	}
	if (rc == ERR_OK)
		hook_message_free(&m);
	w.path = arena_printf(r->arena, "%s/%s", r->path, name);
	w.why_not = rc == ERR_OK ? NULL : e.text;
	one(arg, &w);
}

static enum err_code
show_dir(const char *path, void (*one)(void *, const struct hook_waiting *),
    void *arg, struct err *e)
{
	struct round r = { .path = path };
	DIR *cursor = NULL;
	const char *name;
	enum err_code rc;

	if ((rc = fs_open_dir(path, &r.dirfd, e)) != ERR_OK)
		return e->sys == ENOENT ? ERR_OK : rc;
	r.arena = arena_new();
	while ((rc = fs_walk_next(r.dirfd, &cursor, &name, e)) == ERR_OK &&
	    name != NULL) {
		arena_reset(r.arena);
		if (ends_with(name, HOOK_READY) || ends_with(name, ASIDE))
			show(&r, name, one, arg);
	}
	arena_free(r.arena);
	(void)close(r.dirfd);
	return rc;
}

enum err_code
hook_each_waiting(const struct conf *conf,
    void (*one)(void *, const struct hook_waiting *), void *arg, struct err *e)
{
	const char *dirs[HOOK_DIRS_MAX];
	struct arena *a = arena_new();
	size_t i, n = hook_spool_dirs(conf, a, dirs);
	enum err_code rc = ERR_OK;

	for (i = 0; i < n && rc == ERR_OK; i++)
		rc = show_dir(dirs[i], one, arg, e);
	arena_free(a);
	return rc;
}
