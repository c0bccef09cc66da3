/*
 * head.c - HEAD: how far the upload has got.
 *
 * The answer is an acknowledgement like that of a PATCH: the client throws
 * away what lies below the offset.  It needs the lock only where somebody may
 * be writing, or where there is something to repair first.
 */
#include "config.h"

#include "tus/call.h"

/* A foreign record has no Upload-Concat as it was sent: make one. */
static const char *
concat_header(const struct web_call *c)
{
	const struct file_info *info = &c->up->info;
	const char *list = "final;";
	size_t i;

	if (info->is_partial)
		return "partial";
	if (info->concat_raw != NULL)
		return info->concat_raw;
	for (i = 0; info->parts != NULL && info->parts[i] != NULL; i++)
		list = arena_printf(c->arena, "%s%s%s", list, i == 0 ? "" : " ",
		    tus_location(c, info->parts[i]));
	return list;
}

static enum step
answer(struct web_call *c)
{
	const struct file_info *info = &c->up->info;

	if (tus_is_expired(c))
		return tus_refuse(c, TUS_GONE);
	tus_header_int(c, "Upload-Offset", info->offset);
	if (info->size_deferred)
		tus_header(c, "Upload-Defer-Length", "1");
	else
		tus_header_int(c, "Upload-Length", info->size);
	if (info->metadata_raw != NULL)
		tus_header(c, "Upload-Metadata", info->metadata_raw);
	if (info->is_partial || info->is_final)
		tus_header(c, "Upload-Concat", concat_header(c));
	tus_header_expires(c);
	return tus_done(c, 200);
}

/* Without the lock, if nobody ever took it and there is nothing to repair: who
 * lets go of it for good has finished the upload or removed it. */
static enum step
claim(struct web_call *c)
{
	enum lock_how how = c->res.outcome.waited ? LOCK_CREATE : LOCK_EXISTING;
	enum step step = tus_claim(c, how);

	if (step != STEP_RECEIVE || c->lock != NULL || c->up->settled)
		return step;
	return tus_claim(c, LOCK_CREATE);
}

enum step
tus_head(struct web_call *c)
{
	enum step step = STEP_RECEIVE;

	if (c->up == NULL && !tus_look(c))
		return STEP_DONE;
	if (tus_is_over(c))
		return answer(c);
	if (!upload_is_finished(c->up))
		step = claim(c);
	if (step != STEP_RECEIVE)
		return step;
	/* Whoever finished it may still be flushing what we just read. */
	if ((c->lock != NULL || !c->up->settled) &&
	    c->srv->core.store->core->confirm(c->up, &c->res.err) != ERR_OK)
		return tus_fail(c);
	return answer(c);
}
