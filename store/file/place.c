/*
 * place.c - where the bytes of an upload are.
 *
 * In STORE/ID, unless another server made the record: tusd lets a hook choose
 * a place, which Storage.Path names.  Such a path is followed if it stays in
 * the store: name by name, none of them "..", hidden, or a symbolic link, for
 * a path found in a file that others may write is else access to any file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/template.h"
#include "store/file/file.h"

/* What follows "DIRECTORY/" in a path; NULL if it is elsewhere. */
static const char *
below(const char *path, const char *dir, size_t len)
{
	if (len == 0)
		return *path != '/' ? path : NULL;
	if (strncmp(path, dir, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

/* The directory may have another name by now than it had for the other server;
 * but it was the one that had the record. */
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

/* A name among the uploads that is an id is the place of that one. */
static bool
may_be_place(struct file_store *fs, const char *path)
{
	if (!template_is_filled(path) || file_is_reserved(path))
		return false;
	if (strchr(path, '/') != NULL || !id_is_valid(path))
		return true;
	fs->has_borrowed = true;
	return false;
}

void
file_set_place(struct file_upload *u, const char *path, const char *info_path)
{
	struct file_store *fs = u->store;
	const char *id = u->base.info.id, *rest;

	u->place = u->elsewhere = NULL;
	if (path == NULL || *path == '\0')
		return;
	rest = below_record(path, info_path, id);
	if (rest == NULL)
		rest = below(path, fs->path, strlen(fs->path));
	if (rest != NULL && strcmp(rest, id) == 0)
		return;
	if (rest != NULL && may_be_place(fs, rest))
		u->place = rest;
	else
		u->elsewhere = path;
}

bool
file_may_be_strange(const struct file_upload *u)
{
	return u->foreign || u->place != NULL || u->elsewhere != NULL;
}

const char *
file_place_path(const struct file_upload *u, struct arena *a)
{
	return arena_printf(a, "%s/%s", u->store->path,
	    u->place != NULL ? u->place : u->base.info.id);
}

enum err_code
file_open_place(
    struct file_upload *u, int *dirfd, const char **name, struct err *e)
{
	struct file_store *fs = u->store;
	enum err_code rc;

	*dirfd = fs->dirfd;
	*name = u->base.info.id;
	if (u->place == NULL)
		return ERR_OK;
	rc = file_open_below(fs, fs->path, u->place, u->arena, dirfd, name, e);
	return rc == ERR_CORRUPT ?
	    err_set(e, ERR_NOT_FOUND, "%s: not there", u->place) :
	    rc;
}

void
file_close_place(const struct file_upload *u, int dirfd)
{
	if (dirfd != -1 && dirfd != u->store->dirfd)
		(void)close(dirfd);
}

enum err_code
file_stat_place(struct file_upload *u, struct stat *st, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_place(u, &dirfd, &name, e);

	if (rc != ERR_OK)
		return rc;
	if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
		rc = fs_check_regular(dirfd, name, st, e);
	else if (errno == ENOENT)
		rc = err_set(e, ERR_NOT_FOUND, "%s: not there", name);
	else
		rc = err_sys(e, "stat %s", name);
	file_close_place(u, dirfd);
	/* What was put into such a place is followed as little as its path. */
	return rc == ERR_CORRUPT && u->place != NULL ?
	    err_set(e, ERR_NOT_FOUND, "%s: not there", u->place) :
	    rc;
}

enum err_code
file_is_in_place(struct file_upload *u, bool *is, struct err *e)
{
	struct stat st;
	enum err_code rc = file_stat_place(u, &st, e);

	/* Whatever has its name is in its place. */
	*is = rc == ERR_OK || rc == ERR_CORRUPT;
	return *is || rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code
file_open_bytes(
    struct file_upload *u, int flags, int *fd, struct stat *st, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_place(u, &dirfd, &name, e);

	if (rc != ERR_OK)
		return rc;
	rc = flags == O_RDWR ? file_open_either(u, dirfd, name, fd, st, e) :
			       fs_open_at(dirfd, name, flags, fd, st, e);
	file_close_place(u, dirfd);
	return rc;
}

enum err_code
file_remove_bytes(struct file_upload *u, struct err *e)
{
	const char *name;
	int dirfd;
	enum err_code rc = file_open_place(u, &dirfd, &name, e);

	if (rc == ERR_OK)
		rc = fs_unlink_at(dirfd, name, e);
	file_close_place(u, dirfd);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code
file_cut(struct file_upload *u, int64_t to, struct err *e)
{
	enum err_code rc;

	if (u->data_size <= to)
		return ERR_OK;
	if ((rc = file_check_fence(u, e)) != ERR_OK)
		return rc;
	rc = fs_truncate(u->data_fd, to, u->base.info.id, e);
	if (rc == ERR_OK)
		u->data_size = to;
	return file_judge(u, rc, e);
}
