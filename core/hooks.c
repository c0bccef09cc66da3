/*
 * hooks.c - the names of what hooks are told and asked.
 */
#include "config.h"

#include "core/hooks.h"

static const char *const names[HOOK_POINT_MAX] = {
	[HOOK_PRE_CREATE] = "pre-create",
	[HOOK_POST_CREATE] = "post-create",
	[HOOK_POST_RECEIVE] = "post-receive",
	[HOOK_PRE_FINISH] = "pre-finish",
	[HOOK_POST_FINISH] = "post-finish",
	[HOOK_PRE_TERMINATE] = "pre-terminate",
	[HOOK_POST_TERMINATE] = "post-terminate",
	[HOOK_POST_EXPIRE] = "post-expire",
};

const char *
hook_point_name(enum hook_point hook)
{
	return names[hook];
}
