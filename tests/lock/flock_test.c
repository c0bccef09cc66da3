/*
 * flock_test.c - the contract, and what only lock files can get wrong.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"
#include "tests/lock/agent.h"
#include "tests/lock/place.h"

#define ID "0d7e18102c1a1896f45a1fc9a11d1815"

static int place = -1;

static void
stat_lock_file(struct stat *st)
{
	assert_int_equal(
	    fstatat(place, ID ".lock", st, AT_SYMLINK_NOFOLLOW), 0);
}

static enum err_code
try_lock(struct locker *locker, struct arena *a, struct lock **lock)
{
	struct err e;

	return locker->ops->acquire(locker, ID, LOCK_CREATE, a, lock, &e);
}

/* Whatever is at ID.lock: refused, at once, and left as it is. */
static void
assert_refused(void)
{
	struct locker *locker = place_open();
	struct arena *a = arena_new();
	int64_t start = clock_ms();
	struct stat before, after;
	struct lock *lock;

	stat_lock_file(&before);
	assert_int_equal(try_lock(locker, a, &lock), ERR_CORRUPT);
	assert_true(locker_knows(locker, ID, a));
	assert_true(clock_ms() - start < 1000);
	stat_lock_file(&after);
	assert_int_equal(before.st_ino, after.st_ino);
	locker->ops->shutdown(locker);
	arena_free(a);
}

static int
clean(void **state)
{
	(void)state;
	(void)unlinkat(place, ID ".lock", 0);
	(void)unlinkat(place, ID ".lock", AT_REMOVEDIR);
	(void)unlinkat(place, "other", 0);
	return 0;
}

static void
a_symlink_is_not_followed(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(symlinkat("other", place, ID ".lock"), 0);
	assert_refused();
	assert_int_equal(fstatat(place, "other", &st, 0), -1);
}

static void
a_fifo_does_not_hang(void **state)
{
	(void)state;
	assert_int_equal(mkfifoat(place, ID ".lock", 0600), 0);
	assert_refused();
}

static void
a_directory_is_no_lock(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(place, ID ".lock", 0700), 0);
	assert_refused();
}

static void
a_second_name_of_a_strangers_file_is_not_locked(void **state)
{
	int fd;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: giving a file away needs root\n");
		skip();
	}
	fd = openat(place, "other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd != -1);
	assert_int_equal(fchown(fd, 65534, 65534), 0);
	(void)close(fd);
	assert_int_equal(linkat(place, "other", place, ID ".lock", 0), 0);
	assert_refused();
}

/* "cp -al" of the store keeps the file alive that the holder removes. */
static void
a_second_name_does_not_make_a_second_holder(void **state)
{
	struct locker *locker = place_open(), *other = place_open();
	struct arena *a = arena_new();
	struct lock *lock, *waited, *third;

	(void)state;
	assert_int_equal(try_lock(locker, a, &lock), ERR_OK);
	assert_int_equal(linkat(place, ID ".lock", place, "other", 0), 0);
	assert_int_equal(try_lock(other, a, &waited), ERR_LOCKED);
	locker->ops->release(lock, true);
	assert_false(locker_knows(locker, ID, a));
	/* What it waited for has no name here any more. */
	assert_int_equal(try_lock(other, a, &waited), ERR_OK);
	assert_int_equal(try_lock(locker, a, &third), ERR_LOCKED);
	other->ops->release(waited, true);
	other->ops->shutdown(other);
	locker->ops->shutdown(locker);
	arena_free(a);
}

/* tusd deletes an empty lock file; a number in it makes it wait. */
static void
the_lock_file_is_empty_and_has_the_configured_mode(void **state)
{
	struct locker *locker = place_open();
	struct arena *a = arena_new();
	mode_t mask = umask(0);
	struct lock *lock;
	struct stat st;

	(void)state;
	assert_int_equal(try_lock(locker, a, &lock), ERR_OK);
	(void)umask(mask);
	stat_lock_file(&st);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	locker->ops->release(lock, true);
	locker->ops->shutdown(locker);
	arena_free(a);
}

/* An administrator may remove lock files by hand: the new one is not ours. */
static void
only_our_own_lock_file_is_removed(void **state)
{
	struct locker *locker = place_open();
	struct arena *a = arena_new();
	struct lock *lock, *stranger;

	(void)state;
	assert_int_equal(try_lock(locker, a, &lock), ERR_OK);
	assert_int_equal(unlinkat(place, ID ".lock", 0), 0);
	assert_int_equal(try_lock(locker, a, &stranger), ERR_OK);
	locker->ops->release(lock, true);
	assert_true(locker_knows(locker, ID, a));
	locker->ops->release(stranger, true);
	assert_false(locker_knows(locker, ID, a));
	locker->ops->shutdown(locker);
	arena_free(a);
}

