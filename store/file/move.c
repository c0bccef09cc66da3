/*
 * move.c - move a finished upload to its destination.
 *
 * FORMAT says in which order the files change.  If ID and ID.moved both exist,
 * a move was interrupted: if the destination has a file of this size and
 * content, the copy is complete and only ID has to be removed; if not, the
 * unfinished copy is removed and the move begins again.
 *
 * An existing file is never overwritten.  On a file system that can neither
 * rename without replacing nor link, as exFAT, an empty file reserves the name,
 * and the copy then replaces it; ID.moved says so beforehand.  All of this is
 * done under the lock of the upload.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/template.h"
#include "store/file/file.h"
#include "store/fill.h"

/* The highest number that is appended to a name that is taken. */
#define NUMBER_MAX 100000

/* Bytes that are compared at a time. */
#define SLICE ((size_t)256 << 10)

/* Longer paths are refused: few programs could open them. */
#define PATH_LIMIT 4096

struct move {
	struct file_upload *u;

	/* The directory, open, and its path below the root, ending in a
	 * slash. */
	int dirfd;
	const char *dir;

	/* A name there that is free, and the name of the copy. */
	const char *name;
	const char *copy;

	/* is_copied: the copy is complete.  must_copy: a copy is needed,
	 * because a renamed file would not get the group and ACL of a new
	 * one. */
	bool is_copied, must_copy;
	struct file_moved moved;
};

/* --- Where to? --- */

static const char *
root_of(const struct file_store *fs)
{
	return fs->move_fd != -1 ? fs->move_root : fs->path;
}

/* The destination's path below the root; NULL if the upload has none. */
static const char *
plan(const struct file_upload *u)
{
	const struct file_info *info = &u->base.info;

	if (info->is_partial)
		return NULL;
	if (info->move_to != NULL)
		return info->move_to;
	if (u->store->move_to == NULL)
		return NULL;
	return store_fill(u->arena, u->store->move_to, info, info->finished);
}

/* Create the missing directories of the path. */
static enum err_code
make_dirs(struct move *m, const char *path, struct err *e)
{
	struct file_store *fs = m->u->store;
	int parent = fs->move_fd != -1 ? fs->move_fd : fs->dirfd;
	const char *slash;
	bool made;
	enum err_code rc = file_check_root(fs, e);

	if (rc == ERR_OK)
		rc = fs_open_subdir(parent, ".", &m->dirfd, e);
	for (m->name = path;
	     rc == ERR_OK && (slash = strchr(m->name, '/')) != NULL;
	     m->name = slash + 1) {
		parent = m->dirfd;
		m->dirfd = -1;
		rc = fs_make_subdir(parent,
		    arena_memdup(
			m->u->arena, m->name, (size_t)(slash - m->name)),
		    fs->dir_mode, &m->dirfd, &made, e);
		if (rc == ERR_OK && made && fs->durability != DURABILITY_NONE)
			rc = fs_sync(parent, path, e);
		(void)close(parent);
	}
	m->dir = arena_memdup(m->u->arena, path, (size_t)(m->name - path));
	return rc;
}

/* --- On the way. --- */

static enum err_code
write_down(struct move *m, const char *name, struct err *e)
{
	m->moved.path = arena_printf(m->u->arena, "%s%s", m->dir, name);
	return file_write_moved(m->u, &m->moved, e);
}

static enum err_code
check_room(struct move *m, struct err *e)
{
	int64_t bytes;
	enum err_code rc = fs_free_space(m->dirfd, &bytes, e);

	if (rc == ERR_OK && bytes - m->u->data_size < m->u->store->min_free)
		rc = err_set(e, ERR_NO_SPACE,
		    "%.60s/%.40s: only %lld bytes are free, store.min_free is "
		    "%lld",
		    m->moved.root, m->dir, (long long)bytes,
		    (long long)m->u->store->min_free);
	return rc;
}

/* Set the file's time to the client's.  If that is not permitted, as for a file
 * of another user, the file keeps the time of its arrival. */
static void
set_time(const struct move *m, int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	if (file_time_of(&m->u->base.info, &times[1]) &&
	    futimens(fd, times) == -1)
		log_debug("%s: its time is not kept: %s", m->u->base.info.id,
		    strerror(errno));
}

/* The copy is flushed even with durability none: the other file system may keep
 * data in memory longer than the store's does. */
