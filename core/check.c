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
	return is_length_known(t) ? REFUSE_BEYOND_LENGTH : REFUSE_TOO_LARGE;
}

bool
core_check_size(struct task *t)
{
	int64_t offset = t->up != NULL ? t->up->info.offset : 0;

	t->limit = limit_of(t);
	if (t->in.body_length <= t->limit - offset)
		return true;
	(void)task_refuse(t, core_why_too_long(t));
	return false;
}

bool
core_check_late(struct task *t)
{
	if (t->in.late != REFUSE_NOTHING)
		(void)task_refuse(t, t->in.late);
	else if (t->in.has_sum &&
	    !core_has_digest(t->core, t->in.sum.algorithm))
		(void)task_refuse(t, REFUSE_UNKNOWN_ALGORITHM);
	return t->why == REFUSE_NOTHING;
}

bool
core_check_digest_of_nothing(struct task *t)
{
	if (!t->in.has_sum ||
	    digest_end(digest_new(t->arena, t->in.sum.algorithm), &t->in.sum))
		return true;
	(void)task_refuse(t, REFUSE_DIGEST_MISMATCH);
	return false;
}
