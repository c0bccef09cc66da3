/*
 * file.h - what the files of the directory store share; private to store/file/.
 *
 * FORMAT, beside this file, says what is on disk: the names, the record, how it
 * is read and repaired, and the rules of writing that make any crash harmless.
 *
 * The files, each of which uses only those above it:
 *
 *	info.c		the text of a record
 *	copy.c		bytes from file to file
 *	shared.c	what several hosts need
 *	place.c		the names in the directory, and where the bytes are
 *	record.c	the record: read, change, replace
 *	doubt.c		flush, raise the watermark, and what a flush that failed
 *			leaves behind
 *	moved.c		what is known of an upload that is gone
 *	note.c		what all who use the store agree upon
 *	ledger.c	how much an owner has
 *	open.c		look, claim and repair, confirm
 *	read.c		download, and walk all names
 *	write.c		append, roll back, finish
 *	new.c		create and concatenate
 *	suit.c		which names finish.move_to takes, and whose a file is
 *			there
 *	move.c		carry a finished upload off
 *	strange.c	what cannot be served
 *	keep.c		what no request does: settle, adopt, tidy
 *	file.c		the store: open, close, tables
 */
#ifndef STORE_FILE_FILE_H
#define STORE_FILE_FILE_H

#include <sys/stat.h>

#include "base/id.h"
#include "base/template.h"
#include "store/file/info.h"
#include "store/store.h"

/* store.durability */
enum durability {
	/* Never flush. */
	DURABILITY_NONE,
	/* Flush what is finished, and now and then what is not. */
	DURABILITY_DATA,
	/* Flush whatever is acknowledged. */
	DURABILITY_FULL
};

/* What an announced length is compared with, before bytes come. */
enum overcommit {
	/* Nothing. */
	OVERCOMMIT_ALWAYS,
	/* What is free. */
	OVERCOMMIT_EACH,
	/* What is free less what the unfinished uploads lack. */
	OVERCOMMIT_NEVER
};

struct file_store {
	struct data_store base;
	int dirfd;
	char *path;
	mode_t mode, dir_mode;
	enum durability durability;
	int64_t min_free;
	enum overcommit overcommit;
	char boot[CLOCK_BOOT_ID_LEN + 1];

	/* The others see another boot: what is unsafe to us is not to them. */
	bool is_stranger;

	/* store.path and lock.path as they were given, and are they held? */
	char *given, *given_locks;
	bool is_held;

	/* The note of the sweep, locked; -1 while no sweep is ours. */
	int note_fd;

	/* Flush at least after so many bytes, and begin to after so many. */
	int64_t checkpoint_every;
	int64_t flush_every;

	/* How long an upload has, in seconds; 0 is for ever. */
	int64_t expire_after;

	/*
	 * finish.move_to: its root, open and by name, as it is and as it was
	 * given, and the rest of the template; -1 and NULL if it is not set.
	 */
	int move_fd;
	char *move_root;
	char *move_given;
	char *move_to;
	int64_t keep_record;

	/* Does the root's path lead elsewhere now?  And when that was looked
	 * at, in ms. */
	bool root_is_away;
	int64_t root_looked;

	/* The names there, once they are known; are they to be tried out? */
	struct template_names names;
	bool is_probed, tries_names;

	/* There was a record whose bytes have the name of another id. */
	bool has_borrowed;

	/*
	 * Bytes on probation wait here, if they fit and nobody else uses it.
	 * Mapped when first needed.
	 */
	char *waiting;
	size_t waiting_room;
	const void *waiting_user;
};

/* What ID.moved says. */
struct file_moved {
	/* The directory that was finish.move_to's root then, and the path
	 * below it; NULL if there is nothing in the file. */
	const char *root, *path;

	/*
	 * What else tells the file from another one of its name and size: its
	 * inode, 0 where the file system numbers files anew each time, and
	 * when it was last written to, in nanoseconds.  Both are 0 while a copy
	 * is not whole.  Older notes have no time, and of a file that was
	 * renamed no inode.
	 */
	uint64_t inode;
	int64_t written;

	/* An empty file may keep its name free until it comes. */
	bool is_reserved;

	/* When it began, and when the record may go. */
	int64_t when, forget;
};

struct file_upload {
	struct upload base;
	struct file_store *store;
	struct arena *arena;

	/* The record as it is in the file. */
	struct info_head head;
	bool foreign;

	/* The bytes that head was last read from or written as: where they
	 * stand unchanged there is nothing to parse. */
	char head_bytes[INFO_WHOLE_HEAD];

