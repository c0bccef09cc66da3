/*
 * pending.c - what is still to be done for an upload that is finished.
 */
#include "config.h"

#include <string.h>

#include "core/hold.h"
#include "core/pending.h"

unsigned
pending_for(
    struct data_store *store, struct hooks *hooks, const struct file_info *info)
{
	unsigned pending = 0;

	if (hooks != NULL && hooks->ops->wants(hooks, HOOK_POST_FINISH))
		pending |= STORE_TO_TELL;
	if (store->mover != NULL && store->mover->wants(store, info))
		pending |= STORE_TO_MOVE;
	return pending;
}

static bool
is_same_owner(const struct file_info *a, const struct file_info *b)
{
	if (a->owner == NULL || b->owner == NULL)
		return a->owner == b->owner;
	return strcmp(a->owner, b->owner) == 0;
}

/* The part may be gone, and its id another upload's by now. */
static enum err_code
remove_claimed(struct data_store *store, struct upload *part,
    const struct file_info *whole, struct err *e)
{
	enum err_code rc = store->core->claim(part, e);

	if (rc != ERR_OK)
		return rc;
	if (!part->info.is_partial || !upload_is_finished(part) ||
	    !is_same_owner(&part->info, whole))
		return err_set(
		    e, ERR_CONFLICT, "%s: is no part any more", part->info.id);
	return store->terminater->terminate(part, e);
}

static enum err_code
remove_part(struct data_store *store, struct locker *locker, const char *id,
    const struct file_info *whole, struct arena *a, struct err *e)
{
	struct hold part;
	enum err_code rc;

	rc = hold_open(&part, store, id, a, e);
	if (rc == ERR_OK)
		rc = hold_lock(&part, locker, LOCK_QUIETLY, 0, a, e);
	if (rc != ERR_OK)
		return rc;
	rc = remove_claimed(store, part.up, whole, e);
	part.is_over = rc == ERR_OK || rc == ERR_NOT_FOUND;
	hold_release(&part);
	return rc;
}

enum err_code
pending_remove_parts(struct data_store *store, struct locker *locker,
    const struct file_info *whole, struct arena *a, struct err *e)
{
	const char *const *id = whole->parts;
	enum err_code rc, all = ERR_OK;
	struct err one;

	for (; id != NULL && *id != NULL; id++) {
		rc = remove_part(store, locker, *id, whole, a, &one);
		if (rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_CONFLICT)
			continue;
		*e = one;
		all = rc;
	}
	return all;
}
