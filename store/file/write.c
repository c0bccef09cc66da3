/*
 * write.c - append to an upload, roll back, finish it; and check the free
 * space.
 */
#include "config.h"

#include <sys/mman.h>

#include <assert.h>
#include <string.h>

#include "base/fs.h"
#include "store/file/file.h"

/* How much of the waiting buffer may stay mapped between two requests. */
#define WAITING_KEPT 65536

/* How long a computed amount of free space is used, in ms. */
#define ROOM_MS 1000

/* --- Room. --- */

/* *left is the free space beyond need and min_free; unlimited if min_free
 * is 0. */
static enum err_code
look_for_space(
    struct file_store *fs, int64_t need, int64_t *left, struct err *e)
{
	int64_t bytes;
	enum err_code rc;

	*left = INT64_MAX;
	if (fs->min_free == 0)
		return ERR_OK;
	if ((rc = fs_free_space(fs->dirfd, &bytes, e)) != ERR_OK)
		return rc;
	*left = bytes - need - fs->min_free;
	if (*left < 0)
		return err_set(e, ERR_NO_SPACE,
		    "%s: only %lld bytes are free, store.min_free is %lld",
		    fs->path, (long long)bytes, (long long)fs->min_free);
	return ERR_OK;
}

enum err_code
file_check_space(struct file_store *fs, int64_t need, struct err *e)
{
	int64_t left;

	return look_for_space(fs, need, &left, e);
}

/* The bytes that the unfinished uploads, except this one, still lack. */
static enum err_code
count_lacking(
    struct file_store *fs, const char *but, int64_t *lacking, struct err *e)
{
	struct data_store *ds = &fs->base;
	struct arena *a = arena_new();
	enum err_code rc;
	struct upload *up;
	void *cursor = NULL;
	const char *id;
	struct err ignored;

	*lacking = 0;
	while ((rc = ds->expirer->walk_next(
		    ds, &cursor, INT64_MAX, a, &id, e)) == ERR_OK &&
	    id != NULL) {
		/* An upload that cannot be read takes no more bytes. */
		if (strcmp(id, but) != 0 &&
		    ds->core->get_upload(ds, id, a, &up, &ignored) == ERR_OK) {
			if (!up->info.size_deferred &&
			    !upload_is_finished(up) &&
			    !file_upload_of(up)->has_room &&
			    __builtin_add_overflow(*lacking,
				up->info.size - up->info.offset, lacking))
				*lacking = INT64_MAX;
			ds->core->close(up);
		}
		arena_reset(a);
	}
	arena_free(a);
	return rc;
}

/* Others write, too, so what was found out does not hold for long. */
static void
note_room(struct file_upload *u, int64_t end, int64_t left)
{
	u->room_until = end + (left < FILE_ROOM ? left : FILE_ROOM);
	u->room_looked = clock_ms();
}

static enum err_code
does_not_fit(const struct file_store *fs, int64_t length, int64_t bytes,
    int64_t lacking, struct err *e)
{
	return err_set(e, ERR_NO_SPACE,
	    "%s: %lld bytes do not fit: %lld are free above "
	    "store.min_free, other uploads lack %lld",
	    fs->path, (long long)length, (long long)(bytes > 0 ? bytes : 0),
	    (long long)lacking);
}

enum err_code
file_check_length(struct file_upload *u, int64_t length, struct err *e)
{
	struct file_store *fs = u->store;
	int64_t bytes;
	enum err_code rc;

	if (fs->overcommit == OVERCOMMIT_ALWAYS) {
		rc = look_for_space(fs, 0, &bytes, e);
		if (rc == ERR_OK)
			note_room(u, u->data_size, bytes);
		return rc;
	}
	if ((rc = fs_free_space(fs->dirfd, &bytes, e)) != ERR_OK)
		return rc;
	bytes -= fs->min_free;
	if (bytes < 0 || length > bytes)
		return does_not_fit(fs, length, bytes, 0, e);
	note_room(u, u->data_size, bytes);
	return ERR_OK;
}

