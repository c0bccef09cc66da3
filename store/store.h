/*
 * store.h - where uploads live.
 *
 * A back end implements struct store_class and struct store_core, and as many
 * of the capability tables below as it can.  A table that is NULL is a
 * capability the store lacks: the protocol core then neither advertises the
 * extension nor routes its method.  A table that is set is set completely;
 * store_open() refuses half-filled ones.
 *
 * Locking is not a store's concern: a caller that means to change an upload
 * takes its lock first and says so with claim().  Without the lock an upload is
 * opened to be looked at, no more, and is trusted only if it is finished,
 * because finished uploads never change.  An upload that was just made needs
 * no claim(); but new_upload() makes one that others see at once, so that the
 * caller takes the lock of its id first, unless it writes nothing to it.
 *
 * Memory: strings and structs that a store hands out come from the arena it
 * was given.  An open upload or stream is the only thing to close.
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

/* One "key value" of a list, in the order in which they came. */
struct pair {
	struct pair *next;
	const char *key;
	const char *value;
	size_t value_len; /* decoded values may hold any byte */
};

/* Could this be a key of the header Upload-Metadata? */
bool store_is_metadata_key(const char *);

/*
 * "key base64,key" as a client would have sent it, without the keys that it
 * could not have sent; NULL if nothing is left.
 */
const char *store_encode_metadata(struct arena *, const struct pair *);

/* Deeds that are pending for a finished upload; see store_finisher. */
enum store_pending {
	/* The store's own: its last flush was not seen to succeed. */
	STORE_TO_CONFIRM = 1 << 0,
	STORE_TO_MOVE = 1 << 1,
	STORE_TO_TELL = 1 << 2,
	/* The parts that it was made of. */
	STORE_TO_REMOVE = 1 << 3,
	STORE_TO_DO = STORE_TO_MOVE | STORE_TO_TELL | STORE_TO_REMOVE
};

/* A time that never is over, and that can be added to any date. */
#define KEPT_FOR_EVER (INT64_MAX / 2)

/* All we know about one upload. */
struct file_info {
	const char *id;

	/* The announced size in bytes; meaningless while size_deferred. */
	int64_t size;
	bool size_deferred;

	/* How many bytes count. */
	int64_t offset;

	/* Decoded, and the header as the client sent it; NULL if none. */
	const struct pair *metadata;
	const char *metadata_raw;

	/*
	 * Concatenation: a partial upload is a piece of a later one.  A final
	 * one was made of the parts[] (NULL-terminated) and takes no PATCH.
	 */
	bool is_partial;
	bool is_final;
	const char *const *parts;

	/* Upload-Concat of a final upload as the client sent it; or NULL. */
	const char *concat_raw;

	/* Seconds since the epoch; 0 is never.  finished is when offset had
	 * reached size and finish() was done with it. */
	int64_t created;
	int64_t expires;
	int64_t finished;

	/*
	 * Of a finished upload: enum store_pending.  An old record has no such
	 * note: then everything is pending if its lock has left a trace, and
	 * nothing if not.
	 */
	unsigned pending;
	bool is_marked_by_lock;

	/* The owner, where uploads have one; NULL if this has none. */
	const char *owner;

	/* The words in which it was created, the name of another protocol than
	 * tus; NULL is tus. */
	const char *protocol;

	/* What the digest of all of it has to be, as the client said it when it
	 * created the upload; NULL if it did not. */
	const char *digest;

	/*
	 * Where pre-create wants it once it is finished, as the store's
	 * choose() put it; NULL if it said nothing.
	 */
	const char *move_to;

	/* What pre-create lets it become at most; 0 if it said nothing. */
	int64_t max_size;

	/* How many seconds it is kept after its finish, or KEPT_FOR_EVER; 0 if
	 * nobody said so when it was created. */
	int64_t retention;

	/*
	 * When its bytes left the store, and when the rest may be forgotten;
	 * both 0 while they are here.
	 */
	int64_t moved, forget;

	/* The file that holds the bytes, by its whole path; NULL if no file of
	 * this machine does. */
	const char *path;

	/* Where the bytes are, in the store's own words; for hooks. */
	const struct pair *storage;
};

/* A copy that needs nothing of the original. */
void file_info_copy(
    struct arena *, struct file_info *to, const struct file_info *from);

struct data_store;

