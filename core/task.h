/*
 * task.h - what one request wants of an upload, and what came of it.
 *
 * A protocol turns a request into a struct intent: values, validated.  The core
 * carries it out step by step and leaves the outcome in the same struct task,
 * of which the protocol then makes an answer.  The core knows no method, no
 * header and no status, and calls no layer above it; what only the protocol can
 * refuse comes in as a number and goes out as it came.
 */
#ifndef CORE_TASK_H
#define CORE_TASK_H

#include <sys/types.h>

#include "core/core.h"
#include "core/digest.h"

enum deed {
	/* Make an upload, perhaps with its first bytes. */
	DEED_CREATE,
	/* Make one out of finished parts. */
	DEED_CONCAT,
	DEED_APPEND,
	/* How far has it got? */
	DEED_LOOK,
	/* Open what is finished, to be read. */
	DEED_READ,
	DEED_REMOVE,
	DEED_MAX
};

/* Why something was refused.  The numbers from REFUSE_MAX on belong to the
 * layers above. */
enum refusal {
	REFUSE_NOTHING,
	REFUSE_NOT_FOUND,
	REFUSE_GONE,
	REFUSE_LOCKED,
	REFUSE_INTERRUPTED,
	REFUSE_TIMED_OUT,
	REFUSE_SHUTTING_DOWN,
	REFUSE_TOO_BUSY,
	REFUSE_LOCK_UNAVAILABLE,
	REFUSE_STORE_UNAVAILABLE,
	REFUSE_LENGTH_CHANGED,
	REFUSE_LENGTH_TOO_SMALL,
	REFUSE_LENGTHS_DISAGREE,
	REFUSE_TOO_LARGE,
	REFUSE_BODY_TOO_LARGE,
	REFUSE_BEYOND_LENGTH,
	REFUSE_WRONG_OFFSET,
	REFUSE_RECORD_TOO_LARGE,
	REFUSE_PART_NOT_FINISHED,
	REFUSE_PART_NOT_PARTIAL,
	REFUSE_MODIFY_FINAL,
	REFUSE_KEEP_FINISHED,
	REFUSE_UNKNOWN_ALGORITHM,
	REFUSE_DIGEST_MISMATCH,
	REFUSE_UNEXPECTED_END,
	REFUSE_OVER_QUOTA,
	REFUSE_NO_SPACE,
	REFUSE_REJECTED,
	REFUSE_STOPPED,
	REFUSE_REMOVAL_REJECTED,
	REFUSE_INTERNAL,
	REFUSE_MAX
};

/* How many digests a body may have. */
#define SUMS_MAX 2

struct intent {
	enum deed deed;

	/* The upload that is meant; "" where one is made. */
	char id[ID_MAX + 1];

	/* The owner on whose behalf the client asks; NULL if none is known. */
	const char *owner;

	/* Bytes that the upload may have; 0 is no limit. */
	int64_t max_size;

	/* To append: where the client believes the upload is. */
	int64_t offset;

	/* Of the whole upload, and of the body; -1 if the client does not
	 * say. */
	int64_t length;
	int64_t body_length;

	/* All of the body has arrived and need not be waited for. */
	bool is_here;

	/* Bytes that this body may have; 0 is no limit. */
	int64_t max_body;

	/*
	 * is_last: the end of the body is the end of the upload, whose length
	 * then follows from it.  is_strict: lengths that disagree are told
	 * apart, and an upload for which more comes than its length is removed.
	 */
	bool is_last, is_strict;

	/* To create: make the upload before the body shows itself, so that the
	 * client can be told of it; see task_tell(). */
	bool is_early;

	/* What the body must be. */
	struct sum sums[SUMS_MAX];
	size_t sum_count;

	/* Refusals that a protocol has found and that must wait, or
	 * REFUSE_NOTHING.  late: when all is checked that can be before the
	 * body.  if_body: as soon as a body shows itself. */
	int late, if_body;

	/* To create: what the upload will be. */
	struct file_info create;

	/* What hooks are shown; NULL where there are none. */
	const struct hook_request *shown;
};

/* What a task has done so far: it goes along with a task that changes its
 * process. */
struct task_past {
	/* The upload was created; the client knows the one that is being
	 * made. */
	bool created, is_told;

	/* The task waited for the lock, and got it at that time. */
	bool waited;
	int64_t locked_at;

	/* Bytes of the body that were taken in, kept or not. */
	int64_t received;

	/*
	 * limit is the offset that the body must not pass; is_capped: because
	 * of in.max_body.  Where its length is not known, the byte that would
	 * make the upload whole is kept in last until the end has been seen: a
	 * kill before that must not leave a whole upload of which the rest was
	 * yet to be refused.
	 */
	int64_t limit;
	bool is_capped, has_last;
	char last;

	/* What the ledger holds for the upload while its length is not known;
	 * -1 if that was not asked. */
	int64_t reserved;

	/* What hooks were told last of the offset, and when. */
	int64_t reported, reported_at;
};

/*
 * What a task in the middle of its body is, beside its intent: enough to go on
 * with it in another process of the same program.
 */
struct task_note {
	/* Nothing is made or open yet, and the task begins anew. */
	bool is_blank;