/* The file system sets nothing aside. */
static enum err_code
check_what_others_lack(struct file_upload *u, int64_t length, struct err *e)
{
	struct file_store *fs = u->store;
	int64_t bytes, lacking;
	enum err_code rc;

	if ((rc = count_lacking(fs, u->base.info.id, &lacking, e)) != ERR_OK ||
	    (rc = fs_free_space(fs->dirfd, &bytes, e)) != ERR_OK)
		return rc;
	bytes -= fs->min_free;
	if (bytes < length || lacking > bytes - length)
		return does_not_fit(fs, length, bytes, lacking, e);
	return ERR_OK;
}

/*
 * Space that is set aside is not free any more.  So of two uploads that are
 * created at the same time none takes the space of the other one; but there may
 * be less left than min_free, and then both are refused.
 */
static enum err_code
set_aside(struct file_upload *u, int64_t size, struct err *e)
{
	const char *id = u->base.info.id;
	struct err ignored;
	enum err_code rc;

	if (u->has_room || size <= u->data_size)
		return ERR_OK;
	rc = fs_set_aside(u->data_fd, u->data_size, size - u->data_size, id, e);
	if (rc == ERR_OK)
		rc = file_check_space(u->store, 0, e);
	u->has_room = rc == ERR_OK;
	if (rc == ERR_NO_SPACE)
		(void)!fs_truncate(u->data_fd, u->data_size, id, &ignored);
	return rc;
}

enum err_code
file_take_room(struct file_upload *u, int64_t size, struct err *e)
{
	enum err_code rc;

	if (u->store->overcommit != OVERCOMMIT_NEVER)
		return ERR_OK;
	rc = set_aside(u, size, e);
	if (rc == ERR_UNAVAILABLE)
		return check_what_others_lack(u, size - u->data_size, e);
	return rc;
}

/* Uploads from before OVERCOMMIT_NEVER was set get their room when they are
 * written to, if there is some. */
static void
take_room_late(struct file_upload *u)
{
	const struct file_info *info = &u->base.info;
	struct err ignored;

	if (u->store->overcommit == OVERCOMMIT_NEVER && !u->is_hidden &&
	    !info->size_deferred)
		(void)!set_aside(u, info->size, &ignored);
}

/* The length for which it was set aside is not declared after all. */
static void
give_room_back(struct file_upload *u)
{
	struct err ignored;

	if (!u->has_room || !u->base.info.size_deferred)
		return;
	u->has_room = false;
	(void)!fs_truncate(u->data_fd, u->data_size, u->base.info.id, &ignored);
}

/* May so many more bytes be written?  Other processes write too, so the amount
 * of free space is computed again soon. */
static enum err_code
check_room(struct file_upload *u, size_t len, struct err *e)
{
	int64_t end = u->data_size + (int64_t)len, left;
	enum err_code rc;

	if (u->has_room && end <= u->base.info.size)
		return ERR_OK;
	if (end <= u->room_until && clock_ms() - u->room_looked < ROOM_MS)
		return ERR_OK;
	rc = look_for_space(u->store, (int64_t)len, &left, e);
	if (rc == ERR_OK)
		note_room(u, end, left);
	return rc;
}

/* --- Bytes. --- */

/* The head with the decisions on the upload that it does not contain yet. */
static struct info_head
decided(const struct file_upload *u)
{
	struct info_head head = u->head;

	head.size = u->base.info.size_deferred ? 0 : u->base.info.size;
	head.size_deferred = u->base.info.size_deferred;
	head.expires = u->base.info.expires;
	head.hold = -1;
	return head;
}

/*
 * Truncate the file.  If the watermark is higher it is lowered on disk first:
 * otherwise it would count bytes that were cut and sent again.
 */
static enum err_code
roll_back(struct file_upload *u, int64_t to, struct err *e)
{
	struct info_head head;
	enum err_code rc = ERR_OK;

	if (file_is_doubtful(u) && (rc = file_end_doubt(u, e)) != ERR_OK)
		return rc;
	head = u->head;
	if (head.offset > to) {
		head.offset = to;
		rc = file_has_watermark(u) ? file_set_durably(u, &head, e) :
					     file_set(u, &head, e);
	}
	return rc == ERR_OK ? file_cut(u, to, e) : rc;
}

