/*
 * page.h - a page of the ledger: what one owner has; private to ledger.c.
 *
 * A page is a directory in which the name of each file says how long an upload
 * is.  Those names count.  To read them takes as long as there are many, so the
 * file that is locked has their sum, too; FORMAT says when that can be trusted.
 */
#ifndef STORE_FILE_PAGE_H
#define STORE_FILE_PAGE_H

#include "store/file/file.h"

/* Room for the name of an entry. */
#define PAGE_NAME (ID_MAX + 22)

struct page {
	int dir;
	/* -1 while the page is not locked. */
	int lock;
	const struct file_store *store;
};

struct page_entry {
	const char *name;
	char id[ID_MAX + 1];
	int64_t bytes;
};

/* All that is entered; bytes is INT64_MAX if that is too much for a number. */
struct page_sum {
	int64_t uploads, bytes;
};

/* --- Names. --- */

void page_entry_name(char name[PAGE_NAME], const char *id, int64_t bytes);

/* As fs_walk_next(), without what is no entry. */
MUST_CHECK enum err_code page_next(
    int dir, DIR **cursor, struct page_entry *, struct err *);

/* Is there an entry of exactly that size? */
MUST_CHECK enum err_code page_has(
    int dir, const char *id, int64_t bytes, bool *has, struct err *);

/* The same without opening the page, of which there may be none. */
MUST_CHECK enum err_code page_of_owner_has(const struct file_store *,
    const char *owner, const char *id, int64_t bytes, bool *has, struct err *);

/* --- The directory and its lock. --- */

/* A directory in another one; ERR_NOT_FOUND if there is none.  Made unless mode
 * is 0. */
MUST_CHECK enum err_code page_open_dir(
    int at, const char *name, mode_t mode, int *fd, struct err *);

/* The page of an owner, without its lock. */
MUST_CHECK enum err_code page_open(struct file_store *, const char *owner,
    bool make, struct page *, struct err *);

/*
 * ERR_NOT_FOUND if the page is being thrown away, ERR_UNAVAILABLE if the
 * process that has locked it does not let go.
 */
MUST_CHECK enum err_code page_lock(struct page *, struct err *);

/* Both of them, and a new page where one is thrown away. */
MUST_CHECK enum err_code page_take(
    struct file_store *, const char *owner, struct page *, struct err *);

void page_unlock(struct page *);
void page_close(struct page *);

/* Nobody takes the page any more; its lock is held. */
void page_throw_away(int ledger, const char *name, struct page *);

/* --- The sum, for the holder of the page's lock.  Several hosts see a change
 * of the directory at different times: in a store that they share there is
 * none.  --- */

/* False if it cannot be trusted. */
bool page_read_sum(const struct page *, struct page_sum *);

/*
 * Before entries become more or longer: what the sum will be, at most.  Then it
 * is never less than the entries, wherever the process dies.
 */
MUST_CHECK enum err_code page_raise_sum(
    const struct page *, const struct page_sum *, struct err *);

/* What the sum is, after all changes; if that fails, nobody trusts it. */
void page_write_sum(const struct page *, const struct page_sum *);

#endif
