/*
 * pinned.c - directories that stay the same ones as at the start.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/pinned.h"

/* The directory of the store, and that of the locks. */
#define PINNED_MAX 2

static struct pinned {
	char *path, *real;
	int fd;
} pinned[PINNED_MAX];
static size_t n_pinned;

static const struct pinned *
find(const char *path)
{
	size_t i;

	for (i = 0; i < n_pinned; i++)
		if (strcmp(pinned[i].path, path) == 0)
			return &pinned[i];
	return NULL;
}

enum err_code
pinned_add(const char *path, struct err *e)
{
	struct pinned *h = &pinned[n_pinned];
	enum err_code rc;

	if (find(path) != NULL)
		return ERR_OK;
	if (n_pinned == PINNED_MAX)
		return err_set(e, ERR_INVALID, "%s: too many to pin", path);
	if ((rc = fs_open_dir(path, &h->fd, e)) != ERR_OK)
		return rc;
	if ((h->real = realpath(path, NULL)) == NULL) {
		rc = err_sys(e, "find %s", path);
		(void)close(h->fd);
		return rc;
	}
	h->path = must_strdup(path);
	n_pinned++;
	return ERR_OK;
}

int
pinned_fd(const char *path)
{
	const struct pinned *h = find(path);

	return h != NULL ? h->fd : -1;
}

const char *
pinned_real_path(const char *path)
{
	const struct pinned *h = find(path);

	return h != NULL ? h->real : NULL;
}

bool
pinned_is_current(const char *path)
{
	const struct pinned *h = find(path);

	return h == NULL || fs_leads_to(path, h->fd);
}

enum err_code
pinned_open_dir(const char *path, int *dirfd, struct err *e)
{
	const struct pinned *h = find(path);

	return h != NULL ? fs_reopen_dir(h->fd, path, dirfd, e) :
			   fs_open_dir(path, dirfd, e);
}

void
pinned_forget(void)
{
	while (n_pinned > 0) {
		n_pinned--;
		free(pinned[n_pinned].path);
		free(pinned[n_pinned].real);
		(void)close(pinned[n_pinned].fd);
	}
}
