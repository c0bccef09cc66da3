/*
 * new.c - create an upload, empty or from other uploads; remove it.
 *
 * An advisory lock on the data file tells the sweep that an upload is being
 * created.  The record is written last: before, the upload does not exist.
 */
#include "config.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/file/file.h"

static enum err_code
lock_data(struct file_upload *u, struct err *e)
{
	if (!file_lock(u->store, u->data_fd))
		return err_sys(e, "lock %s", u->base.info.id);
	return ERR_OK;
}

static enum err_code
remove_files(struct file_upload *u, struct err *e)
{
	struct file_store *fs = u->store;
	struct file_name info;
	enum err_code rc;

	/* An upload that is still hidden was never moved. */
	if ((!u->is_hidden && (rc = file_forget_moved(u, e)) != ERR_OK) ||
	    (rc = file_name(u->base.info.id, FILE_INFO, &info, e)) != ERR_OK ||
	    (rc = file_remove_bytes(u, e)) != ERR_OK)
		return rc;
	return fs_unlink_at(fs->dirfd, info.text, e);
}

enum err_code
file_terminate(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct err ignored;
	enum err_code rc = file_mark_gone(u, e);

	if (rc == ERR_OK)
		rc = remove_files(u, e);
	if (rc == ERR_OK && u->store->durability == DURABILITY_FULL)
		rc = file_flush_dir(u->store, e);
	/* An entry that stays counts too many bytes, but only until the next
	 * sweep. */
	if (rc == ERR_OK && file_release(up, &ignored) != ERR_OK)
		log_warn("%s: %s", up->info.id, ignored.text);
	return rc;
}

/* Remove the record first: files without a record are no upload. */
static void
unmake(struct file_upload *u)
{
	struct file_store *fs = u->store;
	struct file_name info;
	struct err ignored;

	if (u->data_fd != -1) {
		if (file_name(u->base.info.id, FILE_INFO, &info, &ignored) ==
		    ERR_OK)
			(void)!fs_unlink_at(fs->dirfd, info.text, &ignored);
		(void)!fs_unlink_at(fs->dirfd, u->base.info.id, &ignored);
	}
	file_close(&u->base);
}

enum err_code
file_lock_data(struct file_store *fs, const char *id, int *fd, struct err *e)
{
	enum err_code rc = fs_open_at(fs->dirfd, id, O_RDWR, fd, NULL, e);

	if (rc == ERR_NOT_FOUND) {
		*fd = -1;
		return ERR_OK;
	}
	if (rc != ERR_OK)
		return rc;
	if (file_lock(fs, *fd))
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		rc = err_set(e, ERR_LOCKED, "%s: being made", id);
	else
		rc = err_sys(e, "lock %s", id);
	(void)close(*fd);
	return rc;
}

/* ERR_EXISTS: the record can be read, and its bytes exist, were moved, or may
 * be where another server put them; or the record is damaged. */
static enum err_code
is_left_over(struct file_upload *u, bool has_data, struct err *e)
{
	const char *id = u->base.info.id;
	bool is_new = false, is_moved = false;
	enum err_code rc = file_load(u, e);

	if (rc == ERR_CORRUPT || (rc == ERR_OK && file_may_be_strange(u)))
		return err_set(e, ERR_EXISTS,
		    "%s: its record may be that of another server", id);
	if (rc != ERR_OK && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_NOT_FOUND) {
		/* A blank record is open. */
		rc = file_exists(u->store, id, FILE_NEW, &is_new, e);
		if (rc == ERR_OK && !has_data && !is_new && u->info_fd == -1)
			rc = err_set(e, ERR_NOT_FOUND, "%s: not there", id);
		return rc;
	}
	if (file_is_gone(u))
		return ERR_OK;
	rc = file_exists(u->store, id, FILE_MOVED, &is_moved, e);
	if (rc == ERR_OK && (has_data || is_moved))
		rc = err_set(e, ERR_EXISTS, "%s: is an upload", id);
	return rc;
}

enum err_code
file_clear(struct data_store *ds, const char *id, bool only_look, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	struct arena *a = arena_new();
	struct file_upload *u = file_new_handle(fs, id, a);
	struct file_name name;
	enum err_code rc;

	rc = file_lock_data(fs, id, &u->data_fd, e);
	if (rc == ERR_OK)
		rc = is_left_over(u, u->data_fd != -1, e);
	if (rc == ERR_OK && !only_look)
		rc = remove_files(u, e);
	if (rc == ERR_OK && !only_look &&
	    (rc = file_name(id, FILE_NEW, &name, e)) == ERR_OK)
		rc = fs_unlink_at(fs->dirfd, name.text, e);
	file_close(&u->base);
	arena_free(a);
	return rc;
}

