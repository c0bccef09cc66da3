/*
 * expire.c - remove an upload whose time is over, finished or not, and tell
 * hooks of it.
 *
 * Killed in between, the next sweep removes the upload and tells of it as well:
 * at least once, then with two ids.
 */
#include "config.h"

#include "base/clock.h"
#include "core/expire.h"

static struct hook_notice *
note(struct hooks *hooks, const struct upload *up, struct arena *a)
{
	const struct hook_event event = { HOOK_POST_EXPIRE, &up->info, NULL };

	if (hooks == NULL || !hooks->ops->wants(hooks, HOOK_POST_EXPIRE))
		return NULL;
	return hooks->ops->note(hooks, &event, a);
}

enum err_code
expire_upload(struct upload *up, struct data_store *store, struct hooks *hooks,
    struct arena *a, int64_t *failing, struct err *e)
{
	struct hook_notice *n = note(hooks, up, a);
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
