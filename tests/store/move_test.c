/*
 * move_test.c - the directory store: where finished uploads go, and what is
 * left of a move that died.
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
#include "store/file/file.h"
#include "tests/store/contract.h"

#define ID   "0d7e18102c1a1896f45a1fc9a11d1815"
#define ID_2 "00000000000000000000000000000002"

/* Somewhere else than $TMPDIR, as a rule. */
#define ELSEWHERE "/dev/shm"

static const struct variant variant = {
	.name = "data", .type = "file", .durability = "data"
};

static struct place place;

/* The root of finish.move_to. */
static char root[64];

#define ok(call)       place_expect(&place, call, ERR_OK, #call, __LINE__)
#define is(want, call) place_expect(&place, call, want, #call, __LINE__)

/* Open the store again, with this template below the root. */
static void
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

static int
set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	set_up_in(tmp != NULL ? tmp : "/tmp");
	return 0;
}

static bool
has_elsewhere(void)
{
	struct stat here, there;

	return stat(place.dir, &here) == 0 && stat(ELSEWHERE, &there) == 0 &&
	    here.st_dev != there.st_dev && access(ELSEWHERE, W_OK) == 0;
}

static int
set_up_elsewhere(void **state)
{
	(void)state;
	set_up_in(access(ELSEWHERE, W_OK) == 0 ? ELSEWHERE : "/tmp");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	place_close(&place);
	place_remove(root);
	return 0;
}

static const char *
in(const char *dir, const char *name)
{
	return arena_printf(place.a, "%s/%s", dir, name);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static const char *
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

static void
put_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static struct upload *
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

static struct upload *
claimed(const char *id)
{
	struct upload *up = NULL;

	ok(place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e));
	ok(place.ds->core->claim(up, &place.e));
	return up;
}