	/* It could not be read. */
	bool damaged;

	/* Why record or data are open for reading only; 0 if they are not. */
	int denied;

	/* Nobody else has written to it since it was made or claimed: all its
	 * bytes count, for us. */
	bool is_claimed;

	/* Another host may have it by now, see shared.c. */
	bool is_fenced;

	/* It was changed since it was last flushed, by us. */
	bool unflushed;

	/* There is no record yet: head is what it will be. */
	bool is_hidden;

	/* A flush failed, and the record does not say so yet: what the record
	 * says counts for nothing. */
	bool is_remembered;

	/*
	 * Below the store, where the record of another server says that the
	 * bytes are; NULL: in ID.  elsewhere is such a path if it is not
	 * followed.
	 */
	const char *place, *elsewhere;

	/* -1 while not open; data is opened by claim(). */
	int info_fd;
	int data_fd;

	/* The data file has gone there. */
	bool is_moved;
	struct file_moved moved;

	/* Bytes in the data file, and when the last of them came. */
	int64_t data_size;
	int64_t data_time;

	/*
	 * The chunk between write_begin() and write_end(), start is -1
	 * outside.  Bytes on probation are waiting in memory, until they are
	 * too many and go to the file under a hold.
	 */
	int64_t start;
	bool on_probation;
	size_t waiting;

	/* How far min_free allows to go, and when that was looked at, in ms. */
	int64_t room_until, room_looked;

	/* Where the bytes begin that no flush has begun for, or some multiple
	 * of flush_every before that. */
	int64_t flushing;
};

/* A file name of an upload. */
struct file_name {
	char text[ID_MAX + sizeof(".moved.new")];
};

#define FILE_DATA      ""
#define FILE_INFO      ".info"
#define FILE_NEW       ".info.new"
#define FILE_MOVED     ".moved"
#define FILE_MOVED_NEW ".moved.new"

static inline struct file_store *
file_store_of(struct data_store *ds)
{
	return OUTER(ds, struct file_store, base);
}

static inline struct file_upload *
file_upload_of(struct upload *up)
{
	return OUTER(up, struct file_upload, base);
}

/* --- place.c ------------------------------------------------------------ */

/* The id is checked here once more, where it becomes a name. */
MUST_CHECK enum err_code file_name(
    const char *id, const char *suffix, struct file_name *, struct err *);

/* Is there such a file, of whatever kind? */
MUST_CHECK enum err_code file_exists(struct file_store *, const char *id,
    const char *suffix, bool *, struct err *);

/*
 * Open record or data with O_RDWR, or, where that is denied, for reading, which
 * is enough for what is finished: u->denied says why.
 */
MUST_CHECK enum err_code file_open_either(struct file_upload *, int dirfd,
    const char *name, int *fd, struct stat *, struct err *);

/* Make a file that has yet to get its name.  One of that name that a process
 * left when it died is replaced. */
MUST_CHECK enum err_code file_create(
    struct file_store *, int dirfd, const char *name, int *fd, struct err *);

MUST_CHECK enum err_code file_flush_dir(struct file_store *, struct err *);

/* The ledger, the note of what all agree upon, the note of the sweep, and the
 * events that wait for hooks, if they wait here. */
#define FILE_LEDGER ".quota"
#define FILE_NOTE   ".store"
#define FILE_SWEPT  ".sweep"
#define FILE_EVENTS ".hooks"
bool file_is_ours(const char *name);

/* "ID.lock" or "ID.lock/x" among the uploads, which is the name of a file that
 * ID may need. */
bool file_is_reserved(const char *path);

/*
 * Open the directory of a path below root, which is the store or the root of
 * finish.move_to; *name is the path's last part.  ERR_NOT_FOUND if root is
 * neither, ERR_CORRUPT if a link is in the way.
 */
MUST_CHECK enum err_code file_open_below(struct file_store *, const char *root,
    const char *path, struct arena *, int *dirfd, const char **name,
    struct err *);

/* ERR_AWAY if the path of finish.move_to's root leads to another directory
 * than when it was opened; looked at once a second. */
MUST_CHECK enum err_code file_check_root(struct file_store *, struct err *);

/* What Storage.Path and InfoPath of the record mean; either may be NULL. */
void file_set_place(
    struct file_upload *, const char *path, const char *info_path);

/* May another server have made it, so that bytes which are not there may be
 * somewhere else? */
bool file_may_be_strange(const struct file_upload *);

