/*
 * keep.c - the calls that look after the whole directory.
 */
#include "config.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

/* After so many names without a leftover, return to report progress. */
#define AT_ONCE 1000

/* Files beside the uploads, told apart by the end of their names. */
enum kind {
	KIND_DATA,
	KIND_INFO,
	KIND_NEW,
	KIND_MOVED,
	KIND_MOVED_NEW,
	KIND_TUSD,
	KIND_OTHER,
	KIND_OURS
};

/* what is the fault of a file, NULL if it has none.  is_strange: the file may
 * not be ours, or more of it may be elsewhere. */
struct judgement {
	const char *what;
	bool is_strange;
};

static enum kind
kind_of(const char *name, const char *suffix)
{
	if (file_is_ours(name) || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0 || strcmp(suffix, ".lock") == 0)
		return KIND_OURS;
	if (*suffix == '\0')
		return KIND_DATA;
	if (strcmp(suffix, FILE_INFO) == 0)
		return KIND_INFO;
	if (strcmp(suffix, FILE_NEW) == 0)
		return KIND_NEW;
	if (strcmp(suffix, FILE_MOVED) == 0)
		return KIND_MOVED;
	if (strcmp(suffix, FILE_MOVED_NEW) == 0)
		return KIND_MOVED_NEW;
	if (strcmp(suffix, ".stop") == 0 || strncmp(suffix, ".lock.", 6) == 0)
		return KIND_TUSD;
	return KIND_OTHER;
}

/* The id is the part before the first dot; false if that is not an id. */
static bool
id_in(const char *name, char id[ID_MAX + 1])
{
	size_t len = strcspn(name, ".");

	if (len > ID_MAX)
		return false;
	memcpy(id, name, len);
	id[len] = '\0';
	return id_is_valid(id);
}

/* Does the record have any content?  A sweep checks every record; the first
 * byte is enough for nearly all. */
static bool
begins_with_text(struct file_store *fs, const char *id)
{
	struct file_name name;
	char first = '\0';
	size_t got;
	struct err e;
	int fd;

	if (file_name(id, FILE_INFO, &name, &e) != ERR_OK ||
	    fs_open_at(fs->dirfd, name.text, O_RDONLY, &fd, NULL, &e) != ERR_OK)
		return false;
	if (fs_pread(fd, &first, 1, 0, &got, &e) != ERR_OK)
		first = '\0';
	(void)close(fd);
	return first != '\0';
}

/* Is the record blank, because its creation did not survive a power failure? */
static bool
is_blank_record(struct file_store *fs, const char *id, struct arena *a)
{
	struct file_upload *u;
	struct err e;
	bool is_blank;

	if (begins_with_text(fs, id))
		return false;
	u = file_new_handle(fs, id, a);
	is_blank = file_load(u, &e) == ERR_NOT_FOUND && u->info_fd != -1;
	file_close(&u->base);
	return is_blank;
}

/* On a shared store a removal that died has left the record for last. */
static bool
was_to_go(struct file_store *fs, const char *id, struct arena *a)
{
	struct file_upload *u;
	struct err ignored;
	bool was;

	if (!fs->base.is_shared)
		return false;
	u = file_new_handle(fs, id, a);
	was = file_load(u, &ignored) == ERR_OK && file_is_gone(u);
	file_close(&u->base);
	return was;
}

/*
 * The record is sound if its bytes are here, or where they were moved to.  If
 * not, our own record is the rest of a deletion; the record of another server
 * may name a place that we cannot see.
 */
static enum err_code
judge_record(struct file_store *fs, const char *id, struct arena *a,
    struct judgement *j, struct err *e)
{
	struct file_upload *u;
	struct err ignored;
	bool has;
	enum err_code rc = file_exists(fs, id, FILE_DATA, &has, e);