static void
move(struct upload *up)
{
	ok(place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
}

static const char *
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
static int
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

static void
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

/* --- in the good case ----------------------------------------------------- */

static void
a_finished_upload_goes_where_the_template_says(void **state)
{
	struct upload *up;
	char day[16];
	time_t now = clock_now();
	struct tm tm;

	(void)state;
	open_with("{owner}/{year}-{month}-{day}/{id}-{filename}-{meta:x}");
	up = finished(ID, "a/b.txt", "hello");
	assert_true(gmtime_r(&now, &tm) != NULL);
	assert_int_equal(strftime(day, sizeof(day), "%Y-%m-%d", &tm), 10);
	move(up);
	assert_string_equal(path_of(ID),
	    arena_printf(place.a, "%s/_/%s/" ID "-a_b.txt-_", root, day));
	assert_string_equal(text_of(path_of(ID)), "hello");
	assert_false(is_there(in(place.dir, ID)));
	read_all(ID, "hello");
}

static void
the_root_is_not_made(void **state)
{
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/missing/{id}", root), &place.e));
	is(ERR_SYSTEM, store_open(place.conf, &ds, &place.e));
	assert_non_null(strstr(place.e.text, "finish.move_to: "));
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", place.dir), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	assert_int_equal(chmod(root, 0777), 0);
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
}

static void
no_name_leads_from_the_root_into_the_store(void **state)
{
	const char *up = "uploads", *hidden = ".uploads";
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "store.path", in(root, up), &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	assert_non_null(strstr(place.e.text, "lead into store.path"));
	ok(conf_set(place.conf, "finish.move_to", "/{id}", &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	/* A longer name is another name, and no template makes hidden ones. */
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	ok(conf_set(place.conf, "store.path",
	    arena_printf(place.a, "%s-2", root), &place.e));
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
	place_remove(place.conf->store.path);
	ok(conf_set(place.conf, "store.path", in(root, hidden), &place.e));
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
}

static void
nor_to_locks_or_hooks(void **state)
{
	static const char *const keys[] = { "lock.path", "hooks.dir" };
	const char *dir;
	struct data_store *ds;
	size_t i;

	(void)state;
	dir = arena_strdup(place.a, in(root, "own"));
	assert_int_equal(mkdir(dir, 0700), 0);
	ok(conf_set(place.conf, "finish.move_to",
	    arena_printf(place.a, "%s/{id}", root), &place.e));
	for (i = 0; i < NITEMS(keys); i++) {
		ok(conf_set(place.conf, keys[i], dir, &place.e));
		is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
		assert_non_null(strstr(place.e.text, keys[i]));
		ok(conf_set(place.conf, keys[i], root, &place.e));
		is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
		ok(conf_set(place.conf, keys[i], "", &place.e));
	}
	ok(store_open(place.conf, &ds, &place.e));
	ds->core->shutdown(ds);
}

static void
directories_below_are_made_with_the_mode_of_the_store(void **state)
{
	struct stat st;

	(void)state;
	ok(conf_set(place.conf, "store.dir_mode", "2750", &place.e));
	open_with("{filename}/x/{id}");
	move(finished(ID, "joe", "hello"));
	assert_int_equal(stat(in(root, "joe/x"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 02750);
	assert_int_equal(stat(in(root, "joe"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 02750);
}

static void
a_store_that_cannot_move_is_refused(void **state)
{
	struct data_store *ds;

	(void)state;
	ok(conf_set(place.conf, "store.type", "memory", &place.e));
	is(ERR_INVALID, store_open(place.conf, &ds, &place.e));
	ok(conf_set(place.conf, "store.type", "file", &place.e));
}

static void
a_name_that_is_taken_gets_a_number(void **state)
{
	(void)state;
	put_text(in(root, "a.txt"), "somebody's");
	assert_int_equal(symlink("nowhere", in(root, "a-1.txt")), 0);
	assert_int_equal(mkdir(in(root, "a-2.txt"), 0700), 0);
	move(finished(ID, "a.txt", "hello"));
	move(finished(ID_2, "a.txt", "hello"));
	assert_string_equal(path_of(ID), in(root, "a-3.txt"));
	assert_string_equal(path_of(ID_2), in(root, "a-4.txt"));
	assert_string_equal(text_of(in(root, "a.txt")), "somebody's");
	assert_int_equal(count_files(), 5);
}

static void
no_link_is_followed_on_the_way(void **state)
{
	struct upload *up;

	(void)state;
	open_with("{filename}/{id}");
	assert_int_equal(symlink("/", in(root, "joe")), 0);
	up = finished(ID, "joe", "hello");
	is(ERR_CORRUPT, place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(place.dir, ID)), "hello");
	assert_false(is_there(in(place.dir, ID ".moved")));
	up = claimed(ID);
	assert_int_equal(up->info.moved, 0);
	assert_false(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	/* And when it is put right, it goes. */
	assert_int_equal(unlink(in(root, "joe")), 0);
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "joe/" ID)), "hello");
}

static void
what_pre_create_chose_comes_before_the_template(void **state)
{
	struct file_info info = { .id = ID, .size = 0 };
	struct upload *up;

	(void)state;
	is(ERR_INVALID,
	    place.ds->mover->choose(
		place.ds, "/etc/x", place.a, &info.move_to, &place.e));
	assert_int_equal(symlink("/", in(root, "link")), 0);
	is(ERR_CORRUPT,
	    place.ds->mover->choose(
		place.ds, "link/x", place.a, &info.move_to, &place.e));
	ok(place.ds->mover->choose(
	    place.ds, in(root, "joe/x"), place.a, &info.move_to, &place.e));
	assert_string_equal(info.move_to, "joe/x");
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	place.ds->core->close(up);
	assert_non_null(
	    strstr(text_of(in(place.dir, ID ".info")), "\"MoveTo\":\"joe/x\""));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "joe/x"));
}

static void
a_forged_place_in_a_record_leads_nowhere(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	up->info.move_to = "../../etc/x";
	is(ERR_CORRUPT, place.ds->mover->move(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(place.dir, ID)), "hello");
}

/* --- afterwards ----------------------------------------------------------- */

static void
a_file_that_is_not_as_it_was_is_not_served(void **state)
{
	struct upload *up;
	struct stream *s;

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	/* Other names of it are no concern of ours. */
	assert_int_equal(link(in(root, "a"), in(root, "b")), 0);
	read_all(ID, "hello");
	put_text(in(root, "a"), "hello again");
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(unlink(in(root, "a")), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(symlink("b", in(root, "a")), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	assert_int_equal(unlink(in(root, "a")), 0);
	assert_int_equal(mkdir(in(root, "a"), 0700), 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

static void
set_time(const char *path, const struct stat *like, long ns)
{
	struct timespec times[2] = { like->st_mtim, like->st_mtim };

	times[1].tv_nsec = (times[1].tv_nsec + ns) % 1000000000;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* GET-12: another program's file, which by chance has the name and the size. */
static void
another_file_of_the_name_and_size_is_not_served(void **state)
{
	struct upload *up;
	struct stream *s;
	struct stat st;
	const char *path = arena_strdup(place.a, in(root, "a"));

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(rename(path, in(root, "b")), 0);
	put_text(path, "other");
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	/* Even if it is of the same time: it is not that file. */
	set_time(path, &st, 0);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	/* The same file, written to since. */
	assert_int_equal(rename(in(root, "b"), path), 0);
	read_all(ID, "hello");
	set_time(path, &st, 1);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

/* Where the file system numbers files anew the time has to do. */
static void
a_file_without_a_lasting_number_is_known_by_its_time(void **state)
{
	struct upload *up;
	struct stream *s;
	struct stat st;

	(void)state;
	move(finished(ID, "a", "hello"));
	assert_int_equal(stat(in(root, "a"), &st), 0);
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n%s\na\n0 %lld%09ld 1 2 0\n",
		root, (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec));
	assert_int_equal(unlink(in(root, "a")), 0);
	put_text(in(root, "a"), "hello");
	set_time(in(root, "a"), &st, 0);
	read_all(ID, "hello");
	set_time(in(root, "a"), &st, 1000);
	up = claimed(ID);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

static void
a_note_of_the_release_before_is_read_as_it_was(void **state)
{
	(void)state;
	move(finished(ID, "a", "hello"));
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 1\n%s\na\n0 1 2\n", root));
	read_all(ID, "hello");
	put_text(in(root, "a"), "other");
	read_all(ID, "other");
}

static void
a_place_below_another_root_is_not_read(void **state)
{
	struct upload *up;
	struct stream *s;
	const char *note;

	(void)state;
	move(finished(ID, "a", "hello"));
	note = text_of(in(place.dir, ID ".moved"));
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n/etc\na%s",
		strrchr(strstr(note, "\na\n"), 'a') + 1));
	up = claimed(ID);
	is(ERR_NOT_FOUND, place.ds->reader->open(up, 0, place.a, &s, &place.e));
	place.ds->core->close(up);
}

static void
to_terminate_it_leaves_the_file_alone(void **state)
{
	struct upload *up;

	(void)state;
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	assert_string_equal(text_of(in(root, "a")), "hello");
	assert_false(is_there(in(place.dir, ID ".info")));
	assert_false(is_there(in(place.dir, ID ".moved")));
}

static void
the_record_says_when_it_may_go(void **state)
{
	struct upload *up;

	(void)state;
	ok(conf_set(place.conf, "finish.keep_record", "1h", &place.e));
	open_with("{filename}");
	move(finished(ID, "a", "hello"));
	up = claimed(ID);
	assert_int_equal(up->info.forget - up->info.moved, 3600);
	place.ds->core->close(up);
}

/* --- traces of a process that died ---------------------------------------- */

static void
leave_note(const char *id, const char *path, uint64_t inode)
{
	put_text(in(place.dir, arena_printf(place.a, "%s.moved", id)),
	    arena_printf(place.a, "tusfcgi moved 1\n%s\n%s\n%llu 1 2\n", root,
		path, (unsigned long long)inode));
}

static uint64_t
inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static void
a_note_of_a_move_is_no_move(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	place.ds->core->close(up);
	put_text(in(root, "b"), "other");
	leave_note(ID, "b", 0);
	up = claimed(ID);
	assert_int_equal(up->info.moved, 0);
	assert_true(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	read_all(ID, "hello");
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_string_equal(text_of(in(root, "b")), "other");
}

static void
half_a_copy_is_removed(void **state)
{
	const char *copy = "." ID ".tusfcgi";

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, copy), "hel");
	leave_note(ID, "a", 0);
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "a")), "hello");
	assert_int_equal(count_files(), 1);
}

static void
a_copy_that_arrived_is_believed(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "hello");
	leave_note(ID, "a", inode_of(in(root, "a")));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_false(is_there(in(place.dir, ID)));
	assert_int_equal(count_files(), 1);
}

/* As it is on FAT: the number that the copy had is not known. */
static void
a_copy_without_a_lasting_number_is_believed_by_its_time(void **state)
{
	struct stat st;

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "hello");
	assert_int_equal(stat(in(root, "a"), &st), 0);
	put_text(in(place.dir, ID ".moved"),
	    arena_printf(place.a, "tusfcgi moved 2\n%s\na\n0 %lld%09ld 1 2 0\n",
		root, (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec));
	move(claimed(ID));
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_int_equal(count_files(), 1);
}

/* Where nothing else keeps the name free; see fs_name_reserved(). */
static void
an_empty_file_that_kept_the_name_is_given_back(void **state)
{
	int reserved;

	(void)state;
	for (reserved = 1; reserved >= 0; reserved--) {
		place.ds->core->close(
		    finished(reserved ? ID : ID_2, "a", "hello"));
		put_text(in(root, "b"), "");
		put_text(in(place.dir,
			     arena_printf(
				 place.a, "%s.moved", reserved ? ID : ID_2)),
		    arena_printf(place.a,
			"tusfcgi moved 2\n%s\nb\n1 1 1 2 %d\n", root,
			reserved));
		move(claimed(reserved ? ID : ID_2));
		/* If it is not ours for sure it stays. */
		assert_int_equal(is_there(in(root, "b")), !reserved);
	}
	assert_string_equal(path_of(ID), in(root, "a"));
	assert_string_equal(path_of(ID_2), in(root, "a-1"));
}

static gid_t
other_group(void)
{
	return geteuid() == 0 ? 65534 : getegid();
}

/* As a file that is made there, or copied there, would have. */
static void
a_rename_takes_the_group_of_a_directory_that_gives_it(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(chown(root, (uid_t)-1, other_group()), 0);
	move(finished(ID, "plain", "hello"));
	assert_int_equal(stat(in(root, "plain"), &st), 0);
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(chmod(root, 02770), 0);
	move(finished(ID_2, "given", "hello"));
	assert_int_equal(stat(in(root, "given"), &st), 0);
	assert_int_equal(st.st_gid, other_group());
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(count_files(), 2);
}

/* The number of an inode is given again, and files may be alike. */
static void
another_file_in_its_place_is_no_copy(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(root, "a"), "HELLO");
	leave_note(ID, "a", inode_of(in(root, "a")));
	move(claimed(ID));
	assert_string_equal(text_of(in(root, "a")), "HELLO");
	assert_string_equal(path_of(ID), in(root, "a-1"));
	/* A file with the bytes of the copy may belong to another program
	 * too. */
	place.ds->core->close(finished(ID_2, "a", "hello"));
	put_text(in(root, "b"), "hello");
	leave_note(ID_2, "b", inode_of(root));
	move(claimed(ID_2));
	assert_string_equal(path_of(ID_2), in(root, "a-2"));
}

