/*
 * file_kit.c - a directory store, and what is on its disk.
 */
#include "config.h"

#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/file_kit.h"

const struct variant none = {
	.name = "none", .type = "file", .durability = "none"
};
const struct variant data = {
	.name = "data", .type = "file", .durability = "data"
};
const struct variant full = {
	.name = "full", .type = "file", .durability = "full"
};
const struct variant shared = { .name = "shared",
	.type = "file",
	.durability = "full",
	.is_shared = true };

struct place place;

struct file_store *
files(void)
{
	return file_store_of(place.ds);
}

void
open_with(const struct variant *v)
{
	memset(&place, 0, sizeof(place));
	place_open(&place, v);
	memcpy(files()->boot, BOOT, sizeof(files()->boot));
}

int
set_up(void **state)
{
	(void)state;
	open_with(&data);
	return 0;
}

int
tear_down(void **state)
{
	(void)state;
	place_close(&place);
	return 0;
}

const char *
path_of(const char *name)
{
	return arena_printf(place.a, "%s/%s", place.dir, name);
}

void
put_file(const char *name, const void *buf, size_t len)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void
put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

const char *
get_text(const char *name)
{
	char *buf = arena_alloc(place.a, 100000);
	FILE *f = fopen(path_of(name), "r");

	assert_non_null(f);
	buf[fread(buf, 1, 99999, f)] = '\0';
	(void)fclose(f);
	return buf;
}

bool
is_file(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

struct upload *
make(const char *id, int64_t size)
{
	struct file_info info = { .id = id,
		.size = size < 0 ? 0 : size,
		.size_deferred = size < 0,
		.created = 1795377600 };
	struct upload *up = NULL;

	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	return up;
}

struct upload *
look(const char *id)
{
	struct upload *up = NULL;

	ok(place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e));
	return up;
}

struct upload *
claim(const char *id)
{
	struct upload *up = look(id);

	ok(place.ds->core->claim(up, &place.e));
	return up;
}

void
drop(struct upload *up)
{
	place.ds->core->close(up);
}

void
append(struct upload *up, const char *text)
{
	ok(place.ds->core->write_begin(up, false, &place.e));
	ok(place.ds->core->write(up, text, strlen(text), &place.e));
	ok(place.ds->core->write_end(up, true, &place.e));
}

struct info_head
head_of(const char *id)
{
	const char *text = get_text(arena_printf(place.a, "%s.info", id));
	struct info_head head;

	assert_true(info_read_head(text, strlen(text), &head));
	return head;
}