/*
 * An upload that is open.  Back ends embed this and add their own.  The
 * functions below keep info current.
 */
struct upload {
	struct data_store *store;
	struct file_info info;

	/*
	 * May what info says be told to a client as it is?  False while there
	 * is something to repair or, where an acknowledged offset must
	 * survive a power loss, to flush: claim() and confirm() do that.  For
	 * a finished upload confirm() alone, without the lock.
	 */
	bool settled;
};

/*
 * The content of an upload on its way out.  It stays readable when the upload
 * is closed, and even when it is terminated.  fd and path are offers: a
 * transport may use sendfile() or X-Sendfile if they are not -1 and NULL.
 */
struct stream {
	int64_t length;
	int fd;
	const char *path;
};

/* DataStore: what every store can do. */
struct store_core {
	/*
	 * Create an empty upload as described by info and open it.  The id is
	 * chosen by the caller; ERR_EXISTS if it is taken.
	 */
	MUST_CHECK enum err_code (*new_upload)(struct data_store *,
	    const struct file_info *, struct arena *, struct upload **,
	    struct err *);

	/*
	 * The same, but nobody else can see the upload, or lock it, or even
	 * learn of it, until write_end() has kept a part of it or finish()
	 * all.  Killed before that, it has never been: the sweep clears up.
	 */
	MUST_CHECK enum err_code (*new_hidden)(struct data_store *,
	    const struct file_info *, struct arena *, struct upload **,
	    struct err *);

	/*
	 * Open an existing upload to look at it.  No lock is needed, nothing
	 * is changed, and info is a snapshot: true for ever if the upload is
	 * finished, else true at some moment and good for no more than HEAD
	 * (if settled) and for deciding whether to lock.  ERR_NOT_FOUND if
	 * there is none.  ERR_CORRUPT if its record is damaged or something
	 * else is in its place: then *up is still set, info holds no more
	 * than the id, and the upload can be terminated and closed.
	 */
	MUST_CHECK enum err_code (*get_upload)(struct data_store *,
	    const char *id, struct arena *, struct upload **, struct err *);

	/*
	 * The same for a caller that goes on to claim(), and needs to know of
	 * an unfinished upload only what it was created as: its info.offset
	 * may then be -1, for not known yet, and the upload is not settled.
	 */
	MUST_CHECK enum err_code (*find_upload)(struct data_store *,
	    const char *id, struct arena *, struct upload **, struct err *);

	/*
	 * The caller holds the lock of this upload now: read it again, repair
	 * what a crash left behind, and let the functions below change it.  If
	 * a crash came between the last byte and the finish, info.offset is
	 * info.size and the upload is not finished: the caller goes on to
	 * finish().  ERR_NOT_FOUND if it was terminated meanwhile;
	 * ERR_UNAVAILABLE and ERR_AWAY if that cannot be told now, and then
	 * nothing was changed.
	 */
	MUST_CHECK enum err_code (*claim)(struct upload *, struct err *);

	/*
	 * Make info.offset as safe as the durability mode promises for an
	 * acknowledged offset.  Needs the lock unless the upload is finished.
	 */
	MUST_CHECK enum err_code (*confirm)(struct upload *, struct err *);

	/*
	 * WriteChunk, in three steps, for an upload that is claimed or was
	 * just created.  write_begin() starts at info.offset; bytes on
	 * probation count only once write_end() keeps them, even if the
	 * process is killed in between.  write() takes bytes in, advances
	 * info.offset by what it took, and on an error still tells the truth
	 * there.  They are safe after write_end() only, which keeps them as
	 * the durability mode promises, or takes all of them back; that a
	 * killed process loses none of them before is a promise of the file
	 * store.  What declare_length() and set_expiry() were told since
	 * write_begin() shares its fate.  After a write_end() that failed
	 * info.offset is never more than what is safe.  When info.offset has
	 * reached info.size the caller goes on to finish(), and write_end()
	 * leaves the flushes to that.
	 */
	MUST_CHECK enum err_code (*write_begin)(
	    struct upload *, bool on_probation, struct err *);
	MUST_CHECK enum err_code (*write)(
	    struct upload *, const void *, size_t, struct err *);
	MUST_CHECK enum err_code (*write_end)(
	    struct upload *, bool keep, struct err *);

	/* Let go of an upload; it stays in the store. */
	void (*close)(struct upload *);

