/*
 * bytes.c - the names of files in the store's directory, and where the bytes of
 * an upload are.
 *
 * An upload has the files ID, ID.info and so on.  No id begins with a dot, so
 * no upload can have a name that belongs to the store itself.
 *
 * The bytes are in STORE/ID, unless another server made the record: with tusd a
 * hook can choose a path, which Storage.Path names.  Such a path is followed
 * only if it stays in the store and no part of it is "..", hidden, or a
 * symbolic link: following any path in a file that others can write would give
 * them access to any file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/template.h"
#include "store/file/file.h"

/* --- Names. --- */

enum err_code
file_name(
    const char *id, const char *suffix, struct file_name *name, struct err *e)
{
	if (!id_is_valid(id))
		return err_set(e, ERR_INVALID, "not an id");
	(void)stpcpy(stpcpy(name->text, id), suffix);
	return ERR_OK;
}

enum err_code
file_exists(struct file_store *fs, const char *id, const char *suffix, bool *is,
    struct err *e)
{
	struct file_name name;
	struct stat st;
	enum err_code rc;

	*is = false;
	if ((rc = file_name(id, suffix, &name, e)) != ERR_OK)
		return rc;
	*is = fstatat(fs->dirfd, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return *is || errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", id);
}

bool
file_is_ours(const char *name)
{
	return strcmp(name, FILE_SWEPT) == 0 ||
	    strcmp(name, FILE_EVENTS) == 0 || strcmp(name, FILE_LEDGER) == 0 ||
	    strcmp(name, FILE_NOTE) == 0;
}

bool
file_is_reserved(const char *path)
{
	static const char *const ours[] = { FILE_INFO, FILE_NEW, FILE_MOVED,
		FILE_MOVED_NEW, ".lock", ".stop" };
	const char *suffix = path + strcspn(path, "./");
	size_t i, len = strcspn(suffix, "/");

	for (i = 0; i < NITEMS(ours); i++)
		if (strlen(ours[i]) == len && memcmp(suffix, ours[i], len) == 0)
			return true;
	return false;
}

enum err_code
file_open_either(struct file_upload *u, int dirfd, const char *name, int *fd,
    struct stat *st, struct err *e)
{
	enum err_code rc = fs_open_at(dirfd, name, O_RDWR, fd, st, e);

	if (rc != ERR_SYSTEM || !fs_is_denied(e->sys))
		return rc;
	u->denied = e->sys;
	return fs_open_at(dirfd, name, O_RDONLY, fd, st, e);
}

enum err_code
file_create(
    struct file_store *fs, int dirfd, const char *name, int *fd, struct err *e)
{
	enum err_code rc = fs_create_at(dirfd, name, fs->mode, fd, e);

	if (rc != ERR_EXISTS)
		return rc;
	if ((rc = fs_unlink_at(dirfd, name, e)) != ERR_OK)
		return rc;
	return fs_create_at(dirfd, name, fs->mode, fd, e);
}

enum err_code
file_flush_dir(struct file_store *fs, struct err *e)
{
	return fs_sync(fs->dirfd, fs->path, e);
}

/*
 * --- Directories below the store, and below the root of finish.move_to. ---
 */

/* Milliseconds between two checks of the root's path. */
#define ROOT_MS 1000

enum err_code
file_check_root(struct file_store *fs, struct err *e)
{
	int64_t now = clock_ms();
	bool was_away = fs->root_is_away;

	if (fs->move_fd == -1)
		return ERR_OK;
	if (now - fs->root_looked >= ROOT_MS) {
		fs->root_looked = now;
		fs->root_is_away = !fs_leads_to(fs->move_root, fs->move_fd);
		if (was_away != fs->root_is_away)
			log_warn("finish.move_to: %s %s", fs->move_root,
			    was_away ? "is in place again" :
				       "leads to another directory now, or to "
				       "none; finished uploads wait for it, "
				       "or for a reload");
	}
	if (!fs->root_is_away)
		return ERR_OK;
	return err_set(e, ERR_AWAY, "finish.move_to: %s is not where it was",
	    fs->move_root);
}

static enum err_code
open_root(struct file_store *fs, const char *root, int *fd, struct err *e)
{
	enum err_code rc;

	if (fs->move_fd != -1 && strcmp(root, fs->move_root) == 0) {
		rc = file_check_root(fs, e);
		return rc == ERR_OK ? fs_open_subdir(fs->move_fd, ".", fd, e) :
				      rc;
	}
	if (strcmp(root, fs->path) == 0)
		return fs_open_subdir(fs->dirfd, ".", fd, e);
	return err_set(
	    e, ERR_NOT_FOUND, "%s: not in finish.move_to any more", root);
}

enum err_code
file_open_below(struct file_store *fs, const char *root, const char *path,
    struct arena *a, int *dirfd, const char **name, struct err *e)
{
	const char *rest = path, *slash;
	int fd = -1, next = -1;
	enum err_code rc = open_root(fs, root, &fd, e);