enum err_code
file_write_begin(struct upload *up, bool on_probation, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct file_store *fs = u->store;
	enum err_code rc;

	assert(u->data_fd != -1 && u->start == -1 && !upload_is_finished(up));
	take_room_late(u);
	if ((rc = check_room(u, 0, e)) != ERR_OK)
		return rc;
	if ((rc = file_adopt_if_needed(u, e)) != ERR_OK)
		return rc;
	u->start = u->data_size;
	u->flushing = u->data_size - u->data_size % fs->flush_every;
	u->on_probation = on_probation;
	u->waiting = 0;
	if (on_probation && fs->waiting_user == NULL)
		fs->waiting_user = u;
	return ERR_OK;
}

static enum err_code
append(struct file_upload *u, const void *buf, size_t len, struct err *e)
{
	size_t done = 0;
	enum err_code rc = file_check_fence(u, e);

	if (rc == ERR_OK)
		rc = check_room(u, len, e);
	if (rc == ERR_OK)
		rc = file_judge(u,
		    fs_pwrite(u->data_fd, buf, len, u->data_size, &done, e), e);
	u->data_size += (int64_t)done;
	u->base.info.offset = u->data_size;
	return rc;
}

static char *
waiting_room(struct file_store *fs)
{
	void *p;

	if (fs->waiting != NULL)
		return fs->waiting;
	p = mmap(NULL, fs->waiting_room, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		fs->waiting = p;
	return fs->waiting;
}

/* Keep bytes on probation in memory, if there is room. */
static bool
let_wait(struct file_upload *u, const void *buf, size_t len)
{
	struct file_store *fs = u->store;

	if (fs->waiting_user != u || len > fs->waiting_room - u->waiting ||
	    waiting_room(fs) == NULL)
		return false;
	memcpy(fs->waiting + u->waiting, buf, len);
	u->waiting += len;
	u->base.info.offset += (int64_t)len;
	return true;
}

static void
leave_waiting_room(struct file_upload *u)
{
	struct file_store *fs = u->store;

	if (fs->waiting_user != u)
		return;
	if (u->waiting > WAITING_KEPT)
		(void)madvise(fs->waiting, fs->waiting_room, MADV_DONTNEED);
	fs->waiting_user = NULL;
	u->waiting = 0;
}

static enum err_code
append_waiting(struct file_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (u->waiting > 0)
		rc = append(u, u->store->waiting, u->waiting, e);
	leave_waiting_room(u);
	return rc;
}

/* From here on bytes on probation go to the file.  If this process dies, the
 * hold in the record tells the next one which bytes were never verified. */
static enum err_code
hold(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;
	enum err_code rc;

	head.hold = u->start;
	if ((rc = file_set(u, &head, e)) != ERR_OK)
		return rc;
	return append_waiting(u, e);
}

enum err_code
file_write_out(struct file_upload *u, struct err *e)
{
	return u->waiting > 0 ? hold(u, e) : ERR_OK;
}

static bool
is_checkpoint_due(const struct file_upload *u)
{
	return u->data_size - u->head.offset >= u->store->checkpoint_every;
}

/* Start writing to the disk early, so that the flush at the end has less to
 * wait for. */
static enum err_code
start_flush(struct file_upload *u, struct err *e)
{
	int64_t len = u->data_size - u->flushing;
	enum err_code rc;

	if (len < u->store->flush_every)
		return ERR_OK;
	rc = file_judge(u,
	    fs_start_flush(u->data_fd, u->flushing, len, u->base.info.id, e),
	    e);
	u->flushing = u->data_size;
	if (rc != ERR_OK)
		file_give_up(u);
	return rc;
}

/* Do the flushes that are due in the middle of a chunk. */
static enum err_code
flush_some(struct file_upload *u, struct err *e)
{
	if (u->store->durability == DURABILITY_NONE || !file_has_watermark(u) ||
	    u->head.hold != -1)
		return ERR_OK;
	return is_checkpoint_due(u) ? file_raise(u, u->head, e) :
				      start_flush(u, e);
}

enum err_code
file_write(struct upload *up, const void *buf, size_t len, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->start != -1);
	if (!up->info.size_deferred &&
	    len > (uint64_t)(up->info.size - up->info.offset))
		return err_set(
		    e, ERR_INVALID, "%s: longer than announced", up->info.id);
	if (len == 0)
		return ERR_OK;
	if (u->on_probation && u->head.hold == -1) {
		if (let_wait(u, buf, len))
			return ERR_OK;
		if ((rc = hold(u, e)) != ERR_OK)
			return rc;
	}
	if ((rc = append(u, buf, len, e)) != ERR_OK)
		return rc;
	rc = flush_some(u, e);
	up->info.offset = file_is_doubtful(u) ? u->head.offset : u->data_size;
	return rc;
}

