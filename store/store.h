/*
 * store.h - where uploads live.
 *
 * A back end implements struct store_class and struct store_core, and as many
 * of the capability tables below as it can.  A table that is NULL is a
 * capability that the store lacks: the core then neither advertises the
 * extension nor routes its method.  A table that is set is complete;
 * store_open() refuses half-filled ones.
 *
 * Locking is not a store's concern: a caller that wants to change an upload
 * takes its lock first, or for a moment its guard if the store has any, and
 * then calls claim().  Without the lock an upload is opened for reading only,
 * and its info is trusted only if it is finished, because finished uploads
 * never change.  An upload that was just created needs no claim(); but
 * new_upload() makes it visible at once, so the caller takes the lock of its id
 * first, unless it writes nothing to it.
 *
 * Memory: strings and structs that a store returns come from the arena it was
 * given.  Only open uploads and streams have to be closed.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/need.h"
#include "base/template.h"
#include "base/wait.h"
#include "store/keeper.h"
#include "store/upload.h"

struct data_store;

/*
 * An upload that is open.  Back ends embed this and add their own members.  The
 * functions below keep info current.
 */
struct upload {
	struct data_store *store;
	struct file_info info;

	/*
	 * May a client be told what info says?  False while something must be
	 * repaired or, where an acknowledged offset must survive a power
	 * failure, flushed: claim() and confirm() do that; confirm() alone,
	 * without the lock, for a finished upload.
	 */
	bool settled;
};

/* DataStore: the functions that every store has. */
struct store_core {
	/*
	 * Create an empty upload as described by info and open it.  The id is
	 * chosen by the caller; ERR_EXISTS if it is taken.
	 */
	MUST_CHECK enum err_code (*new_upload)(struct data_store *,
	    const struct file_info *, struct arena *, struct upload **,
	    struct err *);

	/*
	 * The same, but no other process can see or lock the upload, or learn
	 * of it, until write_end() has kept a part of it or finish() all of it.
	 * After a kill before that, the upload never existed: the sweep removes
	 * its files.
	 */
	MUST_CHECK enum err_code (*new_hidden)(struct data_store *,
	    const struct file_info *, struct arena *, struct upload **,
	    struct err *);

	/*
	 * Open an existing upload for reading.  Needs no lock and changes
	 * nothing.  info is a snapshot: always true if the upload is finished,
	 * else true at some moment, which is enough for HEAD (if settled) and
	 * for deciding whether to lock.  ERR_NOT_FOUND if there is none.
	 * ERR_CORRUPT if its record is damaged or another type of file has its
	 * name: then *up is still set, info has only the id, and the upload can
	 * be terminated and closed.
	 */
	MUST_CHECK enum err_code (*get_upload)(struct data_store *,
	    const char *id, struct arena *, struct upload **, struct err *);

	/*
	 * The same for a caller that goes on to claim() and needs of an
	 * unfinished upload only the data of its creation: its info.offset may
	 * be -1, for unknown, and the upload is not settled.
	 */
	MUST_CHECK enum err_code (*find_upload)(struct data_store *,
	    const char *id, struct arena *, struct upload **, struct err *);

	/*
	 * For the holder of the upload's lock: read it again, repair the traces
	 * of a crash, and let the functions below change it.  After a crash
	 * between the last byte and the finish, info.offset is info.size and
	 * the upload is not finished: the caller goes on to finish().
	 * ERR_NOT_FOUND if it was terminated meanwhile; ERR_UNAVAILABLE and
	 * ERR_AWAY if that is unknown now: nothing was changed then, nor after
	 * ERR_LOCKED, see store_guard.
	 */
	MUST_CHECK enum err_code (*claim)(struct upload *, struct err *);

	/*
	 * Make info.offset as safe as the durability mode promises for an
	 * acknowledged offset.  Needs the lock unless the upload is finished.
	 */
	MUST_CHECK enum err_code (*confirm)(struct upload *, struct err *);

