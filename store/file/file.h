/*
 * file.h - what the files of the directory store share; private to store/file/.
 *
 * FORMAT, beside this file, says what is on disk: the names, the record, how it
 * is read and repaired, and the rules of writing that make any crash harmless.
 *
 * The files, each of which uses only those above it:
 *
 *	plain.c		the keys of a record, as they are nearly always
 *	info.c		the text of a record
 *	copy.c		bytes from file to file
 *	guard.c		a lock on the record for a short request
 *	shared.c	what several hosts need
 *	bytes.c		the names in the directory, and where the bytes are
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
	/* Flush finished uploads, and unfinished ones now and then. */
	DURABILITY_DATA,
	/* Flush every byte before it is acknowledged. */
	DURABILITY_FULL
};

/* What the announced length of a new upload must fit into
 * (store.overcommit). */
enum overcommit {
	/* No check. */
	OVERCOMMIT_ALWAYS,
	/* The free space. */
	OVERCOMMIT_EACH,
	/* The free space less the bytes that unfinished uploads still lack: so
	 * the space of each is set aside when it is created. */
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

	/* The processes that use this store see another boot id than this one
	 * does: bytes that look unflushed here are not so for them. */
	bool is_stranger;

	/* store.path and lock.path as they were configured; is_attached: the
	 * note of the store is locked by this process. */
	char *given, *given_locks;
	bool is_attached;

	/* The sweep's note, locked; -1 while this process does not sweep. */
	int note_fd;

	/* After so many bytes a flush is finished, and after so many one is
	 * started. */
	int64_t checkpoint_every;
	int64_t flush_every;

	/* Seconds until an unfinished upload expires; 0 is never. */
	int64_t expire_after;

	/*
	 * finish.move_to: its root, opened and by name, without symbolic links
	 * and as configured, and the rest of the template; -1 and NULL if it is
	 * not set.
	 */
	int move_fd;
	char *move_root;
	char *move_given;
	char *move_to;
	int64_t keep_record;

	/* Does the root's path lead to another directory now?  And when that
	 * was last checked, in ms. */
	bool root_is_away;
	int64_t root_looked;

	/* The names that the root accepts, once they are known; whether to find
	 * them out by trying. */
	struct template_names names;
	bool is_probed, tries_names;

	/* A record was found whose bytes have the file name of another id. */
	bool has_borrowed;

	/*
	 * A buffer for bytes on probation, if they fit and no other upload uses
	 * it.  Mapped when first needed.
	 */
	char *waiting;
	size_t waiting_room;
	const void *waiting_user;
};

/* The content of ID.moved. */
struct file_moved {
	/* The root of finish.move_to at that time, and the path below it; NULL
	 * if the file is empty. */
	const char *root, *path;

	/*
	 * Tells the file apart from another one of the same name and size: the
	 * inode (0 where the file system numbers files anew at each mount) and
	 * the time of its last change, in nanoseconds.  Both are 0 until a copy
	 * is complete.  Notes of older releases have no time; a file that was
	 * renamed has no inode here.
	 */
	uint64_t inode;
	int64_t written;

	/* An empty file may hold the name for the upload. */
	bool is_reserved;

	/* When the move began, and when the record may be removed. */
	int64_t when, forget;
};

struct file_upload {
	struct upload base;
	struct file_store *store;
	struct arena *arena;

	/* The record as it is in the file; foreign: another program wrote
	 * it. */
	struct info_head head;
	bool foreign;

	/* The bytes from which head was last read or written: as long as they
	 * are unchanged, nothing has to be parsed. */
	char head_bytes[INFO_WHOLE_HEAD];

	/* The record could not be read. */
	bool damaged;

	/* Why record or data are open for reading only (errno); 0 if they are
	 * not. */
	int denied;

	/* Only this process has written to it since it was created or claimed:
	 * all its bytes count. */
	bool is_claimed;

	/* Another host may have the upload by now, see shared.c. */
	bool is_fenced;

	/* This process has the guard of the open record, see guard.c. */
	bool is_guarded;

	/* This process changed it and has not yet flushed it. */
	bool unflushed;

	/* There is no record on disk yet: head is what it will contain. */
	bool is_hidden;

	/* A flush failed and the record does not say so yet: the record must
	 * not be trusted. */
	bool is_remembered;

	/*
	 * The path below the store at which the bytes are, if another server's
	 * record says so; NULL: in ID.  elsewhere is such a path that is not
	 * followed.
	 */
	const char *bytes_path, *elsewhere;

