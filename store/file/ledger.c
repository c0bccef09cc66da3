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

#include <sys/file.h>

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

/* Names of entries contain a dot, so this is none. */
#define PAGE_LOCK "lock"

/* How often locking is tried again because the page was removed meanwhile. */
#define TRIES 100

/* How long to wait for the lock of a page, in ms.  A page is locked while a
 * directory is read, unless its holder was stopped. */
#define LOCK_TIME 1000

/* The length of a hash in hex, and of an entry's name. */
#define HASH_MAX     (2 * EVP_MAX_MD_SIZE + 1)
#define NAME_MAX_LEN (ID_MAX + 22)

struct page {
	int dir;
	int lock;
};

struct store_entry {
	int dir;
	int file;
	char name[NAME_MAX_LEN];
};

/* --- Names. --------------------------------------------------------------- */

static enum err_code
hash(const char *owner, char hex[HASH_MAX], struct err *e)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len, i;

	if (EVP_Digest(owner, strlen(owner), md, &len, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_SYSTEM, "there is no SHA-256");
	for (i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", md[i]);
	return ERR_OK;
}

static void
entry_name(char name[NAME_MAX_LEN], const char *id, int64_t bytes)
{
	(void)snprintf(name, NAME_MAX_LEN, "%s.%" PRId64, id, bytes);
}

/* False if the name is not an entry: such a file does not count. */
static bool
parse_entry(const char *name, char id[ID_MAX + 1], int64_t *bytes)
{
	size_t len = strcspn(name, ".");
	const char *s = name + len;

	if (len > ID_MAX || *s++ != '.' || *s == '\0')
		return false;
	memcpy(id, name, len);
	id[len] = '\0';
	for (*bytes = 0; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(*bytes, 10, bytes) ||
		    __builtin_add_overflow(*bytes, *s - '0', bytes))
			return false;
	return *s == '\0' && id_is_valid(id);
}

/* --- Pages. --------------------------------------------------------------- */

/* ERR_NOT_FOUND if the directory does not exist; created unless mode is 0. */
static enum err_code
open_dir(int at, const char *name, mode_t mode, int *fd, struct err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	*fd = openat(at, name, flags);
	if (*fd == -1 && errno == ENOENT && mode != 0) {
		if (mkdirat(at, name, mode) == -1 && errno != EEXIST)
			return err_sys(e, "make directory %s", name);
		*fd = openat(at, name, flags);
	}
	if (*fd != -1)
		return ERR_OK;
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s: not there", name);
	return err_sys(e, "open directory %s", name);
}

static enum err_code
open_page(struct file_store *fs, const char *owner, bool make, int *dir,
    struct err *e)
{
	mode_t mode = make ? fs->dir_mode & 0777 : 0;
	char hex[HASH_MAX];
	enum err_code rc;
	int ledger;

	if ((rc = hash(owner, hex, e)) != ERR_OK ||
	    (rc = open_dir(fs->dirfd, FILE_LEDGER, mode, &ledger, e)) != ERR_OK)
		return rc;
	rc = open_dir(ledger, hex, mode, dir, e);
	(void)close(ledger);
	return rc;
}

static void
unlock_page(struct page *p)
{
	if (p->lock != -1)
		(void)close(p->lock);
	p->lock = -1;
}

static void
close_page(struct page *p)
{
	unlock_page(p);
	if (p->dir != -1)
		(void)close(p->dir);
	p->dir = -1;
}

/* ERR_NOT_FOUND if the page is being removed, ERR_UNAVAILABLE if another
 * process keeps it locked too long. */
static enum err_code
lock_page(const struct file_store *fs, struct page *p, struct err *e)
{
	const int flags =
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	struct stat st;
	enum err_code rc;
	bool has_name;

	p->lock = openat(p->dir, PAGE_LOCK, flags, FS_LOCK_MODE(fs->mode));
	if (p->lock == -1 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "the page is gone");
	if (p->lock == -1)
		return err_sys(e, "open the lock of a quota");
	if (!file_lock_in_time(fs, p->lock, LOCK_TIME))
		return errno == EWOULDBLOCK || errno == EINTR ?
		    err_set(e, ERR_UNAVAILABLE, "a quota stays locked") :
		    err_sys(e, "lock a quota");
	if (fstat(p->lock, &st) == -1)
		return err_sys(e, "lock a quota");
	rc = fs_has_name(p->dir, PAGE_LOCK, &st, &has_name, e);
	if (rc == ERR_OK && !has_name)
		return err_set(e, ERR_NOT_FOUND, "the page is gone");
	return rc;
}

static enum err_code
take_page(
    struct file_store *fs, const char *owner, struct page *p, struct err *e)
{
	enum err_code rc;
	int i;

	for (i = 0; i < TRIES; i++) {
		*p = (struct page){ -1, -1 };
		rc = open_page(fs, owner, true, &p->dir, e);
		if (rc == ERR_OK)
			rc = lock_page(fs, p, e);
		if (rc == ERR_OK)
			return rc;
		close_page(p);
		if (rc != ERR_NOT_FOUND)
			return rc;
	}
	return err_set(e, ERR_UNAVAILABLE, "a quota cannot be locked");
}

/* --- The entries of a page. ----------------------------------------------- */

struct entry {
	const char *name;
	char id[ID_MAX + 1];
	int64_t bytes;
};

/* Like fs_walk_next(), skipping files that are not entries. */
static enum err_code
next_entry(int dir, DIR **cursor, struct entry *it, struct err *e)
{
	enum err_code rc;

	do
		rc = fs_walk_next(dir, cursor, &it->name, e);
	while (rc == ERR_OK && it->name != NULL &&
	    !parse_entry(it->name, it->id, &it->bytes));
	return rc;
}

struct tally {
	/* The sums over all uploads except the one in question. */
	int64_t uploads, bytes;
	/* The bytes entered for that one; -1 if it has no entry. */
	int64_t own;
};

static enum err_code
count(int dir, const char *id, struct tally *t, struct err *e)
{
	DIR *cursor = NULL;
	struct entry it;
	enum err_code rc;

	*t = (struct tally){ .own = -1 };
	while ((rc = next_entry(dir, &cursor, &it, e)) == ERR_OK &&
	    it.name != NULL) {
		if (strcmp(it.id, id) == 0) {
			t->own = it.bytes;
			continue;
		}
		t->uploads++;
		if (__builtin_add_overflow(t->bytes, it.bytes, &t->bytes))
			t->bytes = INT64_MAX;
	}
	return rc;
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
	struct entry it;
	enum err_code rc;
	bool has;

	while ((rc = next_entry(dir, &cursor, &it, e)) == ERR_OK &&
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
	    t->uploads >= q->uploads)
		return false;
	if (q != NULL && q->bytes > 0)
		left = q->bytes - t->bytes;
	if (n->least > left)
		return false;
	left = n->least + (left - n->least) / 2;
	*got = n->most < left ? n->most : left;
	return true;
}

static enum err_code
find_room(struct file_store *fs, int dir, const struct demand *n,
    struct tally *t, int64_t *got, struct err *e)
{
	int64_t struck = 0;
	enum err_code rc;

	if (fits(n, t, got))
		return ERR_OK;
	if ((rc = strike_dead(fs, dir, &struck, e)) != ERR_OK ||
	    (rc = count(dir, n->id, t, e)) != ERR_OK)
		return rc;
	if (fits(n, t, got))
		return ERR_OK;
	return err_set(e, ERR_QUOTA,
	    "%s: its owner has %lld other uploads "
	    "of %lld bytes",
	    n->id, (long long)t->uploads, (long long)t->bytes);
}

/* --- Uploads that come. --------------------------------------------------- */

/* Remove an entry of the same id.  If a hook chose the id, a process may have
 * died after entering it. */
static enum err_code
clear_id(struct file_store *fs, int dir, const char *id, int64_t bytes,
    struct err *e)
{
	char name[NAME_MAX_LEN];
	enum err_code rc;
	bool is_struck;

	entry_name(name, id, bytes);
	rc = strike_if_dead(fs, dir, name, id, &is_struck, e);
	if (rc == ERR_OK && !is_struck)
		rc = err_set(e, ERR_EXISTS, "%s: is entered", id);
	return rc;
}

static enum err_code
write_entry(struct file_store *fs, struct store_entry *entry, struct err *e)
{
	enum err_code rc;

	rc = fs_create_at(
	    entry->dir, entry->name, FS_LOCK_MODE(fs->mode), &entry->file, e);
	if (rc != ERR_OK)
		return rc;
	if (file_lock(fs, entry->file))
		return ERR_OK;
	(void)err_sys(e, "lock %s", entry->name);
	(void)unlinkat(entry->dir, entry->name, 0);
	(void)close(entry->file);
	return e->code;
}

static enum err_code
enter(struct data_store *ds, const struct file_info *info, int64_t bytes,
    const struct store_quota *quota, struct arena *a,
    struct store_entry **result, struct err *e)
{
	const struct demand need = { info->id, quota, true, bytes, bytes };
	struct file_store *fs = file_store_of(ds);
	struct store_entry *entry = arena_alloc(a, sizeof(*entry));
	struct tally t;
	struct page page;
	int64_t got;
	enum err_code rc;

	if ((rc = take_page(fs, info->owner, &page, e)) != ERR_OK)
		return rc;
	rc = count(page.dir, info->id, &t, e);
	if (rc == ERR_OK && t.own >= 0)
		rc = clear_id(fs, page.dir, info->id, t.own, e);
	if (rc == ERR_OK)
		rc = find_room(fs, page.dir, &need, &t, &got, e);
	entry->dir = page.dir;
	entry_name(entry->name, info->id, bytes);
	if (rc == ERR_OK)
		rc = write_entry(fs, entry, e);
	unlock_page(&page);
	if (rc != ERR_OK)
		close_page(&page);
	else
		*result = entry;
	return rc;
}

static void
entered(struct store_entry *entry, bool is_made)
{
	if (!is_made)
		(void)unlinkat(entry->dir, entry->name, 0);
	(void)close(entry->file);
	(void)close(entry->dir);
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
	char old[NAME_MAX_LEN], new[NAME_MAX_LEN];
	enum err_code rc;
	int fd;

	entry_name(old, id, from);
	entry_name(new, id, to);
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
resize(struct upload *up, const struct store_quota *quota, int64_t least,
    int64_t most, int64_t *got, struct err *e)
{
	const struct demand need = { up->info.id, quota, false, least, most };
	struct file_store *fs = file_upload_of(up)->store;
	struct page page;
	struct tally t;
	int64_t room;
	enum err_code rc;

	/* The file may have more bytes than count. */
	if ((rc = file_check_doubt(file_upload_of(up), e)) != ERR_OK ||
	    (rc = take_page(fs, up->info.owner, &page, e)) != ERR_OK)
		return rc;
	rc = count(page.dir, up->info.id, &t, e);
	if (rc == ERR_OK)
		rc = find_room(fs, page.dir, &need, &t, &room, e);
	if (rc == ERR_OK)
		rc = rewrite(fs, page.dir, up->info.id, t.own, room, e);
	if (rc == ERR_OK)
		*got = room;
	close_page(&page);
	return rc;
}

static enum err_code
is_right(struct upload *up, bool *right, struct err *e)
{
	struct file_store *fs = file_upload_of(up)->store;
	const struct file_info *info = &up->info;
	char name[NAME_MAX_LEN];
	struct stat st;
	bool has = false;
	enum err_code rc = ERR_OK;
	int dir;

	if (info->owner != NULL)
		rc = has_files(fs, info->id, &has, e);
	*right = !has;
	if (rc != ERR_OK || !has)
		return rc;
	rc = open_page(fs, info->owner, false, &dir, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	entry_name(name, info->id, right_size(info));
	*right = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!*right && errno != ENOENT)
		rc = err_sys(e, "stat %s", name);
	(void)close(dir);
	return rc;
}

/* --- Uploads that go. ----------------------------------------------------- */

/* Remove an entry, whatever length it has. */
static enum err_code
strike(int dir, const char *id, struct err *e)
{
	char name[NAME_MAX_LEN];
	struct tally t;
	enum err_code rc;

	if ((rc = count(dir, id, &t, e)) != ERR_OK || t.own < 0)
		return rc;
	entry_name(name, id, t.own);
	return fs_unlink_at(dir, name, e);
}

/* Needs no lock: removing an entry harms no reader. */
enum err_code
file_release(struct upload *up, struct err *e)
{
	struct file_store *fs = file_upload_of(up)->store;
	const struct file_info *info = &up->info;
	char name[NAME_MAX_LEN];
	enum err_code rc;
	int dir;

	if (info->owner == NULL)
		return ERR_OK;
	rc = open_page(fs, info->owner, false, &dir, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	entry_name(name, info->id, right_size(info));
	if (unlinkat(dir, name, 0) == -1)
		rc = errno == ENOENT ? strike(dir, info->id, e) :
				       err_sys(e, "remove %s", name);
	(void)close(dir);
	return rc;
}

/* --- The sweep. ----------------------------------------------------------- */

/* Without the lock: most entries are right. */
static enum err_code
count_dead(
    struct file_store *fs, int dir, int64_t *dead, int64_t *all, struct err *e)
{
	DIR *cursor = NULL;
	struct entry it;
	enum err_code rc;
	bool has;

	*dead = *all = 0;
	while ((rc = next_entry(dir, &cursor, &it, e)) == ERR_OK &&
	    it.name != NULL) {
		if ((rc = has_files(fs, it.id, &has, e)) != ERR_OK)
			break;
		*all += 1;
		*dead += !has;
	}
	if (cursor != NULL)
		(void)closedir(cursor);
	return rc;
}

/* Remove the lock file first: a process that waits for it then starts again
 * with a new page. */
static enum err_code
throw_away_if_empty(int ledger, const char *hex, struct page *p, struct err *e)
{
	struct tally t;
	enum err_code rc = count(p->dir, "", &t, e);

	if (rc != ERR_OK || t.uploads > 0)
		return rc;
	(void)unlinkat(p->dir, PAGE_LOCK, 0);
	(void)unlinkat(ledger, hex, AT_REMOVEDIR);
	return ERR_OK;
}

static enum err_code
prune_page(struct file_store *fs, int ledger, const char *hex, bool only_count,
    int64_t *n, struct err *e)
{
	struct page page = { -1, -1 };
	int64_t dead, all;
	enum err_code rc;

	rc = open_dir(ledger, hex, 0, &page.dir, e);
	if (rc == ERR_OK)
		rc = count_dead(fs, page.dir, &dead, &all, e);
	if (rc == ERR_OK && only_count)
		*n += dead;
	if (rc == ERR_OK && !only_count && (dead > 0 || all == 0)) {
		rc = lock_page(fs, &page, e);
		if (rc == ERR_OK)
			rc = strike_dead(fs, page.dir, n, e);
		if (rc == ERR_OK)
			rc = throw_away_if_empty(ledger, hex, &page, e);
	}
	close_page(&page);
	/* The page was removed by another process, or the next sweep does
	 * it. */
	return rc == ERR_NOT_FOUND || rc == ERR_UNAVAILABLE ? ERR_OK : rc;
}

static enum err_code
prune(struct data_store *ds, bool only_count, int64_t *n, struct err *e)
{
	struct file_store *fs = file_store_of(ds);
	DIR *cursor = NULL;
	const char *name;
	enum err_code rc;
	int ledger;

	*n = 0;
	rc = open_dir(fs->dirfd, FILE_LEDGER, 0, &ledger, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	while ((rc = fs_walk_next(ledger, &cursor, &name, e)) == ERR_OK &&
	    name != NULL) {
		rc = prune_page(fs, ledger, name, only_count, n, e);
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