	/*
	 * WriteChunk, in three steps, for an upload that is claimed or was just
	 * created.  write_begin() starts at info.offset; bytes on probation
	 * count only after write_end() has kept them, even if the process is
	 * killed in between.  write() takes bytes and advances info.offset by
	 * their number, after an error too.  They are safe only after
	 * write_end(), which keeps them as the durability mode promises, or
	 * takes all of them back; only the file store promises that a killed
	 * process loses none of them before.  Changes by declare_length() and
	 * set_expiry() since write_begin() are kept or taken back with them.
	 * After a failed write_end() info.offset is never more than what is
	 * safe.  When info.offset has reached info.size the caller goes on to
	 * finish(), and write_end() leaves the flushes to that.
	 */
	MUST_CHECK enum err_code (*write_begin)(
	    struct upload *, bool on_probation, struct err *);
	MUST_CHECK enum err_code (*write)(
	    struct upload *, const void *, size_t, struct err *);
	MUST_CHECK enum err_code (*write_end)(
	    struct upload *, bool keep, struct err *);

	/* Close an upload; it stays in the store. */
	void (*close)(struct upload *);

	/* Close the store itself, at exit. */
	void (*shutdown)(struct data_store *);
};

/* TerminaterDataStore: DELETE, extension "termination". */
struct store_terminater {
	MUST_CHECK enum err_code (*terminate)(struct upload *, struct err *);

	/*
	 * Remove, or only look for, the rest of an interrupted creation or
	 * deletion of this id.  The caller holds the lock of the id, unless it
	 * only looks.  ERR_NOT_FOUND: there is nothing.  ERR_EXISTS: it is an
	 * upload.  ERR_LOCKED: it is being created.
	 */
	MUST_CHECK enum err_code (*clear)(
	    struct data_store *, const char *id, bool only_look, struct err *);
};

/*
 * FinisherDataStore: called when offset has reached size.  After a crash it may
 * be called again for the same upload; the second call must do no harm.  In a
 * store without this table an upload is finished when all its bytes have
 * arrived.
 */
struct store_finisher {
	/*
	 * pending is the work to be done afterwards (of STORE_TO_DO).  If the
	 * process is killed before that, it stays in info.pending for the
	 * sweep.  May take longer than the front end waits: the client's retry
	 * is answered that the upload is locked, and later that it is finished.
	 */
	MUST_CHECK enum err_code (*finish)(
	    struct upload *, unsigned pending, struct err *);

	/*
	 * For a claimed upload: clear in info.pending the work that has been
	 * done.  Nothing is flushed: work that reappears after a power failure
	 * is done again.
	 */
	MUST_CHECK enum err_code (*done)(
	    struct upload *, unsigned what, struct err *);

	/*
	 * A pre-finish hook refused the upload: take back the last byte, so
	 * that the upload is not complete and the client's retry tries again.
	 * An empty upload has no such byte; the caller terminates it.
	 */
	MUST_CHECK enum err_code (*refuse)(struct upload *, struct err *);
};

/*
 * For a store whose uploads can be locked without the locker, for a moment, and
 * all of whose users know.
 */
struct store_guard {
	/*
	 * Instead of the lock of the upload, for a caller that holds it only as
	 * long as it takes to write what it has: after this, and if the lock
	 * has no trace then, claim().  Until close() or lower(), claim() says
	 * ERR_LOCKED to any other process, whatever lock it holds.  ERR_LOCKED:
	 * another process has it.  ERR_CONFLICT: not for this upload, of which
	 * then no process has it.
	 */
	MUST_CHECK enum err_code (*raise)(struct upload *, struct err *);
	void (*lower)(struct upload *);
};

/* For a store that cannot always take more bytes at once. */
struct store_pacer {
	/*
	 * Between write_begin() and write_end(), after each write(): leaves the
	 * wait at 0 ms if the store takes more bytes, or says what to wait for
	 * before this is called again.  At 0 ms, too, it may name a descriptor:
	 * the store has work to do when that is ready, and this is to be called
	 * again.  It never blocks, and in the end the store is ready or fails:
	 * an error is like one of write().
	 */
	MUST_CHECK enum err_code (*pace)(
	    struct upload *, struct wait *, struct err *);
};

