/*
 * create.c - POST: make a new upload, perhaps with its first bytes.
 *
 * Nothing is made before all headers are checked and, where a body is
 * announced, before it shows itself; and what was made for a request that
 * then fails is removed, since the client never learned where it is.
 */
#include "config.h"

#include <string.h>

#include "tus/call.h"

/* A new id is taken once in 2^122; more often means that something is wrong. */
#define ID_TRIES 3

/* A body of so many bytes is here in no time. */
#define SOON ((int64_t)1 << 20)

static bool
refuse(struct web_call *c, enum tus_refusal why)
{
	(void)tus_refuse(c, why);
	return false;
}

static bool
check_concat(struct web_call *c)
{
	const struct web_request *req = c->req;

	if (req->upload_concat == NULL)
		return true;
	if (!tus_has_concat(c->srv))
		return refuse(c, TUS_NO_CONCATENATION);
	if (tus_parse_concat(c->arena, req->upload_concat, &c->concat) !=
	    TUS_VALID)
		return refuse(c, TUS_BAD_CONCAT);
	c->create.is_partial = c->concat.is_partial;
	c->create.is_final = c->concat.is_final;
	if (c->concat.is_final &&
	    (req->upload_length != NULL || req->upload_defer_length != NULL))
		return refuse(c, TUS_FINAL_WITH_LENGTH);
	return true;
}

static bool
check_length(struct web_call *c)
{
	const struct web_request *req = c->req;
	const char *defer = req->upload_defer_length;

	if (c->concat.is_final)
		return true;
	if (req->upload_length != NULL && defer != NULL)
		return refuse(c, TUS_LENGTH_AMBIGUOUS);
	if (defer != NULL && tus_has_defer(c->srv)) {
		if (strcmp(tus_parse_trim(c->arena, defer), "1") != 0)
			return refuse(c, TUS_BAD_DEFER_LENGTH);
		c->create.size_deferred = true;
		return true;
	}
	if (req->upload_length == NULL)
		return refuse(c, TUS_LENGTH_MISSING);
	if (!tus_parse_int64(req->upload_length, &c->length))
		return refuse(c, TUS_BAD_LENGTH);
	c->create.size = c->length;
	return true;
}

static bool
check_metadata(struct web_call *c)
{
	const char *raw = c->req->upload_metadata;

	if (raw != NULL && c->srv->max_metadata > 0 &&
	    (int64_t)strlen(raw) > c->srv->max_metadata)
		return refuse(c, TUS_METADATA_TOO_LARGE);
	switch (tus_parse_metadata(c->arena, raw, &c->create.metadata)) {
	case TUS_ABSENT:
		return true;
	case TUS_MALFORMED:
		return refuse(c, TUS_BAD_METADATA);
	case TUS_TOO_MANY:
		return refuse(c, TUS_METADATA_TOO_LARGE);
	case TUS_VALID:
		break;
	}
	c->create.metadata_raw = tus_parse_trim(c->arena, raw);
	return true;
}

static bool
check_sizes(struct web_call *c)
{
	/* The rest is for when its parts are known. */
	if (c->concat.is_final)
		return c->content_length <= 0 || refuse(c, TUS_FINAL_WITH_BODY);
	if (c->max_size > 0 && c->length > c->max_size)
		return refuse(c, TUS_TOO_LARGE);
	return tus_check_size(c) && tus_check_sum_header(c);
}

/* In the order that protocol.md gives (COMMON-08). */
static bool
check_headers(struct web_call *c)
{
	c->has_type = tus_parse_is_type(c->req->content_type, TUS_BODY_TYPE);
	if (!tus_check_content_length(c))
		return false;
	/* Some HTTP stacks force a type on an empty POST: only a body needs
	 * the right one. */
	if (c->content_length > 0 && !c->has_type)
		return refuse(c, TUS_BAD_CONTENT_TYPE);
	return check_concat(c) && check_length(c) && check_metadata(c) &&
	    check_sizes(c);
}

/* Fill in what every new upload has. */
static void
describe(struct web_call *c)
{
	const struct web_server *srv = c->srv;

	c->create.owner = c->req->owner;
	c->create.created = srv->core.now();
	if (tus_has_expiry(srv) && !c->create.is_final)
		c->create.expires = c->create.created + srv->core.expire_after;
}

/* May this request bring bytes, or finish what it makes? */
static bool
has_more(const struct web_call *c)
{
	return c->content_length != 0 || c->length == 0;
}

/*
 * What comes in no time need not be seen before it is there, unless somebody
 * is told the id, or how far it got, meanwhile.
 */
static bool
is_hidden(const struct web_call *c, bool is_chosen)
{
	return !is_chosen && has_more(c) &&
	    (c->length == 0 ||
		(c->content_length > 0 && c->content_length <= SOON)) &&
	    !tus_wants(c, HOOK_POST_RECEIVE);
}

