/*
 * page.c - one page of the ledger.
 */
#include "config.h"

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/page.h"

/* No entry has this name, for it has no dot. */
#define PAGE_LOCK "lock"

/* How often a page may be thrown away while we want to lock it. */
#define TRIES 100

/* How long its lock is waited for, in ms.  A page is locked for as long as it
 * takes to read a directory, unless its holder was stopped. */
#define LOCK_TIME 1000

/* Room for a hash in hex, and for a sum as text. */
#define HASH_MAX (2 * EVP_MAX_MD_SIZE + 1)
#define SUM_MAX	 96

/* --- Names. --------------------------------------------------------------- */

static enum err_code
hash(const char *owner, char hex[HASH_MAX], struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	/* EVP_sha256() would be looked for each time. */
	static EVP_MD *sha256;
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len, i;

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL ||
	    EVP_Digest(owner, strlen(owner), md, &len, sha256, NULL) != 1)
		return err_set(e, ERR_SYSTEM, "there is no SHA-256");
	for (i = 0; i < len; i++) {
		hex[2 * i] = digits[md[i] >> 4];
		hex[2 * i + 1] = digits[md[i] & 15];
	}
	hex[2 * len] = '\0';
	return ERR_OK;
}

void
page_entry_name(char name[PAGE_NAME], const char *id, int64_t bytes)
{
	(void)snprintf(name, PAGE_NAME, "%s.%" PRId64, id, bytes);
}

/* False for what is no entry: it does not count. */
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

enum err_code
page_next(int dir, DIR **cursor, struct page_entry *it, struct err *e)
{
	enum err_code rc;

	do
		rc = fs_walk_next(dir, cursor, &it->name, e);
	while (rc == ERR_OK && it->name != NULL &&
	    !parse_entry(it->name, it->id, &it->bytes));
	return rc;
}

enum err_code
page_has(int dir, const char *id, int64_t bytes, bool *has, struct err *e)
{
	char name[PAGE_NAME];
	struct stat st;

	page_entry_name(name, id, bytes);
	*has = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return *has || errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", name);
}