/* For a store that keeps something open for the next request. */
struct store_rester {
	/*
	 * The process waits for a request: close what has not been used for
	 * long.  Returns the ms after which to call this again; -1: not before
	 * there was a request.
	 */
	int64_t (*rest)(struct data_store *);
};

/* A chunk that one process leaves and another one goes on with. */
struct store_pause {
	/* Where the chunk began, and where its bytes end so far. */
	int64_t start, end;
	bool on_probation;
};

/*
 * For a store whose chunks may change their process between write_begin() and
 * write_end().
 */
struct store_suspender {
	/*
	 * Put all that was written where another process finds it, without a
	 * flush.  A hidden upload is to be seen from now on, so its caller
	 * holds the lock.  The upload may be written to as before; or it is
	 * closed, without write_end(), and resumed somewhere else.  If that
	 * never happens, the chunk is as one whose process was killed.
	 */
	MUST_CHECK enum err_code (*suspend)(
	    struct upload *, struct store_pause *, struct err *);

	/*
	 * For an upload from get_upload(), with its lock, instead of claim()
	 * and write_begin(): nothing is repaired or taken back.  ERR_CONFLICT
	 * if it is not as suspend() left it.  Of a shared store another host
	 * may have had it meanwhile, if the lock was lost: so the caller looks
	 * at the lock after this.
	 */
	MUST_CHECK enum err_code (*resume)(
	    struct upload *, const struct store_pause *, struct err *);
};

/* GetReaderDataStore: GET, not part of tus. */
struct store_reader {
	MUST_CHECK enum err_code (*open)(struct upload *, int64_t from,
	    struct arena *, struct stream **, struct err *);
	ssize_t (*read)(struct stream *, void *, size_t, struct err *);
	void (*close)(struct stream *);
};

/* For a store whose content another server sends. */
struct store_linker {
	/*
	 * A URL at which anybody gets the content of a finished upload for a
	 * while, with this Content-Type and Content-Disposition.  Nothing is
	 * asked and nothing can be missing: the URL may lead nowhere.
	 */
	MUST_CHECK enum err_code (*link)(struct upload *, const char *type,
	    const char *disposition, struct arena *, const char **url,
	    struct err *);
};

/* ConcaterDataStore: extension "concatenation". */
struct store_concater {
	/*
	 * Create dst, complete, from the uploads that dst->parts names, in this
	 * order; dst->size is their sum as computed by the caller.  It is not
	 * visible before finish(); see new_hidden().  The parts are finished,
	 * so they need no lock; ERR_NOT_FOUND if one is gone by now,
	 * ERR_CONFLICT if one is not finished or has another size.
	 */
	MUST_CHECK enum err_code (*concat)(struct data_store *,
	    const struct file_info *dst, struct arena *, struct upload **,
	    struct err *);
};

/* LengthDeferrerDataStore: extension "creation-defer-length". */
struct store_length_declarer {
	/*
	 * The length is known now.  Takes effect at once, or, between
	 * write_begin() and write_end(), in info at once and in the store
	 * together with the bytes.  Not below info.offset.
	 */
	MUST_CHECK enum err_code (*declare_length)(
	    struct upload *, int64_t, struct err *);
};

/*
 * Extension "expiration", and all that the sweep needs for it; the sweep
 * removes with store_terminater, so a store that expires uploads has that table
 * too.
 */
struct store_expirer {
	/* Seconds since the epoch, 0 is never; takes effect like a declared
	 * length. */
	MUST_CHECK enum err_code (*set_expiry)(
	    struct upload *, int64_t when, struct err *);

