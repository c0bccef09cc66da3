/*
 * moved.c - the note that an upload was moved, or is being moved.
 *
 * FORMAT says what ID.moved contains.  Its path counts only below the root that
 * is configured now: following any path in a file that others can write would
 * give them access to any file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/template.h"
#include "store/file/file.h"

/* The first format has neither time nor reservation. */
#define FORMAT_1 "tusfcgi moved 1"
#define FORMAT	 "tusfcgi moved 2"

#define NS_PER_S 1000000000

/* --- The file. --- */

/* The next line, without its end; NULL if there is none. */
static char *
take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (end == NULL)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

static bool
parse_numbers(const char *text, bool is_old, struct file_moved *m)
{
	int end = 0, n, reserved = 0;

	if (is_old)
		n = 2 +
		    sscanf(text, "%" SCNu64 " %" SCNd64 " %" SCNd64 "%n",
			&m->inode, &m->when, &m->forget, &end);
	else
		n = sscanf(text,
		    "%" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %d%n",
		    &m->inode, &m->written, &m->when, &m->forget, &reserved,
		    &end);
	m->is_reserved = reserved != 0;
	return n == 5 && text[end] == '\0';
}

static bool
parse(char *text, struct file_moved *m)
{
	const char *format = take_line(&text), *numbers;

	if (format == NULL ||
	    (strcmp(format, FORMAT) != 0 && strcmp(format, FORMAT_1) != 0) ||
	    (m->root = take_line(&text)) == NULL ||
	    (m->path = take_line(&text)) == NULL ||
	    (numbers = take_line(&text)) == NULL || *text != '\0')
		return false;
	return parse_numbers(numbers, strcmp(format, FORMAT_1) == 0, m) &&
	    *m->root == '/' && template_is_filled(m->path);
}

static bool
is_blank(const char *buf, size_t len)
{
	return len == 0 ||
	    (buf[0] == '\0' && memcmp(buf, buf + 1, len - 1) == 0);
}

enum err_code
file_read_moved(struct file_store *fs, const char *id, struct arena *a,
    struct file_moved *m, struct err *e)
{
	struct file_name name;
	struct stat st;
	char *buf;
	size_t got;
	enum err_code rc;
	int fd;

	memset(m, 0, sizeof(*m));
	if ((rc = file_name(id, FILE_MOVED, &name, e)) != ERR_OK ||
	    (rc = fs_open_at(fs->dirfd, name.text, O_RDONLY, &fd, &st, e)) !=
		ERR_OK)
		return rc;
	if (st.st_size > INFO_MAX)
		st.st_size = INFO_MAX;
	buf = arena_alloc(a, (size_t)st.st_size + 1);
	rc = fs_pread(fd, buf, (size_t)st.st_size, 0, &got, e);
	(void)close(fd);
	if (rc != ERR_OK || is_blank(buf, got))
		return rc;
	if (strlen(buf) == got && parse(buf, m))
		return ERR_OK;
	m->path = NULL;
	return err_set(e, ERR_CORRUPT, "%s: damaged", name.text);
}

static enum err_code
write_new(
    struct file_store *fs, const char *name, const char *text, struct err *e)
{
	enum err_code rc;
	int fd;

	if ((rc = file_create(fs, fs->dirfd, name, &fd, e)) != ERR_OK)
		return rc;
	rc = fs_pwrite(fd, text, strlen(text), 0, NULL, e);
	if (rc == ERR_OK && fs->durability != DURABILITY_NONE)
		rc = fs_sync_data(fd, name, e);
	(void)close(fd);
	return rc;
}

enum err_code
file_write_moved(
    struct file_upload *u, const struct file_moved *m, struct err *e)
{
	struct file_store *fs = u->store;
	struct file_name from, to;
	const char *text = arena_printf(u->arena,
	    FORMAT "\n%s\n%s\n%" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64
		   " %d\n",
	    m->root, m->path, m->inode, m->written, m->when, m->forget,
	    m->is_reserved);
	struct err ignored;
	enum err_code rc;

	if ((rc = file_name(u->base.info.id, FILE_MOVED_NEW, &from, e)) !=
		ERR_OK ||
	    (rc = file_name(u->base.info.id, FILE_MOVED, &to, e)) != ERR_OK)
		return rc;
	rc = write_new(fs, from.text, text, e);
	if (rc == ERR_OK)
		rc = fs_rename_at(fs->dirfd, from.text, to.text, e);
	if (rc != ERR_OK) {
		(void)!fs_unlink_at(fs->dirfd, from.text, &ignored);
		return rc;
	}
	return fs->durability == DURABILITY_NONE ? ERR_OK :
						   file_flush_dir(fs, e);
}

