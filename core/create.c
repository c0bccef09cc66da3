/*
 * create.c - make an upload: empty, with its first bytes, or out of parts.
 *
 * An upload is made only when everything is checked and, where a body is
 * announced, when the body begins; and if the request fails then, the upload is
 * removed, since the client never learned where it is.
 *
 * No part is locked: a finished upload never changes, so two requests that
 * name the same parts in another order cannot wait for each other.  All parts
 * are looked at before the first byte is copied.
 */
#include "config.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <string.h>

#include "core/parts.h"

/* A new id is in use already once in 2^122; more often is an error. */
#define ID_TRIES 3

/* A body of at most so many bytes arrives at once. */
#define SOON ((int64_t)1 << 20)

/* As many as a random id has. */
#define ID_BYTES 16

/* --- What a hook may change. --- */

/* Metadata that a hook made must be such as a client could have sent. */
static bool
change_metadata(struct task *t, const struct pair *metadata)
{
	const struct pair *p = metadata;

	while (p != NULL && store_is_metadata_key(p->key))
		p = p->next;
	if (p != NULL) {
		(void)err_set(&t->err, ERR_INVALID,
		    "pre-create: ChangeFileInfo.MetaData has a key that is "
		    "empty, or not printable ASCII, or has a comma");
		return core_fail(t);
	}
	t->in.create.metadata = metadata;
	t->in.create.metadata_raw = store_encode_metadata(t->arena, metadata);
	return true;
}

/* Where the upload will go when it is finished. */
static bool
choose_destination(struct task *t, const char *path)
{
	struct data_store *store = t->core->store;
	struct err *why = &t->err;

	if (store->mover == NULL)
		(void)err_set(why, ERR_INVALID,
		    "store %s keeps uploads where they are", store->name);
	else if (store->mover->choose(store, path, t->arena,
		     &t->in.create.move_to, why) == ERR_OK)
		return true;
	(void)err_within(why, "pre-create: ChangeFileInfo.Storage.Path");
	return core_fail(t);
}

/* The size that was announced was checked before the hook made the limit. */
static bool
limit_size(struct task *t, int64_t max)
{
	const struct file_info *info = &t->in.create;

	t->in.create.max_size = max;
	core_limit(t, max);
	if (info->size_deferred || t->in.max_size == 0 ||
	    info->size <= t->in.max_size)
		return info->is_final || core_check_size(t);
	return core_refuse(t, REFUSE_TOO_LARGE);
}

static bool
change_upload(struct task *t, const struct hook_verdict *v)
{
	if (v->storage_path != NULL && !choose_destination(t, v->storage_path))
		return false;
	if (v->id != NULL && !id_is_valid(v->id)) {
		(void)err_set(&t->err, ERR_INVALID,
		    "pre-create: ChangeFileInfo.ID: an id is 1 to %d of the "
		    "characters A-Z a-z 0-9 _ -",
		    ID_MAX);
		return core_fail(t);
	}
	t->in.create.id = v->id;
	if (v->max_size > 0 && !limit_size(t, v->max_size))
		return false;
	return !v->has_metadata || change_metadata(t, v->metadata);
}

static bool
call_pre_create(struct task *t)
{
	struct hook_verdict v;

	if (!core_call_hook(t, HOOK_PRE_CREATE, &t->in.create, &v))
		return core_fail(t);
	if (v.reject_upload) {
		(void)core_reject(t, REFUSE_REJECTED, &v.reply);
		return false;
	}
	t->reply = v.reply;
	return change_upload(t, &v);
}

/* --- To make it. --- */

/* Fill in what every new upload has. */
static void
describe(struct task *t)
{
	struct file_info *info = &t->in.create;

	info->owner = t->in.owner;
	info->created = t->core->now();
	if (core_can_expire(t->core) && !info->is_final)
		info->expires = info->created + t->core->expire_after;
}

/* May this task bring bytes, or finish what it makes? */
static bool
has_more(const struct task *t)
{
	return t->in.body_length != 0 || t->in.length == 0;
}

/*
 * An upload whose body arrives at once need not be visible before, unless a
 * hook or a client is told the id or the offset meanwhile.
 */
