/*
 * ledger.c - how many bytes the uploads of an owner have together.
 *
 * FORMAT describes the ledger: each owner has a page, which is a directory; the
 * name of each file in it contains the length of an upload.  A page is locked
 * only while it is read and written.  A process that creates an upload holds a
 * lock on the file of its entry, so an entry that can be locked and has no
 * upload was left by a process that died.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/page.h"

struct store_entry {
	struct page page;
	int file;
	int64_t bytes;
	char name[PAGE_NAME];
};

/* --- The entries of a page. ----------------------------------------------- */

struct tally {
	/* Without the upload in question. */
	struct page_sum others;
	/* The bytes entered for that one; -1 if it has no entry. */
	int64_t own;
};

/* An own of -1 is no entry. */
static struct page_sum
add_own(const struct page_sum *others, int64_t own)
{
	struct page_sum sum = *others;

	sum.uploads += own >= 0;
	if (own > 0 && __builtin_add_overflow(sum.bytes, own, &sum.bytes))
		sum.bytes = INT64_MAX;
	return sum;
}

/* All entries one by one. */
static enum err_code
count(const struct page *p, const char *id, struct tally *t, struct err *e)
{
	DIR *cursor = NULL;
	struct page_entry it;
	enum err_code rc;

	*t = (struct tally){ .own = -1 };
	while ((rc = page_next(p->dir, &cursor, &it, e)) == ERR_OK &&
	    it.name != NULL) {
		if (strcmp(it.id, id) == 0)
			t->own = it.bytes;
		else
			t->others = add_own(&t->others, it.bytes);
	}
	return rc;
}

/* Likewise, and under the lock: then the sum is known again. */
static enum err_code
count_anew(const struct page *p, const char *id, struct tally *t, struct err *e)
{
	enum err_code rc = count(p, id, t, e);
	struct page_sum sum;

	if (rc != ERR_OK)
		return rc;
	sum = add_own(&t->others, t->own);
	page_write_sum(p, &sum);
	return ERR_OK;
}

/*
 * By the sum, if there is one and the entry of the upload can be found, which
 * is looked for with one of two sizes.  may_be_new: there is none unless a
 * process died while it made the upload, and with an id of our own not even
 * then.
 */
static enum err_code
tell(const struct page *p, const char *id, bool may_be_new,
    const int64_t guess[2], struct tally *t, struct err *e)
{
	struct page_sum sum;
	enum err_code rc;
	bool has = false;
	int i;

	if (!page_read_sum(p, &sum))
		return count_anew(p, id, t, e);
	for (i = 0; i < 2 && !has; i++)
		if (guess[i] >= 0 &&
		    (rc = page_has(p->dir, id, guess[i], &has, e)) != ERR_OK)
			return rc;
	if (!has && !(may_be_new && id_is_ours(id)))
		return count_anew(p, id, t, e);
	t->others = sum;
	t->own = has ? guess[i - 1] : -1;
	if (!has)
		return ERR_OK;
	t->others.uploads--;
	t->others.bytes -= t->own;
	if (t->others.uploads < 0 || t->others.bytes < 0)
		return count_anew(p, id, t, e);
	return ERR_OK;
}

static enum err_code
has_files(struct file_store *fs, const char *id, bool *has, struct err *e)
{
	enum err_code rc = file_exists(fs, id, FILE_INFO, has, e);

	if (rc == ERR_OK && *has)
		rc = file_exists(fs, id, FILE_DATA, has, e);
	return rc;
}

/* Remove the entry of an upload that does not exist.  The page must be locked.
 * Lock the entry before looking for the upload: its creator makes the upload
 * before it unlocks the entry. */