	/*
	 * Iterate over all uploads, starting with *cursor NULL; *id is NULL
	 * after the last one.  Then, and after an error, the cursor is gone.
	 * The order is undefined; uploads that appear or disappear meanwhile
	 * may be missed.  An upload that was created or changed later than
	 * unchanged_since (seconds since the epoch) may be left out if that is
	 * known without opening it; INT64_MAX leaves out none.
	 */
	MUST_CHECK enum err_code (*walk_next)(struct data_store *,
	    void **cursor, int64_t unchanged_since, struct arena *,
	    const char **id, struct err *);

	/* When bytes last arrived, in seconds since the epoch; 0 if unknown. */
	int64_t (*last_change)(struct upload *);

	/*
	 * Reserve the sweep for this process, until shutdown() or its end.
	 * ERR_LOCKED: another process sweeps this store.
	 */
	MUST_CHECK enum err_code (*lock_note)(
	    struct data_store *, struct err *);

	/* A line that the store keeps for the sweep; "" if there is none. */
	MUST_CHECK enum err_code (*read_note)(
	    struct data_store *, char *, size_t size, struct err *);
	MUST_CHECK enum err_code (*write_note)(
	    struct data_store *, const char *, struct err *);
};

/*
 * Uploads that the caller has just read, and found sound: their records and
 * bytes need not be looked at once more.  Callers embed this.
 */
struct store_seen {
	bool (*has)(const struct store_seen *, const char *id);
};

/* Limits for all uploads of one owner; 0 is no limit. */
struct store_quota {
	int64_t uploads;
	int64_t bytes;
};

/* An entry of the ledger whose upload is being created. */
struct store_entry;

/*
 * The ledger: how many uploads an owner has, and of how many bytes, kept so
 * that no two processes give away the same room.  An upload is in it with its
 * announced size while it is in the store, finished or not; one of deferred
 * length with the bytes reserved for it so far.
 *
 * The entry is made before the upload and removed after it, so a process that
 * is killed in between leaves one too many.  Before an owner is refused for
 * lack of room, entries without an upload are removed.  Nothing is flushed.
 * Entries that are missing, after a power failure or because quotas were off,
 * are made by the sweep.
 *
 * All but release and is_right may return ERR_UNAVAILABLE: the process that
 * works on the ledger of that owner takes too long, and may have been stopped.
 */
struct store_ledger {
	/*
	 * Before new_upload() or concat(): enter info->id of info->owner with
	 * so many bytes.  ERR_QUOTA if there is no room, ERR_EXISTS if that id
	 * exists.  To be followed by entered().
	 */
	MUST_CHECK enum err_code (*enter)(struct data_store *,
	    const struct file_info *, int64_t bytes, const struct store_quota *,
	    struct arena *, struct store_entry **, struct err *);

	/* The upload was created, or was not. */
	void (*entered)(struct store_entry *, bool is_made);

	/*
	 * For an upload that is claimed or was just created, and has an owner:
	 * enter it with least to most bytes; *got says how many, and before
	 * the call how many the caller believes it is entered with, -1 if it
	 * does not know.  Beyond the least it gets no more than half of the
	 * rest, so that other uploads find room too.  ERR_QUOTA if there is no
	 * room for the least; then nothing has changed.  No quota: there is
	 * room.
	 */
	MUST_CHECK enum err_code (*resize)(struct upload *,
	    const struct store_quota *, int64_t least, int64_t most,
	    int64_t *got, struct err *);

	/*
	 * Remove the entry, because the bytes have left the store.  terminate()
	 * does that itself.
	 */
	MUST_CHECK enum err_code (*release)(struct upload *, struct err *);

	/*
	 * Is the upload entered correctly: with its size, or with its offset
	 * while the length is unknown?  Needs no lock, and is true for an
	 * upload without an owner or without bytes in the store.
	 */
	MUST_CHECK enum err_code (*is_right)(
	    struct upload *, bool *, struct err *);

	/*
	 * Remove, or only count, all entries whose upload neither exists nor is
	 * being created.  seen, which may be NULL, has uploads that exist.
	 */
	MUST_CHECK enum err_code (*prune)(struct data_store *,
	    const struct store_seen *seen, bool only_count, int64_t *n,
	    struct err *);
};

