/*
 * name.c - the names in the directory of the store.
 *
 * An upload has the names ID, ID.info and so on.  No id begins with a dot, so
 * no upload can have one of the names that are the store's own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "store/file/file.h"

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
