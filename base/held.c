/*
 * held.c - directories that stay the same ones as at the start.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/held.h"

/* The directory of the store, and that of the locks. */
#define HELD_MAX 2

static struct held {
	char *path, *real;
	int fd;
} held[HELD_MAX];
static size_t n_held;

static const struct held *
find(const char *path)
{
	size_t i;

	for (i = 0; i < n_held; i++)
		if (strcmp(held[i].path, path) == 0)
			return &held[i];
	return NULL;
}

enum err_code
held_add(const char *path, struct err *e)
{
	struct held *h = &held[n_held];
	enum err_code rc;

	if (find(path) != NULL)
		return ERR_OK;
	if (n_held == HELD_MAX)
		return err_set(e, ERR_INVALID, "%s: too many to hold", path);
	if ((rc = fs_open_dir(path, &h->fd, e)) != ERR_OK)
		return rc;
	if ((h->real = realpath(path, NULL)) == NULL) {
		rc = err_sys(e, "find %s", path);
		(void)close(h->fd);
		return rc;
	}
	h->path = must_strdup(path);
	n_held++;
	return ERR_OK;
}

int
held_fd(const char *path)
{
	const struct held *h = find(path);

	return h != NULL ? h->fd : -1;
}

const char *
held_real_path(const char *path)
{
	const struct held *h = find(path);

	return h != NULL ? h->real : NULL;
}

bool
held_is_in_place(const char *path)
{
	const struct held *h = find(path);

	return h == NULL || fs_leads_to(path, h->fd);
}

enum err_code
held_open_dir(const char *path, int *dirfd, struct err *e)
{
	const struct held *h = find(path);

	return h != NULL ? fs_reopen_dir(h->fd, path, dirfd, e) :
			   fs_open_dir(path, dirfd, e);
}

void
held_forget(void)
{
	while (n_held > 0) {
		n_held--;
		free(held[n_held].path);
		free(held[n_held].real);
		(void)close(held[n_held].fd);
	}
}
