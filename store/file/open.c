/*
 * open.c - read an upload, claim it and repair it.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/file/guard.h"

/* How often reading starts again because the record was replaced. */
#define LOOKS 3

/* The longest pause before reading again a head that may be torn, in ms. */
#define PAUSE_MAX 16

struct file_upload *
file_new_handle(struct file_store *fs, const char *id, struct arena *a)
{
	struct file_upload *u = arena_alloc(a, sizeof(*u));

	u->base.store = &fs->base;
	u->base.info.id = arena_strdup(a, id);
	u->store = fs;
	u->arena = a;
	u->damaged = true;
	u->info_fd = -1;
	u->data_fd = -1;
	u->start = -1;
	u->room_until = -1;
	return u;
}

void
file_close(struct upload *up)
{
	struct file_upload *u = file_upload_of(up);

	if (u->store->waiting_user == u)
		u->store->waiting_user = NULL;
	file_unfence(u, u->data_fd);
	if (u->data_fd != -1)
		(void)close(u->data_fd);
	u->data_fd = -1;
	file_close_info(u);
}

/*
 * A head read without the lock may be torn, and with durability none a head may
 * have survived without its bytes.  So an upload counts as finished only if its
 * head is consistent and agrees with the data.
 */
static bool
is_finished(const struct file_upload *u)
{
	const struct info_head *h = &u->head;

	if (h->size_deferred || h->size != u->data_size || u->is_remembered)
		return false;
	return u->foreign ||
	    (h->finished != 0 && h->hold == -1 && h->offset == h->size &&
		!file_is_doubtful(u));
}

static bool
is_of_this_boot(const struct file_upload *u)
{
	return strcmp(u->head.boot, u->store->boot) == 0;
}

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* How many bytes will be left once the upload is repaired. */
static int64_t
trusted(const struct file_upload *u)
{
	const struct info_head *h = &u->head;
	int64_t n = u->data_size;

	if (file_has_watermark(u) &&
	    ((u->store->base.is_shared && !u->is_claimed) ||
		!is_of_this_boot(u)))
		n = smaller(n, h->offset);
	if (h->hold >= 0)
		n = smaller(n, h->hold);
	return h->size_deferred ? n : smaller(n, h->size);
}

bool
file_is_sound(const struct file_upload *u)
{
	const struct info_head *h = &u->head;

	if (is_finished(u))
		return true;
	if (u->is_remembered)
		return false;
	if (trusted(u) != u->data_size || h->hold >= 0 || h->finished != 0 ||
	    (!h->size_deferred && u->data_size == h->size))
		return false;
	return !file_has_watermark(u) ||
	    (is_of_this_boot(u) && u->data_size >= h->offset);
}

/* Was the flush that finished the upload seen to succeed?  An old record does
 * not say. */
static bool
is_end_confirmed(const struct file_upload *u)
{
	return u->foreign || u->store->durability == DURABILITY_NONE ||
	    (u->head.has_pending && (u->head.pending & STORE_TO_CONFIRM) == 0);
}

/* Is it as safe as an acknowledged offset must be? */
static bool
is_confirmed(const struct file_upload *u)
{
	if (is_finished(u))
		return is_end_confirmed(u);
	return u->store->durability != DURABILITY_FULL ||
	    (file_has_watermark(u) && u->data_size == u->head.offset);
}

void
file_see(struct file_upload *u)
{
	struct file_info *info = &u->base.info;
	bool finished = is_finished(u);

	info->size = u->head.size;
	info->size_deferred = u->head.size_deferred;
	info->offset = finished ? u->data_size : trusted(u);
	info->expires = finished ? 0 : u->head.expires;
	info->finished = finished ? u->head.finished : 0;
	if (finished && u->foreign)
		info->finished = u->data_time;
	info->pending = finished ? u->head.pending : 0;
	info->is_marked_by_lock =
	    finished && !u->foreign && !u->head.has_pending;
	info->moved = info->forget = 0;
	if (u->is_moved) {
		info->moved = u->moved.when;
		info->forget = u->moved.forget;
		file_set_storage(u, file_moved_path(&u->moved, u->arena));
	}
	u->base.settled = file_is_sound(u) && is_confirmed(u);
}

static void
take_stat(struct file_upload *u, const struct stat *st)
{
	u->is_moved = false;
	u->data_size = (int64_t)st->st_size;
	u->data_time = st->st_mtime > 0 ? (int64_t)st->st_mtime : 1;
	u->has_room = u->store->overcommit == OVERCOMMIT_NEVER &&
	    !u->head.size_deferred && fs_is_set_aside(st, u->head.size);
}

