/*
 * parts.h - what the files of core/ share; private to it.
 *
 * A file calls only what stands above it here.  A function that says false, or
 * STEP_DONE, has refused, and its caller returns at once.
 */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include "core/task.h"

/* --- core.c --- */

/* A value of enum refusal for what t->err has; the code is given apart, for
 * t->err may have been cleared.  Where a shared file system has cut this host
 * off, a call that fails makes it ERR_UNAVAILABLE. */
int core_refusal(struct task *t, enum err_code);
/* As task_refuse() and task_fail(), and say false. */
bool core_refuse(struct task *, int why);
bool core_fail(struct task *);
/* Refuse because a hook says so, in its own words where it has any. */
enum step core_reject(struct task *, int why, const struct hook_reply *);
/* Does the task make an upload, which is undone as a whole? */
bool core_is_creation(const struct task *);
/* Likewise, and its client does not know of it yet. */
bool core_is_undone(const struct task *);
bool core_wants(const struct task *, enum hook_point);
/* What will be pending when such an upload is finished. */
unsigned core_sequel(const struct task *, const struct file_info *);

/* Does a body fit?  The upload may not become larger than max, either; 0 says
 * nothing. */
void core_limit(struct task *, int64_t max);
int core_why_too_long(const struct task *);
bool core_check_size(struct task *);
/* What the client says of the length, if it is the first to say so. */
bool core_declare_length(struct task *);
/* The refusals of the protocol and of the digest that come last. */
bool core_check_late(struct task *);

/* The digests of a body.  end: false if one is wrong. */
void core_begin_digests(struct task *);
bool core_end_digests(struct task *);
/* The bytes of a task that was resumed, for their digests; false if they cannot
 * be read: t->err says why. */
bool core_read_again(struct task *);
/* An empty body has a digest, too. */
bool core_check_digest_of_nothing(struct task *);

/*
 * The quota.  enter: before an upload is made; entered: it was made, or not,
 * and this task writes no more to it.  The entry of an upload without a length
 * grows: reserve, before bytes are appended, enters the announced ones; grow,
 * before a write, makes room for it; shrink, at the end, leaves room for the
 * bytes that came.
 */
MUST_CHECK enum err_code core_enter(struct task *);
void core_entered(struct task *, bool is_made);
bool core_reserve(struct task *);
MUST_CHECK enum err_code core_grow(struct task *, size_t len);
void core_shrink(struct task *);

/* --- open.c: an upload and its lock, from looking to letting go. --- */

bool core_is_expired(const struct task *);
/* Expired for good: no request at work can still renew the upload. */
bool core_is_over(const struct task *);
/* Open the upload of this id without a lock, if the owner may see it; the
 * offset of an unfinished one may not be known before it is claimed, or looked
 * at. */
bool core_look(struct task *, const char *id);
bool core_look_at_offset(struct task *);
/* Remove what a creation or a removal of this id that died has left; true if
 * something was there and is gone.  With the lock of that id. */
bool core_clear(struct task *, const char *id);
/* The lock of an upload that is being made, unless some lock is held. */
MUST_CHECK enum err_code core_lock_new(struct task *, const char *id);
/* Release the lock; for good, if t->is_over. */
void core_unlock(struct task *);
/*
 * Has another process the lock by now, or can it have?  Then nothing may be
 * written, acknowledged or taken back any more.  abandon() says so to the
 * client.
 */
bool core_has_lost(const struct task *);
enum step core_abandon(struct task *);
/* Remove the upload that is open, also while it is written to. */
void core_remove(struct task *);
void core_close_upload(struct task *);
/* Remove an upload that cannot become what the client wants; hooks are told. */
void core_invalidate(struct task *);
void core_let_go(struct task *);

/* Call a hook and wait for its verdict, which is all zero where there is no
 * such hook.  False if it failed: t->err says how. */
bool core_call_hook(struct task *, enum hook_point, const struct file_info *,
    struct hook_verdict *);
bool core_pre_terminate(struct task *);
bool core_post_receive(struct task *);
/* The same in the middle of a body, if it is time. */
bool core_report_progress(struct task *);

bool core_finish(struct task *);
/* Refuse because a creation failed, possibly at the record, which may be
 * written after the bytes. */
enum step core_fail_creation(struct task *, enum err_code);
/*
 * Have the upload to oneself: lock it, and read again what may have changed.
 * STEP_RECEIVE when that is done; with no lock held where, with LOCK_EXISTING,
 * the upload has never been locked, or where there is no room for a lock.
 */
enum step core_claim(struct task *, enum lock_how);
/* The same for a task that has all it will write, without a lock that leaves a
 * trace.  False if it is not like that: then core_claim() is to be called. */
bool core_claim_briefly(struct task *, enum step *);

/* --- create.c, receive.c: make an upload; take in a body. --- */

bool core_create(struct task *);
/* Out of parts, when it is known that no body comes. */
enum step core_concat(struct task *);

/* To create and to append; again after STEP_WAIT. */
enum step core_begin_create(struct task *);
enum step core_begin_append(struct task *);

#endif
