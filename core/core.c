/*
 * core.c - what the core can do here, how it refuses, and whether a body fits:
 * the bounds of the upload, its digests, the quota of its owner.
 */
#include "config.h"

#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "core/parts.h"
#include "core/handle.h"

/* As many bytes are read again at a time. */
#define PIECE (64 * 1024)

bool
core_can_concat(const struct core *core)
{
	return core->allow_concat && core->store->concater != NULL;
}

bool
core_can_defer(const struct core *core)
{
	return core->allow_defer && core->store->length_declarer != NULL;
}

bool
core_can_expire(const struct core *core)
{
	return core->expire_after > 0 && core->store->expirer != NULL &&
	    core->store->terminater != NULL;
}

bool
core_can_read(const struct core *core)
{
	return core->allow_download && core->store->reader != NULL;
}

bool
core_can_remove(const struct core *core)
{
	return core->allow_terminate && core->store->terminater != NULL;
}

const char *
core_digest(const struct core *core, size_t n)
{
	if (!core->allow_checksum)
		return NULL;
	return core->checksums != NULL ? core->checksums[n] : digest_name(n);
}

bool
core_has_digest(const struct core *core, const char *name)
{
	size_t i;

	for (i = 0; core_digest(core, i) != NULL; i++)
		if (strcmp(core_digest(core, i), name) == 0)
			return true;
	return false;
}

bool
core_is_creation(const struct task *t)
{
	return t->in.deed == DEED_CREATE || t->in.deed == DEED_CONCAT;
}

bool
core_is_undone(const struct task *t)
{
	return core_is_creation(t) && !t->past.is_told;
}

bool
core_wants(const struct task *t, enum hook_point hook)
{
	struct hooks *hooks = t->core->hooks;

	return hooks != NULL && hooks->ops->wants(hooks, hook);
}

unsigned
core_sequel(const struct task *t, const struct file_info *info)
{
	const struct core *core = t->core;
	unsigned pending = pending_for(core->store, core->hooks, info);

	if (info->is_final && core->concat_removes_parts &&
	    core->store->terminater != NULL)
		pending |= STORE_TO_REMOVE;
	return pending;
}

int
core_refusal(struct task *t, enum err_code code)
{
	static const enum refusal refusals[ERR_MAX] = {
		[ERR_OK] = REFUSE_INTERNAL,
		[ERR_INVALID] = REFUSE_INTERNAL,
		[ERR_NOT_FOUND] = REFUSE_NOT_FOUND,
		[ERR_GONE] = REFUSE_GONE,
		[ERR_EXISTS] = REFUSE_INTERNAL,
		[ERR_LOCKED] = REFUSE_LOCKED,
		[ERR_CROWDED] = REFUSE_LOCKED,
		[ERR_FENCED] = REFUSE_LOCKED,
		[ERR_CONFLICT] = REFUSE_LOCKED,
		[ERR_NO_SPACE] = REFUSE_NO_SPACE,
		[ERR_QUOTA] = REFUSE_OVER_QUOTA,
		[ERR_CORRUPT] = REFUSE_INTERNAL,
		[ERR_UNAVAILABLE] = REFUSE_TOO_BUSY,
		[ERR_AWAY] = REFUSE_STORE_UNAVAILABLE,
		[ERR_SYSTEM] = REFUSE_INTERNAL,
	};

	/* The uploads are out of this host's reach, not broken. */
	if (code == ERR_SYSTEM && t->core->store->is_shared &&
	    fs_is_cut_off(t->err.sys)) {
		t->err.code = ERR_UNAVAILABLE;
		return REFUSE_STORE_UNAVAILABLE;
	}
	if (code == ERR_UNAVAILABLE && t->core->store->is_remote &&
	    t->err.sys == 0)
		return REFUSE_STORE_UNAVAILABLE;
	return (int)refusals[code];
}