	/* Let go of the store itself, at exit. */
	void (*shutdown)(struct data_store *);
};

/* TerminaterDataStore: DELETE, extension "termination". */
struct store_terminater {
	MUST_CHECK enum err_code (*terminate)(struct upload *, struct err *);

	/*
	 * Remove, or only look for, what a creation or a deletion that died
	 * left of this id.  The caller holds the lock of the id, unless it only
	 * looks.  ERR_NOT_FOUND: there is nothing.  ERR_EXISTS: it is an
	 * upload.  ERR_LOCKED: it is being made.
	 */
	MUST_CHECK enum err_code (*clear)(
	    struct data_store *, const char *id, bool only_look, struct err *);
};

/*
 * FinisherDataStore: called when offset has reached size.  A crash may make
 * us call it again for the same upload; the second time must do no harm.
 * In a store without this table an upload is finished when it is whole.
 */
struct store_finisher {
	/*
	 * With what is to be done afterwards, of STORE_TO_DO: who is killed
	 * before that leaves it in info.pending, for the sweep.  May take
	 * longer than the front end waits: the client's retry is told that the
	 * upload is locked, and later that it is finished.
	 */
	MUST_CHECK enum err_code (*finish)(
	    struct upload *, unsigned pending, struct err *);

	/*
	 * For a claimed upload: strike out of info.pending what has been done.
	 * Nothing is flushed: what comes back after a power loss is done again.
	 */
	MUST_CHECK enum err_code (*done)(
	    struct upload *, unsigned what, struct err *);

	/*
	 * A pre-finish hook refused the upload: give the last byte back, so
	 * that nobody sees a whole upload and the client's retry tries again.
	 * An empty upload has no such byte; the caller terminates it.
	 */
	MUST_CHECK enum err_code (*refuse)(struct upload *, struct err *);
};

/* For a store that cannot always take more bytes at once. */
struct store_pacer {
	/*
	 * Between write_begin() and write_end(), after each write():
	 * leaves the wait at 0 ms where bytes are welcome, or says what to wait
	 * for before this is asked again.  It never blocks, and in the end it
	 * is ready or fails: an error is as one of write().
	 */
	MUST_CHECK enum err_code (*pace)(
	    struct upload *, struct wait *, struct err *);
};

/* GetReaderDataStore: GET, not part of tus. */
struct store_reader {
	MUST_CHECK enum err_code (*open)(struct upload *, int64_t from,
	    struct arena *, struct stream **, struct err *);
	ssize_t (*read)(struct stream *, void *, size_t, struct err *);
	void (*close)(struct stream *);
};

/* ConcaterDataStore: extension "concatenation". */
struct store_concater {
	/*
	 * Create dst, whole, from the uploads that dst->parts names, in this
	 * order; dst->size is what the caller found their sum to be.  Nobody
	 * can see it before finish(); see new_hidden().  The parts are
	 * finished, hence not locked; ERR_NOT_FOUND if one is gone by now,
	 * ERR_CONFLICT if one is not finished or not of the size it had.
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
 * Extension "expiration", and all that the sweep needs to carry it out; the
 * sweep removes with store_terminater, so a store that expires has that as
 * well.
 */
struct store_expirer {
	/* Seconds since the epoch, 0 is never; takes effect as a declared
	 * length does. */
	MUST_CHECK enum err_code (*set_expiry)(
	    struct upload *, int64_t when, struct err *);

	/*
	 * Walk all uploads, from *cursor NULL; *id is NULL after the last, and
	 * then, or after an error, the cursor is gone.  In no order; what comes
	 * or goes meanwhile may or may not be seen.  An upload that was made,
	 * or changed, later than unchanged_since (seconds since the epoch) may
	 * be left out, where that is known without opening it; INT64_MAX: none.
	 */
	MUST_CHECK enum err_code (*walk_next)(struct data_store *,
	    void **cursor, int64_t unchanged_since, struct arena *,
	    const char **id, struct err *);

	/* When bytes last arrived, seconds since the epoch; 0: not known. */
	int64_t (*last_change)(struct upload *);

	/*
	 * ERR_LOCKED: another process sweeps here.  ERR_OK: no other process
	 * is told so until shutdown() or the end of this process.
	 */
	MUST_CHECK enum err_code (*lock_note)(
	    struct data_store *, struct err *);

