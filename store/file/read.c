/*
 * read.c - downloads, and the list of all names.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

struct file_stream {
	struct stream base;
	int64_t at, end;
};

static enum err_code
open_stream(struct upload *up, int64_t from, struct arena *a,
    struct stream **stream, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct file_stream *s;
	enum err_code rc;

	if (from < 0 || from > up->info.offset)
		return err_set(e, ERR_INVALID, "%s: no byte %lld", up->info.id,
		    (long long)from);
	s = arena_alloc(a, sizeof(*s));
	s->base.path = file_bytes_path(u, a);
	rc = file_open_bytes(u, O_RDONLY, &s->base.fd, NULL, e);
	/* It may have been moved since it was opened. */
	if (rc == ERR_NOT_FOUND && (rc = file_find_moved(u, e)) == ERR_OK &&
	    (rc = file_open_moved(u, &s->base.fd, e)) == ERR_OK)
		s->base.path = file_moved_path(&u->moved, a);
	if (rc != ERR_OK)
		return rc;
	s->at = from;
	s->end = up->info.offset;
	s->base.length = s->end - from;
	*stream = &s->base;
	return ERR_OK;
}

static ssize_t
read_stream(struct stream *stream, void *buf, size_t size, struct err *e)
{
	struct file_stream *s = OUTER(stream, struct file_stream, base);
	int64_t left = s->end - s->at;
	size_t got;

	if ((uint64_t)size > (uint64_t)left)
		size = (size_t)left;
	if (fs_pread(s->base.fd, buf, size, s->at, &got, e) != ERR_OK)
		return -1;
	if (got < size) {
		(void)err_set(e, ERR_SYSTEM, "%s: cut short", s->base.path);
		return -1;
	}
	s->at += (int64_t)got;
	return (ssize_t)got;
}

static void
close_stream(struct stream *stream)
{
	(void)close(stream->fd);
}

const struct store_reader file_reader = {
	.open = open_stream,
	.read = read_stream,
	.close = close_stream,
};

/* Open a separate directory stream: the store's descriptor has one position for
 * all. */
static enum err_code
open_names(struct file_store *fs, DIR **dir, struct err *e)
{
	int fd = openat(fs->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return err_sys(e, "open directory %s", fs->path);
	if ((*dir = fdopendir(fd)) != NULL)
		return ERR_OK;
	(void)err_sys(e, "read directory %s", fs->path);
	(void)close(fd);
	return e->code;
}

void
file_end_names(void **cursor)
{
	if (*cursor != NULL)
		(void)closedir(*cursor);
	*cursor = NULL;
}

enum err_code
file_next_name(struct file_store *fs, void **cursor, const char **name,
    ino_t *inode, struct err *e)
{
	DIR *dir = *cursor;
	struct dirent *entry;
	enum err_code rc;

	if (dir == NULL &&
	    ((rc = file_check_directory(fs, e)) != ERR_OK ||
		(rc = open_names(fs, &dir, e)) != ERR_OK))
		return rc;
	errno = 0;
	entry = readdir(dir);
	rc = entry == NULL && errno != 0 ?
	    err_sys(e, "read directory %s", fs->path) :
	    ERR_OK;
	*name = entry != NULL ? entry->d_name : NULL;
	if (entry != NULL && inode != NULL)
		*inode = entry->d_ino;
	*cursor = dir;
	if (entry == NULL)
		file_end_names(cursor);
	return rc;
}
