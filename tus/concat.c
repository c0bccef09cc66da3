/*
 * concat.c - make a final upload out of partial ones.
 *
 * No part is locked: a finished upload never changes, so two requests that
 * name the same parts in another order cannot wait for each other.  All parts
 * are looked at before the first byte is copied.
 */
#include "config.h"

#include <string.h>

#include "tus/call.h"

/* May this part be in it?  Adds its size to the sum. */
static bool
check_part(struct tus_call *c, int64_t *sum)
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
visit_part(struct tus_call *c, const char *ref, const char **id, int64_t *sum)
{
	*id = tus_reference(c, ref);
	if (*id == NULL) {
		(void)tus_refuse(c, TUS_NOT_FOUND);
		return false;
	}
	memcpy(c->id, *id, strlen(*id) + 1);
	if (!tus_look(c) || !check_part(c, sum))
		return false;
	c->srv->store->core->close(c->up);
	c->up = NULL;
	c->id[0] = '\0';
	return true;
}

enum tus_step
tus_concat(struct tus_call *c)
{
	const char **ids;
	int64_t sum = 0;
	size_t i;

	ids = arena_alloc(c->arena, (c->concat.nrefs + 1) * sizeof(*ids));
	for (i = 0; i < c->concat.nrefs; i++)
		if (!visit_part(c, c->concat.refs[i], &ids[i], &sum))
			return TUS_DONE;
	if (!tus_check_sum_header(c) || !tus_check_sum_of_nothing(c))
		return TUS_DONE;
	c->create.parts = ids;
	c->create.size = sum;
	c->create.concat_raw = tus_parse_trim(c->arena, c->req->upload_concat);
	if (!tus_create_upload(c) || !tus_finish(c))
		return TUS_DONE;
	return tus_answer_created(c);
}