	if (rc == ERR_OK && !has)
		rc = file_exists(fs, id, FILE_MOVED, &has, e);
	if (rc != ERR_OK)
		return rc;
	if (is_blank_record(fs, id, a)) {
		j->what = has ? "empty record" : "record without bytes";
		return ERR_OK;
	}
	if (has) {
		if (was_to_go(fs, id, a))
			j->what = "record of an upload that was to go";
		return ERR_OK;
	}
	u = file_new_handle(fs, id, a);
	j->is_strange =
	    file_load(u, &ignored) != ERR_OK || file_may_be_strange(u);
	if (u->bytes_path != NULL)
		rc = file_has_bytes(u, &has, e);
	if (!has)
		j->what = "record without bytes";
	file_close(&u->base);
	return rc;
}

static enum err_code
judge_moved(struct file_store *fs, const char *id, struct arena *a,
    const char **what, struct err *e)
{
	struct file_moved moved;
	bool there;
	struct err ignored;
	enum err_code rc = file_exists(fs, id, FILE_INFO, &there, e);

	if (rc == ERR_OK && !there)
		*what = "move without a record";
	else if (rc == ERR_OK && was_to_go(fs, id, a))
		*what = "move of an upload that was to go";
	else if (rc == ERR_OK &&
	    file_read_moved(fs, id, a, &moved, &ignored) == ERR_OK &&
	    moved.path == NULL)
		*what = "move that died";
	return rc;
}

/* Find the fault of a file; it has none if it belongs to an upload. */
static enum err_code
judge(struct file_store *fs, enum kind kind, const char *id, struct arena *a,
    struct judgement *j, struct err *e)
{
	bool there = true;
	enum err_code rc = ERR_OK;

	if (kind == KIND_OURS)
		return ERR_OK;
	if (id == NULL || kind == KIND_OTHER) {
		j->what = "not ours";
	} else if (kind == KIND_TUSD) {
		j->what = "lock of tusd";
	} else if (kind == KIND_NEW) {
		j->what = "creation that died";
	} else if (kind == KIND_MOVED_NEW) {
		j->what = "move that died";
	} else if (kind == KIND_MOVED) {
		rc = judge_moved(fs, id, a, &j->what, e);
	} else if (kind == KIND_DATA) {
		rc = file_exists(fs, id, FILE_INFO, &there, e);
		if (!there || is_blank_record(fs, id, a))
			j->what = "bytes without a record";
		else if (was_to_go(fs, id, a))
			j->what = "bytes of an upload that was to go";
		j->is_strange = fs->has_borrowed;
	} else {
		rc = judge_record(fs, id, a, j, e);
	}
	return rc;
}

/* Does the file belong to an upload that was just read? */
static bool
was_seen(const struct store_seen *seen, enum kind kind, const char *id)
{
	return seen != NULL && id != NULL &&
	    (kind == KIND_DATA || kind == KIND_INFO) && seen->has(seen, id);
}

/* Bytes and record are removed together, otherwise a second sweep at the same
 * time would find only one of them. */
static enum err_code
describe(struct file_store *fs, const char *name, const struct store_seen *seen,
    struct arena *a, struct store_leftover *l, struct err *e)
{
	enum kind kind = kind_of(name, name + strcspn(name, "."));
	char buf[ID_MAX + 1];
	const char *id = id_in(name, buf) ? buf : NULL;
	struct judgement j = { NULL, false };
	struct stat st;
	enum err_code rc;