static void
to_terminate_half_a_move_leaves_nothing_of_it(void **state)
{
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	put_text(in(root, "." ID ".tusfcgi"), "hel");
	put_text(in(root, "a"), "other");
	leave_note(ID, "a", 0);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	assert_int_equal(count_files(), 1);
	assert_string_equal(text_of(in(root, "a")), "other");
	assert_false(is_there(in(place.dir, ID ".moved")));
}

static enum err_code
look(const char *id)
{
	struct upload *up = NULL;
	enum err_code rc =
	    place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e);

	if (up != NULL)
		place.ds->core->close(up);
	return rc;
}

static void
to_terminate_needs_nothing_but_the_store(void **state)
{
	const char *copy = in(root, "." ID ".tusfcgi");
	struct upload *up = finished(ID, "a", "hello");

	(void)state;
	/* Not to be removed, like all on a file system that is read-only. */
	assert_int_equal(mkdir(copy, 0700), 0);
	leave_note(ID, "a", 0);
	ok(place.ds->terminater->terminate(up, &place.e));
	place.ds->core->close(up);
	is(ERR_NOT_FOUND, look(ID));
	assert_false(is_there(in(place.dir, ID ".moved")));
	assert_int_equal(rmdir(copy), 0);
}

static void
half_a_move_is_over_when_nothing_is_moved_any_more(void **state)
{
	struct upload *up;

	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	leave_note(ID, "a", 0);
	ok(conf_set(place.conf, "finish.move_to", "", &place.e));
	place.ds->core->shutdown(place.ds);
	ok(store_open(place.conf, &place.ds, &place.e));
	up = claimed(ID);
	assert_true(place.ds->mover->is_pending(up));
	ok(place.ds->mover->move(up, &place.e));
	assert_false(place.ds->mover->is_pending(up));
	place.ds->core->close(up);
	read_all(ID, "hello");
	assert_string_equal(path_of(ID), in(place.dir, ID));
}