static enum err_code
take_back(struct file_upload *u, struct err *e)
{
	struct info_head head;
	enum err_code rc = ERR_OK;

	leave_waiting_room(u);
	if (u->data_size > u->start)
		rc = roll_back(u, u->start, e);
	if (rc != ERR_OK || u->head.hold == -1)
		return rc;
	head = u->head;
	head.hold = -1;
	return file_set(u, &head, e);
}

/* The record of a hidden upload is written after its bytes. */
static enum err_code
show(struct file_upload *u, struct info_head head, bool durably, struct err *e)
{
	struct info_head before;
	enum err_code rc = ERR_OK;

	/* Flush the name too: the id may have belonged to another upload
	 * before, whose bytes a power failure would bring back under this
	 * record. */
	if (durably &&
	    ((rc = file_flush_bytes(u, e)) != ERR_OK ||
		(rc = file_flush_dir(u->store, e)) != ERR_OK))
		return rc;
	head.offset = durably || head.finished != 0 ? u->data_size : 0;
	before = u->head;
	u->head = head;
	rc = file_publish_new(u, durably, e);
	if (u->is_hidden)
		u->head = before;
	return rc;
}

static enum err_code
keep(struct file_upload *u, struct err *e)
{
	struct info_head head;
	struct err ignored;
	enum err_code rc;

	if ((rc = append_waiting(u, e)) != ERR_OK) {
		if (u->on_probation)
			(void)!roll_back(u, u->start, &ignored);
		return rc;
	}
	if (upload_is_whole(&u->base) && u->base.store->finisher != NULL)
		return ERR_OK;
	head = decided(u);
	if (u->is_hidden)
		return show(
		    u, head, u->store->durability == DURABILITY_FULL, e);
	if (file_same_head(&head, &u->head) &&
	    (u->store->durability != DURABILITY_FULL ||
		(u->data_size == head.offset && !u->unflushed)))
		return ERR_OK;
	if (u->store->durability == DURABILITY_FULL)
		return file_raise(u, head, e);
	return file_set(u, &head, e);
}

enum err_code
file_write_end(struct upload *up, bool is_kept, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->start != -1);
	rc = is_kept ? keep(u, e) : take_back(u, e);
	if (rc == ERR_OK)
		rc = file_check_doubt(u, e);
	u->start = -1;
	/* The next chunk may come a while later. */
	u->room_until = -1;
	if (!is_kept || rc != ERR_OK) {
		file_see(u);
		give_room_back(u);
	}
	return rc;
}

/* --- the end ------------------------------------------------------------- */