static enum err_code
copy(struct move *m, struct err *e)
{
	struct file_upload *u = m->u;
	struct file_bytes bytes = { u->data_fd, -1, 0, u->data_size,
		u->store->min_free };
	enum err_code rc;
	int fd;

	if ((rc = check_room(m, e)) != ERR_OK ||
	    (rc = file_create(u->store, m->dirfd, m->copy, &fd, e)) != ERR_OK)
		return rc;
	bytes.to = fd;
	rc = file_copy(&bytes, u->arena, e);
	set_time(m, fd);
	if (rc == ERR_OK)
		rc = fs_sync(fd, m->copy, e);
	if (rc == ERR_OK)
		rc = file_identify(&m->moved, fd, m->copy, e);
	if (close(fd) == -1 && rc == ERR_OK)
		rc = err_sys(e, "close %s", m->copy);
	m->is_copied = rc == ERR_OK;
	return rc;
}

static enum err_code
rename_it(struct move *m, const char *name, struct err *e)
{
	struct file_upload *u = m->u;
	const char *own;
	int dirfd;
	enum err_code rc = file_open_bytes_dir(u, &dirfd, &own, e);

	if (rc == ERR_OK)
		rc = fs_rename_new(dirfd, own, m->dirfd, name, e);
	file_close_bytes_dir(u, dirfd);
	return rc;
}

/* Give the file the group, mode and ACL of a new file there, before it becomes
 * visible.  If that is not permitted, a copy is made. */
static enum err_code
take_rules(struct move *m, struct err *e)
{
	struct file_upload *u = m->u;
	bool has_rules = false;
	enum err_code rc = file_has_rules(m->dirfd, &has_rules, e);
	int fd;

	if (rc != ERR_OK || !has_rules)
		return rc;
	rc = file_create(u->store, m->dirfd, m->copy, &fd, e);
	if (rc != ERR_OK)
		return rc;
	m->must_copy = !file_take_rules(fd, u->data_fd, u->arena);
	(void)close(fd);
	return fs_unlink_at(m->dirfd, m->copy, e);
}

static enum err_code
name_copy(struct move *m, const char *name, struct err *e)
{
	enum err_code rc = fs_name_new(m->dirfd, m->copy, name, e);

	if (rc != ERR_SYSTEM || !fs_is_beyond_link(e->sys))
		return rc;
	m->moved.is_reserved = true;
	if ((rc = write_down(m, name, e)) != ERR_OK)
		return rc;
	return fs_name_reserved(m->dirfd, m->copy, name, e);
}

/* ERR_EXISTS: the name has been taken. */
static enum err_code
go_by(struct move *m, const char *name, struct err *e)
{
	enum err_code rc;

	if ((rc = file_prove(m->u, e)) != ERR_OK ||
	    (rc = write_down(m, name, e)) != ERR_OK)
		return rc;
	if (!m->is_copied && !m->must_copy) {
		rc = rename_it(m, name, e);
		if (rc != ERR_SYSTEM || !fs_is_beyond_rename(e->sys))
			return rc;
	}
	if (!m->is_copied) {
		if ((rc = copy(m, e)) != ERR_OK ||
		    (rc = write_down(m, name, e)) != ERR_OK)
			return rc;
	}
	return name_copy(m, name, e);
}