static bool
is_hidden(const struct task *t, bool is_chosen)
{
	return !is_chosen && !t->in.is_early && has_more(t) &&
	    (t->in.length == 0 ||
		(t->in.body_length > 0 && t->in.body_length <= SOON)) &&
	    !core_wants(t, HOOK_POST_RECEIVE);
}

/*
 * The record of an upload appears before its bytes, unless it is hidden, and a
 * sweep, or a client that was told the id by a hook, would repair, finish or
 * remove what seems to be left behind.  So its lock is held as long as this
 * task may write to it, or has something to do for it when it is finished.  A
 * creation without a body writes nothing after the record, and no client knows
 * its id before the answer, unless a hook chose it.
 */
static bool
is_locked(const struct task *t, bool is_chosen)
{
	if (is_chosen || t->in.create.is_final)
		return true;
	if (is_hidden(t, is_chosen))
		return t->in.length >= 0 && core_sequel(t, &t->in.create) != 0;
	return has_more(t);
}

static enum err_code
make_in_store(struct task *t, bool is_chosen)
{
	struct data_store *store = t->core->store;
	const struct file_info *info = &t->in.create;

	if (info->is_final)
		return store->concater->concat(
		    store, info, t->arena, &t->up, &t->err);
	if (is_hidden(t, is_chosen))
		return store->core->new_hidden(
		    store, info, t->arena, &t->up, &t->err);
	return store->core->new_upload(store, info, t->arena, &t->up, &t->err);
}

static enum err_code
make(struct task *t, bool is_chosen)
{
	enum err_code rc;

	if (is_locked(t, is_chosen) &&
	    (rc = core_lock_new(t, t->in.create.id)) != ERR_OK)
		return rc;
	rc = core_enter(t);
	if (rc == ERR_OK)
		rc = make_in_store(t, is_chosen);
	if (rc == ERR_OK)
		return rc;
	core_entered(t, false);
	t->up = NULL;
	/* This task has the lock of the id, so no living process has made a
	 * part of the upload. */
	if (rc == ERR_EXISTS && t->lock != NULL &&
	    core_clear(t, t->in.create.id))
		return make(t, is_chosen);
	/* The lock file of an existing upload may be the mark of pending
	 * work. */
	t->is_over = rc != ERR_EXISTS;
	core_unlock(t);
	t->is_over = false;
	return rc;
}

/* With the id that a hook chose or, at the first try, the one that follows from
 * the request. */
static enum err_code
make_with_id(struct task *t)
{
	if (t->in.create.id != NULL) {
		/* The lock of the other id, if there is one. */
		core_unlock(t);
		return make(t, true);
	}
	if (t->derived == NULL)
		return ERR_EXISTS;
	t->in.create.id = t->derived;
	return make(t, false);
}

/* The store may have a limit of its own where no length is known. */
static void
limit_body(struct task *t)
{
	const struct file_info *info = &t->up->info;

	core_limit(t, info->max_size);
	if (info->size_deferred && t->in.max_size > 0 &&
	    t->past.limit > t->in.max_size) {
		t->past.limit = t->in.max_size;
		t->past.is_capped = false;
	}
}

bool
core_create(struct task *t)
{
	enum err_code rc;
	bool is_chosen;
	char *id;
	int i;

	describe(t);
	if (!call_pre_create(t))
		return false;
	is_chosen = t->in.create.id != NULL;
	rc = make_with_id(t);
	for (i = 0; i < ID_TRIES && rc == ERR_EXISTS && !is_chosen; i++) {
		id = arena_alloc(t->arena, ID_MAX + 1);
		t->core->new_id(id);
		t->in.create.id = id;
		rc = make(t, false);
	}
	if (rc != ERR_OK) {
		(void)core_fail_creation(t, rc);
		return false;
	}
	t->err.code = ERR_OK;
	t->past.created = true;
	limit_body(t);
	t->was_created = t->up->info;
	/* post-create is shown the upload as it was before the first byte. */
	t->was_created.offset = 0;
	return true;
}

/* --- Out of parts. --- */