	/* A line that the store keeps for the sweep; "" if there is none. */
	MUST_CHECK enum err_code (*read_note)(
	    struct data_store *, char *, size_t size, struct err *);
	MUST_CHECK enum err_code (*write_note)(
	    struct data_store *, const char *, struct err *);
};

/* What the uploads of one owner may be together; 0 is no limit. */
struct store_quota {
	int64_t uploads;
	int64_t bytes;
};

/* An entry of the ledger whose upload is being made. */
struct store_entry;

/*
 * The ledger: how many uploads an owner has, and of how many bytes, kept so
 * that no two processes give away the same room.  An upload is in it with its
 * announced size while it is in the store, finished or not; one of deferred
 * length with what was reserved for it so far.
 *
 * The entry comes before the upload and goes after it, so a process that is
 * killed in between leaves one too many.  Before an owner is refused for want
 * of room, entries without an upload are struck out.  Nothing is flushed.  What
 * is missing, because of a power loss or because nobody counted at the time, is
 * for the sweep to enter.
 *
 * All but release and is_right may say ERR_UNAVAILABLE: the process that works
 * on the ledger of that owner takes too long, and may have been stopped.
 */
struct store_ledger {
	/*
	 * Before new_upload() or concat(): enter info->id of info->owner with
	 * so many bytes.  ERR_QUOTA if there is no room, ERR_EXISTS if that id
	 * is there.  To be followed by entered().
	 */
	MUST_CHECK enum err_code (*enter)(struct data_store *,
	    const struct file_info *, int64_t bytes, const struct store_quota *,
	    struct arena *, struct store_entry **, struct err *);

	/* The upload was made, or it was not. */
	void (*entered)(struct store_entry *, bool is_made);

	/*
	 * For an upload that is claimed or was just created, and has an owner:
	 * enter it with least to most bytes; *got says how many.  Beyond the
	 * least it gets no more than half of what is left, so that others find
	 * room, too.  ERR_QUOTA if there is no room for the least, and then
	 * nothing has changed.  No quota: there is room.
	 */
	MUST_CHECK enum err_code (*resize)(struct upload *,
	    const struct store_quota *, int64_t least, int64_t most,
	    int64_t *got, struct err *);

	/*
	 * Strike the upload out, because its bytes have left the store.
	 * terminate() does that by itself.
	 */
	MUST_CHECK enum err_code (*release)(struct upload *, struct err *);

	/*
	 * Is the upload entered as it should be: with its size, or with its
	 * offset while the length is not known?  Needs no lock, and is true
	 * for what has no owner or no bytes in the store.
	 */
	MUST_CHECK enum err_code (*is_right)(
	    struct upload *, bool *, struct err *);

	/*
	 * Strike out, or only count, all entries whose upload is not there and
	 * is not being made.
	 */
	MUST_CHECK enum err_code (*prune)(
	    struct data_store *, bool only_count, int64_t *n, struct err *);
};

/*
 * Finished uploads that go where people want them (finish.move_to).  A file
 * that has gone is no longer the store's: the record stays for a while, so that
 * HEAD still answers, the file can be read as long as it is where it went, and
 * to terminate() the upload leaves it alone.
 */
struct store_mover {
	/* Will an upload like this have to be moved when it is finished?
	 * False for partial ones, and if it was moved. */
	bool (*wants)(struct data_store *, const struct file_info *);

	/*
	 * Judge the place that pre-create chose for one: what of it is to be
	 * kept in file_info.move_to.  ERR_INVALID if it leads elsewhere.
	 */
	MUST_CHECK enum err_code (*choose)(struct data_store *,
	    const char *path, struct arena *, const char **move_to,
	    struct err *);

	/*
	 * Move a claimed and finished upload, if it has to be, and make sure
	 * of it if it was.  May take as long as it takes to copy it.  After
	 * an error, or a crash, it is tried again, and there is never more
	 * than one file, nor less.
	 */
	MUST_CHECK enum err_code (*move)(struct upload *, struct err *);

	/* Was a move of this finished upload interrupted?  The caller holds the
	 * lock, or else the move may simply be under way. */
	bool (*is_pending)(struct upload *);

	/* Try out which names the place takes that uploads are moved to. */
	MUST_CHECK enum err_code (*probe)(
	    struct data_store *, struct template_names *, struct err *);
};

/* Something in the store that is no upload, or no upload any more. */
struct store_leftover {
	/* What it is called there, and what it is, for people. */
	const char *name;
	const char *what;