	/* -1 while not open; data is opened by claim().  info_stat tells which
	 * file the open record is, if it was not made by this process. */
	int info_fd;
	struct stat info_stat;
	int data_fd;

	/* The data file was moved to there. */
	bool is_moved;
	struct file_moved moved;

	/* With OVERCOMMIT_NEVER: the file system has set aside the space of the
	 * bytes that are still to come. */
	bool has_room;

	/* Bytes in the data file, and when the file was last written to. */
	int64_t data_size;
	int64_t data_time;

	/*
	 * The chunk between write_begin() and write_end(); start is -1 outside.
	 * Bytes on probation are kept in memory until they are too many; then
	 * they go to the file, and the record gets a hold.
	 */
	int64_t start;
	bool on_probation;
	size_t waiting;

	/* The offset up to which store.min_free permits writing, and when that
	 * was computed, in ms. */
	int64_t room_until, room_looked;

	/* A flush of the bytes before this offset has begun; a multiple of
	 * flush_every or less. */
	int64_t flushing;
};

#define file_store_of(ds)  OUTER(ds, struct file_store, base)
#define file_upload_of(up) OUTER(up, struct file_upload, base)

/* A file name of an upload. */
struct file_name {
	char text[ID_MAX + sizeof(".moved.new")];
};

#define FILE_DATA      ""
#define FILE_INFO      ".info"
#define FILE_NEW       ".info.new"
#define FILE_MOVED     ".moved"
#define FILE_MOVED_NEW ".moved.new"

/* --- bytes.c ------------------------------------------------------------ */

/* The name of a file of an upload.  The id is validated here once more, because
 * it becomes a file name. */
MUST_CHECK enum err_code file_name(
    const char *id, const char *suffix, struct file_name *, struct err *);

/* Does a file of this name exist, of whatever type? */
MUST_CHECK enum err_code file_exists(struct file_store *, const char *id,
    const char *suffix, bool *, struct err *);

/*
 * Open record or data with O_RDWR.  If that is not permitted, open it for
 * reading only, which is enough for finished uploads; u->denied has the reason.
 */
MUST_CHECK enum err_code file_open_either(struct file_upload *, int dirfd,
    const char *name, int *fd, struct stat *, struct err *);

/* Create a file that gets its final name later.  A file of that name which a
 * dead process left is replaced. */
MUST_CHECK enum err_code file_create(
    struct file_store *, int dirfd, const char *name, int *fd, struct err *);

MUST_CHECK enum err_code file_flush_dir(struct file_store *, struct err *);

/* The ledger, the note on which all users of the store agree, the sweep's note,
 * and the events that wait for hooks, if their directory is in the store. */
#define FILE_LEDGER ".quota"
#define FILE_NOTE   ".store"
#define FILE_SWEPT  ".sweep"
#define FILE_EVENTS ".hooks"
bool file_is_ours(const char *name);

/* Is the path "ID.lock" or "ID.lock/x", which the locker of ID may need? */
bool file_is_reserved(const char *path);

/*
 * Open the directory of a path below root, which must be the store or the root
 * of finish.move_to; *name is the last part of the path.  ERR_NOT_FOUND if root
 * is neither, ERR_CORRUPT if a symbolic link is in the path.
 */
MUST_CHECK enum err_code file_open_below(struct file_store *, const char *root,
    const char *path, struct arena *, int *dirfd, const char **name,
    struct err *);

/* ERR_AWAY if the path of finish.move_to's root leads to another directory
 * than when it was opened; looked at once a second. */
MUST_CHECK enum err_code file_check_root(struct file_store *, struct err *);

/* Interpret Storage.Path and InfoPath of the record; either may be NULL. */
void file_read_storage(
    struct file_upload *, const char *path, const char *info_path);

/* May another server have created the upload, so that bytes missing here may be
 * in another place? */
bool file_may_be_strange(const struct file_upload *);

/* The absolute path of its bytes. */
const char *file_bytes_path(const struct file_upload *, struct arena *);

/* Open the directory that contains the bytes; *name is their name there. */
MUST_CHECK enum err_code file_open_bytes_dir(
    struct file_upload *, int *dirfd, const char **name, struct err *);
void file_close_bytes_dir(const struct file_upload *, int dirfd);

/* ERR_NOT_FOUND if the bytes do not exist, ERR_CORRUPT if their name is not a
 * regular file. */
