/*
 * quota.c - what the uploads of one owner may be together.
 *
 * An upload of known length is entered once, before it is made, and costs
 * nothing afterwards.  One that does not say how long it will be reserves as
 * it grows.
 */
#include "config.h"

#include "base/log.h"
#include "core/parts.h"

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

/* The client did something it may not; the log has nothing to tell. */
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
		t->reserved = bytes;
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
	    t->core->store->ledger->resize(
		t->up, &t->core->quota, least, most, &t->reserved, &t->err));
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
	if (rc != ERR_OK)
		(void)task_refuse(t, core_refusal(rc));
	return rc == ERR_OK;
}

enum err_code
core_grow(struct task *t, size_t len)
{
	int64_t least = t->up->info.offset + (int64_t)len, most = t->limit;

	if (!grows(t) || least <= t->reserved)
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

	if (t->up == NULL || t->reserved < 0)
		return;
	info = &t->up->info;
	size = info->size_deferred ? info->offset : info->size;
	/* What cannot be given back now is given back by the next request, or
	 * by the sweep. */
	if (size != t->reserved &&
	    t->core->store->ledger->resize(
		t->up, NULL, size, size, &t->reserved, &ignored) != ERR_OK)
		log_warn("%s: %s", info->id, ignored.text);
	t->reserved = -1;
}