	/* The upload it would belong to; NULL if it is none. */
	const char *id;

	/* When it was last changed, seconds since the epoch. */
	int64_t changed;

	/* False: we may not have made it, and nobody but its owner removes it.
	 * Or nobody can tell, for a hook may have chosen its id: if that was
	 * ever locked, clear() removes it. */
	bool removable;
	bool may_be_ours;

	/* How many names were looked at to find it. */
	int64_t looked;
};

/* Is told of a file that cannot be served, and why. */
typedef void store_stranger(void *arg, const char *name, const char *why);

/*
 * Keep the place in order.  None of this is for a request: the sweep removes
 * what lies around, and tusctl does the rest.
 */
struct store_keeper {
	/*
	 * Walk what lies around, as with walk_next(); after the last, name is
	 * NULL and the cursor gone.  A name NULL before that means that it may
	 * take long to find one: ask again.  What is being created just now
	 * looks like a leftover, too: only its age tells.  A caller that
	 * removes something has looked at all uploads before, because the
	 * record of another upload may name bytes that have none of their own.
	 */
	MUST_CHECK enum err_code (*leftover_next)(struct data_store *,
	    void **cursor, struct arena *, struct store_leftover *,
	    struct err *);

	/*
	 * Remove it.  The caller holds the lock of its id, if it has one.
	 * ERR_LOCKED if it is in use, ERR_CONFLICT if it is not removable or
	 * not what it was any more.
	 */
	MUST_CHECK enum err_code (*leftover_remove)(
	    struct data_store *, const struct store_leftover *, struct err *);

	/*
	 * Compare what the record says with what is there.  Needs no lock.
	 * ERR_CORRUPT: damaged, and no claim() will help.  ERR_CONFLICT:
	 * bytes are missing, and claim() goes on with those that are left.
	 * What a crash or a reboot leaves as a matter of course is no damage.
	 * An upload at work may look damaged; hold its lock to be sure.
	 */
	MUST_CHECK enum err_code (*check)(struct upload *, struct err *);

	/*
	 * For a claimed upload: make info.offset survive what comes next, be
	 * it a reboot or another server, whatever the durability mode says.
	 * Complete with settle_all() only.  for_tusd: that server will be
	 * tusd, where this is more work.  ERR_CONFLICT: it cannot go there as
	 * it is.
	 */
	MUST_CHECK enum err_code (*settle)(
	    struct upload *, bool for_tusd, struct err *);

	/* After the last settle(): what all uploads have in common. */
	MUST_CHECK enum err_code (*settle_all)(
	    struct data_store *, struct err *);

	/*
	 * Under the lock and instead of claim(): every byte that is there
	 * counts, because another server, which keeps no records like ours,
	 * has acknowledged it.  A record without our fields gets them.
	 */
	MUST_CHECK enum err_code (*adopt)(struct upload *, struct err *);

	/*
	 * After adopt() of all uploads: tell of each file that is there and
	 * that no request can reach.  Damaged records are left out, for adopt()
	 * has complained about them.
	 */
	MUST_CHECK enum err_code (*tell_strangers)(
	    struct data_store *, store_stranger *, void *arg, struct err *);
};

/* An open store.  Back ends embed this and add their own. */
struct data_store {
	const char *name;

	/* Never NULL. */
	const struct store_core *core;

	/* NULL if this store cannot. */
	const struct store_terminater *terminater;
	const struct store_finisher *finisher;
	const struct store_pacer *pacer;
	const struct store_reader *reader;
	const struct store_concater *concater;
	const struct store_length_declarer *length_declarer;
	const struct store_expirer *expirer;
	const struct store_ledger *ledger;
	const struct store_keeper *keeper;
	const struct store_mover *mover;

	/* The reader takes uploads that are not finished, too. */
	bool reads_unfinished;

	/* Nothing takes back what was acknowledged, so that settle() is for
	 * tusd alone. */
	bool is_always_settled;