	while (rc == ERR_OK && (slash = strchr(rest, '/')) != NULL) {
		rc = fs_open_subdir(fd,
		    arena_memdup(a, rest, (size_t)(slash - rest)), &next, e);
		(void)close(fd);
		fd = next;
		rest = slash + 1;
	}
	*dirfd = rc == ERR_OK ? fd : -1;
	*name = rest;
	return rc;
}

/* --- Where the bytes are. --- */

/* The part of a path after "DIRECTORY/"; NULL if it is outside. */
static const char *
below(const char *path, const char *dir, size_t len)
{
	if (len == 0)
		return *path != '/' ? path : NULL;
	if (strncmp(path, dir, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

/* The directory may have had another path for the other server; but it is the
 * directory that contained the record. */
static const char *
below_record(const char *path, const char *info_path, const char *id)
{
	struct file_name own;
	struct err ignored;
	size_t len, n;

	if (info_path == NULL ||
	    file_name(id, FILE_INFO, &own, &ignored) != ERR_OK)
		return NULL;
	len = strlen(info_path);
	n = strlen(own.text);
	if (len < n || strcmp(info_path + len - n, own.text) != 0)
		return NULL;
	len -= n;
	if (len > 0 && info_path[len - 1] != '/')
		return NULL;
	return below(path, info_path, len > 0 ? len - 1 : 0);
}

/* A name in the store's directory that is an id belongs to that upload. */
static bool
may_be_bytes(struct file_store *fs, const char *path)
{
	if (!template_is_filled(path) || file_is_reserved(path))
		return false;
	if (strchr(path, '/') != NULL || !id_is_valid(path))
		return true;
	fs->has_borrowed = true;
	return false;
}

void
file_read_storage(
    struct file_upload *u, const char *path, const char *info_path)
{
	struct file_store *fs = u->store;
	const char *id = u->base.info.id, *rest;

	u->bytes_path = u->elsewhere = NULL;
	if (path == NULL || *path == '\0')
		return;
	rest = below_record(path, info_path, id);
	if (rest == NULL)
		rest = below(path, fs->path, strlen(fs->path));
	if (rest != NULL && strcmp(rest, id) == 0)
		return;
	if (rest != NULL && may_be_bytes(fs, rest))
		u->bytes_path = rest;
	else
		u->elsewhere = path;
}

bool
file_may_be_strange(const struct file_upload *u)
{
	return u->foreign || u->bytes_path != NULL || u->elsewhere != NULL;
}

const char *
file_bytes_path(const struct file_upload *u, struct arena *a)
{
	return arena_join(a,
	    (const char *[]){ u->store->path, "/",
		u->bytes_path != NULL ? u->bytes_path : u->base.info.id,
		NULL });
}

enum err_code
file_open_bytes_dir(
    struct file_upload *u, int *dirfd, const char **name, struct err *e)
{
	struct file_store *fs = u->store;
	enum err_code rc;

	*dirfd = fs->dirfd;
	*name = u->base.info.id;
	if (u->bytes_path == NULL)
		return ERR_OK;
	rc = file_open_below(
	    fs, fs->path, u->bytes_path, u->arena, dirfd, name, e);
	return rc == ERR_CORRUPT ?
	    err_set(e, ERR_NOT_FOUND, "%s: not there", u->bytes_path) :
	    rc;
}

void
file_close_bytes_dir(const struct file_upload *u, int dirfd)
{
	if (dirfd != -1 && dirfd != u->store->dirfd)
		(void)close(dirfd);
}

enum err_code
file_stat_bytes(struct file_upload *u, struct stat *st, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_bytes_dir(u, &dirfd, &name, e);

	if (rc != ERR_OK)
		return rc;
	/* NFS keeps a size for 3 to 60 s: what another host finished would be
	 * unfinished, and there is no lock that a download waits for. */
	if (u->store->base.is_shared)
		fs_refresh_at(dirfd, name);
	if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
		rc = fs_check_regular(dirfd, name, st, e);
	else if (errno == ENOENT)
		rc = err_set(e, ERR_NOT_FOUND, "%s: not there", name);
	else
		rc = err_sys(e, "stat %s", name);
	file_close_bytes_dir(u, dirfd);
	/* A symbolic link that was put at such a path is not followed
	 * either. */
	return rc == ERR_CORRUPT && u->bytes_path != NULL ?
	    err_set(e, ERR_NOT_FOUND, "%s: not there", u->bytes_path) :
	    rc;
}

enum err_code
file_has_bytes(struct file_upload *u, bool *is, struct err *e)
{
	struct stat st;
	enum err_code rc = file_stat_bytes(u, &st, e);

	/* Any type of file counts as existing. */
	*is = rc == ERR_OK || rc == ERR_CORRUPT;
	return *is || rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code
file_open_bytes(
    struct file_upload *u, int flags, int *fd, struct stat *st, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_bytes_dir(u, &dirfd, &name, e);

	if (rc != ERR_OK)
		return rc;
	rc = flags == O_RDWR ? file_open_either(u, dirfd, name, fd, st, e) :
			       fs_open_at(dirfd, name, flags, fd, st, e);
	file_close_bytes_dir(u, dirfd);
	return rc;
}

enum err_code
file_remove_bytes(struct file_upload *u, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_bytes_dir(u, &dirfd, &name, e);

	if (rc == ERR_OK)
		rc = fs_unlink_at(dirfd, name, e);
	file_close_bytes_dir(u, dirfd);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code
cut(struct file_upload *u, int64_t to, struct err *e)
{
	enum err_code rc = file_check_fence(u, e);

	if (rc != ERR_OK)
		return rc;
	rc = fs_truncate(u->data_fd, to, u->base.info.id, e);
	if (rc == ERR_OK)
		u->data_size = to;
	return file_judge(u, rc, e);
}

enum err_code
file_cut(struct file_upload *u, int64_t to, struct err *e)
{
	struct err ignored;
	enum err_code rc;

	if (u->data_size <= to)
		return ERR_OK;
	rc = cut(u, to, e);
	/* The file system has cut off what it had set aside, too. */
	if (rc == ERR_OK && u->has_room)
		u->has_room =
		    fs_set_aside(u->data_fd, to, u->base.info.size - to,
			u->base.info.id, &ignored) == ERR_OK;
	return rc;
}