/* An upload without its bytes exists only if it is finished and was moved. */
static enum err_code
find_moved(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_find_moved(u, e);

	if (rc != ERR_OK)
		return rc;
	u->data_size = u->head.size;
	u->data_time = u->moved.when;
	if (is_finished(u))
		return ERR_OK;
	return err_set(e, ERR_NOT_FOUND, "%s: not there", u->base.info.id);
}

static enum err_code
stat_data(struct file_upload *u, struct err *e)
{
	struct stat st;
	enum err_code rc = file_stat_bytes(u, &st, e);

	if (rc == ERR_OK)
		take_stat(u, &st);
	return rc == ERR_NOT_FOUND ? find_moved(u, e) : rc;
}

/* Was the record that we have open replaced, or removed? */
static enum err_code
is_replaced(struct file_upload *u, bool *replaced, struct err *e)
{
	struct file_name name;
	bool has_name = false;
	enum err_code rc;

	rc = file_name(u->base.info.id, FILE_INFO, &name, e);
	if (rc == ERR_OK)
		rc = fs_has_name(
		    u->store->dirfd, name.text, &u->info_stat, &has_name, e);
	*replaced = !has_name;
	return rc;
}

/*
 * Without the lock, a read may return half of an old head and half of a new
 * one, which may be invalid or claim that the upload expired long ago.  A head
 * that does not change any more is complete.
 */
static bool
is_torn(struct file_upload *u, enum err_code rc)
{
	struct info_head before = u->head;
	struct err ignored;

	if (rc != ERR_OK)
		return rc == ERR_CORRUPT && u->info_fd != -1;
	return !u->foreign && u->head.finished == 0 &&
	    (file_load_head(u, &ignored) != ERR_OK ||
		!file_same_head(&before, &u->head));
}

/* The writer may have been interrupted in the middle: give it time. */
static enum err_code
load_whole(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_load(u, e);
	long ms;

	for (ms = 1; ms <= PAUSE_MAX && is_torn(u, rc); ms *= 2) {
		(void)nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
		rc = file_load(u, e);
	}
	return rc;
}

/*
 * Read record and data, in this order.  A foreign record shows only by its size
 * that an upload is finished: between the two reads another process may have
 * adopted and extended it.
 */
static enum err_code
look(struct file_upload *u, struct err *e)
{
	bool replaced = true;
	enum err_code rc = ERR_OK;
	int i;

	for (i = 0; i < LOOKS && replaced; i++) {
		if ((rc = load_whole(u, e)) == ERR_OK && file_is_gone(u))
			rc = err_set(e, ERR_NOT_FOUND, "%s: is being removed",
			    u->base.info.id);
		if (rc != ERR_OK || (rc = stat_data(u, e)) != ERR_OK)
			return rc;
		if (!u->foreign)
			return ERR_OK;
		if ((rc = is_replaced(u, &replaced, e)) != ERR_OK)
			return rc;
	}
	if (replaced)
		return err_set(e, ERR_UNAVAILABLE, "%s: changes all the time",
		    u->base.info.id);
	return ERR_OK;
}

enum err_code
file_get_upload(struct data_store *ds, const char *id, struct arena *a,
    struct upload **up, struct err *e)
{
	struct file_upload *u = file_new_handle(file_store_of(ds), id, a);
	enum err_code rc;

	if ((rc = file_check_directory(u->store, e)) != ERR_OK)
		return rc;
	u->is_remembered = file_is_remembered(u);
	rc = look(u, e);
	if (rc == ERR_OK)
		file_see(u);
	/* On a shared file system, this host's view of a file may be some
	 * seconds old. */
	if (u->store->base.is_shared && u->base.info.finished == 0)
		u->base.settled = false;
	if (rc == ERR_CORRUPT)
		u->base.info = (struct file_info){ .id = u->base.info.id };
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		*up = &u->base;
	else
		file_close(&u->base);
	return rc;
}

/* --- repair --------------------------------------------------------------- */

/*
 * With durability none, after a power failure: the head reached the disk, the
 * bytes did not.  Unchanged, the upload would count as finished once it has as
 * many bytes again.
 */
static enum err_code
undo_finish(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;

	if (head.finished == 0)
		return ERR_OK;
	head.finished = 0;
	head.offset = smaller(head.offset, u->data_size);
	if (u->store->expire_after > 0)
		head.expires = clock_now() + u->store->expire_after;
	return file_set_durably(u, &head, e);
}