/* Its whole path. */
const char *file_place_path(const struct file_upload *, struct arena *);

/* The directory that the bytes are in, and their name there. */
MUST_CHECK enum err_code file_open_place(
    struct file_upload *, int *dirfd, const char **name, struct err *);
void file_close_place(const struct file_upload *, int dirfd);

/* ERR_NOT_FOUND if they are not there, ERR_CORRUPT if it is no plain file. */
MUST_CHECK enum err_code file_stat_place(
    struct file_upload *, struct stat *, struct err *);
MUST_CHECK enum err_code file_is_in_place(
    struct file_upload *, bool *, struct err *);

/* With O_RDONLY, or with O_RDWR as file_open_either() does. */
MUST_CHECK enum err_code file_open_bytes(
    struct file_upload *, int flags, int *fd, struct stat *, struct err *);
MUST_CHECK enum err_code file_remove_bytes(struct file_upload *, struct err *);

/* Cut the bytes to so many, if there are more. */
MUST_CHECK enum err_code file_cut(
    struct file_upload *, int64_t to, struct err *);

/* --- record.c ----------------------------------------------------------- */

/* Say where the bytes are; path NULL: in STORE/ID. */
void file_tell_place(struct file_upload *, const char *path);

/*
 * Open and read the whole record anew.  It is open even if it is damaged,
 * unless something else than a file has its name.
 */
MUST_CHECK enum err_code file_load(struct file_upload *, struct err *);

/* Read the head anew. */
MUST_CHECK enum err_code file_load_head(struct file_upload *, struct err *);
void file_close_info(struct file_upload *);

/* Change the head in the file, by one write, and then in memory; only there,
 * as long as the upload is hidden. */
MUST_CHECK enum err_code file_set(
    struct file_upload *, const struct info_head *, struct err *);

/* In memory only: the next look at the file reads it anew. */
void file_put_back(struct file_upload *, const struct info_head *);

bool file_same_head(const struct info_head *, const struct info_head *);

/* Does the record say how much of the data was flushed? */
bool file_has_watermark(const struct file_upload *);

/* Boot of what is made here and now. */
const char *file_boot(const struct file_store *);

MUST_CHECK enum err_code file_flush_data(struct file_upload *, struct err *);
MUST_CHECK enum err_code file_flush_info(struct file_upload *, struct err *);
/*
 * Write the record under a temporary name and give it its name; an old one is
 * replaced.  With flushes if durably.
 */
MUST_CHECK enum err_code file_publish(
    struct file_upload *, bool durably, struct err *);

/*
 * The same for a new upload, where that can be had for less: an empty record
 * is none, and one page is written as a whole or not at all.
 */
MUST_CHECK enum err_code file_publish_new(
    struct file_upload *, bool durably, struct err *);

/* --- shared.c ----------------------------------------------------------- */

/* All of these do nothing, and say ERR_OK, where only one host uses a store. */

/*
 * Lock an open descriptor before anything is read that a change depends on.
 * ERR_LOCKED: another process, or host, changes that file.
 */
MUST_CHECK enum err_code file_fence(struct file_upload *, int fd, struct err *);

/* What became of a change: a failure that may be the loss of the lock is
 * ERR_FENCED, and so is each change from then on. */
MUST_CHECK enum err_code file_judge(
    struct file_upload *, enum err_code, struct err *);
MUST_CHECK enum err_code file_check_fence(
    const struct file_upload *, struct err *);

/* Does its record say that it is being removed? */
bool file_is_gone(const struct file_upload *);

/* ERR_INVALID: mounted as it is, the file system below an absolute path does
 * not do what a shared store needs. */
MUST_CHECK enum err_code file_check_mount(
    const char *path, int dirfd, struct err *);

/* --- open.c ------------------------------------------------------------- */

struct file_upload *file_new_handle(
    struct file_store *, const char *id, struct arena *);

/* Say in base.info and base.settled what the head and the data mean. */
void file_see(struct file_upload *);

/* Is there nothing to repair? */
bool file_is_sound(const struct file_upload *);

/* Record and data as they are now that nobody else changes them. */
MUST_CHECK enum err_code file_reopen(struct file_upload *, struct err *);

/* ERR_SYSTEM if it is open for reading only. */
MUST_CHECK enum err_code file_check_writable(
    struct file_upload *, struct err *);

