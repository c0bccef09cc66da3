/*
 * record.c - the record of an upload in the directory store.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

/* The kernel writes this much in one piece, even if the writer is killed. */
#define ONE_PAGE 4096

void
file_set_storage(struct file_upload *u, const char *path)
{
	struct arena *a = u->arena;
	struct pair *p = arena_alloc(a, 3 * sizeof(*p));
	const char *dir = u->store->path, *id = u->base.info.id;

	if (path == NULL)
		path = arena_join(a, (const char *[]){ dir, "/", id, NULL });
	p[0] = (struct pair){ &p[1], "Type", "filestore", 0 };
	p[1] = (struct pair){ &p[2], "Path", path, 0 };
	p[2] = (struct pair){ NULL, "InfoPath",
		arena_join(a, (const char *[]){ dir, "/", id, ".info", NULL }),
		0 };
	p[0].value_len = strlen(p[0].value);
	p[1].value_len = strlen(p[1].value);
	p[2].value_len = strlen(p[2].value);
	u->base.info.storage = p;
	u->base.info.path = path;
}

/*
 * Cut off the end of the record, if it is the text that we write there: it says
 * where the bytes are, which we know, and a third of the record needs no
 * parsing then.
 */
static size_t
without_storage(const struct file_upload *u, char *buf, size_t len)
{
	const char *path = u->store->path, *id = u->base.info.id;
	const char *const backwards[] = { ".info\"}}", id, "/", path,
		"\",\"InfoPath\":\"", id, "/", path,
		",\"Storage\":{\"Type\":\"filestore\",\"Path\":\"" };
	size_t i, n, left = len;

	for (i = 0; i < NITEMS(backwards); i++) {
		n = strlen(backwards[i]);
		if (left < INFO_HEAD + n ||
		    memcmp(buf + left - n, backwards[i], n) != 0)
			return len;
		left -= n;
	}
	buf[left] = '}';
	return left + 1;
}

static enum err_code
parse(struct file_upload *u, const struct stat *st, struct err *e)
{
	const char *id = u->base.info.id;
	char *buf = info_scratch((size_t)st->st_size);
	struct info_record r;
	size_t got;
	enum err_code rc;

	rc = fs_pread(u->info_fd, buf, (size_t)st->st_size, 0, &got, e);
	if (rc != ERR_OK)
		return rc;
	memcpy(u->head_bytes, buf,
	    got < sizeof(u->head_bytes) ? got : sizeof(u->head_bytes));
	got = without_storage(u, buf, got);
	if ((rc = info_parse(buf, got, id, u->arena, &r, e)) != ERR_OK)
		return rc;
	if (r.multipart != NULL)
		return err_set(e, ERR_CORRUPT, "%s.info: is of a bucket", id);
	u->head = r.head;
	u->foreign = r.foreign;
	u->base.info = r.info;
	if (u->foreign && r.info.created == 0)
		u->base.info.created = (int64_t)st->st_mtime;
	file_read_storage(u, r.path, r.info_path);
	file_set_storage(u, file_bytes_path(u, u->arena));
	return ERR_OK;
}

enum err_code
file_load(struct file_upload *u, struct err *e)
{
	struct stat *st = &u->info_stat;
	struct file_name name;
	enum err_code rc;

	file_close_info(u);
	u->damaged = true;
	u->denied = 0;
	if ((rc = file_name(u->base.info.id, FILE_INFO, &name, e)) != ERR_OK ||
	    (rc = file_open_either(
		 u, u->store->dirfd, name.text, &u->info_fd, st, e)) != ERR_OK)
		return rc;
	file_refresh(u, u->info_fd);
	if (u->store->base.is_shared && fstat(u->info_fd, st) == -1)
		return err_sys(e, "stat %s", name.text);
	if (st->st_size > INFO_MAX)
		return err_set(e, ERR_CORRUPT, "%s: too long", name.text);
	rc = parse(u, st, e);
	u->damaged = rc != ERR_OK;
	return rc;
}

enum err_code
file_load_head(struct file_upload *u, struct err *e)
{
	char buf[INFO_WHOLE_HEAD];
	struct info_head head;
	size_t got;
	enum err_code rc;

	rc = fs_pread(u->info_fd, buf, sizeof(buf), 0, &got, e);
	if (rc != ERR_OK)
		return rc;
	if (got == sizeof(buf) && memcmp(buf, u->head_bytes, got) == 0)
		return ERR_OK;
	if (!info_read_head(buf, got, &head))
		return err_set(
		    e, ERR_CORRUPT, "%s.info: damaged", u->base.info.id);
	memcpy(u->head_bytes, buf, got);
	u->head = head;
	return ERR_OK;
}

void
file_close_info(struct file_upload *u)
{
	file_unfence(u, u->info_fd);
	if (u->info_fd != -1)
		(void)close(u->info_fd);
	u->info_fd = -1;
	u->is_guarded = false;
}

enum err_code
file_set(struct file_upload *u, const struct info_head *head, struct err *e)
{
	char buf[INFO_WHOLE_HEAD];
	size_t len;
	enum err_code rc;

	if (u->is_hidden) {
		u->head = *head;
		return ERR_OK;
	}
	if ((rc = file_check_fence(u, e)) != ERR_OK)
		return rc;
	len = info_write_head(buf, head);
	rc = fs_pwrite(u->info_fd, buf, len, 0, NULL, e);
	if (rc != ERR_OK)
		return file_judge(u, rc, e);
	memcpy(u->head_bytes, buf, len);
	u->head = *head;
	u->unflushed = true;
	return ERR_OK;
}

