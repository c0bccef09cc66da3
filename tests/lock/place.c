/*
 * place.c - a directory of lock files for one test program.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lock/place.h"

static char path[256];
/* Where another host has the same directory mounted; "": there is none. */
static char twin[256];
static const char *type = "flock", *method = "flock";

static void
give_up(const char *what)
{
	perror(what);
	exit(1);
}

void
place_make(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(path, sizeof(path), "%s/lock-test-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(path) == NULL)
		give_up(path);
	if (getenv("TUSFCGI_LOCK_TWIN") != NULL)
		(void)snprintf(twin, sizeof(twin), "%s%s",
		    getenv("TUSFCGI_LOCK_TWIN"), strrchr(path, '/'));
}

bool
place_has_twin(void)
{
	return *twin != '\0';
}

/* The processes of a race are on both hosts. */
static const char *
next_path(void)
{
	static int opened;

	return place_has_twin() && (getpid() + opened++) % 2 != 0 ? twin : path;
}

void
place_remove(void)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	if (d == NULL)
		give_up(path);
	while ((entry = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), entry->d_name, 0);
	(void)closedir(d);
	if (rmdir(path) == -1)
		give_up(path);
}

const char *
place_path(void)
{
	return path;
}

void
place_share(gid_t gid)
{
	if (chown(path, 0, gid) == -1 || chmod(path, 02770) == -1)
		give_up(path);
}

void
place_set_type(const char *name)
{
	type = name;
}

void
place_set_method(const char *name)
{
	method = name;
}

struct locker *
place_open(void)
{
	struct conf *conf = conf_new();
	struct locker *locker;
	struct err e;

	if (conf_set(conf, "lock.path", next_path(), &e) != ERR_OK ||
	    conf_set(conf, "lock.type", type, &e) != ERR_OK ||
	    conf_set(conf, "lock.method", method, &e) != ERR_OK ||
	    locker_open(conf, &locker, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	conf_free(conf);
	return locker;
}