/* Create the empty data file, and the head of the record in memory. */
static enum err_code
begin(struct file_upload *u, const struct file_info *info, struct err *e)
{
	struct file_store *fs = u->store;
	struct file_name name;
	enum err_code rc;
	bool is_taken;

	/* The id may be taken by an upload that was moved and has no data
	 * file. */
	if ((rc = file_check_directory(fs, e)) == ERR_OK)
		rc = file_exists(fs, info->id, FILE_MOVED, &is_taken, e);
	if (rc == ERR_OK && is_taken)
		rc = err_set(e, ERR_EXISTS, "%s: exists", info->id);
	if (rc != ERR_OK)
		return rc;
	file_info_copy(u->arena, &u->base.info, info);
	file_set_storage(u, NULL);
	u->head = (struct info_head){
		.size = info->size_deferred ? 0 : info->size,
		.size_deferred = info->size_deferred,
		.expires = info->expires,
		.hold = -1,
	};
	memcpy(u->head.boot, file_boot(fs), sizeof(u->head.boot));
	u->is_hidden = true;
	u->is_claimed = true;
	if ((rc = file_name(info->id, FILE_DATA, &name, e)) != ERR_OK ||
	    (rc = fs_create_at(
		 fs->dirfd, name.text, fs->mode, &u->data_fd, e)) != ERR_OK ||
	    (rc = lock_data(u, e)) != ERR_OK)
		return rc;
	/* The bytes of parts are copied at once. */
	return info->size_deferred || info->is_final ?
	    ERR_OK :
	    file_take_room(u, info->size, e);
}

enum err_code
file_new_hidden(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	struct file_upload *u = file_new_handle(fs, info->id, a);
	enum err_code rc;

	if (info->size_deferred)
		rc = file_check_space(fs, 0, e);
	else
		rc = file_check_length(u, info->size, e);
	if (rc != ERR_OK)
		return rc;
	rc = begin(u, info, e);
	if (rc != ERR_OK) {
		unmake(u);
		return rc;
	}
	file_see(u);
	*up = &u->base;
	return ERR_OK;
}

enum err_code
file_new_upload(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	struct file_upload *u;
	enum err_code rc = file_new_hidden(ds, info, a, up, e);

	if (rc != ERR_OK)
		return rc;
	u = file_upload_of(*up);
	rc = file_publish_new(u, fs->durability == DURABILITY_FULL, e);
	if (rc != ERR_OK)
		unmake(u);
	return rc;
}

/* --- concatenation ---------------------------------------------------------
 */

static enum err_code
copy_part(struct file_upload *dst, struct file_upload *part, struct err *e)
{
	const struct file_bytes bytes = { part->data_fd, dst->data_fd,
		dst->data_size, part->data_size, dst->store->min_free };
	enum err_code rc = file_copy(&bytes, dst->arena, e);

	if (rc != ERR_OK)
		return err_within(e, "part %s", part->base.info.id);
	dst->data_size += part->data_size;
	return ERR_OK;
}

/* The open descriptor keeps the bytes even if the part is deleted meanwhile. */
static enum err_code
append_part(struct file_upload *dst, struct upload *up, struct err *e)
{
	struct file_upload *part = file_upload_of(up);
	struct stat st;
	enum err_code rc;

	if (!upload_is_finished(up))
		return err_set(
		    e, ERR_CONFLICT, "part %s: not finished", up->info.id);
	if (up->info.size > dst->head.size - dst->data_size)
		return err_set(
		    e, ERR_CONFLICT, "part %s: too long", up->info.id);
	rc = file_open_bytes(part, O_RDONLY, &part->data_fd, &st, e);
	if (rc != ERR_OK)
		return rc;
	if ((int64_t)st.st_size != up->info.size)
		return err_set(
		    e, ERR_CONFLICT, "part %s: not of its size", up->info.id);
	return copy_part(dst, part, e);
}

static enum err_code
append_parts(struct file_upload *dst, struct err *e)
{
	const char *const *id = dst->base.info.parts;
	struct upload *part;
	enum err_code rc;

	for (; *id != NULL; id++) {
		part = NULL;
		rc = file_get_upload(
		    &dst->store->base, *id, dst->arena, &part, e);
		if (rc == ERR_OK)
			rc = append_part(dst, part, e);
		if (part != NULL)
			file_close(part);
		if (rc != ERR_OK)
			return rc;
	}
	if (dst->data_size != dst->head.size)
		return err_set(e, ERR_CONFLICT, "%s: its parts are too short",
		    dst->base.info.id);
	return ERR_OK;
}

enum err_code
file_concat(struct data_store *ds, const struct file_info *info,
    struct arena *a, struct upload **up, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	struct file_upload *u;
	enum err_code rc;

	if ((rc = file_check_space(fs, info->size, e)) != ERR_OK ||
	    (rc = file_new_hidden(ds, info, a, up, e)) != ERR_OK)
		return rc;
	u = file_upload_of(*up);
	rc = append_parts(u, e);
	if (rc != ERR_OK) {
		unmake(u);
		return rc;
	}
	file_see(u);
	return ERR_OK;
}