void
file_put_back(struct file_upload *u, const struct info_head *head)
{
	u->head = *head;
	u->head_bytes[0] = '\0';
}

bool
file_same_head(const struct info_head *a, const struct info_head *b)
{
	return a->offset == b->offset && a->size == b->size &&
	    a->size_deferred == b->size_deferred &&
	    a->finished == b->finished && a->expires == b->expires &&
	    a->hold == b->hold && a->pending == b->pending &&
	    strcmp(a->boot, b->boot) == 0;
}

enum err_code
file_flush_data(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_check_fence(u, e);

	if (rc == ERR_OK)
		rc = fs_sync_data(u->data_fd, u->base.info.id, e);
	return file_judge(u, rc, e);
}

enum err_code
file_flush_info(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_check_fence(u, e);

	if (rc == ERR_OK && !u->is_hidden)
		rc = fs_sync_data(u->info_fd, "the record", e);
	if (rc != ERR_OK)
		return file_judge(u, rc, e);
	u->unflushed = false;
	return ERR_OK;
}

/* The record as text; from now on its head is taken for what the file
 * contains. */
static enum err_code
format(struct file_upload *u, const char **text, size_t *len, struct err *e)
{
	struct info_record r = { .info = u->base.info };
	enum err_code rc;

	u->head.has_pending = true;
	r.head = u->head;
	rc = info_format(&r, u->arena, text, len, e);
	if (rc == ERR_OK)
		memcpy(u->head_bytes, *text, sizeof(u->head_bytes));
	return rc;
}

static void
take_record(struct file_upload *u, int fd, bool durably)
{
	file_close_info(u);
	u->info_fd = fd;
	/* The next question whether the record was replaced reads it again. */
	u->info_stat = (struct stat){ 0 };
	u->foreign = false;
	u->is_hidden = false;
	u->damaged = false;
	u->unflushed = !durably;
}

/* The file is created, written and open, or does not exist. */
static enum err_code
write_file(struct file_store *fs, const char *name, const char *text,
    size_t len, bool durably, int *fd, struct err *e)
{
	struct err ignored;
	enum err_code rc;

	if ((rc = file_create(fs, fs->dirfd, name, fd, e)) != ERR_OK)
		return rc;
	rc = fs_pwrite(*fd, text, len, 0, NULL, e);
	if (rc == ERR_OK && durably)
		rc = fs_sync_data(*fd, "the record", e);
	if (rc == ERR_OK)
		return rc;
	(void)close(*fd);
	(void)!fs_unlink_at(fs->dirfd, name, &ignored);
	return rc;
}

/* No other process can have locked a record that has no name yet. */
static enum err_code
write_and_rename(struct file_upload *u, const char *text, size_t len,
    bool durably, int *fd, struct err *e)
{
	struct file_store *fs = u->store;
	struct file_name from, to;
	struct err ignored;
	enum err_code rc;

	if ((rc = file_name(u->base.info.id, FILE_NEW, &from, e)) != ERR_OK ||
	    (rc = file_name(u->base.info.id, FILE_INFO, &to, e)) != ERR_OK ||
	    (rc = write_file(fs, from.text, text, len, durably, fd, e)) !=
		ERR_OK)
		return rc;
	if ((rc = file_fence(u, *fd, e)) == ERR_OK)
		rc = fs_rename_at(fs->dirfd, from.text, to.text, e);
	if (rc == ERR_OK)
		return rc;
	(void)close(*fd);
	(void)!fs_unlink_at(fs->dirfd, from.text, &ignored);
	return rc;
}

enum err_code
file_publish(struct file_upload *u, bool durably, struct err *e)
{
	const char *text;
	size_t len;
	enum err_code rc;
	int fd;

	if ((rc = format(u, &text, &len, e)) != ERR_OK ||
	    (rc = write_and_rename(u, text, len, durably, &fd, e)) != ERR_OK)
		return rc;
	take_record(u, fd, durably);
	return durably ? file_flush_dir(u->store, e) : ERR_OK;
}

enum err_code
file_publish_new(struct file_upload *u, bool durably, struct err *e)
{
	struct file_name name;
	const char *text;
	size_t len;
	enum err_code rc;
	int fd;

	if (durably)
		return file_publish(u, durably, e);
	if ((rc = file_name(u->base.info.id, FILE_INFO, &name, e)) != ERR_OK ||
	    (rc = format(u, &text, &len, e)) != ERR_OK)
		return rc;
	rc = len <= ONE_PAGE ?
	    write_file(u->store, name.text, text, len, false, &fd, e) :
	    write_and_rename(u, text, len, false, &fd, e);
	if (rc == ERR_OK)
		take_record(u, fd, false);
	return rc;
}

bool
file_has_watermark(const struct file_upload *u)
{
	return !u->foreign && u->head.boot[0] != INFO_NO_BOOT[0];
}

const char *
file_boot(const struct file_store *fs)
{
	return fs->durability == DURABILITY_NONE ? INFO_NO_BOOT : fs->boot;
}
