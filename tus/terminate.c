/*
 * terminate.c - DELETE.
 *
 * Works on every upload, damaged ones above all.  A PATCH that is running is
 * asked to let go, like for anybody else who wants the lock.
 */
#include "config.h"

#include "tus/call.h"

enum step
tus_delete(struct web_call *c)
{
	enum step step;

	if (c->up == NULL && !tus_look(c))
		return STEP_DONE;
	c->res.err.code = ERR_OK;
	step = tus_claim(c, LOCK_CREATE);
	if (step != STEP_RECEIVE)
		return step;
	if (!c->srv->core.allow_terminate_finished && upload_is_finished(c->up))
		return tus_refuse(c, TUS_KEEP_FINISHED);
	if (!tus_pre_terminate(c))
		return STEP_DONE;
	c->gone = c->up->info;
	if (c->srv->core.store->terminater->terminate(c->up, &c->res.err) !=
	    ERR_OK)
		return tus_fail(c);
	c->is_over = true;
	c->res.outcome.terminated = true;
	return tus_done(c, 204);
}