/* Take the first name that is free: "a.txt", "a-1.txt", ... */
static enum err_code
go(struct move *m, struct err *e)
{
	const char *name = m->name;
	enum err_code rc;
	struct stat st;
	unsigned n = 0;

	for (;;) {
		if (fstatat(m->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			rc = err_set(e, ERR_EXISTS, "%s/%s%s and %u more exist",
			    m->moved.root, m->dir, m->name, n);
		else if (errno == ENOENT)
			rc = go_by(m, name, e);
		else
			rc = err_sys(e, "stat %s", name);
		if (rc != ERR_EXISTS || n++ == NUMBER_MAX)
			return rc;
		name = template_number(
		    m->u->arena, m->name, n, &m->u->store->names);
	}
}

/* The file has its name.  Flush both directories before the original is removed
 * and before any hook is told. */
static enum err_code
arrive(struct move *m, struct err *e)
{
	struct file_upload *u = m->u;
	struct file_store *fs = u->store;
	bool durably = fs->durability != DURABILITY_NONE;
	enum err_code rc = ERR_OK;

	if (durably || m->is_copied)
		rc = fs_sync(m->dirfd, m->moved.root, e);
	if (rc == ERR_OK)
		rc = file_prove(u, e);
	if (rc == ERR_OK && m->is_copied)
		rc = file_remove_bytes(u, e);
	if (rc == ERR_OK && durably)
		rc = file_flush_dir(fs, e);
	return rc;
}

/* --- A move that was interrupted. --- */

static bool
is_same(int a, int b, int64_t size, struct arena *arena)
{
	char *buf = arena_alloc(arena, 2 * SLICE);
	size_t got, want;
	struct err ignored;
	int64_t at;

	for (at = 0; at < size; at += (int64_t)got) {
		if (fs_pread(a, buf, SLICE, at, &got, &ignored) != ERR_OK ||
		    fs_pread(b, buf + SLICE, SLICE, at, &want, &ignored) !=
			ERR_OK ||
		    got == 0 || got != want ||
		    memcmp(buf, buf + SLICE, got) != 0)
			return false;
	}
	return true;
}

/* Is the complete copy at its destination? */
static bool
has_arrived(struct file_upload *u, int dirfd, const char *name)
{
	struct stat st;
	bool is_it;
	int fd;

	if (u->moved.inode == 0 && u->moved.written == 0)
		return false;
	fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return false;
	is_it = fstat(fd, &st) == 0 &&
	    file_is_as_moved(&u->moved, &st, u->data_size) &&
	    (u->moved.inode == 0 || u->moved.inode == st.st_ino) &&
	    is_same(fd, u->data_fd, u->data_size, u->arena);
	(void)close(fd);
	return is_it;
}

/* Remove the empty file that reserved the name, if the file is empty. */
static enum err_code
give_back(struct file_upload *u, int dirfd, const char *name, struct err *e)
{
	struct stat st;

	if (!u->moved.is_reserved ||
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode) || st.st_size != 0)
		return ERR_OK;
	return fs_unlink_at(dirfd, name, e);
}

/*
 * Continue an interrupted move.  *arrived: the file is at its destination, and
 * only the last steps are missing.  If not, all traces of the move are removed.
 */
static enum err_code
take_up(struct move *m, bool *arrived, struct err *e)
{
	struct file_upload *u = m->u;
	const char *name;
	enum err_code rc;

	*arrived = false;
	rc = file_read_moved(u->store, u->base.info.id, u->arena, &u->moved, e);
	if (rc == ERR_NOT_FOUND || (rc == ERR_OK && u->moved.path == NULL))
		return ERR_OK;
	if (rc == ERR_OK)
		rc = file_open_moved_dir(
		    u->store, &u->moved, u->arena, &m->dirfd, &name, e);
	if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
		log_warn("%s: a move that died is begun anew: %s",
		    u->base.info.id, e->text);
		return ERR_OK;
	}
	if (rc != ERR_OK)
		return rc;
	*arrived = has_arrived(u, m->dirfd, name);
	rc = fs_unlink_at(m->dirfd, m->copy, e);
	if (*arrived) {
		m->moved = u->moved;
		m->is_copied = true;
		return rc;
	}
	if (rc == ERR_OK)
		rc = give_back(u, m->dirfd, name, e);
	(void)close(m->dirfd);
	m->dirfd = -1;
	return rc;
}

/* The move failed: undo it, unless the file already has its name. */
static void
take_back(struct move *m)
{
	struct file_upload *u = m->u;
	bool arrived, is_here;
	struct err ignored;
	struct file_name name;

	if (m->dirfd != -1)
		(void)close(m->dirfd);
	m->dirfd = -1;
	if (u->is_fenced)
		return;
	if (file_has_bytes(u, &is_here, &ignored) != ERR_OK || !is_here)
		return;
	if (take_up(m, &arrived, &ignored) == ERR_OK && !arrived &&
	    file_name(u->base.info.id, FILE_MOVED, &name, &ignored) == ERR_OK)
		(void)!fs_unlink_at(u->store->dirfd, name.text, &ignored);
}

/* --- What others call. --- */

static enum err_code
begin(struct move *m, const char *path, struct err *e)
{
	struct file_store *fs = m->u->store;
	struct err ignored;
	bool arrived;
	enum err_code rc = take_up(m, &arrived, e);

	if (rc != ERR_OK || arrived)
		return rc;
	(void)!file_probe(fs, &ignored);
	if (!template_is_filled(path))
		return err_set(e, ERR_CORRUPT, "%s: MoveTo makes no sense",
		    m->u->base.info.id);
	m->moved =
	    (struct file_moved){ .root = root_of(fs), .when = clock_now() };
	m->moved.forget = m->moved.when + fs->keep_record;
	set_time(m, m->u->data_fd);
	rc = file_identify(&m->moved, m->u->data_fd, m->u->base.info.id, e);
	if (rc == ERR_OK)
		rc = make_dirs(
		    m, template_suit(m->u->arena, path, &fs->names), e);
	if (rc == ERR_OK)
		rc = take_rules(m, e);
	return rc == ERR_OK ? go(m, e) : rc;
}