	char id[ID_MAX + 1];
	struct store_pause pause;
	/* loan.fd is -1 where nothing is locked. */
	struct lock_loan loan;
	/* Of the upload, as in the intent. */
	int64_t length;
	struct task_past past;
};

/* Private to core/, but for what the comments say. */
struct task {
	const struct core *core;
	struct arena *arena;

	/* The protocol fills it in before task_begin(). */
	struct intent in;

	/*
	 * The outcome, to be read once STEP_DONE was said: why it
	 * was refused, REFUSE_NOTHING if it was not; what to log, if err.code
	 * is not ERR_OK; what a hook wants the client to be told; and what
	 * happened.
	 */
	int why;
	struct err err;
	struct hook_reply reply;
	struct task_past past;
	bool finished, removed;
	/* The lock was taken over. */
	bool interrupted;
	/* The host that it waited for; NULL: this one, or not known. */
	const char *lock_host;
	/* A bit for each of in.sums that was wrong; and the algorithm by which
	 * the whole upload is not what in.create.digest said. */
	unsigned mismatched;
	const char *whole_wrong;

	/* After STEP_WAIT: what for.  After STEP_RECEIVE of receive or tick, if
	 * events is not 0: tick is due as well when fd has one of them. */
	struct wait wait;

	/* The upload, open until task_conclude(), NULL if there is none. */
	struct upload *up;

	/* asked: the locker goes on asking the holder for the lock.  is_over:
	 * the upload will never be locked again. */
	struct lock *lock;
	bool asked, is_over;

	/* The id that a final upload gets unless a hook chooses one. */
	const char *derived;

	/* The body. */
	bool is_writing;
	/* NULL in a task that was resumed: its bytes are read once more. */
	struct digest *digests[SUMS_MAX];
	int64_t began_at;

	/* The ledger's entry of an upload that is being made. */
	struct store_entry *entry;

	/* Hooks: the uploads that were created or removed, as they were then;
	 * what is to be told afterwards. */
	struct file_info was_created, was_removed;
	struct hook_notice *notices[HOOK_POINT_MAX];

	/* Work that is pending for the upload that was finished; while there is
	 * any, up and lock are kept. */
	unsigned pending;
};

/* The task is all zero; core and arena must outlive it. */
void task_init(struct task *, const struct core *, struct arena *);

/*
 * Carry it out.  begin is called again after STEP_WAIT.  After STEP_RECEIVE the
 * body is handed over with receive, tick is called at least every 250 ms, and
 * end says why there is no more; where receive or tick says STEP_WAIT, nothing
 * is handed over until tick says STEP_RECEIVE.  Once one of them said
 * STEP_DONE, the outcome is there.
 */
MUST_CHECK enum step task_begin(struct task *);
MUST_CHECK enum step task_receive(struct task *, const void *, size_t);
MUST_CHECK enum step task_tick(struct task *);
MUST_CHECK enum step task_end(struct task *, enum body_end);

/*
 * After STEP_RECEIVE, of a creation with in.is_early: the client is told of the
 * upload now, so that it stays when the body is cut off, and gives way to
 * others like one that is appended to.  False if there is nothing to tell of.
 */
bool task_tell(struct task *);

/*
 * Before task_begin(): in which protocol was the upload made; NULL is tus.
 * False if there is none that its owner may see.  It is opened on the way.
 */
bool task_find_maker(struct task *, const char **protocol);

/*
 * Between STEP_RECEIVE and the next call: the task is to go on in another
 * process.  park() fills in the note, and false means that this task cannot;
 * whether or not, the task goes on as before unless parted() is called: that
 * ends it here without an outcome, once the note and the descriptor of its lock
 * are on their way.
 *
 * resume() is called there, instead of begin, with the same intent, unless the
 * note is blank.  The descriptor is the task's from then on.
 */
bool task_park(struct task *, struct task_note *);
void task_parted(struct task *);
MUST_CHECK enum step task_resume(struct task *, const struct task_note *);

/* Is there something that the hook of progress is to be told of? */
bool task_has_to_report(const struct task *);

/* How many bytes of the body are still to come; -1 if that is not known. */
int64_t task_wanted(const struct task *);

/* Refuse, whatever the outcome was before; STEP_DONE.  The reply of a hook is
 * dropped, because it belongs to what did not happen. */
enum step task_refuse(struct task *, int why);
/* As task->err says. */
enum step task_fail(struct task *);

/* Before anything is answered: what was done under a lock that is lost is not
 * ours to acknowledge any more, and is refused. */
void task_check_lock(struct task *);

/* After the answer was made: note what hooks are to be told, close the upload
 * and give the lock back, unless something is still to be done for it. */
void task_conclude(struct task *);

/* After the answer was sent: tell hooks, move, remove parts.  What cannot be
 * done now is left to the sweep. */
void task_close(struct task *);

/* As task_close(), but nothing is told or moved: in a process whose child calls
 * that, or where it is left to the sweep. */
void task_forget(struct task *);

/* May task_begin() take long, because hooks are asked or bytes are copied? */
bool task_may_take_long(const struct task *);

/* After STEP_RECEIVE: may all of the upload be copied when this body is here?
 */
bool task_may_move(const struct task *);

/* After task_conclude(): is there something for task_close() to do; is it to
 * move an upload? */
bool task_has_to_tell(const struct task *);
bool task_has_to_move(const struct task *);

#endif