enum step
core_reject(struct task *t, int why, const struct hook_reply *reply)
{
	t->reply = *reply;
	t->why = why;
	return STEP_DONE;
}

enum step
task_refuse(struct task *t, int why)
{
	static const struct hook_reply nothing = { 0, NULL, NULL };

	return core_reject(t, why, &nothing);
}

enum step
task_fail(struct task *t)
{
	return task_refuse(t, core_refusal(t, t->err.code));
}

bool
core_refuse(struct task *t, int why)
{
	(void)task_refuse(t, why);
	return false;
}

bool
core_fail(struct task *t)
{
	(void)task_fail(t);
	return false;
}

/* --- Does a body fit, as far as that is known before it comes? --- */

void
core_limit(struct task *t, int64_t max)
{
	if (max > 0 && (t->in.max_size == 0 || max < t->in.max_size))
		t->in.max_size = max;
}

/* Is the length that the upload will have known? */
static bool
is_length_known(const struct task *t)
{
	return t->in.length >= 0 ||
	    (t->up != NULL && !t->up->info.size_deferred);
}

/* The size that the upload must not pass. */
static int64_t
limit_of(const struct task *t)
{
	if (t->in.length >= 0)
		return t->in.length;
	if (is_length_known(t))
		return t->up->info.size;
	return t->in.max_size > 0 ? t->in.max_size : INT64_MAX;
}

int
core_why_too_long(const struct task *t)
{
	if (t->past.is_capped)
		return REFUSE_BODY_TOO_LARGE;
	return is_length_known(t) ? REFUSE_BEYOND_LENGTH : REFUSE_TOO_LARGE;
}

bool
core_check_size(struct task *t)
{
	int64_t offset = t->up != NULL ? t->up->info.offset : 0;

	t->past.limit = limit_of(t);
	t->past.is_capped =
	    t->in.max_body > 0 && t->in.max_body < t->past.limit - offset;
	if (t->past.is_capped)
		t->past.limit = offset + t->in.max_body;
	if (t->in.body_length <= t->past.limit - offset)
		return true;
	return core_refuse(t, core_why_too_long(t));
}

bool
core_declare_length(struct task *t)
{
	const struct data_store *store = t->core->store;

	return core_is_creation(t) || t->in.length < 0 ||
	    !t->up->info.size_deferred ||
	    store->length_declarer->declare_length(
		t->up, t->in.length, &t->err) == ERR_OK;
}

bool
core_check_late(struct task *t)
{
	size_t i;

	if (t->in.late != REFUSE_NOTHING)
		return core_refuse(t, t->in.late);
	for (i = 0; i < t->in.sum_count; i++)
		if (!core_has_digest(t->core, t->in.sums[i].algorithm))
			return core_refuse(t, REFUSE_UNKNOWN_ALGORITHM);
	return true;
}

void
core_begin_digests(struct task *t)
{
	size_t i;

	for (i = 0; i < t->in.sum_count; i++)
		t->digests[i] = digest_new(t->arena, t->in.sums[i].algorithm);
}

bool
core_end_digests(struct task *t)
{
	size_t i;

	for (i = 0; i < t->in.sum_count; i++) {
		if (!digest_end(t->digests[i], &t->in.sums[i]))
			t->mismatched |= 1U << i;
		t->digests[i] = NULL;
	}
	return t->mismatched == 0;
}

bool
core_read_again(struct task *t)
{
	const struct store_reader *reader = t->core->store->reader;
	int64_t left = t->up->info.offset - t->began_at;
	struct stream *s;
	ssize_t n = 0;
	char *piece;
	size_t i;

	if (t->in.sum_count == 0 || t->digests[0] != NULL)
		return true;
	if (reader->open(t->up, t->began_at, t->arena, &s, &t->err) != ERR_OK)
		return false;
	piece = arena_alloc(t->arena, PIECE);
	core_begin_digests(t);
	while (left > 0 && (n = reader->read(s, piece, PIECE, &t->err)) > 0) {
		for (i = 0; i < t->in.sum_count; i++)
			digest_update(t->digests[i], piece, (size_t)n);
		left -= n;
	}
	reader->close(s);
	if (n >= 0 && left != 0)
		(void)err_set(&t->err, ERR_SYSTEM, "%s: bytes are missing",
		    t->up->info.id);
	return left == 0;
}

