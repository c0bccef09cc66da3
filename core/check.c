/*
 * check.c - does a body fit, as far as that is known before it comes?
 */
#include "config.h"

#include "core/parts.h"

void
core_limit(struct task *t, int64_t max)
{
	if (max > 0 && (t->in.max_size == 0 || max < t->in.max_size))
		t->in.max_size = max;
}

/* Is the length that the upload will have known? */
static bool
is_length_known(const struct task *t)
{
	return t->in.length >= 0 ||
	    (t->up != NULL && !t->up->info.size_deferred);
}

/* The size that the upload must not pass. */
static int64_t
limit_of(const struct task *t)
{
	if (t->in.length >= 0)
		return t->in.length;
	if (is_length_known(t))
		return t->up->info.size;
	return t->in.max_size > 0 ? t->in.max_size : INT64_MAX;
}

int
core_why_too_long(const struct task *t)
{
	if (t->is_capped)
		return REFUSE_BODY_TOO_LARGE;
	return is_length_known(t) ? REFUSE_BEYOND_LENGTH : REFUSE_TOO_LARGE;
}

bool
core_check_size(struct task *t)
{
	int64_t offset = t->up != NULL ? t->up->info.offset : 0;

	t->limit = limit_of(t);
	t->is_capped = t->in.max_body > 0 && t->in.max_body < t->limit - offset;
	if (t->is_capped)
		t->limit = offset + t->in.max_body;
	if (t->in.body_length <= t->limit - offset)
		return true;
	(void)task_refuse(t, core_why_too_long(t));
	return false;
}

bool
core_check_late(struct task *t)
{
	size_t i;

	if (t->in.late != REFUSE_NOTHING)
		(void)task_refuse(t, t->in.late);
	for (i = 0; i < t->in.sum_count; i++)
		if (t->why == REFUSE_NOTHING &&
		    !core_has_digest(t->core, t->in.sums[i].algorithm))
			(void)task_refuse(t, REFUSE_UNKNOWN_ALGORITHM);
	return t->why == REFUSE_NOTHING;
}

void
core_begin_digests(struct task *t)
{
	size_t i;

	for (i = 0; i < t->in.sum_count; i++)
		t->digests[i] = digest_new(t->arena, t->in.sums[i].algorithm);
}

bool
core_end_digests(struct task *t)
{
	size_t i;

	for (i = 0; i < t->in.sum_count; i++) {
		if (!digest_end(t->digests[i], &t->in.sums[i]))
			t->mismatched |= 1U << i;
		t->digests[i] = NULL;
	}
	return t->mismatched == 0;
}

bool
core_check_digest_of_nothing(struct task *t)
{
	core_begin_digests(t);
	if (core_end_digests(t))
		return true;
	(void)task_refuse(t, REFUSE_DIGEST_MISMATCH);
	return false;
}

static bool
is_too_large(const struct task *t)
{
	return t->up->info.size_deferred && t->in.max_size > 0 &&
	    t->in.length > t->in.max_size;
}

static int
why_not_these_lengths(struct task *t)
{
	const struct file_info *info = &t->up->info;
	int64_t size = info->size_deferred ? t->in.length : info->size;
	int64_t end =
	    t->in.body_length < 0 ? -1 : info->offset + t->in.body_length;

	if (is_too_large(t))
		return REFUSE_TOO_LARGE;
	if (t->in.length >= 0 &&
	    (t->in.length != size || t->in.length < info->offset))
		return REFUSE_LENGTHS_DISAGREE;
	if (size >= 0 && end > size)
		return REFUSE_BEYOND_LENGTH;
	if (t->in.is_last && end >= 0 && size >= 0 && end < size)
		return REFUSE_LENGTHS_DISAGREE;
	if (t->in.is_last && end >= 0 && size < 0)
		t->in.length = end;
	return is_too_large(t) ? REFUSE_TOO_LARGE : REFUSE_NOTHING;
}

bool
core_check_lengths(struct task *t)
{
	int why = why_not_these_lengths(t);

	/* It is not known any more what the client wants to make. */
	if (why == REFUSE_BEYOND_LENGTH && !upload_is_finished(t->up))
		core_invalidate(t);
	if (why != REFUSE_NOTHING)
		(void)task_refuse(t, why);
	return why == REFUSE_NOTHING;
}