MUST_CHECK enum err_code file_stat_bytes(
    struct file_upload *, struct stat *, struct err *);
MUST_CHECK enum err_code file_has_bytes(
    struct file_upload *, bool *, struct err *);

/* Open the bytes with O_RDONLY, or with O_RDWR as file_open_either() does. */
MUST_CHECK enum err_code file_open_bytes(
    struct file_upload *, int flags, int *fd, struct stat *, struct err *);
MUST_CHECK enum err_code file_remove_bytes(struct file_upload *, struct err *);

/* Truncate the bytes to this length, if there are more. */
MUST_CHECK enum err_code file_cut(
    struct file_upload *, int64_t to, struct err *);

/* --- record.c ----------------------------------------------------------- */

/* Say where the bytes are; path NULL: in STORE/ID. */
void file_set_storage(struct file_upload *, const char *path);

/*
 * Open and read the whole record anew.  It is open even if it is damaged,
 * unless something else than a file has its name.
 */
MUST_CHECK enum err_code file_load(struct file_upload *, struct err *);

/* Read the head again. */
MUST_CHECK enum err_code file_load_head(struct file_upload *, struct err *);
void file_close_info(struct file_upload *);

/* Change the head in the file, by one write, and then in memory; while the
 * upload is hidden, in memory only. */
MUST_CHECK enum err_code file_set(
    struct file_upload *, const struct info_head *, struct err *);

/* In memory only: the next read of the file sets it again. */
void file_put_back(struct file_upload *, const struct info_head *);

bool file_same_head(const struct info_head *, const struct info_head *);

/* Does the record say how much of the data was flushed? */
bool file_has_watermark(const struct file_upload *);

/* The boot id for records that are written here and now. */
const char *file_boot(const struct file_store *);

MUST_CHECK enum err_code file_flush_data(struct file_upload *, struct err *);
MUST_CHECK enum err_code file_flush_info(struct file_upload *, struct err *);
/*
 * Write the record to a temporary file and rename that into place, replacing an
 * old record; flushed if durably.
 */
MUST_CHECK enum err_code file_publish(
    struct file_upload *, bool durably, struct err *);

/*
 * The same for a new upload, without the temporary file where that is safe: an
 * empty record counts as none, and one page is written completely or not at
 * all.
 */
MUST_CHECK enum err_code file_publish_new(
    struct file_upload *, bool durably, struct err *);

/* --- shared.c ----------------------------------------------------------- */

/* All of these do nothing and return ERR_OK where only one host uses the
 * store. */

/*
 * Lock an open descriptor before reading data on which a change depends.
 * ERR_LOCKED: another process, or host, is changing that file.
 */
MUST_CHECK enum err_code file_fence(struct file_upload *, int fd, struct err *);
/* Unlock it before it is closed, for some file systems unlock what was closed
 * only a while later. */
void file_unfence(const struct file_upload *, int fd);

/* Forget what this host remembers of the size and the time of an open file, and
 * of the bytes of the record. */
void file_refresh(const struct file_upload *, int fd);

/* Lock a file that is open for writing, without waiting or for so many ms: with
 * flock(), or on a shared store as file_fence() does.  False: errno is
 * EWOULDBLOCK if another has it. */
bool file_lock(const struct file_store *, int fd);
bool file_lock_in_time(const struct file_store *, int fd, int64_t ms);

/* Judge the result of a change: a failure that may be due to a lost lock
 * becomes ERR_FENCED, and so does every later change. */
MUST_CHECK enum err_code file_judge(
    struct file_upload *, enum err_code, struct err *);
MUST_CHECK enum err_code file_check_fence(
    const struct file_upload *, struct err *);

/* Does the record say that the upload is being removed? */
bool file_is_gone(const struct file_upload *);

/* ERR_INVALID: with its mount options, the file system below an absolute path
 * does not give the guarantees that a shared store needs. */
MUST_CHECK enum err_code file_check_mount(
    const char *path, int dirfd, struct err *);

/* ERR_INVALID: two open files do not lock each other out in that directory. */
MUST_CHECK enum err_code file_check_locks(int dirfd, struct err *);

/* --- open.c ------------------------------------------------------------- */

struct file_upload *file_new_handle(
    struct file_store *, const char *id, struct arena *);

/* Fill in base.info and base.settled from the head and the data. */
void file_see(struct file_upload *);