MUST_CHECK enum err_code file_get_upload(struct data_store *, const char *id,
    struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code file_claim(struct upload *, struct err *);
MUST_CHECK enum err_code file_confirm(struct upload *, struct err *);
void file_close(struct upload *);

/* --- doubt.c ------------------------------------------------------------ */

/* What cannot be written down is remembered for all processes that are forked
 * after this.  False if there is no memory. */
bool file_set_up_memory(void);

/* Is the record marked, or is that it should be remembered? */
bool file_is_doubtful(const struct file_upload *);
bool file_is_remembered(const struct file_upload *);

/* The record cannot be marked: no more than this was safe. */
void file_remember(const char *id, int64_t offset);

/* ERR_SYSTEM if it is marked: its bytes do not count. */
MUST_CHECK enum err_code file_check_doubt(
    const struct file_upload *, struct err *);

/* Mark the record: no more than this head was safe. */
void file_doubt(struct file_upload *, const struct info_head *);

/* Mark the record of a claimed upload if that could not be done before. */
MUST_CHECK enum err_code file_recall_doubt(struct file_upload *, struct err *);

/* Go on with the bytes that were safe; else the mark stays. */
MUST_CHECK enum err_code file_end_doubt(struct file_upload *, struct err *);

/* After a flush of the bytes that failed: mark it, and go on with what was
 * safe if that can be done.  And such a flush. */
void file_give_up(struct file_upload *);
MUST_CHECK enum err_code file_flush_bytes(struct file_upload *, struct err *);

/*
 * Change the head and see it on disk.  If that fails the head is put back as it
 * was before, which makes a later flush a real one; but in doubt, and without
 * its hold, because by now the bytes are verified and the disk may count them
 * already.
 */
MUST_CHECK enum err_code file_set_durably(
    struct file_upload *, const struct info_head *, struct err *);

/* Flush all bytes, and raise the watermark to their end; that and the rest of
 * the head are written together. */
MUST_CHECK enum err_code file_raise(
    struct file_upload *, struct info_head, struct err *);

/* The same outside a chunk, and with no other change. */
MUST_CHECK enum err_code file_checkpoint(struct file_upload *, struct err *);

/*
 * A foreign record gets a head, one without a watermark gets one if durably:
 * all that is there counts.
 */
MUST_CHECK enum err_code file_adopt(
    struct file_upload *, bool durably, struct err *);

/* If the durability mode needs what the record does not have. */
MUST_CHECK enum err_code file_adopt_if_needed(
    struct file_upload *, struct err *);

/* In a shared store: before a name is changed, see on disk that the record can
 * still be written to; and before the upload is removed, have it say so. */
MUST_CHECK enum err_code file_prove(struct file_upload *, struct err *);
MUST_CHECK enum err_code file_mark_gone(struct file_upload *, struct err *);

/* --- new.c -------------------------------------------------------------- */

MUST_CHECK enum err_code file_new_upload(struct data_store *,
    const struct file_info *, struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code file_new_hidden(struct data_store *,
    const struct file_info *, struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code file_concat(struct data_store *,
    const struct file_info *, struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code file_terminate(struct upload *, struct err *);
MUST_CHECK enum err_code file_clear(
    struct data_store *, const char *id, bool only_look, struct err *);

/*
 * The data file of an upload that may be being made, locked; *fd is -1 if
 * there is none.  ERR_LOCKED: it is being made.
 */
MUST_CHECK enum err_code file_lock_data(
    struct file_store *, const char *id, int *fd, struct err *);

/* --- time.c ------------------------------------------------------------- */

/* When the client says that its file was last changed; false if it does not, or
 * in no way that is understood. */
bool file_time_of(const struct file_info *, struct timespec *);

/* --- write.c ------------------------------------------------------------ */

/* ERR_NO_SPACE if less than min_free would be left. */
MUST_CHECK enum err_code file_check_space(
    struct file_store *, int64_t need, struct err *);

/* ERR_NO_SPACE if so many bytes that the upload of an id will bring cannot all
 * be taken, as far as store.overcommit asks for that. */
MUST_CHECK enum err_code file_check_length(
    struct file_store *, const char *id, int64_t length, struct err *);

MUST_CHECK enum err_code file_write_begin(
    struct upload *, bool on_probation, struct err *);
MUST_CHECK enum err_code file_write(
    struct upload *, const void *, size_t, struct err *);
MUST_CHECK enum err_code file_write_end(
    struct upload *, bool is_kept, struct err *);
MUST_CHECK enum err_code file_finish(
    struct upload *, unsigned pending, struct err *);
MUST_CHECK enum err_code file_done(
    struct upload *, unsigned what, struct err *);
MUST_CHECK enum err_code file_refuse(struct upload *, struct err *);
MUST_CHECK enum err_code file_declare_length(
    struct upload *, int64_t, struct err *);
MUST_CHECK enum err_code file_set_expiry(
    struct upload *, int64_t, struct err *);

/* --- copy.c ------------------------------------------------------------- */

/* So many bytes are written, by a copy or a client, before min_free is looked
 * at anew. */
#define FILE_ROOM ((int64_t)16 << 20)

/* The beginning of one file that goes to some place in another; as much has to
 * be left free there. */
struct file_bytes {
	int from, to;
	int64_t to_at, len, min_free;
};

MUST_CHECK enum err_code file_copy(
    const struct file_bytes *, struct arena *, struct err *);

/* --- moved.c ------------------------------------------------------------ */

/* ERR_NOT_FOUND if there is none.  One that is blank has no path. */
MUST_CHECK enum err_code file_read_moved(struct file_store *, const char *id,
    struct arena *, struct file_moved *, struct err *);
MUST_CHECK enum err_code file_write_moved(
    struct file_upload *, const struct file_moved *, struct err *);

/* The bytes of an upload are not here: have they been moved? */
MUST_CHECK enum err_code file_find_moved(struct file_upload *, struct err *);

/* The directory of a move; *name is what comes after it. */
MUST_CHECK enum err_code file_open_moved_dir(struct file_store *,
    const struct file_moved *, struct arena *, int *dirfd, const char **name,
    struct err *);

/* Note what an open file that is to be moved, or its copy, can be known by. */
MUST_CHECK enum err_code file_identify(
    struct file_moved *, int fd, const char *name, struct err *);

/* Is it the file that was moved, as far as the note knows it? */
bool file_is_as_moved(
    const struct file_moved *, const struct stat *, int64_t size);

/* The file, wherever it is now; ERR_NOT_FOUND unless it is as it was. */
MUST_CHECK enum err_code file_open_moved(
    struct file_upload *, int *fd, struct err *);
const char *file_moved_path(const struct file_moved *, struct arena *);

/* Where a copy is made, beside its place to be. */
const char *file_copy_name(const char *id, struct arena *);

/* Before an upload goes: that it was moved, or was to be, is forgotten. */
MUST_CHECK enum err_code file_forget_moved(struct file_upload *, struct err *);

/* --- suit.c ------------------------------------------------------------- */

/* Learn which names the place of finished uploads takes, if that is not known
 * yet. */
MUST_CHECK enum err_code file_probe(struct file_store *, struct err *);

/* Does a new file in this directory get something else than its maker's? */
MUST_CHECK enum err_code file_has_rules(int dirfd, bool *has, struct err *);

/* Give a file the group, the mode and the ACL of another; false if it cannot
 * be. */
bool file_take_rules(int from, int to, struct arena *);

extern const struct store_mover file_mover;

/* --- note.c ------------------------------------------------------------- */

/* Make the directory store.path, if only its last part is missing. */
MUST_CHECK enum err_code file_make_directory(const struct conf *, struct err *);

MUST_CHECK enum err_code file_hold(
    const struct conf *, enum store_use, bool alone, struct err *);
void file_let_go(void);

/* Is this the store that is held?  Then its boot is what was agreed upon. */
bool file_is_held(const struct conf *);
void file_take_boot(struct file_store *);

/* ERR_AWAY if its path leads to another directory than at the start, or that of
 * its locks.  One process of a pool looks once a second, and the log says it.
 */
MUST_CHECK enum err_code file_check_directory(
    const struct file_store *, struct err *);

/* --- ledger.c ----------------------------------------------------------- */

MUST_CHECK enum err_code file_release(struct upload *, struct err *);

/* --- strange.c ---------------------------------------------------------- */

MUST_CHECK enum err_code file_tell_strangers(
    struct data_store *, store_stranger *, void *arg, struct err *);

/* --- the tables of ledger.c, read.c, sweep.c, keep.c
 * -------------------------- */

extern const struct store_ledger file_ledger;
extern const struct store_reader file_reader;
extern const struct store_keeper file_keeper;
extern const struct store_expirer file_expirer;

/* The next name in the directory; NULL after the last, and then, or after an
 * error, the cursor is gone. */
MUST_CHECK enum err_code file_next_name(
    struct file_store *, void **cursor, const char **name, struct err *);
void file_end_names(void **cursor);

#endif
