/*
 * dir.c - directories below the store, and below the root of finish.move_to.
 *
 * A path that is found in a file which others may write counts only below
 * these two, and is followed name by name.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/file/file.h"

/* Milliseconds between two looks at where the root is. */
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
				       "none; what is finished waits for it, "
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