/* Lower the watermark on disk before a byte is written above the new one: after
 * a power failure the old watermark would count bytes that were never
 * flushed. */
static enum err_code
lower_watermark(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;

	if (u->data_size >= head.offset)
		return ERR_OK;
	log_warn("%s: %lld bytes are missing", u->base.info.id,
	    (long long)(head.offset - u->data_size));
	head.offset = u->data_size;
	return file_set_durably(u, &head, e);
}

/* Of the bytes of an earlier boot only those exist for sure that were flushed.
 * The others are cut before the record gets the current boot. */
static enum err_code
enter_this_boot(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;
	enum err_code rc;

	/* In a shared store, the bytes above the watermark may only be in the
	 * memory of a host that died. */
	if (is_of_this_boot(u) && !u->store->base.is_shared)
		return ERR_OK;
	if (file_is_doubtful(u))
		return file_end_doubt(u, e);
	if (head.hold >= 0 && head.hold < head.offset)
		head.offset = head.hold;
	if ((rc = file_cut(u, head.offset, e)) != ERR_OK)
		return rc;
	head.offset = u->head.offset;
	head.hold = -1;
	memcpy(head.boot, u->store->boot, sizeof(head.boot));
	return file_set(u, &head, e);
}

/* The process that received these bytes died before it verified them. */
static enum err_code
lift_hold(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;
	enum err_code rc;

	if (head.hold == -1)
		return ERR_OK;
	if ((rc = file_cut(u, head.hold, e)) != ERR_OK)
		return rc;
	head.hold = -1;
	return file_set(u, &head, e);
}

/* A boot that is not ours may be that of the other users of the store; cutting
 * would lose bytes that they acknowledged. */
static enum err_code
check_boot(const struct file_upload *u, struct err *e)
{
	if (!u->store->is_stranger || !file_has_watermark(u) ||
	    is_of_this_boot(u))
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "%s: left alone: the store is used under another boot id than "
	    "there is here; do this on the machine, or in the container, of "
	    "the pool",
	    u->base.info.id);
}

static enum err_code
repair(struct file_upload *u, struct err *e)
{
	enum err_code rc = check_boot(u, e);

	if (rc != ERR_OK)
		return rc;
	if (!u->foreign && (rc = undo_finish(u, e)) != ERR_OK)
		return rc;
	if (file_has_watermark(u) &&
	    ((rc = lower_watermark(u, e)) != ERR_OK ||
		(rc = enter_this_boot(u, e)) != ERR_OK))
		return rc;
	if (!u->foreign && (rc = lift_hold(u, e)) != ERR_OK)
		return rc;
	if (!u->head.size_deferred && u->data_size > u->head.size)
		return err_set(e, ERR_CORRUPT,
		    "%s: %lld bytes are more than the announced %lld",
		    u->base.info.id, (long long)u->data_size,
		    (long long)u->head.size);
	return ERR_OK;
}

static enum err_code
open_data(struct file_upload *u, struct err *e)
{
	struct stat st;
	enum err_code rc;

	if (u->data_fd != -1)
		(void)close(u->data_fd);
	u->data_fd = -1;
	rc = file_open_bytes(u, O_RDWR, &u->data_fd, &st, e);
	if (rc == ERR_OK)
		take_stat(u, &st);
	return rc == ERR_NOT_FOUND ? find_moved(u, e) : rc;
}

/* What looks damaged may have been read while the one who has the guard wrote
 * it. */
static enum err_code
load_unguarded(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_load(u, e);

	if (rc != ERR_CORRUPT || u->info_fd == -1)
		return rc;
	rc = file_check_guard(u, e);
	return rc == ERR_OK ? file_load(u, e) : rc;
}

/* Read the record again, now that this process has the lock; or its guard,
 * which is the lock of this one file. */
static enum err_code
read_again(struct file_upload *u, struct err *e)
{
	bool replaced = u->damaged || u->denied != 0;
	enum err_code rc;

	if (!replaced && (rc = is_replaced(u, &replaced, e)) != ERR_OK)
		return rc;
	if (replaced && u->is_guarded) {
		file_lower_guard(&u->base);
		return err_set(
		    e, ERR_LOCKED, "%s: was replaced", u->base.info.id);
	}
	if (replaced)
		rc = load_unguarded(u, e);
	if (rc != ERR_OK || (rc = file_check_guard(u, e)) != ERR_OK)
		return rc;
	return u->foreign ? ERR_OK : file_load_head(u, e);
}