enum err_code
page_of_owner_has(const struct file_store *fs, const char *owner,
    const char *id, int64_t bytes, bool *has, struct err *e)
{
	char hex[HASH_MAX], path[sizeof(FILE_LEDGER) + HASH_MAX + PAGE_NAME];
	char name[PAGE_NAME];
	struct stat st;
	enum err_code rc = hash(owner, hex, e);

	if (rc != ERR_OK)
		return rc;
	page_entry_name(name, id, bytes);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", FILE_LEDGER, hex, name);
	*has = fstatat(fs->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return *has || errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", name);
}

/* --- The directory and its lock. ------------------------------------------ */

enum err_code
page_open_dir(int at, const char *name, mode_t mode, int *fd, struct err *e)
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

enum err_code
page_open(struct file_store *fs, const char *owner, bool make, struct page *p,
    struct err *e)
{
	mode_t mode = make ? fs->dir_mode & 0777 : 0;
	char hex[HASH_MAX];
	enum err_code rc;
	int ledger;

	*p = (struct page){ -1, -1, fs };
	if ((rc = hash(owner, hex, e)) != ERR_OK ||
	    (rc = page_open_dir(fs->dirfd, FILE_LEDGER, mode, &ledger, e)) !=
		ERR_OK)
		return rc;
	rc = page_open_dir(ledger, hex, mode, &p->dir, e);
	(void)close(ledger);
	return rc;
}

void
page_unlock(struct page *p)
{
	if (p->lock != -1)
		(void)close(p->lock);
	p->lock = -1;
}

void
page_close(struct page *p)
{
	page_unlock(p);
	if (p->dir != -1)
		(void)close(p->dir);
	p->dir = -1;
}

enum err_code
page_lock(struct page *p, struct err *e)
{
	const int flags =
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	struct stat st;
	enum err_code rc;
	bool has_name;

	p->lock =
	    openat(p->dir, PAGE_LOCK, flags, FS_LOCK_MODE(p->store->mode));
	if (p->lock == -1 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "the page is gone");
	if (p->lock == -1)
		return err_sys(e, "open the lock of a quota");
	if (!file_lock_in_time(p->store, p->lock, LOCK_TIME))
		return errno == EWOULDBLOCK || errno == EINTR ?
		    err_set(e, ERR_UNAVAILABLE, "a quota stays locked") :
		    err_sys(e, "lock a quota");
	if (p->store->base.is_shared)
		fs_refresh(p->dir, false);
	if (fstat(p->lock, &st) == -1)
		return err_sys(e, "lock a quota");
	rc = fs_has_name(p->dir, PAGE_LOCK, &st, &has_name, e);
	if (rc == ERR_OK && !has_name)
		return err_set(e, ERR_NOT_FOUND, "the page is gone");
	return rc;
}

enum err_code
page_take(
    struct file_store *fs, const char *owner, struct page *p, struct err *e)
{
	enum err_code rc;
	int i;

	for (i = 0; i < TRIES; i++) {
		rc = page_open(fs, owner, true, p, e);
		if (rc == ERR_OK)
			rc = page_lock(p, e);
		if (rc == ERR_OK)
			return rc;
		page_close(p);
		if (rc != ERR_NOT_FOUND)
			return rc;
	}
	return err_set(e, ERR_UNAVAILABLE, "a quota cannot be locked");
}

/* The lock goes first: who waits for it then begins anew. */
void
page_throw_away(int ledger, const char *name, struct page *p)
{
	(void)unlinkat(p->dir, PAGE_LOCK, 0);
	(void)unlinkat(ledger, name, AT_REMOVEDIR);
}

/* --- The sum. ------------------------------------------------------------- */

/* The sum as the lock's text, of entries that the directory has now. */
static bool
format_sum(const struct page *p, const struct page_sum *sum, char text[SUM_MAX])
{
	struct stat st;

	if (fstat(p->dir, &st) == -1)
		return false;
	(void)snprintf(text, SUM_MAX,
	    "%20" PRId64 " %20" PRId64 " %20lld.%09ld\n", sum->uploads,
	    sum->bytes, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return true;
}

/* It is trusted if it is what would be written now. */
bool
page_read_sum(const struct page *p, struct page_sum *sum)
{
	char text[SUM_MAX], again[SUM_MAX];
	struct err ignored;
	size_t got;

	if (p->store->base.is_shared ||
	    fs_pread(p->lock, text, sizeof(text) - 1, 0, &got, &ignored) !=
		ERR_OK)
		return false;
	text[got] = '\0';
	return sscanf(text, "%" SCNd64 " %" SCNd64, &sum->uploads,
		   &sum->bytes) == 2 &&
	    sum->uploads >= 0 && sum->bytes >= 0 && format_sum(p, sum, again) &&
	    strcmp(text, again) == 0;
}

static enum err_code
put_sum(const struct page *p, const struct page_sum *sum, struct err *e)
{
	char text[SUM_MAX];

	/* From what is too much for a number nothing can be taken away. */
	if (sum->bytes == INT64_MAX || !format_sum(p, sum, text))
		return fs_truncate(p->lock, 0, "a sum", e);
	return fs_pwrite(p->lock, text, strlen(text), 0, NULL, e);
}

enum err_code
page_raise_sum(const struct page *p, const struct page_sum *sum, struct err *e)
{
	struct page_sum now;

	if (!page_read_sum(p, &now) || put_sum(p, sum, e) == ERR_OK)
		return ERR_OK;
	return fs_truncate(p->lock, 0, "a sum", e);
}

void
page_write_sum(const struct page *p, const struct page_sum *sum)
{
	struct err ignored;

	if (!p->store->base.is_shared)
		(void)!put_sum(p, sum, &ignored);
}