/* May this part be in it?  Adds its size to the sum. */
static int
why_not_part(const struct task *t, int64_t *sum)
{
	const struct file_info *info = &t->up->info;

	if (core_is_expired(t))
		return REFUSE_GONE;
	if (!info->is_partial)
		return REFUSE_PART_NOT_PARTIAL;
	if (!upload_is_finished(t->up))
		return REFUSE_PART_NOT_FINISHED;
	if (__builtin_add_overflow(*sum, info->size, sum) ||
	    (t->in.max_size > 0 && *sum > t->in.max_size))
		return REFUSE_TOO_LARGE;
	return REFUSE_NOTHING;
}

/* Open the part, look at it, let it go.  The outcome of a refusal names it. */
static bool
visit_part(struct task *t, const char *id, int64_t *sum)
{
	int why;

	memcpy(t->in.id, id, strlen(id) + 1);
	if (!core_look(t, id) || !core_look_at_offset(t))
		return false;
	why = why_not_part(t, sum);
	if (why != REFUSE_NOTHING)
		return core_refuse(t, why);
	core_close_upload(t);
	t->in.id[0] = '\0';
	return true;
}

static bool
visit_parts(struct task *t)
{
	const char *const *id;

	for (id = t->in.create.parts; *id != NULL; id++)
		if (!visit_part(t, *id, &t->in.create.size))
			return false;
	return core_check_late(t) && core_check_digest_of_nothing(t);
}

/*
 * The id of a final upload follows from the request, so that a client which
 * lost the answer finds what it has made, and no list of answers is kept.
 */
static const char *
derive_id(const struct task *t)
{
	const struct file_info *info = &t->in.create;
	const char *text = "tusfcgi final 1\n";
	unsigned char md[EVP_MAX_MD_SIZE];
	char *id = arena_alloc(t->arena, ID_MAX + 1);
	unsigned len, i;

	for (i = 0; info->parts[i] != NULL; i++)
		text = arena_printf(t->arena, "%s%s\n", text, info->parts[i]);
	/* Neither an id nor metadata can be empty or have a line in it. */
	text = arena_printf(t->arena, "%s\n%s\n%s", text,
	    info->metadata_raw != NULL ? info->metadata_raw : "",
	    t->in.owner != NULL ? t->in.owner : "");
	if (EVP_Digest(text, strlen(text), md, &len, EVP_sha256(), NULL) != 1)
		return NULL;
	for (i = 0; i < ID_BYTES; i++)
		(void)snprintf(id + 2 * i, 3, "%02x", md[i]);
	return id;
}

static bool
is_same_list(const char *const *a, const char *const *b)
{
	while (a != NULL && *a != NULL && *b != NULL && strcmp(*a, *b) == 0)
		a++, b++;
	return a != NULL && *a == NULL && *b == NULL;
}

/*
 * Is the upload of this request there already?  Then it is answered once more,
 * whether or not the parts are still there, and no hook is told again.
 */
static bool
is_repeated(struct task *t)
{
	struct data_store *store = t->core->store;
	struct upload *up;
	enum err_code rc;
	struct err e;

	if (t->derived == NULL)
		return false;
	rc = store->core->get_upload(store, t->derived, t->arena, &up, &e);
	if (rc == ERR_OK && up->info.is_final && upload_is_finished(up) &&
	    is_same_list(up->info.parts, t->in.create.parts)) {
		t->up = up;
		return true;
	}
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		store->core->close(up);
	return false;
}

static enum step
answer_again(struct task *t)
{
	if (!core_check_late(t) || !core_check_digest_of_nothing(t))
		return STEP_DONE;
	/* The request that finished it may still be flushing it. */
	if (!t->up->settled &&
	    t->core->store->core->confirm(t->up, &t->err) != ERR_OK)
		return task_fail(t);
	return STEP_DONE;
}

/* A request that makes the same upload just now has its lock. */
static bool
lock(struct task *t)
{
	enum err_code rc = ERR_OK;

	if (t->derived != NULL)
		rc = core_lock_new(t, t->derived);
	t->is_over = true;
	return rc == ERR_OK || core_refuse(t, core_refusal(t, rc));
}

enum step
core_concat(struct task *t)
{
	t->derived = derive_id(t);
	if (is_repeated(t))
		return answer_again(t);
	if (!visit_parts(t) || !lock(t))
		return STEP_DONE;
	if (is_repeated(t))
		return answer_again(t);
	if (core_create(t))
		(void)core_finish(t);
	return STEP_DONE;
}