	/*
	 * Several hosts may use it at the same time (store.shared).  What a
	 * writer that died had not made safe is gone then; and any change may
	 * be ERR_FENCED: another host may have the upload by now, so that the
	 * caller acknowledges nothing, takes nothing back and closes it.
	 */
	bool is_shared;
};

/* Has every announced byte arrived? */
static inline bool
upload_is_whole(const struct upload *up)
{
	return !up->info.size_deferred && up->info.offset == up->info.size;
}

/*
 * Finished uploads never change.  The only test for it there is: whole, and
 * where the store has a finisher, it was done with it.
 */
static inline bool
upload_is_finished(const struct upload *up)
{
	return upload_is_whole(up) &&
	    (up->store->finisher == NULL || up->info.finished != 0);
}

/* Why a store is held. */
enum store_use {
	/* tusfcgi -t: nothing is changed. */
	STORE_CHECKED,
	/* tusctl, beside a pool or not. */
	STORE_KEPT,
	/* A process that serves, or its master. */
	STORE_SERVED
};

/* What a back end exports: const struct store_class store_NAME. */
struct store_class {
	/* As in  store: { type = "file"; }  in the configuration. */
	const char *name;

	/* ERR_INVALID: keys that do not go together, whatever the disk looks
	 * like; NULL if all of them do. */
	MUST_CHECK enum err_code (*check_keys)(
	    const struct conf *, struct err *);

	MUST_CHECK enum err_code (*open)(
	    const struct conf *, struct data_store **, struct err *);

	/*
	 * What it needs of the system, as the configuration is; NULL if it
	 * needs nothing.  The directory of the first NEED_KEEP, if there is
	 * one, is where the uploads are.
	 */
	void (*needs)(const struct conf *, need_ear *, void *arg);

	/*
	 * Try out what uploads will need of a service: ERR_INVALID says what is
	 * to be mended, ERR_UNAVAILABLE that it does not answer now.  NULL if
	 * to open the store tells all.
	 */
	MUST_CHECK enum err_code (*try_out)(struct data_store *, struct err *);

	/* What a master does for all that have the store open, once a second
	 * and without waiting for anything; NULL if there is nothing. */
	void (*tend)(const struct conf *);

	/* Each process has its own uploads and forgets them.  Such a store is
	 * for tests; nothing in it ever expires, for no sweep sees it. */
	bool is_private;

	/* A reason not to use it in earnest, which tusfcgi -t says; or NULL. */
	const char *caution;

	/* See store_hold(); NULL if there is nothing to agree upon. */
	MUST_CHECK enum err_code (*hold)(
	    const struct conf *, enum store_use, bool alone, struct err *);
	void (*let_go)(void);

	/* See store_id(); NULL if it has none. */
	const char *(*id)(void);
};

/* Do the keys go together, as far as one can say without the store?  Opening it
 * looks at that as well. */
MUST_CHECK enum err_code store_check_keys(const struct conf *, struct err *);

/*
 * Open the store that store.type names.  ERR_INVALID for a back end that is
 * not built in, or whose capability tables are half-filled.
 */
MUST_CHECK enum err_code store_open(
    const struct conf *, struct data_store **, struct err *);

/*
 * Before the store is opened, once in a program: agree with all others who use
 * it on the locks that guard it, and on the boot that it lives in, until this
 * process and all that it forks are gone.  ERR_CONFLICT: the others have other
 * ones; the text names both.  With alone no other process may use the store,
 * because none could reach our locks: ERR_CONFLICT if one does.  A process that
 * opens the store without this is taken for the only one.
 */
MUST_CHECK enum err_code store_hold(
    const struct conf *, enum store_use, bool alone, struct err *);
void store_let_go(const struct conf *);

/* What tells this store from all others, for ever; "" if nothing does.  Of one
 * that is held. */
const char *store_id(const struct conf *);

/*
 * Is every capability table of this store filled?  store_open() asks it of
 * what it opened; so does a test of what it put together.
 */
MUST_CHECK enum err_code store_check(const struct data_store *, struct err *);

/* What the store that store.type names needs, whether it is_private, and its
 * caution. */
void store_needs(const struct conf *, need_ear *, void *arg);
bool store_is_private(const struct conf *);
const char *store_caution(const struct conf *);

/* See struct store_class. */
MUST_CHECK enum err_code store_try_out(
    const struct conf *, struct data_store *, struct err *);

/* For a master, once a second. */
void store_tend(const struct conf *);

/* The directory of the uploads, or NULL if they are in none; it belongs to the
 * configuration. */
const char *store_home(const struct conf *);

/* The names of the back ends built in, NULL after the last. */
const char *store_name(size_t n);

#endif