/* Is there nothing to repair? */
bool file_is_sound(const struct file_upload *);

/* Read record and data again, now that this process has the lock. */
MUST_CHECK enum err_code file_reopen(struct file_upload *, struct err *);

/* The same, behind the fence of a shared store. */
MUST_CHECK enum err_code file_open_again(struct file_upload *, struct err *);

/* ERR_SYSTEM if the upload is open for reading only. */
MUST_CHECK enum err_code file_check_writable(
    struct file_upload *, struct err *);

MUST_CHECK enum err_code file_get_upload(struct data_store *, const char *id,
    struct arena *, struct upload **, struct err *);
MUST_CHECK enum err_code file_claim(struct upload *, struct err *);
MUST_CHECK enum err_code file_confirm(struct upload *, struct err *);
void file_close(struct upload *);

/* --- pause.c ------------------------------------------------------------ */

MUST_CHECK enum err_code file_suspend(
    struct upload *, struct store_pause *, struct err *);
MUST_CHECK enum err_code file_resume(
    struct upload *, const struct store_pause *, struct err *);

/* --- doubt.c ------------------------------------------------------------ */

/* Set up the memory for failures that cannot be written to a record, shared by
 * all processes forked later.  False if there is no memory. */
bool file_set_up_memory(void);

/* Is the record marked as doubtful, or is it remembered that it should be? */
bool file_is_doubtful(const struct file_upload *);
bool file_is_remembered(const struct file_upload *);

/* The record cannot be marked: remember that only so many bytes are safe. */
void file_remember(const char *id, int64_t offset);

/* ERR_SYSTEM if the record is marked: its bytes do not count. */
MUST_CHECK enum err_code file_check_doubt(
    const struct file_upload *, struct err *);

/* Mark the record: only what this head says was safe. */
void file_doubt(struct file_upload *, const struct info_head *);

/* Mark the record of a claimed upload if that was not possible before. */
MUST_CHECK enum err_code file_recall_doubt(struct file_upload *, struct err *);

/* Cut the upload to the bytes that were safe and remove the mark; on failure
 * the mark stays. */
MUST_CHECK enum err_code file_end_doubt(struct file_upload *, struct err *);

/* file_flush_bytes() flushes the bytes.  If that fails it calls file_give_up(),
 * which marks the record and goes back to the safe bytes if possible. */
void file_give_up(struct file_upload *);
MUST_CHECK enum err_code file_flush_bytes(struct file_upload *, struct err *);

/*
 * Change the head and flush it.  If that fails the old head is written back, so
 * that a later flush is not skipped by the kernel; but as doubtful and without
 * its hold, because the bytes are verified by now and the disk may already
 * count them.
 */
MUST_CHECK enum err_code file_set_durably(
    struct file_upload *, const struct info_head *, struct err *);

/* Flush all bytes and raise the watermark to their end; this and the rest of
 * the head are written together. */
MUST_CHECK enum err_code file_raise(
    struct file_upload *, struct info_head, struct err *);

/* The same outside a chunk, without another change. */
MUST_CHECK enum err_code file_checkpoint(struct file_upload *, struct err *);

/*
 * Give a foreign record a head, and (if durably) a watermark to a record
 * without one; all existing bytes count.
 */
MUST_CHECK enum err_code file_adopt(
    struct file_upload *, bool durably, struct err *);

/* The same if the durability mode needs what the record lacks. */
MUST_CHECK enum err_code file_adopt_if_needed(
    struct file_upload *, struct err *);

/* For a shared store.  file_prove(): flush the record, to see that this host
 * may still write to it, before a name is changed.  The other function makes
 * the record say that the upload is being removed. */
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
 * Open and lock the data file of an upload that another process may be
 * creating; *fd is -1 if there is none.  ERR_LOCKED: it is being created.
 */
MUST_CHECK enum err_code file_lock_data(
    struct file_store *, const char *id, int *fd, struct err *);

/* --- time.c ------------------------------------------------------------- */

/* When the file was last changed, according to the client's metadata; false if
 * there is no such date, or none that is understood. */
bool file_time_of(const struct file_info *, struct timespec *);

/* --- write.c ------------------------------------------------------------ */

/* ERR_NO_SPACE if less than min_free would be left. */
MUST_CHECK enum err_code file_check_space(
    struct file_store *, int64_t need, struct err *);

/* ERR_NO_SPACE if the upload will need more bytes than
 * store.overcommit permits. */