static enum err_code
strike_if_dead(struct file_store *fs, int dir, const char *name, const char *id,
    bool *is_struck, struct err *e)
{
	bool has = true;
	enum err_code rc;
	int fd;

	*is_struck = false;
	rc = fs_open_at(dir, name, O_RDWR, &fd, NULL, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	if (!file_lock(fs, fd))
		rc =
		    errno == EWOULDBLOCK ? ERR_OK : err_sys(e, "lock %s", name);
	else
		rc = has_files(fs, id, &has, e);
	if (rc == ERR_OK && !has)
		rc = fs_unlink_at(dir, name, e);
	(void)close(fd);
	*is_struck = rc == ERR_OK && !has;
	return rc;
}

static enum err_code
strike_dead(struct file_store *fs, int dir, int64_t *n, struct err *e)
{
	DIR *cursor = NULL;
	struct page_entry it;
	enum err_code rc;
	bool has;

	while ((rc = page_next(dir, &cursor, &it, e)) == ERR_OK &&
	    it.name != NULL) {
		rc = has_files(fs, it.id, &has, e);
		if (rc == ERR_OK && !has)
			rc = strike_if_dead(fs, dir, it.name, it.id, &has, e);
		else
			has = false;
		if (rc != ERR_OK)
			break;
		*n += has;
	}
	if (cursor != NULL)
		(void)closedir(cursor);
	return rc;
}

/* What an upload needs. */
struct demand {
	const char *id;
	const struct store_quota *quota;
	bool is_new;
	int64_t least, most;
};

static bool
fits(const struct demand *n, const struct tally *t, int64_t *got)
{
	const struct store_quota *q = n->quota;
	int64_t left = INT64_MAX;

	if (q != NULL && n->is_new && q->uploads > 0 &&
	    t->others.uploads >= q->uploads)
		return false;
	if (q != NULL && q->bytes > 0)
		left = q->bytes - t->others.bytes;
	if (n->least > left)
		return false;
	left = n->least + (left - n->least) / 2;
	*got = n->most < left ? n->most : left;
	return true;
}

static enum err_code
find_room(struct file_store *fs, const struct page *p, const struct demand *n,
    struct tally *t, int64_t *got, struct err *e)
{
	int64_t struck = 0;
	enum err_code rc;

	if (fits(n, t, got))
		return ERR_OK;
	if ((rc = strike_dead(fs, p->dir, &struck, e)) != ERR_OK ||
	    (rc = count_anew(p, n->id, t, e)) != ERR_OK)
		return rc;
	if (fits(n, t, got))
		return ERR_OK;
	return err_set(e, ERR_QUOTA,
	    "%s: its owner has %lld other uploads "
	    "of %lld bytes",
	    n->id, (long long)t->others.uploads, (long long)t->others.bytes);
}

/* --- Uploads that come. --------------------------------------------------- */

/* Remove an entry of the same id.  If a hook chose the id, a process may have
 * died after entering it. */
static enum err_code
clear_id(struct file_store *fs, int dir, const char *id, int64_t bytes,
    struct err *e)
{
	char name[PAGE_NAME];
	enum err_code rc;
	bool is_struck;

	page_entry_name(name, id, bytes);
	rc = strike_if_dead(fs, dir, name, id, &is_struck, e);
	if (rc == ERR_OK && !is_struck)
		rc = err_set(e, ERR_EXISTS, "%s: is entered", id);
	return rc;
}

static enum err_code
write_entry(struct file_store *fs, struct store_entry *entry, struct err *e)
{
	int dir = entry->page.dir;
	enum err_code rc;

	rc = fs_create_at(
	    dir, entry->name, FS_LOCK_MODE(fs->mode), &entry->file, e);
	if (rc != ERR_OK)
		return rc;
	if (file_lock(fs, entry->file))
		return ERR_OK;
	(void)err_sys(e, "lock %s", entry->name);
	(void)unlinkat(dir, entry->name, 0);
	(void)close(entry->file);
	return e->code;
}

static enum err_code
enter_locked(struct file_store *fs, struct store_entry *entry,
    const struct demand *need, struct err *e)
{
	const int64_t guess[2] = { need->least, -1 };
	const struct page *p = &entry->page;
	struct page_sum sum;
	struct tally t;
	int64_t got;
	enum err_code rc;

	rc = tell(p, need->id, true, guess, &t, e);
	if (rc == ERR_OK && t.own >= 0)
		rc = clear_id(fs, p->dir, need->id, t.own, e);
	if (rc == ERR_OK)
		rc = find_room(fs, p, need, &t, &got, e);
	if (rc != ERR_OK)
		return rc;
	sum = add_own(&t.others, need->least);
	rc = page_raise_sum(p, &sum, e);
	if (rc == ERR_OK)
		rc = write_entry(fs, entry, e);
	if (rc == ERR_OK)
		page_write_sum(p, &sum);
	return rc;
}

static enum err_code
enter(struct data_store *ds, const struct file_info *info, int64_t bytes,
    const struct store_quota *quota, struct arena *a,
    struct store_entry **result, struct err *e)
{
	const struct demand need = { info->id, quota, true, bytes, bytes };
	struct file_store *fs = file_store_of(ds);
	struct store_entry *entry = arena_alloc(a, sizeof(*entry));
	enum err_code rc;

	if ((rc = page_take(fs, info->owner, &entry->page, e)) != ERR_OK)
		return rc;
	entry->bytes = bytes;
	page_entry_name(entry->name, info->id, bytes);
	rc = enter_locked(fs, entry, &need, e);
	page_unlock(&entry->page);
	if (rc != ERR_OK)
		page_close(&entry->page);
	else
		*result = entry;
	return rc;
}

/* Without a lock it goes all the same: nobody minds when a name goes, and the
 * sum, which is then too large, is counted anew. */
static enum err_code
strike_known(struct page *p, const char *name, int64_t bytes, struct err *e)
{
	struct page_sum sum;
	struct err ignored;
	enum err_code rc = ERR_OK;
	bool is_known;

	is_known = page_lock(p, &ignored) == ERR_OK && page_read_sum(p, &sum) &&
	    sum.uploads > 0 && sum.bytes >= bytes;
	/* It may have gone by now, and then it is in no sum. */
	if (unlinkat(p->dir, name, 0) == -1)
		rc = errno == ENOENT ? ERR_OK : err_sys(e, "remove %s", name);
	else if (is_known) {
		sum.uploads--;
		sum.bytes -= bytes;
		page_write_sum(p, &sum);
	}
	page_unlock(p);
	return rc;
}

static void
entered(struct store_entry *entry, bool is_made)
{
	struct err ignored;

	if (!is_made)
		(void)!strike_known(
		    &entry->page, entry->name, entry->bytes, &ignored);
	(void)close(entry->file);
	page_close(&entry->page);
}

/* --- Uploads that are there. ---------------------------------------------- */

static int64_t
right_size(const struct file_info *info)
{
	return info->size_deferred ? info->offset : info->size;
}

static enum err_code
rewrite(struct file_store *fs, int dir, const char *id, int64_t from,
    int64_t to, struct err *e)
{
	char old[PAGE_NAME], new[PAGE_NAME];
	enum err_code rc;
	int fd;

	page_entry_name(old, id, from);
	page_entry_name(new, id, to);
	if (from == to)
		return ERR_OK;
	if (from >= 0)
		return fs_rename_at(dir, old, new, e);
	if ((rc = fs_create_at(dir, new, FS_LOCK_MODE(fs->mode), &fd, e)) ==
	    ERR_OK)
		(void)close(fd);
	return rc;
}

/* Even a smaller size is written under the lock of the page: a process that
 * reads the directory during a rename may see neither name. */
static enum err_code
resize_locked(struct file_store *fs, const struct page *p,
    const struct demand *need, const int64_t guess[2], int64_t *got,
    struct err *e)
{
	struct page_sum sum;
	struct tally t;
	int64_t room;
	enum err_code rc;

	if ((rc = tell(p, need->id, false, guess, &t, e)) != ERR_OK ||
	    (rc = find_room(fs, p, need, &t, &room, e)) != ERR_OK)
		return rc;
	sum = add_own(&t.others, room);
	if (room > t.own)
		rc = page_raise_sum(p, &sum, e);
	if (rc == ERR_OK)
		rc = rewrite(fs, p->dir, need->id, t.own, room, e);
	if (rc != ERR_OK)
		return rc;
	page_write_sum(p, &sum);
	*got = room;
	return ERR_OK;
}

static enum err_code
resize(struct upload *up, const struct store_quota *quota, int64_t least,
    int64_t most, int64_t *got, struct err *e)
{
	const struct demand need = { up->info.id, quota, false, least, most };
	const int64_t guess[2] = { *got, right_size(&up->info) };
	struct file_store *fs = file_upload_of(up)->store;
	struct page page;
	enum err_code rc;

	/* There may be more bytes than count. */
	if ((rc = file_check_doubt(file_upload_of(up), e)) != ERR_OK ||
	    (rc = page_take(fs, up->info.owner, &page, e)) != ERR_OK)
		return rc;
	rc = resize_locked(fs, &page, &need, guess, got, e);
	page_close(&page);
	return rc;
}

static enum err_code
is_right(struct upload *up, bool *right, struct err *e)
{
	const struct file_upload *u = file_upload_of(up);
	const struct file_info *info = &up->info;

	/* Bytes that have left the store, or were never in a file of that id,
	 * do not count. */
	*right = info->owner == NULL || u->is_moved || u->bytes_path != NULL;
	if (*right)
		return ERR_OK;
	return page_of_owner_has(
	    u->store, info->owner, info->id, right_size(info), right, e);
}

/* --- Uploads that go. ----------------------------------------------------- */

enum err_code
file_release(struct upload *up, struct err *e)
{
	struct file_store *fs = file_upload_of(up)->store;
	const struct file_info *info = &up->info;
	int64_t bytes = right_size(info);
	char name[PAGE_NAME];
	struct page page;
	struct tally t;
	enum err_code rc;
	bool has;

	if (info->owner == NULL)
		return ERR_OK;
	rc = page_open(fs, info->owner, false, &page, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = page_has(page.dir, info->id, bytes, &has, e);
	/* The entry may have another length than it should. */
	if (rc == ERR_OK && !has) {
		rc = count(&page, info->id, &t, e);
		has = rc == ERR_OK && t.own >= 0;
		bytes = t.own;
	}
	page_entry_name(name, info->id, bytes);
	if (has)
		rc = strike_known(&page, name, bytes, e);
	page_close(&page);
	return rc;
}

/* --- The sweep. ----------------------------------------------------------- */

/* Without the lock: most entries are right. */
static enum err_code
count_dead(struct file_store *fs, int dir, const struct store_seen *seen,
    int64_t *dead, int64_t *all, struct err *e)
{
	DIR *cursor = NULL;
	struct page_entry it;
	enum err_code rc;
	bool has;

	*dead = *all = 0;
	while ((rc = page_next(dir, &cursor, &it, e)) == ERR_OK &&
	    it.name != NULL) {
		has = seen != NULL && seen->has(seen, it.id);
		if (!has && (rc = has_files(fs, it.id, &has, e)) != ERR_OK)
			break;
		*all += 1;
		*dead += !has;
	}
	if (cursor != NULL)
		(void)closedir(cursor);
	return rc;
}

static enum err_code
throw_away_if_empty(int ledger, const char *hex, struct page *p, struct err *e)
{
	struct tally t;
	enum err_code rc = count_anew(p, "", &t, e);

	if (rc == ERR_OK && t.others.uploads == 0)
		page_throw_away(ledger, hex, p);
	return rc;
}

static enum err_code
prune_page(struct file_store *fs, int ledger, const char *hex,
    const struct store_seen *seen, bool only_count, int64_t *n, struct err *e)
{
	struct page page = { -1, -1, fs };
	int64_t dead, all;
	enum err_code rc;

	rc = page_open_dir(ledger, hex, 0, &page.dir, e);
	if (rc == ERR_OK)
		rc = count_dead(fs, page.dir, seen, &dead, &all, e);
	if (rc == ERR_OK && only_count)
		*n += dead;
	if (rc == ERR_OK && !only_count && (dead > 0 || all == 0)) {
		rc = page_lock(&page, e);
		if (rc == ERR_OK)
			rc = strike_dead(fs, page.dir, n, e);
		if (rc == ERR_OK)
			rc = throw_away_if_empty(ledger, hex, &page, e);
	}
	page_close(&page);
	/* The page was removed by another process, or the next sweep does
	 * it. */
	return rc == ERR_NOT_FOUND || rc == ERR_UNAVAILABLE ? ERR_OK : rc;
}

static enum err_code
prune(struct data_store *ds, const struct store_seen *seen, bool only_count,
    int64_t *n, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	DIR *cursor = NULL;
	const char *name;
	enum err_code rc;
	int ledger;

	*n = 0;
	rc = page_open_dir(fs->dirfd, FILE_LEDGER, 0, &ledger, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	while ((rc = fs_walk_next(ledger, &cursor, &name, e)) == ERR_OK &&
	    name != NULL) {
		rc = prune_page(fs, ledger, name, seen, only_count, n, e);
		if (rc != ERR_OK)
			break;
	}
	if (cursor != NULL)
		(void)closedir(cursor);
	(void)close(ledger);
	return rc;
}

const struct store_ledger file_ledger = {
	.enter = enter,
	.entered = entered,
	.resize = resize,
	.release = file_release,
	.is_right = is_right,
	.prune = prune,
};