/*
 * The record of an upload appears before its bytes, unless it is hidden, and
 * whoever walks the store, or was told the id by a hook, would repair, finish
 * or remove what seems to be left behind.  So its lock is held as long as this
 * request may write to it, or has something to do for it when it is finished.
 * A creation without a body writes nothing after the record, and nobody knows
 * its id before the answer, unless a hook chose it.
 */
static bool
is_locked(const struct web_call *c, bool is_chosen)
{
	if (is_chosen || c->concat.is_final)
		return true;
	if (is_hidden(c, is_chosen))
		return c->length >= 0 && tus_sequel(c, &c->create) != 0;
	return has_more(c);
}

static enum err_code
make_in_store(struct web_call *c, bool is_chosen)
{
	struct data_store *store = c->srv->core.store;
	struct err *e = &c->res.err;

	if (c->concat.is_final)
		return store->concater->concat(
		    store, &c->create, c->arena, &c->up, e);
	if (is_hidden(c, is_chosen))
		return store->core->new_hidden(
		    store, &c->create, c->arena, &c->up, e);
	return store->core->new_upload(store, &c->create, c->arena, &c->up, e);
}

static enum err_code
make(struct web_call *c, bool is_chosen)
{
	enum err_code rc;

	if (is_locked(c, is_chosen) &&
	    (rc = tus_lock_new(c, c->create.id)) != ERR_OK)
		return rc;
	rc = tus_enter(c);
	if (rc == ERR_OK)
		rc = make_in_store(c, is_chosen);
	if (rc == ERR_OK)
		return rc;
	tus_entered(c, false);
	c->up = NULL;
	/* Nobody who is alive has half of it: its lock is ours. */
	if (rc == ERR_EXISTS && c->lock != NULL && tus_clear(c, c->create.id))
		return make(c, is_chosen);
	/* Of an upload that is there the lock may be a note. */
	c->is_over = rc != ERR_EXISTS;
	tus_unlock(c);
	c->is_over = false;
	return rc;
}

static bool
has_created(struct web_call *c)
{
	c->res.err.code = ERR_OK;
	c->res.outcome.created = true;
	c->created = c->up->info;
	/* What post-create is told of is as it was before the first byte. */
	c->created.offset = 0;
	return true;
}

/* With the id that a hook chose or, at the first try, the one that follows from
 * the request. */
static enum err_code
make_with_id(struct web_call *c)
{
	if (c->create.id != NULL) {
		/* That of the other id, if there is one. */
		tus_unlock(c);
		return make(c, true);
	}
	if (c->derived == NULL)
		return ERR_EXISTS;
	c->create.id = c->derived;
	return make(c, false);
}

bool
tus_create_upload(struct web_call *c)
{
	enum err_code rc;
	bool is_chosen;
	char *id;
	int i;

	describe(c);
	if (!tus_pre_create(c))
		return false;
	is_chosen = c->create.id != NULL;
	rc = make_with_id(c);
	for (i = 0; i < ID_TRIES && rc == ERR_EXISTS && !is_chosen; i++) {
		id = arena_alloc(c->arena, ID_MAX + 1);
		c->srv->core.new_id(id);
		c->create.id = id;
		rc = make(c, false);
	}
	if (rc == ERR_OK)
		return has_created(c);
	(void)tus_fail_creation(c, rc);
	return false;
}

enum step
tus_fail_creation(struct web_call *c, enum err_code rc)
{
	/* The record has a bound of its own. */
	return tus_refuse(c,
	    rc == ERR_INVALID ? TUS_METADATA_TOO_LARGE : tus_refusal_for(rc));
}

void
tus_uncreate(struct web_call *c)
{
	const struct data_store *store = c->srv->core.store;
	struct err e;

	if (c->up == NULL)
		return;
	if (c->is_writing)
		(void)!store->core->write_end(c->up, false, &e);
	c->is_writing = false;
	/* What cannot be removed now is left to the sweep. */
	if (store->terminater != NULL)
		(void)!store->terminater->terminate(c->up, &e);
	store->core->close(c->up);
	c->up = NULL;
	c->is_over = true;
	c->res.outcome.created = false;
}

enum step
tus_answer_created(struct web_call *c)
{
	tus_header(c, "Location", tus_location(c, c->up->info.id));
	if (c->has_type && !c->concat.is_final)
		tus_header_int(c, "Upload-Offset", c->up->info.offset);
	tus_header_expires(c);
	return tus_done(c, 201);
}

enum step
tus_post(struct web_call *c)
{
	if (!check_headers(c))
		return STEP_DONE;
	c->body = TUS_BODY_CREATE;
	return tus_start_body(c);
}