/* The process that moved it may have died before flushing. */
static enum err_code
make_sure(struct file_upload *u, struct err *e)
{
	const char *name;
	enum err_code rc;
	int dirfd;

	if (u->store->durability == DURABILITY_NONE)
		return ERR_OK;
	rc = file_open_moved_dir(
	    u->store, &u->moved, u->arena, &dirfd, &name, e);
	if (rc == ERR_OK) {
		rc = fs_sync(dirfd, u->moved.path, e);
		(void)close(dirfd);
	}
	/* The destination is gone, or not configured any more. */
	if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
		rc = ERR_OK;
	return rc == ERR_OK ? file_flush_dir(u->store, e) : rc;
}

static enum err_code
move(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct move m = { .u = u, .dirfd = -1 };
	struct err ignored;
	const char *path;
	enum err_code rc;

	assert(upload_is_finished(up));
	if (u->is_moved)
		return make_sure(u, e);
	/* An interrupted move is not continued either. */
	if ((path = plan(u)) == NULL)
		return file_forget_moved(u, e);
	m.copy = file_copy_name(up->info.id, u->arena);
	rc = begin(&m, path, e);
	if (rc == ERR_OK)
		rc = arrive(&m, e);
	if (rc != ERR_OK) {
		take_back(&m);
		if (m.dirfd != -1)
			(void)close(m.dirfd);
		return rc;
	}
	(void)close(m.dirfd);
	u->moved = m.moved;
	u->is_moved = true;
	file_see(u);
	/* If this fails, the entry is removed when its room is needed. */
	(void)!file_release(up, &ignored);
	return rc;
}

static bool
wants(struct data_store *ds, const struct file_info *info)
{
	return !info->is_partial && info->moved == 0 &&
	    (info->move_to != NULL || file_store_of(ds)->move_to != NULL);
}

static bool
is_pending(struct upload *up)
{
	struct file_upload *u = file_upload_of(up);
	struct err ignored;
	bool there;

	return !u->is_moved &&
	    file_exists(u->store, up->info.id, FILE_MOVED, &there, &ignored) ==
	    ERR_OK &&
	    there;
}

/* The part of an absolute path below the root; NULL if it is outside. */
static const char *
below(const char *path, const char *root)
{
	size_t len = strlen(root);

	while (len > 0 && root[len - 1] == '/')
		len--;
	if (strncmp(path, root, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

/* Is there no symbolic link in the part of the path that exists? */
static enum err_code
check_way(
    struct file_store *fs, const char *path, struct arena *a, struct err *e)
{
	const struct file_moved m = { .root = root_of(fs), .path = path };
	const char *name;
	enum err_code rc;
	int dirfd;

	rc = file_open_moved_dir(fs, &m, a, &dirfd, &name, e);
	if (rc == ERR_OK)
		(void)close(dirfd);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code
choose(struct data_store *ds, const char *path, struct arena *a,
    const char **move_to, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	const char *rest = path;

	if (*path == '/')
		rest = below(path, root_of(fs));
	if (rest == NULL && fs->move_given != NULL)
		rest = below(path, fs->move_given);
	if (rest == NULL || strlen(rest) > PATH_LIMIT ||
	    !template_is_filled(rest))
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" is no place below %.60s, or is hidden", path,
		    root_of(fs));
	if (fs->move_fd == -1 &&
	    (strchr(rest, '/') == NULL || file_is_reserved(rest)))
		return err_set(e, ERR_INVALID,
		    "\"%.60s\" is among the uploads: name a directory, or set "
		    "finish.move_to",
		    path);
	*move_to = rest;
	return check_way(fs, rest, a, e);
}

static enum err_code
probe(struct data_store *ds, struct template_names *names, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	enum err_code rc = file_probe(fs, e);

	*names = fs->names;
	return rc;
}

const struct store_mover file_mover = {
	.probe = probe,
	.wants = wants,
	.choose = choose,
	.move = move,
	.is_pending = is_pending,
};
