/*
 * strange.c - files in the directory that cannot be served.
 *
 * Another server may have created uploads that we cannot serve: their ids
 * contain a slash or a dot, or their bytes are outside.  Such files are never
 * removed; tusctl adopt names each of them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

/* How deep directories are searched. */
#define DEPTH_MAX 64

struct search {
	struct file_store *fs;
	struct arena *a;
	store_stranger *tell;
	void *arg;

	/* The paths other than STORE/ID at which uploads have their bytes. */
	const char **places;
	size_t n, room;
};

static void
add_place(struct search *s, const char *path)
{
	const char **more;

	if (s->n == s->room) {
		s->room = s->room == 0 ? 64 : 2 * s->room;
		more = arena_alloc(s->a, s->room * sizeof(*more));
		if (s->n > 0)
			memcpy(more, s->places, s->n * sizeof(*more));
		s->places = more;
	}
	s->places[s->n++] = arena_strdup(s->a, path);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
is_place(const struct search *s, const char *path)
{
	return s->n > 0 &&
	    bsearch(&path, s->places, s->n, sizeof(path), compare) != NULL;
}

static bool
is_record(const char *name)
{
	size_t len = strlen(name), n = strlen(FILE_INFO);

	return len > n && strcmp(name + len - n, FILE_INFO) == 0;
}

/* --- Records. --- */

static const char *
why_without_bytes(const struct file_upload *u, struct arena *a)
{
	if (u->elsewhere != NULL)
		return arena_printf(a,
		    "its bytes are said to be in %s, where they are not looked "
		    "for",
		    u->elsewhere);
	if (u->bytes_path != NULL)
		return arena_printf(a, "its bytes are not in %s/%s",
		    u->store->path, u->bytes_path);
	return "its bytes are missing";
}

/* A moved upload may have its bytes in the store as well. */
static void
see_moved(struct search *s, struct file_upload *u, const char *name)
{
	struct err ignored;

	if (file_find_moved(u, &ignored) != ERR_OK)
		s->tell(s->arg, name, why_without_bytes(u, u->arena));
	else if (strcmp(u->moved.root, s->fs->path) == 0)
		add_place(s, u->moved.path);
}

/* A damaged record is reported when its upload is adopted. */
static void
see_record(struct search *s, const char *name, const char *id)
{
	struct arena *a = arena_new();
	struct file_upload *u = file_new_handle(s->fs, id, a);
	struct stat st;
	struct err e;
	enum err_code rc = file_load(u, &e);

	if (rc == ERR_NOT_FOUND && u->info_fd != -1)
		s->tell(s->arg, name, "the record is empty");
	if (rc == ERR_OK) {
		rc = file_stat_bytes(u, &st, &e);
		if (rc == ERR_NOT_FOUND)
			see_moved(s, u, name);
		else if (rc == ERR_OK && u->bytes_path != NULL)
			add_place(s, u->bytes_path);
	}
	file_close(&u->base);
	arena_free(a);
}

static enum err_code
see_records(struct search *s, struct err *e)
{
	void *cursor = NULL;
	const char *name, *id;
	enum err_code rc;

	for (;;) {
		rc = file_next_name(s->fs, &cursor, &name, NULL, e);
		if (rc != ERR_OK || name == NULL)
			break;
		if (!is_record(name))
			continue;
		id = arena_memdup(s->a, name, strlen(name) - strlen(FILE_INFO));
		if (id_is_valid(id))
			see_record(s, name, id);
		else
			s->tell(
			    s->arg, name, "no upload can have this id here");
	}
	if (rc == ERR_OK && s->n > 0)
		qsort(s->places, s->n, sizeof(*s->places), compare);
	return rc;
}

/* --- All other files. --- */

/* NULL: the file is ours, or a lock of the other server, or was already
 * checked. */
static const char *
why_top(struct search *s, const char *name)
{
	bool has_record = false;
	struct err ignored;

	if (is_record(name) || file_is_reserved(name) ||
	    strncmp(name + strcspn(name, "."), ".lock.", 6) == 0)
		return NULL;
	if (!id_is_valid(name))
		return "no record names it";
	if (file_exists(s->fs, name, FILE_INFO, &has_record, &ignored) !=
		ERR_OK ||
	    has_record)
		return NULL;
	return "there is no record of these bytes";
}

static const char *
why_below(const char *name)
{
	return is_record(name) ? "no upload can have an id with a slash here" :
				 "no record names it";
}

static void see_directory(
    struct search *, int dirfd, const char *path, int depth);

static void
see_entry(
    struct search *s, int dirfd, const char *path, const char *name, int depth)
{
	const char *whole =
	    depth == 0 ? name : arena_printf(s->a, "%s/%s", path, name);
	const char *why;
	struct stat st;
	struct err e;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		if (fs_open_subdir(dirfd, name, &fd, &e) != ERR_OK) {
			s->tell(s->arg, whole, e.text);
			return;
		}
		see_directory(s, fd, whole, depth + 1);
		(void)close(fd);
		return;
	}
	why = depth == 0 ? why_top(s, name) : why_below(name);
	if (why != NULL && !is_place(s, whole))
		s->tell(s->arg, whole, why);
}

/* Files of our own, and those that mkfs creates. */
static bool
is_known(const char *name)
{
	return file_is_ours(name) || strcmp(name, "lost+found") == 0;
}

static void
see_directory(struct search *s, int dirfd, const char *path, int depth)
{
	DIR *cursor = NULL;
	const char *name;
	struct err e;

	for (;;) {
		if (fs_walk_next(dirfd, &cursor, &name, &e) != ERR_OK) {
			s->tell(s->arg, path, e.text);
			return;
		}
		if (name == NULL)
			return;
		if (depth > 0 || !is_known(name))
			see_entry(s, dirfd, path, name, depth);
	}
}

enum err_code
file_tell_strangers(
    struct data_store *ds, store_stranger *tell, void *arg, struct err *e)
{
	struct search s = { .fs = file_store_of(ds),
		.a = arena_new(),
		.tell = tell,
		.arg = arg };
	enum err_code rc = see_records(&s, e);

	if (rc == ERR_OK)
		see_directory(&s, s.fs->dirfd, s.fs->path, 0);
	arena_free(s.a);
	return rc;
}