static void
a_note_without_a_place_is_none(void **state)
{
	(void)state;
	place.ds->core->close(finished(ID, "a", "hello"));
	put_text(in(place.dir, ID ".moved"), "");
	ok(look(ID));
	move(claimed(ID));
	put_text(in(place.dir, ID ".moved"), "");
	is(ERR_NOT_FOUND, look(ID));
	put_text(in(place.dir, ID ".moved"), "garbage\n");
	is(ERR_CORRUPT, look(ID));
	leave_note(ID, "../x", 0);
	is(ERR_CORRUPT, look(ID));
	leave_note(ID, "x", 0);
	ok(look(ID));
}

static void
an_unfinished_upload_without_bytes_was_not_moved(void **state)
{
	struct file_info info = { .id = ID, .size = 5 };
	struct upload *up;

	(void)state;
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	place.ds->core->close(up);
	assert_int_equal(unlink(in(place.dir, ID)), 0);
	leave_note(ID, "a", 0);
	is(ERR_NOT_FOUND, look(ID));
}

static void
leftovers_of_moves_are_known(void **state)
{
	static const char *const names[] = { ID_2 ".moved", ID ".moved.new",
		"00000000000000000000000000000003.moved" };
	struct store_leftover l;
	void *cursor = NULL;
	size_t i, n = 0;

	(void)state;
	move(finished(ID, "a", "hello"));
	place.ds->core->close(finished(ID_2, "a", "hello"));
	for (i = 0; i < NITEMS(names); i++)
		put_text(in(place.dir, names[i]), "");
	for (;;) {
		ok(place.ds->keeper->leftover_next(
		    place.ds, &cursor, place.a, &l, &place.e));
		if (l.name == NULL)
			break;
		for (i = 0; i < NITEMS(names); i++)
			if (strcmp(l.name, names[i]) == 0)
				n++;
		assert_true(l.removable);
		ok(place.ds->keeper->leftover_remove(place.ds, &l, &place.e));
	}
	assert_int_equal(n, 3);
	ok(look(ID));
	ok(look(ID_2));
	assert_true(is_there(in(place.dir, ID ".moved")));
}

