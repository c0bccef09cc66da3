/*
 * rufh.c - Resumable Uploads for HTTP: its routes, and the requests that it
 * claims.
 */
#include "config.h"

#include "rufh/rufh.h"
#include "rufh/words.h"

static bool
always(const struct core *core)
{
	(void)core;
	return true;
}

static const struct web_route routes[] = {
	{ WEB_POST, WEB_COLLECTION, always, rufh_read_create,
	    rufh_answer_body },
	{ WEB_PUT, WEB_COLLECTION, always, rufh_read_create, rufh_answer_body },
	{ WEB_HEAD, WEB_UPLOAD, always, rufh_read_look, rufh_answer_head },
	{ WEB_PATCH, WEB_UPLOAD, always, rufh_read_append, rufh_answer_body },
	{ WEB_DELETE, WEB_UPLOAD, core_can_remove, rufh_read_delete,
	    rufh_answer_delete },
	{ WEB_GET, WEB_UPLOAD, always, rufh_read_look, rufh_answer_get },
};

static bool
is_spoken(struct web_call *c)
{
	const struct rufh_words *w = rufh_read(c);

	return w->is_marked || w->is_plain;
}

/* PUT, as of curl -T, is refused: no client chooses the id of an upload. */
static bool
admit(struct web_call *c)
{
	bool is_named = c->task.in.id[0] != '\0' || !c->is_ours;

	return !(rufh_read(c)->is_plain && is_named) ||
	    web_refuse(c, REFUSE_NOT_FOUND);
}

const struct web_protocol rufh_protocol = {
	.name = "rufh",
	.patch_type = RUFH_BODY_TYPE,
	.routes = routes,
	.nroutes = NITEMS(routes),
	.is_spoken = is_spoken,
	.admit = admit,
	.refuse = rufh_refuse,
	.offer = rufh_offer,
	.sign = rufh_sign,
	.tell = rufh_tell,
};
