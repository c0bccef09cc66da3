/*
 * core.c - what the core can do here, and how it refuses.
 */
#include "config.h"

#include <string.h>

#include "core/parts.h"
#include "core/pending.h"

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
	return core_is_creation(t) && !t->is_told;
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
core_refusal(enum err_code code)
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
	return task_refuse(t, core_refusal(t->err.code));
}