/* --- The place. --- */

enum err_code
file_find_moved(struct file_upload *u, struct err *e)
{
	const char *id = u->base.info.id;
	enum err_code rc;

	rc = file_read_moved(u->store, id, u->arena, &u->moved, e);
	u->is_moved = rc == ERR_OK && u->moved.path != NULL;
	if (rc == ERR_OK && !u->is_moved)
		rc = err_set(e, ERR_NOT_FOUND, "%s: not there", id);
	return rc;
}

const char *
file_moved_path(const struct file_moved *m, struct arena *a)
{
	bool is_top = strcmp(m->root, "/") == 0;

	return arena_printf(a, "%s/%s", is_top ? "" : m->root, m->path);
}

const char *
file_copy_name(const char *id, struct arena *a)
{
	return arena_printf(a, ".%s.tusfcgi", id);
}

enum err_code
file_open_moved_dir(struct file_store *fs, const struct file_moved *m,
    struct arena *a, int *dirfd, const char **name, struct err *e)
{
	return file_open_below(fs, m->root, m->path, a, dirfd, name, e);
}

enum err_code
file_identify(struct file_moved *m, int fd, const char *name, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(e, "stat %s", name);
	m->inode = fs_keeps_inodes(fd) ? st.st_ino : 0;
	m->written = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	return ERR_OK;
}

bool
file_is_as_moved(
    const struct file_moved *m, const struct stat *st, int64_t size)
{
	int64_t written =
	    (int64_t)st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;

	return S_ISREG(st->st_mode) && (int64_t)st->st_size == size &&
	    (m->written == 0 ||
		(m->written == written &&
		    (m->inode == 0 || m->inode == st->st_ino)));
}

/* The file may have further names by now: it does not belong to us any more. */
enum err_code
file_open_moved(struct file_upload *u, int *fd, struct err *e)
{
	struct stat st;
	const char *name;
	enum err_code rc;
	int dirfd;

	rc = file_open_moved_dir(
	    u->store, &u->moved, u->arena, &dirfd, &name, e);
	if (rc == ERR_CORRUPT)
		return err_set(
		    e, ERR_NOT_FOUND, "%s: moved away", u->moved.path);
	if (rc != ERR_OK)
		return rc;
	*fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (*fd == -1 && errno != ENOENT && errno != ELOOP && errno != ENXIO)
		rc = err_sys(e, "open %s", u->moved.path);
	(void)close(dirfd);
	if (rc != ERR_OK)
		return rc;
	if (*fd != -1 && fstat(*fd, &st) == 0 &&
	    file_is_as_moved(&u->moved, &st, u->head.size))
		return ERR_OK;
	if (*fd != -1)
		(void)close(*fd);
	return err_set(e, ERR_NOT_FOUND, "%s: not there", u->moved.path);
}

/* Remove an unfinished copy.  If the destination is not writable any more, the
 * upload is removed nevertheless. */
static void
remove_copy(struct file_upload *u)
{
	const char *name, *copy = file_copy_name(u->base.info.id, u->arena);
	struct stat st;
	struct err e;
	int dirfd;

	if (u->moved.path == NULL ||
	    file_open_moved_dir(
		u->store, &u->moved, u->arena, &dirfd, &name, &e) != ERR_OK)
		return;
	if (fs_unlink_at(dirfd, copy, &e) != ERR_OK &&
	    fstatat(dirfd, copy, &st, AT_SYMLINK_NOFOLLOW) == 0)
		log_warn(
		    "half a copy stays below %s: %s", u->moved.root, e.text);
	(void)close(dirfd);
}

/*
 * While the data still exists, ID.moved names a place that the upload has not
 * reached: so ID.moved must be removed durably before the data.
 */
enum err_code
file_forget_moved(struct file_upload *u, struct err *e)
{
	struct file_store *fs = u->store;
	const char *id = u->base.info.id;
	struct file_name name;
	bool is_here;
	enum err_code rc;

	rc = file_read_moved(fs, id, u->arena, &u->moved, e);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if ((rc != ERR_OK && rc != ERR_CORRUPT) ||
	    (rc = file_name(id, FILE_MOVED, &name, e)) != ERR_OK ||
	    (rc = file_has_bytes(u, &is_here, e)) != ERR_OK)
		return rc;
	if (is_here)
		remove_copy(u);
	if ((rc = fs_unlink_at(fs->dirfd, name.text, e)) != ERR_OK)
		return rc;
	return is_here && fs->durability != DURABILITY_NONE ?
	    file_flush_dir(fs, e) :
	    ERR_OK;
}
