/*
 * temp.c - a directory of its own for every test.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/base/temp.h"

static char source[PATH_MAX];
static char dir[PATH_MAX];
static char start[PATH_MAX];

static void
find_source(void)
{
	const char *srcdir = getenv("srcdir");

	if (realpath(srcdir != NULL ? srcdir : ".", source) == NULL)
		fail_msg("no source directory");
}

int
temp_enter(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	if (source[0] == '\0')
		find_source();
	assert_non_null(getcwd(start, sizeof(start)));
	(void)snprintf(dir, sizeof(dir), "%s/tusfcgi-test-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	return 0;
}

const char *
temp_folder(void)
{
	return dir;
}

static void
remove_tree(int at, const char *name)
{
	struct dirent *entry;
	DIR *d;
	int fd;

	if (unlinkat(at, name, 0) == 0)
		return;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	d = fdopendir(fd);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_tree(dirfd(d), entry->d_name);
	assert_int_equal(closedir(d), 0);
	assert_int_equal(unlinkat(at, name, AT_REMOVEDIR), 0);
}

int
temp_leave(void **state)
{
	(void)state;
	assert_int_equal(chdir(start), 0);
	remove_tree(AT_FDCWD, dir);
	return 0;
}

void
temp_write(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

char *
temp_read(const char *name)
{
	FILE *f = fopen(name, "r");
	char *text;
	long size;

	if (f == NULL)
		fail_msg("cannot read %s", name);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_true(size >= 0);
	rewind(f);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, f), size);
	assert_int_equal(fclose(f), 0);
	return text;
}

const char *
temp_source(const char *name)
{
	static char path[2 * PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", source, name);
	return path;
}
