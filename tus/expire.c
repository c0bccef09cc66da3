/*
 * expire.c - remove an upload whose time is over, and tell hooks of it.
 *
 * Killed in between, the next sweep removes the upload and tells of it as well:
 * at least once, then with two ids.
 */
#include "config.h"

#include "base/clock.h"
#include "tus/expire.h"

static struct tus_notice *
note(struct tus_hooks *hooks, const struct upload *up, struct arena *a)
{
	const struct tus_event event = { TUS_POST_EXPIRE, &up->info, NULL };

	if (hooks == NULL || !hooks->ops->wants(hooks, TUS_POST_EXPIRE))
		return NULL;
	return hooks->ops->note(hooks, &event, a);
}

enum err_code
tus_expire(struct upload *up, struct data_store *store, struct tus_hooks *hooks,
    struct arena *a, int64_t *failing, struct err *e)
{
	struct tus_notice *n = note(hooks, up, a);
	enum err_code rc = store->terminater->terminate(up, e);
	int64_t began = clock_ms();

	if (n == NULL)
		return rc;
	if (rc != ERR_OK)
		hooks->ops->withdraw(hooks, n);
	else if (*failing >= hooks->patience)
		hooks->ops->forget(hooks, n);
	else if (!hooks->ops->tell(hooks, n))
		*failing += clock_ms() - began;
	return rc;
}
