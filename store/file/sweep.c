/*
 * sweep.c - the store's part of a sweep.
 */
#include "config.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

/* --- All uploads. --- */

/*
 * The names of so many records are read at once and sorted by inode.  For the
 * order in which a directory has its names is often none, and a reader that
 * follows it has the disk seek for each record.
 */
enum {
	AT_ONCE = 16384
};

struct record {
	ino_t inode;
	char id[ID_MAX + 1];
};

struct walk {
	/* NULL once all names have been read. */
	void *names;
	size_t n, next;
	struct record records[AT_ONCE];
};

/* Is it the name of a record, of an id that can be one? */
static bool
take_name(struct record *r, const char *name)
{
	const size_t suffix = strlen(FILE_INFO);
	size_t len = strlen(name);

	if (len <= suffix || len > ID_MAX + suffix ||
	    strcmp(name + len - suffix, FILE_INFO) != 0)
		return false;
	memcpy(r->id, name, len - suffix);
	r->id[len - suffix] = '\0';
	return id_is_valid(r->id);
}

static int
compare_inodes(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static enum err_code
read_names(struct file_store *fs, struct walk *w, struct err *e)
{
	const char *name = NULL;
	enum err_code rc;

	w->n = w->next = 0;
	do {
		struct record *r = &w->records[w->n];

		rc = file_next_name(fs, &w->names, &name, &r->inode, e);
		if (rc == ERR_OK && name != NULL)
			w->n += take_name(r, name);
	} while (rc == ERR_OK && name != NULL && w->n < AT_ONCE);
	qsort(w->records, w->n, sizeof(*w->records), compare_inodes);
	return rc;
}

static enum err_code
walk_next(struct data_store *ds, void **cursor, int64_t unchanged_since,
    struct arena *a, const char **id, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	bool is_new = *cursor == NULL;
	struct walk *w = is_new ? must_alloc(sizeof(*w)) : *cursor;
	enum err_code rc = ERR_OK;

	/* To ask for the time costs as much as to open it. */
	(void)unchanged_since;
	*cursor = w;
	*id = NULL;
	if (w->next == w->n && (is_new || w->names != NULL))
		rc = read_names(fs, w, e);
	if (rc == ERR_OK && w->next < w->n) {
		*id = arena_strdup(a, w->records[w->next++].id);
		return ERR_OK;
	}
	free(w);
	*cursor = NULL;
	return rc;
}

/* --- What a sweep asks of one, and its note. --- */

static int64_t
last_change(struct upload *up)
{
	return file_upload_of(up)->data_time;
}

static enum err_code
read_note(struct data_store *ds, char *buf, size_t size, struct err *e)
{
	size_t got = 0;
	enum err_code rc;
	int fd;

	rc = fs_open_at(
	    file_store_of(ds)->dirfd, FILE_SWEPT, O_RDONLY, &fd, NULL, e);
	*buf = '\0';
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = fs_pread(fd, buf, size - 1, 0, &got, e);
	(void)close(fd);
	buf[got] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return rc;
}

static enum err_code
open_note(struct file_store *fs, int *fd, struct err *e)
{
	enum err_code rc;

	rc = fs_open_at(fs->dirfd, FILE_SWEPT, O_RDWR, fd, NULL, e);
	if (rc == ERR_NOT_FOUND)
		rc = fs_create_at(
		    fs->dirfd, FILE_SWEPT, FS_LOCK_MODE(fs->mode), fd, e);
	if (rc == ERR_EXISTS)
		rc = fs_open_at(fs->dirfd, FILE_SWEPT, O_RDWR, fd, NULL, e);
	return rc;
}

static enum err_code
lock_note(struct data_store *ds, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	enum err_code rc;
	int fd;

	if (fs->note_fd != -1)
		return ERR_OK;
	if ((rc = open_note(fs, &fd, e)) != ERR_OK)
		return rc;
	if (file_lock(fs, fd)) {
		fs->note_fd = fd;
		return ERR_OK;
	}
	rc = errno == EWOULDBLOCK ?
	    err_set(e, ERR_LOCKED, "another sweep is at work") :
	    err_sys(e, "lock %s", FILE_SWEPT);
	(void)close(fd);
	return rc;
}

/* Write the note in place: that works on a full disk too, and the file keeps
 * its lock.  The rest of a longer old note follows the end of the line. */
static enum err_code
write_note(struct data_store *ds, const char *line, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	char text[256];
	int fd = fs->note_fd, n;
	enum err_code rc = ERR_OK;

	n = snprintf(text, sizeof(text), "%s\n", line);
	if (fd == -1)
		rc = open_note(fs, &fd, e);
	if (rc == ERR_OK) {
		rc = fs_pwrite(fd, text, (size_t)n, 0, NULL, e);
		if (rc == ERR_OK)
			rc = fs_truncate(fd, n, FILE_SWEPT, e);
	}
	if (fd != -1 && fd != fs->note_fd)
		(void)close(fd);
	return rc;
}

const struct store_expirer file_expirer = {
	.set_expiry = file_set_expiry,
	.walk_next = walk_next,
	.last_change = last_change,
	.lock_note = lock_note,
	.read_note = read_note,
	.write_note = write_note,
};
