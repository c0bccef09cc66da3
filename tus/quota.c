/*
 * quota.c - what the uploads of one owner may be together.
 *
 * An upload of known length is entered once, before it is made, and costs
 * nothing afterwards.  One that does not say how long it will be reserves as
 * it grows.
 */
#include "config.h"

#include "base/log.h"
#include "tus/call.h"

/* So much at once for a body of unknown length. */
#define STEP ((int64_t)64 << 20)

static bool
is_limited(const struct web_call *c, const char *owner)
{
	const struct store_quota *q = &c->srv->core.quota;

	return owner != NULL && (q->uploads > 0 || q->bytes > 0);
}

/* The upload takes more and more room of its owner. */
static bool
grows(const struct web_call *c)
{
	return c->srv->core.quota.bytes > 0 && c->up->info.size_deferred &&
	    is_limited(c, c->up->info.owner);
}

/* The client did something it may not; the log has nothing to tell. */
static enum err_code
quietly(struct web_call *c, enum err_code rc)
{
	if (rc == ERR_QUOTA)
		c->res.err.code = ERR_OK;
	return rc;
}

enum err_code
tus_enter(struct web_call *c)
{
	struct data_store *store = c->srv->core.store;
	int64_t bytes = c->create.size;

	if (!is_limited(c, c->create.owner))
		return ERR_OK;
	if (c->create.size_deferred) {
		bytes = c->content_length > 0 && c->srv->core.quota.bytes > 0 ?
		    c->content_length :
		    0;
		c->reserved = bytes;
	}
	return quietly(c,
	    store->ledger->enter(store, &c->create, bytes, &c->srv->core.quota,
		c->arena, &c->entry, &c->res.err));
}

void
tus_entered(struct web_call *c, bool is_made)
{
	if (c->entry != NULL)
		c->srv->core.store->ledger->entered(c->entry, is_made);
	c->entry = NULL;
}

static enum err_code
resize(struct web_call *c, int64_t least, int64_t most)
{
	return quietly(c,
	    c->srv->core.store->ledger->resize(c->up, &c->srv->core.quota,
		least, most, &c->reserved, &c->res.err));
}

bool
tus_reserve(struct web_call *c)
{
	int64_t size = c->length;
	enum err_code rc;

	if (!grows(c))
		return true;
	if (size < 0 && c->content_length > 0)
		size = c->up->info.offset + c->content_length;
	if (size < 0)
		return true;
	rc = resize(c, size, size);
	if (rc != ERR_OK)
		(void)tus_refuse(c, tus_refusal_for(rc));
	return rc == ERR_OK;
}

enum err_code
tus_grow(struct web_call *c, size_t len)
{
	int64_t least = c->up->info.offset + (int64_t)len, most = c->limit;

	if (!grows(c) || least <= c->reserved)
		return ERR_OK;
	if (most - least > STEP)
		most = least + STEP;
	return resize(c, least, most);
}

void
tus_shrink(struct web_call *c)
{
	const struct file_info *info;
	struct err ignored;
	int64_t size;

	if (c->up == NULL || c->reserved < 0)
		return;
	info = &c->up->info;
	size = info->size_deferred ? info->offset : info->size;
	/* What cannot be given back now is given back by the next request, or
	 * by the sweep. */
	if (size != c->reserved &&
	    c->srv->core.store->ledger->resize(
		c->up, NULL, size, size, &c->reserved, &ignored) != ERR_OK)
		log_warn("%s: %s", info->id, ignored.text);
	c->reserved = -1;
}
