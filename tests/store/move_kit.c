/*
 * move_kit.c - a directory store that moves finished uploads away, for tests.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/store/move_kit.h"

/* Somewhere else than $TMPDIR, as a rule. */
#define ELSEWHERE "/dev/shm"

static const struct variant variant = {
	.name = "data", .type = "file", .durability = "data"
};

struct place place;

/* The root of finish.move_to. */
char root[64];

/* Open the store again, with this template below the root. */
void
open_with(const char *rest)
{
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/%s", root, rest), &place.e));
	place.ds->core->shutdown(place.ds);
	ok(store_open(place.conf, &place.ds, &place.e));
}

static void
set_up_in(const char *base)
{
	memset(&place, 0, sizeof(place));
	place_open(&place, &variant);
	(void)snprintf(root, sizeof(root), "%.30s/tus-moved-XXXXXX", base);
	assert_non_null(mkdtemp(root));
	open_with("{filename}");
}

int
set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	set_up_in(tmp != NULL ? tmp : "/tmp");
	return 0;
}

bool
has_elsewhere(void)
{
	struct stat here, there;

	return stat(place.dir, &here) == 0 && stat(ELSEWHERE, &there) == 0 &&
	    here.st_dev != there.st_dev && access(ELSEWHERE, W_OK) == 0;
}

int
set_up_elsewhere(void **state)
{
	(void)state;
	set_up_in(access(ELSEWHERE, W_OK) == 0 ? ELSEWHERE : "/tmp");
	return 0;
}

int
tear_down(void **state)
{
	(void)state;
	place_close(&place);
	place_remove(root);
	return 0;
}

const char *
in(const char *dir, const char *name)
{
	return arena_printf(place.a, "%s/%s", dir, name);
}

bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

const char *
text_of(const char *path)
{
	char *buf = arena_alloc(place.a, 1000);
	FILE *f = fopen(path, "r");

	if (f == NULL)
		fail_msg("%s is not there", path);
	buf[fread(buf, 1, 999, f)] = '\0';
	(void)fclose(f);
	return buf;
}

void
put_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

struct upload *
finished(const char *id, const char *filename, const char *text)
{
	struct pair name = { NULL, "filename", filename, strlen(filename) };
	struct file_info info = { .id = id,
		.size = (int64_t)strlen(text),
		.metadata = &name,
		.created = 1795377600 };
	struct upload *up = NULL;

	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	ok(place.ds->core->write_begin(up, false, &place.e));
	ok(place.ds->core->write(up, text, strlen(text), &place.e));
	ok(place.ds->core->write_end(up, true, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	place.ds->core->close(up);
	ok(place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	return up;
}

struct upload *
claimed(const char *id)
{
	struct upload *up = NULL;

	ok(place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	return up;
}

void
move(struct upload *up)
{
	ok(place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
}

const char *
path_of(const char *id)
{
	struct upload *up = claimed(id);
	const struct pair *p = up->info.storage;

	while (strcmp(p->key, "Path") != 0)
		p = p->next;
	place.ds->core->close(up);
	return p->value;
}

/* Nothing but these in the root, and nothing hidden. */
int
count_files(void)
{
	DIR *cursor = NULL;
	const char *name;
	int n = 0, fd = open(root, O_RDONLY | O_DIRECTORY);

	for (;;) {
		ok(fs_walk_next(fd, &cursor, &name, &place.e));
		if (name == NULL)
			break;
		n++;
	}
	(void)close(fd);
	return n;
}

void
read_all(const char *id, const char *want)
{
	struct upload *up = claimed(id);
	struct stream *s;
	char buf[100];

	ok(place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(place.ds->reader->read(s, buf, sizeof(buf), &place.e),
	    strlen(want));
	assert_memory_equal(buf, want, strlen(want));
	place.ds->reader->close(s);
	place.ds->core->close(up);
}

void
set_time(const char *path, const struct stat *like, long ns)
{
	struct timespec times[2] = { like->st_mtim, like->st_mtim };

	times[1].tv_nsec = (times[1].tv_nsec + ns) % 1000000000;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}
