/*
 * mount.c - what a path lies on.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mount.h"

bool
mount_find(const char *path, struct mount *m)
{
	FILE *list = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, point[4096];
	struct mount now;
	size_t room = 0, len, best = 0;
	const char *tail;

	if (list == NULL)
		return false;
	while (getline(&line, &room, list) != -1) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 ||
		    (tail = strstr(line, " - ")) == NULL ||
		    sscanf(tail, " - %63s %*s %2047s", now.type, now.options) !=
			2)
			continue;
		len = strcmp(point, "/") == 0 ? 0 : strlen(point);
		if (strncmp(path, point, len) != 0 ||
		    (path[len] != '/' && path[len] != '\0') || len + 1 < best)
			continue;
		best = len + 1;
		*m = now;
	}
	free(line);
	(void)fclose(list);
	return best > 0;
}

const char *
mount_without_flock(const char *path)
{
	static const struct {
		const char *type, *name;
	} rows[] = {
		{ "nfs", "NFS" },
		{ "nfs4", "NFS" },
		{ "fuse.glusterfs", "GlusterFS" },
	};
	struct mount m;
	size_t i;

	if (!mount_find(path, &m))
		return NULL;
	for (i = 0; i < NITEMS(rows); i++)
		if (strcmp(rows[i].type, m.type) == 0)
			return rows[i].name;
	return NULL;
}