/* As a client of NFS does where the one that is removed is open. */
static void
a_lock_file_that_got_another_name_is_not_ours(void **state)
{
	struct locker *locker, *other;
	struct arena *a = arena_new();
	struct lock *lock, *stranger;

	(void)state;
	place_set_method("ofd");
	locker = place_open();
	other = place_open();
	assert_int_equal(try_lock(locker, a, &lock), ERR_OK);
	assert_int_equal(try_lock(other, a, &stranger), ERR_LOCKED);
	assert_int_equal(renameat(place, ID ".lock", place, "other"), 0);
	assert_int_equal(try_lock(locker, a, &stranger), ERR_OK);
	locker->ops->release(lock, true);
	assert_true(locker_knows(locker, ID, a));
	/* It waited for the one that is free now, but not ours any more. */
	assert_int_equal(try_lock(other, a, &lock), ERR_LOCKED);
	locker->ops->release(stranger, true);
	assert_int_equal(try_lock(other, a, &lock), ERR_OK);
	other->ops->release(lock, true);
	other->ops->shutdown(other);
	locker->ops->shutdown(locker);
	(void)unlinkat(place, "other", 0);
	place_set_method("flock");
	arena_free(a);
}

static int kept[4];
static size_t n_kept;

/* As FUSE keeps what is closed open for a while. */
static void
keep_lock_files_open(void)
{
	char path[64], target[512];
	int fd, last = 64;
	ssize_t n;

	for (fd = 3; fd < last && n_kept < NITEMS(kept); fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strstr(target, ID ".lock") != NULL)
			kept[n_kept++] = fcntl(fd, F_DUPFD_CLOEXEC, last);
	}
	assert_true(n_kept > 0);
}

static void
close_kept(void)
{
	while (n_kept > 0)
		(void)close(kept[--n_kept]);
}

static void
bytes_are_unlocked_before_their_file_is_closed(void **state)
{
	struct locker *locker, *other;
	struct arena *a = arena_new();
	struct lock *lock, *theirs;
	struct lock_holder holder;

	(void)state;
	place_set_method("ofd");
	locker = place_open();
	other = place_open();
	assert_int_equal(try_lock(locker, a, &lock), ERR_OK);
	keep_lock_files_open();
	assert_true(other->ops->holder(other, ID, &holder));
	locker->ops->release(lock, false);
	assert_false(other->ops->holder(other, ID, &holder));
	assert_int_equal(try_lock(other, a, &theirs), ERR_OK);
	close_kept();
	assert_int_equal(try_lock(locker, a, &lock), ERR_LOCKED);
	keep_lock_files_open();
	assert_int_equal(other->ops->state(theirs), LOCK_WANTED);
	locker->ops->stop_asking(locker, ID);
	assert_int_equal(other->ops->state(theirs), LOCK_HELD);
	close_kept();
	other->ops->release(theirs, true);
	other->ops->shutdown(other);
	locker->ops->shutdown(locker);
	place_set_method("flock");
	arena_free(a);
}