	*l = (struct store_leftover){ .name = NULL };
	if (was_seen(seen, kind, id))
		return ERR_OK;
	if ((rc = judge(fs, kind, id, a, &j, e)) != ERR_OK || j.what == NULL)
		return rc;
	l->what = j.what;
	if (fstatat(fs->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", name);
	l->name = arena_strdup(a, name);
	l->id = arena_strdup(a, id);
	l->changed = (int64_t)st.st_mtime;
	if (!S_ISREG(st.st_mode))
		l->what = "not a regular file";
	else if (kind != KIND_OTHER && id != NULL && !j.is_strange)
		l->removable = id_is_ours(id);
	l->may_be_ours = !l->removable && S_ISREG(st.st_mode) &&
	    kind != KIND_OTHER && kind != KIND_TUSD && id != NULL &&
	    !j.is_strange;
	return ERR_OK;
}

static enum err_code
leftover_next(struct data_store *ds, void **cursor,
    const struct store_seen *seen, struct arena *a, struct store_leftover *l,
    struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	const char *name;
	enum err_code rc;
	int64_t i;

	for (i = 0; i < AT_ONCE; i++) {
		*l = (struct store_leftover){ .looked = i };
		rc = file_next_name(fs, cursor, &name, NULL, e);
		if (rc != ERR_OK || name == NULL)
			return rc;
		if ((rc = describe(fs, name, seen, a, l, e)) != ERR_OK) {
			file_end_names(cursor);
			return rc;
		}
		l->looked = i + 1;
		if (l->name != NULL)
			break;
	}
	return ERR_OK;
}

static enum err_code
leftover_remove(
    struct data_store *ds, const struct store_leftover *l, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	struct arena *a = arena_new();
	struct store_leftover now = { .name = NULL };
	int fd = -1;
	enum err_code rc = ERR_OK;

	if (l->removable)
		rc = file_lock_data(fs, l->id, &fd, e);
	if (rc == ERR_OK)
		rc = describe(fs, l->name, NULL, a, &now, e);
	if (rc == ERR_OK &&
	    (now.name == NULL || !now.removable || !l->removable))
		rc = err_set(e, ERR_CONFLICT, "%s: not to be removed", l->name);
	if (rc == ERR_OK)
		rc = fs_unlink_at(fs->dirfd, l->name, e);
	if (fd != -1)
		(void)close(fd);
	arena_free(a);
	return rc;
}

/* The bytes that a repair must not cut without asking. */
static int64_t
bytes_to_keep(const struct file_upload *u)
{
	const struct info_head *h = &u->head;
	int64_t n = u->data_size;

	if (file_has_watermark(u) && strcmp(h->boot, u->store->boot) != 0 &&
	    h->offset < n)
		n = h->offset;
	return h->hold >= 0 && h->hold < n ? h->hold : n;
}

static enum err_code
check(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	const struct info_head *h = &u->head;
	long long n = (long long)u->data_size;

	if (u->damaged)
		return err_set(e, ERR_CORRUPT, "the record makes no sense");
	if (upload_is_finished(up))
		return ERR_OK;
	if (!h->size_deferred && bytes_to_keep(u) > h->size)
		return err_set(e, ERR_CORRUPT,
		    "%lld bytes are more than the announced %lld", n,
		    (long long)h->size);
	if (h->finished != 0)
		return err_set(e, ERR_CONFLICT,
		    "was finished, but only %lld of %lld bytes exist", n,
		    (long long)h->size);
	if (file_has_watermark(u) && u->data_size < h->offset)
		return err_set(e, ERR_CONFLICT,
		    "only %lld of at least %lld bytes exist", n,
		    (long long)h->offset);
	return ERR_OK;
}

static enum err_code
settle(struct upload *up, bool for_tusd, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	(void)for_tusd;
	rc = file_has_watermark(u) ? file_checkpoint(u, e) :
				     file_flush_bytes(u, e);
	file_see(u);
	return rc;
}

/* Called once, because this takes ten times as long as the rest of settle(). */
static enum err_code
settle_all(struct data_store *ds, bool is_over, struct err *e)
{
	(void)is_over;
	return file_flush_dir(file_store_of(ds), e);
}

static enum err_code
adopt(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	rc = u->store->base.is_shared ? file_claim(up, e) : file_reopen(u, e);
	if (rc != ERR_OK)
		return rc;
	file_see(u);
	if (upload_is_finished(up))
		return ERR_OK;
	if (!u->head.size_deferred && u->data_size > u->head.size)
		return check(up, e);
	if ((rc = file_check_writable(u, e)) != ERR_OK)
		return rc;
	rc = file_adopt(u, true, e);
	file_see(u);
	return rc;
}

const struct store_keeper file_keeper = {
	.leftover_next = leftover_next,
	.leftover_remove = leftover_remove,
	.check = check,
	.settle = settle,
	.settle_all = settle_all,
	.adopt = adopt,
	.tell_strangers = file_tell_strangers,
};