bool
core_check_digest_of_nothing(struct task *t)
{
	core_begin_digests(t);
	if (core_end_digests(t))
		return true;
	return core_refuse(t, REFUSE_DIGEST_MISMATCH);
}

/*
 * --- What the uploads of one owner may be together. ---
 *
 * An upload of known length is entered once, before it is made, and costs
 * nothing afterwards.  One that does not say how long it will be reserves as
 * it grows.
 */

/* So much at once for a body of unknown length. */
#define STEP ((int64_t)64 << 20)

static bool
is_limited(const struct task *t, const char *owner)
{
	const struct store_quota *q = &t->core->quota;

	return owner != NULL && (q->uploads > 0 || q->bytes > 0);
}

/* The upload takes more and more room of its owner. */
static bool
grows(const struct task *t)
{
	return t->core->quota.bytes > 0 && t->up->info.size_deferred &&
	    is_limited(t, t->up->info.owner);
}

/* A refusal for the quota is the client's fault, and is not logged. */
static enum err_code
quietly(struct task *t, enum err_code rc)
{
	if (rc == ERR_QUOTA)
		t->err.code = ERR_OK;
	return rc;
}

enum err_code
core_enter(struct task *t)
{
	struct data_store *store = t->core->store;
	int64_t bytes = t->in.create.size;

	if (!is_limited(t, t->in.create.owner))
		return ERR_OK;
	if (t->in.create.size_deferred) {
		bytes = t->in.body_length > 0 && t->core->quota.bytes > 0 ?
		    t->in.body_length :
		    0;
		t->past.reserved = bytes;
	}
	return quietly(t,
	    store->ledger->enter(store, &t->in.create, bytes, &t->core->quota,
		t->arena, &t->entry, &t->err));
}

void
core_entered(struct task *t, bool is_made)
{
	if (t->entry != NULL)
		t->core->store->ledger->entered(t->entry, is_made);
	t->entry = NULL;
}

static enum err_code
resize(struct task *t, int64_t least, int64_t most)
{
	return quietly(t,
	    t->core->store->ledger->resize(t->up, &t->core->quota, least, most,
		&t->past.reserved, &t->err));
}

bool
core_reserve(struct task *t)
{
	int64_t size = t->in.length;
	enum err_code rc;

	if (!grows(t))
		return true;
	if (size < 0 && t->in.body_length > 0)
		size = t->up->info.offset + t->in.body_length;
	if (size < 0)
		return true;
	rc = resize(t, size, size);
	return rc == ERR_OK || core_refuse(t, core_refusal(t, rc));
}

enum err_code
core_grow(struct task *t, size_t len)
{
	int64_t least = t->up->info.offset + (int64_t)len, most = t->past.limit;

	if (!grows(t) || least <= t->past.reserved)
		return ERR_OK;
	if (most - least > STEP)
		most = least + STEP;
	return resize(t, least, most);
}

void
core_shrink(struct task *t)
{
	const struct file_info *info;
	struct err ignored;
	int64_t size;

	if (t->up == NULL || t->past.reserved < 0)
		return;
	info = &t->up->info;
	size = info->size_deferred ? info->offset : info->size;
	/* Room that cannot be given back now is given back by the next request,
	 * or by the sweep. */
	if (size != t->past.reserved &&
	    t->core->store->ledger->resize(
		t->up, NULL, size, size, &t->past.reserved, &ignored) != ERR_OK)
		log_warn("%s: %s", info->id, ignored.text);
	t->past.reserved = -1;
}
