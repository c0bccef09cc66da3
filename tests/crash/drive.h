/*
 * drive.h - the parts of store-drive.
 *
 * deeds.c does what requests do to the store and logs each deed, drive.c has
 * the workloads, and after.c what a program does that finds the store after a
 * crash.
 */
#ifndef CRASH_DRIVE_H
#define CRASH_DRIVE_H

#include "store/file/file.h"

/* Uploads by number. */
enum {
	PLAIN = 1,
	DEFERRED,
	CHECKED,
	WITH_BODY,
	PART_A,
	PART_B,
	FINAL,
	EMPTY,
	DECLARED_WRONGLY,
	OVERFLOWING,
	EXPIRING,
	REFUSED,
	FOREIGN,
	MOVED,
	MOVED_TOO,
	MOVED_EMPTY,
	MOVED_APART,
	MOVED_AND_GONE,
	OWNED,
	OWNED_DEFERRED,
	OWNED_PART,
	OWNED_FINAL,
	UNSAFE,
	HIDDEN,
	HIDDEN_HALF,
	HIDDEN_CHECKED,
	HIDDEN_EMPTY,
	ENDED,
	ENDED_CHECKED,
	UPLOADS
};

/* What becomes of a chunk. */
enum fate {
	KEPT,
	TAKEN_BACK,
	ABANDONED
};

struct chunk {
	int64_t len;
	enum fate fate;
	bool on_probation;

	/* Declare the length before the chunk, in it, or when it is written:
	 * its end is the end of the upload. */
	bool declare_before, declare_within, declare_after;
};

#define CHUNK(...) (&(struct chunk){ __VA_ARGS__ })

/* The size that each upload has in the end. */
extern const int64_t total[UPLOADS];

/* Whose uploads are made; NULL: nobody's. */
extern const char *owner;

/* The store that is open. */
extern struct data_store *ds;
extern struct arena *arena;
/* Of the last call of the store that failed; and how many did. */
extern struct err fault;
extern int failures;

/* --- deeds.c --- */

/* Append a line to the log, with one write(2). */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Log an error of the store; true if there is none. */
bool good(enum err_code rc, const char *op, const char *id);
const char *id_of(int number);
int number_of(const char *id);
/* With is_right false: bytes that are to be refused. */
void fill(char *buf, int number, int64_t from, size_t len, bool is_right);
void finish(struct upload *up, const char *id);
/* NULL if there is no such upload, or after an error. */
struct upload *open_claimed(const char *id);
bool write_slices(struct upload *up, int number, int64_t len, bool is_right);
void send_chunk(struct upload *up, int number, const struct chunk *c);
void patch(int number, const struct chunk *c);
bool enter(const struct file_info *info, struct store_entry **entry);
void entered(struct store_entry *entry, bool is_made);
/* NULL after an error; the caller closes it. */
struct upload *create(
    int number, bool is_deferred, int64_t expires, bool is_hidden);
void create_only(int number, bool is_deferred, int64_t expires);
void create_with_body(int number, int64_t len);
void create_hidden(int number, bool is_deferred, const struct chunk *c);
void concat(int number, int a, int b, int c);
void remove_upload(int number);
void head(int number);
void refuse_finish(int number);
const char *place_of(const struct upload *up);
void move(struct upload *up);
void create_and_move(int number);
bool resize(struct upload *up, int64_t least, int64_t most);
void patch_growing(int number, const struct chunk *c);

/* --- after.c: for every upload of the store. --- */

void recover(void);
void resume(void);
void settle(void);

#endif