static int
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (d == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static void
no_descriptor_is_left_open(void **state)
{
	int before = count_descriptors(), i;
	struct locker *a = place_open(), *b = place_open();
	struct arena *arena = arena_new();
	struct lock *lock, *other;
	struct err e;

	(void)state;
	for (i = 0; i < 50; i++) {
		assert_int_equal(try_lock(a, arena, &lock), ERR_OK);
		assert_int_equal(
		    b->ops->acquire(b, ID, LOCK_QUIETLY, arena, &other, &e),
		    ERR_LOCKED);
		assert_int_equal(try_lock(b, arena, &other), ERR_LOCKED);
		if (i % 2 == 0)
			a->ops->release(lock, true);
		else
			a->ops->release(lock, false);
		if (i % 3 == 0)
			b->ops->stop_asking(b, ID);
		assert_int_equal(try_lock(b, arena, &other), ERR_OK);
		b->ops->release(other, false);
	}
	assert_int_equal(try_lock(a, arena, &lock), ERR_OK);
	assert_int_equal(try_lock(b, arena, &other), ERR_LOCKED);
	b->ops->shutdown(b);
	a->ops->release(lock, true);
	a->ops->shutdown(a);
	assert_int_equal(count_descriptors(), before);
	arena_free(arena);
}

/* 1001 and 1002, who have nothing in common but the group 1003. */
static void
two_users_of_one_group_lock_the_same_files(void **state)
{
	const struct lock_maker here = { "flock", place_open, 0, 0, 0 };
	struct agent a, b;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: two users need root\n");
		skip();
	}
	place_share(1003);
	(void)umask(007);
	agent_start(&a, &here, ID, 1001, 1003);
	agent_start(&b, &here, ID, 1002, 1003);
	assert_int_equal(agent_do(&a, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(&b, AGENT_CREATE), ERR_LOCKED);
	assert_int_equal(agent_do(&a, AGENT_WANTED), 1);
	agent_freeze(&a);
	assert_int_equal(agent_lock_within(&b, AGENT_CREATE, 50), ERR_LOCKED);
	agent_thaw(&a);
	(void)agent_do(&a, AGENT_RELEASE);
	assert_int_equal(agent_do(&b, AGENT_CREATE), ERR_OK);
	assert_int_equal(agent_do(&a, AGENT_CREATE), ERR_LOCKED);
	agent_kill(&b);
	assert_int_equal(agent_do(&a, AGENT_CREATE), ERR_OK);
	(void)agent_do(&a, AGENT_RETIRE);
	agent_kill(&a);
}

static void
a_walk_sees_lock_files_only(void **state)
{
	static const char *const names[] = { "other", ID, ID ".info",
		ID ".lock.1", ".lock", "a b.lock", ID ".lock" };
	struct locker *locker = place_open();
	struct arena *a = arena_new();
	void *cursor = NULL;
	const char *id;
	struct err e;
	int fd, times = 0;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		fd = openat(place, names[i], O_WRONLY | O_CREAT, 0600);
		assert_true(fd != -1);
		(void)close(fd);
	}
	do {
		assert_int_equal(
		    locker->traces->walk_next(locker, &cursor, a, &id, &e),
		    ERR_OK);
		assert_true(id == NULL || id_is_valid(id));
		times += id != NULL && strcmp(id, ID) == 0;
	} while (id != NULL);
	assert_int_equal(times, 1);
	for (i = 0; i < NITEMS(names); i++)
		(void)unlinkat(place, names[i], 0);
	locker->ops->shutdown(locker);
	arena_free(a);
}

static void
a_bad_configuration_is_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "lock.path", "/nonexistent/place" },
		{ "lock.type", "carrier-pigeon" },
		{ "lock.method", "hope" },
	};
	struct locker *locker;
	struct conf *conf;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		conf = conf_new();
		if (conf_set(conf, "lock.path", place_path(), &e) == ERR_OK &&
		    conf_set(conf, bad[i][0], bad[i][1], &e) == ERR_OK &&
		    locker_open(conf, &locker, &e) == ERR_OK)
			fail_msg("%s = %s was accepted", bad[i][0], bad[i][1]);
		conf_free(conf);
	}
}

static int
run_file_tests(void)
{
#define ONE(f) cmocka_unit_test_teardown(f, clean)
	const struct CMUnitTest tests[] = {
		ONE(a_symlink_is_not_followed),
		ONE(a_fifo_does_not_hang),
		ONE(a_directory_is_no_lock),
		ONE(a_second_name_of_a_strangers_file_is_not_locked),
		ONE(a_second_name_does_not_make_a_second_holder),
		ONE(the_lock_file_is_empty_and_has_the_configured_mode),
		ONE(only_our_own_lock_file_is_removed),
		ONE(a_lock_file_that_got_another_name_is_not_ours),
		ONE(bytes_are_unlocked_before_their_file_is_closed),
		ONE(no_descriptor_is_left_open),
		ONE(a_walk_sees_lock_files_only),
		ONE(a_bad_configuration_is_refused),
		ONE(two_users_of_one_group_lock_the_same_files),
	};
#undef ONE

	return cmocka_run_group_tests_name("lock files", tests, NULL, NULL);
}

int
main(void)
{
	static const struct lock_maker makers[] = {
		{ "flock", place_open, 20000, 200, 0 },
		{ "ofd", place_open, 4000, 100, 0 },
	};
	/* Over a network, where a death is not known at once. */
	static const struct lock_maker shared = { "ofd, two hosts", place_open,
		100, 20, 2000 };
	int failed = 0;
	size_t i;

	place_make();
	if (place_has_twin()) {
		place_set_method("ofd");
		failed = lock_contract_run(&shared);
		place_remove();
		return failed != 0;
	}
	if ((place = open(place_path(), O_RDONLY | O_DIRECTORY)) == -1)
		return 1;
	for (i = 0; i < NITEMS(makers); i++) {
		place_set_method(makers[i].name);
		failed += lock_contract_run(&makers[i]);
	}
	place_set_method("flock");
	failed += run_file_tests();
	(void)close(place);
	place_remove();
	return failed != 0;
}
