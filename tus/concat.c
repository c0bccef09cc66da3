/*
 * concat.c - make a final upload out of partial ones.
 *
 * No part is locked: a finished upload never changes, so two requests that
 * name the same parts in another order cannot wait for each other.  All parts
 * are looked at before the first byte is copied.
 */
#include "config.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <string.h>

#include "tus/call.h"

/* As many as those of an id that is drawn. */
#define ID_BYTES 16

/* May this part be in it?  Adds its size to the sum. */
static bool
check_part(struct web_call *c, int64_t *sum)
{
	const struct file_info *info = &c->up->info;

	if (tus_is_expired(c))
		(void)tus_refuse(c, TUS_GONE);
	else if (!info->is_partial)
		(void)tus_refuse(c, TUS_PART_NOT_PARTIAL);
	else if (!upload_is_finished(c->up))
		(void)tus_refuse(c, TUS_PART_NOT_FINISHED);
	else if (__builtin_add_overflow(*sum, info->size, sum) ||
	    (c->max_size > 0 && *sum > c->max_size))
		(void)tus_refuse(c, TUS_TOO_LARGE);
	return !c->is_done;
}

/* Open the part, look at it, let it go. */
static bool
visit_part(struct web_call *c, const char *id, int64_t *sum)
{
	memcpy(c->id, id, strlen(id) + 1);
	if (!tus_look(c) || !check_part(c, sum))
		return false;
	c->srv->core.store->core->close(c->up);
	c->up = NULL;
	c->id[0] = '\0';
	return true;
}

/*
 * The id of a final upload follows from the request, so that a client which
 * lost the answer finds what it has made, and no list of answers is kept.
 */
static const char *
derive_id(struct web_call *c, const char *const *ids)
{
	const char *owner = c->req->owner, *metadata = c->create.metadata_raw;
	const char *text = "tusfcgi final 1\n";
	unsigned char md[EVP_MAX_MD_SIZE];
	char *id = arena_alloc(c->arena, ID_MAX + 1);
	unsigned len, i;

	for (; *ids != NULL; ids++)
		text = arena_printf(c->arena, "%s%s\n", text, *ids);
	/* Neither an id nor a header can be empty or have a line in it. */
	text = arena_printf(c->arena, "%s\n%s\n%s", text,
	    metadata != NULL ? metadata : "", owner != NULL ? owner : "");
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
 * whether or not the parts are still there, and nobody is told again.
 */
static bool
is_repeated(struct web_call *c)
{
	const struct store_core *core = c->srv->core.store->core;
	struct upload *up;
	enum err_code rc;
	struct err e;

	if (c->derived == NULL)
		return false;
	rc =
	    core->get_upload(c->srv->core.store, c->derived, c->arena, &up, &e);
	if (rc == ERR_OK && up->info.is_final && upload_is_finished(up) &&
	    is_same_list(up->info.parts, c->create.parts)) {
		c->up = up;
		return true;
	}
	if (rc == ERR_OK || rc == ERR_CORRUPT)
		core->close(up);
	return false;
}

static enum step
answer_again(struct web_call *c)
{
	if (!tus_check_sum_header(c) || !tus_check_sum_of_nothing(c))
		return STEP_DONE;
	/* Whoever finished it may still be flushing it. */
	if (!c->up->settled &&
	    c->srv->core.store->core->confirm(c->up, &c->res.err) != ERR_OK)
		return tus_fail(c);
	return tus_answer_created(c);
}

/* False if the call is done. */
static bool
name_parts(struct web_call *c)
{
	const char **ids;
	size_t i;

	ids = arena_alloc(c->arena, (c->concat.nrefs + 1) * sizeof(*ids));
	for (i = 0; i < c->concat.nrefs; i++) {
		ids[i] = tus_reference(c, c->concat.refs[i]);
		if (ids[i] == NULL) {
			(void)tus_refuse(c, TUS_NOT_FOUND);
			return false;
		}
	}
	c->create.parts = ids;
	c->derived = derive_id(c, ids);
	return true;
}

static bool
visit_parts(struct web_call *c)
{
	const char *const *id;

	for (id = c->create.parts; *id != NULL; id++)
		if (!visit_part(c, *id, &c->create.size))
			return false;
	return tus_check_sum_header(c) && tus_check_sum_of_nothing(c);
}

/* Who makes the same upload just now has its lock. */
static bool
lock(struct web_call *c)
{
	enum err_code rc = ERR_OK;

	if (c->derived != NULL)
		rc = tus_lock_new(c, c->derived);
	if (rc != ERR_OK)
		(void)tus_refuse(c, tus_refusal_for(rc));
	c->is_over = true;
	return rc == ERR_OK;
}

enum step
tus_concat(struct web_call *c)
{
	if (!name_parts(c))
		return STEP_DONE;
	if (is_repeated(c))
		return answer_again(c);
	if (!visit_parts(c) || !lock(c))
		return STEP_DONE;
	if (is_repeated(c))
		return answer_again(c);
	c->create.concat_raw = tus_parse_trim(c->arena, c->req->upload_concat);
	if (!tus_create_upload(c) || !tus_finish(c))
		return STEP_DONE;
	return tus_answer_created(c);
}