/*
 * Finished uploads that are moved to a destination (finish.move_to).  A file
 * that was moved does not belong to the store any more: the record stays for a
 * while, so that HEAD still answers; the file can be read as long as it is at
 * its destination; and terminate() does not remove it.
 */
struct store_mover {
	/* Will this upload have to be moved when it is finished?  False for
	 * partial ones, and after the move. */
	bool (*wants)(struct data_store *, const struct file_info *);

	/*
	 * Check a destination that pre-create chose, and return the form to be
	 * kept in file_info.move_to.  ERR_INVALID if it leads elsewhere.
	 */
	MUST_CHECK enum err_code (*choose)(struct data_store *,
	    const char *path, struct arena *, const char **move_to,
	    struct err *);

	/*
	 * Move a claimed and finished upload if necessary, and make sure of an
	 * earlier move.  May take as long as a copy.  After an error, or a
	 * crash, it is tried again, and there is always exactly one file.
	 */
	MUST_CHECK enum err_code (*move)(struct upload *, struct err *);

	/* Was a move of this finished upload interrupted?  Without the lock,
	 * the answer may be true for a move that is still under way. */
	bool (*is_pending)(struct upload *);

	/* Find out which names the destination of moves accepts. */
	MUST_CHECK enum err_code (*probe)(
	    struct data_store *, struct template_names *, struct err *);
};

/* An open store.  Back ends embed this and add their own members. */
struct data_store {
	const char *name;

	/* Never NULL. */
	const struct store_core *core;

	/* NULL if the store lacks this capability. */
	const struct store_terminater *terminater;
	const struct store_finisher *finisher;
	const struct store_guard *guard;
	const struct store_pacer *pacer;
	const struct store_rester *rester;
	const struct store_suspender *suspender;
	const struct store_reader *reader;
	const struct store_linker *linker;
	const struct store_concater *concater;
	const struct store_length_declarer *length_declarer;
	const struct store_expirer *expirer;
	const struct store_ledger *ledger;
	const struct store_keeper *keeper;
	const struct store_mover *mover;

	/* Processes that are forked while it is open may all walk through it
	 * and read its uploads. */
	bool can_be_read_apart;

	/* The reader accepts unfinished uploads as well. */
	bool reads_unfinished;

	/* No upload can be longer; 0 is no limit. */
	int64_t max_size;

	/* Nothing can take back acknowledged bytes, so settle() is only needed
	 * for tusd. */
	bool is_always_settled;

	/*
	 * Several hosts may use it at the same time (store.shared).  The unsafe
	 * bytes of a writer that died are lost then; and any change may return
	 * ERR_FENCED: another host may have the upload by now, so the caller
	 * acknowledges nothing, takes nothing back and closes it.
	 */
	bool is_shared;

	/* A service keeps it.  ERR_UNAVAILABLE with no errno is then a service
	 * that does not answer, or not now. */
	bool is_remote;
};

/* Has every announced byte arrived? */
static inline bool
upload_is_whole(const struct upload *up)
{
	return !up->info.size_deferred && up->info.offset == up->info.size;
}

/*
 * Finished uploads never change.  This is the only test for it: complete, and
 * finished by the store's finisher, if it has one.
 */
static inline bool
upload_is_finished(const struct upload *up)
{
	return upload_is_whole(up) &&
	    (up->store->finisher == NULL || up->info.finished != 0);
}

/*
 * Is told of each metric of a store: first of its head, with type and help for
 * Prometheus, then of each value, where these are NULL.  A metric without
 * labels has a value at its head; else label is the name of the label, and
 * what is its value.  what is NULL at the head, and so is label of a summary.
 */
typedef void store_figure(void *arg, const char *name, const char *type,
    const char *help, const char *label, const char *what, double value);