MUST_CHECK enum err_code file_check_length(
    struct file_upload *, int64_t length, struct err *);

/* Once it has passed, and the data file is there: where no upload may take
 * what another one lacks, set its space aside; ERR_NO_SPACE likewise. */
MUST_CHECK enum err_code file_take_room(
    struct file_upload *, int64_t size, struct err *);

MUST_CHECK enum err_code file_write_begin(
    struct upload *, bool on_probation, struct err *);
MUST_CHECK enum err_code file_write(
    struct upload *, const void *, size_t, struct err *);
/* What waits in memory goes to the file, under a hold. */
MUST_CHECK enum err_code file_write_out(struct file_upload *, struct err *);
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

/* After this many bytes, written by a copy or by a client, min_free is checked
 * again. */
#define FILE_ROOM ((int64_t)16 << 20)

/* A range at the beginning of one file, to be copied to some offset of another;
 * and the space that must stay free there. */
struct file_bytes {
	int from, to;
	int64_t to_at, len, min_free;
};

MUST_CHECK enum err_code file_copy(
    const struct file_bytes *, struct arena *, struct err *);

/* --- moved.c ------------------------------------------------------------ */

/* ERR_NOT_FOUND if there is no note.  A blank one has no path. */
MUST_CHECK enum err_code file_read_moved(struct file_store *, const char *id,
    struct arena *, struct file_moved *, struct err *);
MUST_CHECK enum err_code file_write_moved(
    struct file_upload *, const struct file_moved *, struct err *);

/* The bytes of an upload are missing: were they moved? */
MUST_CHECK enum err_code file_find_moved(struct file_upload *, struct err *);

/* Open the directory to which a file was moved; *name is its name there. */
MUST_CHECK enum err_code file_open_moved_dir(struct file_store *,
    const struct file_moved *, struct arena *, int *dirfd, const char **name,
    struct err *);

/* Note the properties of an open file that is to be moved, or of its copy, by
 * which it can be recognised later. */
MUST_CHECK enum err_code file_identify(
    struct file_moved *, int fd, const char *name, struct err *);

/* As far as the note tells, is this the file that was moved? */
bool file_is_as_moved(
    const struct file_moved *, const struct stat *, int64_t size);

/* Open the file where it was moved to; ERR_NOT_FOUND if it is not the same any
 * more. */
MUST_CHECK enum err_code file_open_moved(
    struct file_upload *, int *fd, struct err *);
const char *file_moved_path(const struct file_moved *, struct arena *);

/* The name of an unfinished copy, in the directory that it is meant for. */
const char *file_copy_name(const char *id, struct arena *);

/* Before an upload is removed: remove the note of its move, and an unfinished
 * copy. */
MUST_CHECK enum err_code file_forget_moved(struct file_upload *, struct err *);

/* --- suit.c ------------------------------------------------------------- */

/* Find out which names the destination of finished uploads accepts, if that is
 * unknown. */
MUST_CHECK enum err_code file_probe(struct file_store *, struct err *);

/* Does a new file in this directory get another group, mode or ACL than its
 * creator's? */
MUST_CHECK enum err_code file_has_rules(int dirfd, bool *has, struct err *);

/* Give a file the group, mode and ACL of another; false if that fails. */
bool file_take_rules(int from, int to, struct arena *);

extern const struct store_mover file_mover;

/* --- note.c ------------------------------------------------------------- */

/* Create the directory store.path, if only its last part is missing. */
MUST_CHECK enum err_code file_make_directory(const struct conf *, struct err *);

MUST_CHECK enum err_code file_attach(
    const struct conf *, enum store_use, bool alone, struct err *);
void file_detach(void);
/* "" as long as there is no note. */
const char *file_store_id(void);

/* Is this the store whose note this process holds?  Then its boot is the one
 * that all users agreed on. */
bool file_is_attached(const struct conf *);
void file_take_boot(struct file_store *);
/* Do all users look at guards? */
bool file_has_guards(void);

/* ERR_AWAY if the path of the store, or of its locks, leads to another
 * directory than at the start.  One process of a pool checks once a second and
 * logs it. */
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

/* The next name in the directory, and the number of its inode, unless inode is
 * NULL; NULL after the last one.  Then, and after an error, the cursor is
 * gone. */
MUST_CHECK enum err_code file_next_name(struct file_store *, void **cursor,
    const char **name, ino_t *inode, struct err *);
void file_end_names(void **cursor);

#endif