/* --- another file system -------------------------------------------------- */

static void
on_another_file_system_a_copy_is_made(void **state)
{
	struct stat st;

	(void)state;
	if (!has_elsewhere())
		skip();
	put_text(in(root, "a.txt"), "somebody's");
	move(finished(ID, "a.txt", "hello"));
	assert_string_equal(path_of(ID), in(root, "a-1.txt"));
	assert_string_equal(text_of(in(root, "a-1.txt")), "hello");
	assert_int_equal(stat(in(root, "a-1.txt"), &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_false(is_there(in(place.dir, ID)));
	assert_int_equal(count_files(), 2);
	read_all(ID, "hello");
}

static void
a_copy_that_does_not_fit_leaves_all_as_it_was(void **state)
{
	struct file_info info = {
		.id = ID, .size = (int64_t)1 << 43, .metadata = NULL
	};
	struct upload *up;
	int fd;

	(void)state;
	if (!has_elsewhere())
		skip();
	/* Nothing but a hole. */
	ok(place.ds->core->new_upload(place.ds, &info, place.a, &up, &place.e));
	fd = open(in(place.dir, ID), O_WRONLY);
	if (ftruncate(fd, (off_t)info.size) == -1) {
		(void)close(fd);
		place.ds->core->close(up);
		skip();
	}
	(void)close(fd);
	ok(place.ds->core->claim(up, &place.e));
	ok(place.ds->finisher->finish(up, 0, &place.e));
	is(ERR_NO_SPACE, place.ds->mover->move(up, &place.e));
	assert_int_equal(count_files(), 0);
	assert_false(is_there(in(place.dir, ID ".moved")));
	assert_true(is_there(in(place.dir, ID)));
	place.ds->core->close(up);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define FAR(f)	cmocka_unit_test_setup_teardown(f, set_up_elsewhere, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_finished_upload_goes_where_the_template_says),
		TEST(the_root_is_not_made),
		TEST(no_name_leads_from_the_root_into_the_store),
		TEST(nor_to_locks_or_hooks),
		TEST(directories_below_are_made_with_the_mode_of_the_store),
		TEST(a_store_that_cannot_move_is_refused),
		TEST(a_name_that_is_taken_gets_a_number),
		TEST(no_link_is_followed_on_the_way),
		TEST(what_pre_create_chose_comes_before_the_template),
		TEST(a_forged_place_in_a_record_leads_nowhere),
		TEST(a_file_that_is_not_as_it_was_is_not_served),
		TEST(another_file_of_the_name_and_size_is_not_served),
		TEST(a_file_without_a_lasting_number_is_known_by_its_time),
		TEST(a_note_of_the_release_before_is_read_as_it_was),
		TEST(a_place_below_another_root_is_not_read),
		TEST(to_terminate_it_leaves_the_file_alone),
		TEST(the_record_says_when_it_may_go),
		TEST(a_note_of_a_move_is_no_move),
		TEST(half_a_copy_is_removed),
		TEST(a_copy_that_arrived_is_believed),
		TEST(a_copy_without_a_lasting_number_is_believed_by_its_time),
		TEST(an_empty_file_that_kept_the_name_is_given_back),
		TEST(a_rename_takes_the_group_of_a_directory_that_gives_it),
		FAR(a_rename_takes_the_group_of_a_directory_that_gives_it),
		TEST(another_file_in_its_place_is_no_copy),
		TEST(to_terminate_half_a_move_leaves_nothing_of_it),
		TEST(to_terminate_needs_nothing_but_the_store),
		TEST(half_a_move_is_over_when_nothing_is_moved_any_more),
		TEST(a_note_without_a_place_is_none),
		TEST(an_unfinished_upload_without_bytes_was_not_moved),
		TEST(leftovers_of_moves_are_known),
		FAR(on_another_file_system_a_copy_is_made),
		FAR(a_copy_that_does_not_fit_leaves_all_as_it_was),
	};

	(void)umask(007);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