enum err_code
file_reopen(struct file_upload *u, struct err *e)
{
	enum err_code rc = read_again(u, e);

	return rc == ERR_OK ? open_data(u, e) : rc;
}

/*
 * The same with the file system's own locks on record and data; only what is
 * read after that is the same on all hosts.
 */
static enum err_code
reopen_shared(struct file_upload *u, struct err *e)
{
	bool replaced = true;
	enum err_code rc = ERR_OK;
	int i;

	for (i = 0; i < LOOKS && replaced; i++) {
		fs_refresh(u->store->dirfd, false);
		if ((rc = file_load(u, e)) != ERR_OK ||
		    (rc = file_fence(u, u->info_fd, e)) != ERR_OK)
			return rc;
		file_refresh(u, u->info_fd);
		if ((rc = is_replaced(u, &replaced, e)) != ERR_OK)
			return rc;
	}
	if (replaced)
		return err_set(e, ERR_UNAVAILABLE, "%s: changes all the time",
		    u->base.info.id);
	if ((!u->foreign && (rc = file_load_head(u, e)) != ERR_OK) ||
	    (rc = open_data(u, e)) != ERR_OK ||
	    (rc = file_fence(u, u->data_fd, e)) != ERR_OK)
		return rc;
	if (file_is_gone(u))
		return err_set(
		    e, ERR_NOT_FOUND, "%s: is being removed", u->base.info.id);
	file_refresh(u, u->data_fd);
	return u->data_fd == -1 ? ERR_OK : stat_data(u, e);
}

enum err_code
file_open_again(struct file_upload *u, struct err *e)
{
	u->is_claimed = false;
	return u->store->base.is_shared ? reopen_shared(u, e) :
					  file_reopen(u, e);
}

enum err_code
file_check_writable(struct file_upload *u, struct err *e)
{
	if (u->denied == 0)
		return ERR_OK;
	errno = u->denied;
	return err_sys(e, "open %s for writing", u->base.info.id);
}

enum err_code
file_claim(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->start == -1);
	rc = file_open_again(u, e);
	if (rc != ERR_OK || (rc = file_recall_doubt(u, e)) != ERR_OK)
		return rc;
	if (!is_finished(u) &&
	    ((rc = file_check_writable(u, e)) != ERR_OK ||
		(rc = repair(u, e)) != ERR_OK))
		return rc;
	/* The writer of this head may have been killed before flushing it, and
	 * with full durability every head must be on disk. */
	if (u->store->durability == DURABILITY_FULL)
		u->unflushed = true;
	u->is_claimed = true;
	file_see(u);
	return ERR_OK;
}

/*
 * After a failed flush of a finished record.  Without the lock its head must
 * not be changed, except for writing one byte that is the same in every head:
 * that makes the page dirty again, so that a later flush really writes it.
 */
static void
soil_record(const struct file_upload *u)
{
	const char *id = u->base.info.id;
	struct file_name name;
	struct err e;
	enum err_code rc;
	int fd = -1;

	rc = file_name(id, FILE_INFO, &name, &e);
	if (rc == ERR_OK)
		rc = fs_open_at(
		    u->store->dirfd, name.text, O_RDWR, &fd, NULL, &e);
	if (rc == ERR_OK)
		rc = fs_pwrite(fd, ",", 1, INFO_HEAD - 1, NULL, &e);
	if (fd != -1)
		(void)close(fd);
	if (rc != ERR_OK)
		file_remember(id, u->head.offset);
}

/* The process that finishes the upload may still be flushing this head, or
 * undoing it. */
static enum err_code
confirm_finished(struct file_upload *u, struct err *e)
{
	enum err_code rc;

	if (is_end_confirmed(u))
		return ERR_OK;
	if ((rc = file_flush_info(u, e)) != ERR_OK) {
		soil_record(u);
		return rc;
	}
	if ((rc = file_load_head(u, e)) != ERR_OK)
		return rc;
	if (!is_finished(u))
		return err_set(
		    e, ERR_UNAVAILABLE, "%s: its end failed", u->base.info.id);
	return ERR_OK;
}

enum err_code
file_confirm(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	if (is_finished(u))
		return confirm_finished(u, e);
	assert(u->data_fd != -1 && u->start == -1);
	if (u->store->durability != DURABILITY_FULL)
		return ERR_OK;
	rc = file_adopt_if_needed(u, e);
	if (rc == ERR_OK)
		rc = file_checkpoint(u, e);
	file_see(u);
	return rc;
}