static enum err_code
flush_before_finish(struct file_upload *u, struct err *e)
{
	enum err_code rc;

	if (u->store->durability == DURABILITY_NONE)
		return ERR_OK;
	if ((rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	return file_flush_dir(u->store, e);
}

/*
 * An old record has no room for pending work and is replaced by one that has.
 * A power failure may undo the replacement, so the old record first says that
 * all its bytes are safe.
 */
static enum err_code
finish_old(struct file_upload *u, const struct info_head *head, bool durably,
    struct err *e)
{
	struct info_head before;
	enum err_code rc;

	if (durably && (rc = file_checkpoint(u, e)) != ERR_OK)
		return rc;
	before = u->head;
	u->head = *head;
	rc = file_publish(u, durably, e);
	if (rc != ERR_OK)
		file_put_back(u, &before);
	return rc;
}

/* All flushes but one are done before the head says finished; until the last
 * one has succeeded, confirming it is pending work too. */
static enum err_code
finish(struct file_upload *u, unsigned after, struct err *e)
{
	bool durably = u->store->durability != DURABILITY_NONE;
	struct info_head head;
	enum err_code rc;

	if ((rc = file_check_doubt(u, e)) != ERR_OK)
		return rc;
	if (u->foreign && (rc = file_adopt_if_needed(u, e)) != ERR_OK)
		return rc;
	if (!u->is_hidden && (rc = flush_before_finish(u, e)) != ERR_OK)
		return rc;
	head = decided(u);
	head.offset = u->data_size;
	head.finished = clock_now();
	head.expires = 0;
	head.pending = after;
	if (u->is_hidden)
		return show(u, head, durably, e);
	if (!head.has_pending)
		return finish_old(u, &head, durably, e);
	if (!durably)
		return file_set(u, &head, e);
	head.pending |= STORE_TO_CONFIRM;
	if ((rc = file_set_durably(u, &head, e)) != ERR_OK)
		return rc;
	/* The other pending work will be cleared together with it. */
	head.pending = after;
	return after == 0 ? file_set(u, &head, e) : ERR_OK;
}

enum err_code
file_finish(struct upload *up, unsigned pending, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->data_fd != -1 && u->start == -1 && upload_is_whole(up));
	if (upload_is_finished(up))
		return ERR_OK;
	rc = finish(u, pending, e);
	file_see(u);
	return rc;
}

/* An old record has no pending work to clear. */
enum err_code
file_done(struct upload *up, unsigned what, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct info_head head = u->head;
	enum err_code rc = ERR_OK;

	assert(upload_is_finished(up));
	head.pending &= ~what;
	if (!file_same_head(&head, &u->head))
		rc = file_set(u, &head, e);
	file_see(u);
	return rc;
}

enum err_code
file_refuse(struct upload *up, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	struct info_head head;
	enum err_code rc;

	assert(u->data_fd != -1 && u->start == -1 && upload_is_whole(up));
	assert(up->info.size > 0);
	rc = roll_back(u, up->info.size - 1, e);
	head = decided(u);
	if (rc == ERR_OK && !file_same_head(&head, &u->head))
		rc = file_set(u, &head, e);
	/* Another host does not continue with bytes that are not safe. */
	if (rc == ERR_OK && u->store->base.is_shared)
		rc = file_checkpoint(u, e);
	file_see(u);
	return rc;
}

/* Outside a chunk a decision takes effect at once, inside one together with
 * it. */
static enum err_code
decide(struct file_upload *u, struct err *e)
{
	struct info_head head;
	enum err_code rc;

	if (u->start != -1)
		return ERR_OK;
	rc = file_adopt_if_needed(u, e);
	head = decided(u);
	if (rc == ERR_OK && !file_same_head(&head, &u->head))
		rc = file_set(u, &head, e);
	file_see(u);
	return rc;
}

enum err_code
file_declare_length(struct upload *up, int64_t size, struct err *e)
{
	struct file_upload *u = file_upload_of(up);

	enum err_code rc;

	assert(u->data_fd != -1);
	if (size < up->info.offset)
		return err_set(e, ERR_INVALID, "%s: it has more bytes already",
		    up->info.id);
	rc = file_check_length(u, size - up->info.offset, e);
	if (rc == ERR_OK)
		rc = file_take_room(u, size, e);
	if (rc != ERR_OK)
		return rc;
	up->info.size = size;
	up->info.size_deferred = false;
	return decide(u, e);
}

enum err_code
file_set_expiry(struct upload *up, int64_t when, struct err *e)
{
	assert(file_upload_of(up)->data_fd != -1);
	up->info.expires = when;
	return decide(file_upload_of(up), e);
}