/* Why a program attaches itself to a store. */
enum store_use {
	/* tusfcgi -t: nothing is changed. */
	STORE_CHECKED,
	/* tusctl, beside a pool or not; and where it sweeps. */
	STORE_KEPT,
	STORE_SWEPT,
	/* A process that serves, or its master. */
	STORE_SERVED
};

/* Exported by each back end as const struct store_class store_NAME. */
struct store_class {
	/* The name in the configuration: store: { type = "file"; } */
	const char *name;

	/* ERR_INVALID: keys that contradict each other, whatever is on the
	 * disk; NULL if none can. */
	MUST_CHECK enum err_code (*check_keys)(
	    const struct conf *, struct err *);

	MUST_CHECK enum err_code (*open)(
	    const struct conf *, struct data_store **, struct err *);

	/*
	 * Reports what the store needs with this configuration; NULL if
	 * nothing.  The directory of the first NEED_KEEP, if there is one,
	 * contains the uploads.
	 */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	/*
	 * Try the operations that uploads will need of a service: ERR_INVALID
	 * says what must be corrected, ERR_UNAVAILABLE that it does not answer
	 * now.  NULL if opening the store is a sufficient test.
	 */
	MUST_CHECK enum err_code (*try_out)(struct data_store *, struct err *);

	/* Its metrics, of all processes together; NULL if it has none. */
	void (*figures)(store_figure *, void *arg);

	/* The master's work for all processes that have the store open, called
	 * once a second; must not wait.  NULL if there is none. */
	void (*tend)(const struct conf *);

	/* Each process has its own uploads and forgets them.  Such a store is
	 * for tests; nothing in it ever expires, because no sweep sees it. */
	bool is_private;

	/* A reason not to use it in production, which tusfcgi -t prints; or
	 * NULL. */
	const char *caution;

	/* See store_attach(); NULL if there is nothing to agree on. */
	MUST_CHECK enum err_code (*attach)(
	    const struct conf *, enum store_use, bool alone, struct err *);
	void (*detach)(void);

	/* See store_id(); NULL if it has none. */
	const char *(*id)(void);
};

/* Do the keys contradict each other, as far as that shows without the store?
 * Opening it checks the rest. */
MUST_CHECK enum err_code store_check_keys(const struct conf *, struct err *);

/*
 * Open the store that store.type names.  ERR_INVALID for a back end that is
 * not built in, or whose capability tables are half-filled.
 */
MUST_CHECK enum err_code store_open(
    const struct conf *, struct data_store **, struct err *);

/*
 * Call once in a program, before the store is opened: agree with all other
 * users of the store on its locks and its boot, until this process and all that
 * it forks have ended.  ERR_CONFLICT: the others use different ones; the text
 * names both.  With alone, no other process may use the store, because none
 * could reach our locks: ERR_CONFLICT if one does.  A process that opens the
 * store without this call is taken for its only user.
 */
MUST_CHECK enum err_code store_attach(
    const struct conf *, enum store_use, bool alone, struct err *);
void store_detach(const struct conf *);

/* An id that tells this store from all others and never changes; "" if it has
 * none.  The program is attached to the store. */
const char *store_id(const struct conf *);

/*
 * Is every capability table of this store complete?  store_open() checks that;
 * a test that assembles a store calls it too.
 */
MUST_CHECK enum err_code store_check(const struct data_store *, struct err *);

/* The needs of the store that store.type names, whether it is_private, and its
 * caution. */
void store_needs(const struct conf *, need_ear *, void *arg);
bool store_is_private(const struct conf *);
const char *store_caution(const struct conf *);

/* See struct store_class. */
MUST_CHECK enum err_code store_try_out(
    const struct conf *, struct data_store *, struct err *);

void store_figures(const struct conf *, store_figure *, void *arg);

/* To be called by the master, once a second. */
void store_tend(const struct conf *);

/* The directory of the uploads, or NULL if they are not in one; it belongs to
 * the configuration. */
const char *store_home(const struct conf *);

/* The names of the back ends built in, NULL after the last. */
const char *store_name(size_t n);

#endif
