/*
 * brief_test.c - a PATCH that ends an upload with what is here locks the record
 * alone; and it and those that lock as ever keep each other out.
 */
#include "config.h"

#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/sweep.h"
#include "store/file/guard.h"
#include "tests/base/temp.h"
#include "tests/tus/drive.h"

#define BODY_TYPE "Content-Type: application/offset+octet-stream\n"
/* Of "abcdefgh". */
#define SUM "Upload-Checksum: sha1 QlrxKgdDUCsyLpOgFbz4aOMk1Wo=\n"

static struct world w;

/* The real locker, behind a count. */
static struct locker *real;
static int locks;
static bool has_no_room;

/* An upload whose guard another process has raised, and the lock of one. */
static struct upload *held;
static struct lock *taken;

static enum err_code
acquire(struct locker *locker, const char *id, enum lock_how how,
    struct arena *a, struct lock **lock, struct err *e)
{
	(void)locker;
	if (has_no_room)
		return err_set(e, ERR_NO_SPACE, "no room");
	locks += how == LOCK_CREATE;
	return real->ops->acquire(real, id, how, a, lock, e);
}

static void
stop_asking(struct locker *locker, const char *id)
{
	(void)locker;
	real->ops->stop_asking(real, id);
}

static enum err_code
walk_next(struct locker *locker, void **cursor, struct arena *a,
    const char **id, struct err *e)
{
	(void)locker;
	return real->traces->walk_next(real, cursor, a, id, e);
}

static bool
has(struct locker *locker, const char *id)
{
	(void)locker;
	return real->traces->has(real, id);
}

static const struct locker_ops ops = { .acquire = acquire,
	.stop_asking = stop_asking };
static const struct locker_traces traces = { .walk_next = walk_next,
	.has = has };
static struct locker counted = {
	.name = "counted", .ops = &ops, .traces = &traces
};

static int
setup(void **state)
{
	struct err e;

	(void)temp_enter(state);
	world_open_in(&w, 3, temp_folder());
	if (locker_open(w.conf, &real, &e) != ERR_OK)
		fail_msg("%s", e.text);
	w.store->guard = &file_guard;
	w.srv.core.locker = &counted;
	locks = 0;
	has_no_room = false;
	held = NULL;
	return 0;
}

static int
teardown(void **state)
{
	real->ops->shutdown(real);
	world_close(&w);
	return temp_leave(state);
}

static const char *
make(void)
{
	return world_create(&w, "Upload-Length: 8");
}

static const char *
id_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

static struct ask
patch(const char *path)
{
	return (struct ask){ .method = "PATCH",
		.path = path,
		.headers = BODY_TYPE "Upload-Offset: 0",
		.body = "abcdefgh",
		.is_here = true };
}

static int
status_of(struct ask ask)
{
	return world_ask(&w, ask).status;
}

static void
hold(const char *path)
{
	struct err e;

	assert_int_equal(
	    w.store->core->get_upload(w.store, id_of(path), w.arena, &held, &e),
	    ERR_OK);
	assert_int_equal(w.store->guard->raise(held, &e), ERR_OK);
}

static void
let_go(struct world *world)
{
	(void)world;
	w.store->core->close(held);
}

static void
what_ends_an_upload_at_once_takes_no_lock(void **state)
{
	const char *path = make();

	(void)state;
	assert_int_equal(status_of(patch(path)), 204);
	assert_int_equal(locks, 0);
	assert_int_equal(world_offset(&w, path), 8);
	assert_int_equal(status_of(patch(path)), 409);
}

/* And is written as if it had the lock. */
static void
expect_lock(struct ask ask, int status)
{
	locks = 0;
	assert_int_equal(status_of(ask), status);
	assert_int_equal(locks, 1);
}

static void
all_else_takes_it(void **state)
{
	struct ask ask = patch(make());

	(void)state;
	ask.is_here = false;
	expect_lock(ask, 204);

	ask = patch(make());
	ask.body = "abcdefg";
	expect_lock(ask, 204);
	/* What was locked once is locked to its end. */
	ask.body = "h";
	ask.headers = BODY_TYPE "Upload-Offset: 7";
	expect_lock(ask, 204);

	ask = patch(make());
	ask.headers = BODY_TYPE SUM "Upload-Offset: 0";
	expect_lock(ask, 204);

	ask = patch(make());
	ask.headers = BODY_TYPE "Upload-Offset: 3";
	expect_lock(ask, 409);

	ask = patch(world_create(&w, "Upload-Defer-Length: 1"));
	ask.headers = BODY_TYPE "Upload-Offset: 0\nUpload-Length: 8";
	expect_lock(ask, 204);
}

static void
so_does_a_store_whose_users_do_not_all_look(void **state)
{
	(void)state;
	w.store->guard = NULL;
	expect_lock(patch(make()), 204);
}

static void
who_has_the_lock_keeps_it_out(void **state)
{
	const char *path = make();
	struct lock *lock;
	struct err e;

	(void)state;
	assert_int_equal(real->ops->acquire(real, id_of(path), LOCK_CREATE,
			     w.arena, &lock, &e),
	    ERR_OK);
	assert_int_equal(status_of(patch(path)), 423);
	assert_int_equal(
	    world_ask(&w, (struct ask){ .method = "HEAD", .path = path })
		.status,
	    423);
	real->ops->release(lock, true);
	assert_int_equal(status_of(patch(path)), 204);
}

/* Nothing is left behind of who had to give up. */
static void
expect_wait(struct ask ask, const char *path)
{
	hold(path);
	assert_int_equal(status_of(ask), 423);
	ask.while_busy = let_go;
	assert_int_equal(status_of(ask), 204);
}

static void
who_locks_the_record_is_waited_for(void **state)
{
	const char *path = make();
	struct ask ask = patch(path);

	(void)state;
	expect_wait(ask, path);
	path = make();
	ask = patch(path);
	ask.is_here = false;
	expect_wait(ask, path);
	path = make();
	expect_wait((struct ask){ .method = "DELETE", .path = path }, path);
}

static void
also_where_no_lock_can_be_made(void **state)
{
	const char *path = make();

	(void)state;
	has_no_room = true;
	expect_wait((struct ask){ .method = "DELETE", .path = path }, path);
}

/* The lock of another process, which found room for it. */
static void
take_lock(const char *path)
{
	struct err e;

	assert_int_equal(real->ops->acquire(real, id_of(path), LOCK_CREATE,
			     w.arena, &taken, &e),
	    ERR_OK);
}

static void
release_lock(struct world *world)
{
	(void)world;
	real->ops->release(taken, true);
}

static void
and_where_another_process_could_make_one(void **state)
{
	const char *path = make();
	struct ask ask = { .method = "DELETE", .path = path };

	(void)state;
	has_no_room = true;
	take_lock(path);
	assert_int_equal(status_of(ask), 423);
	ask.while_busy = release_lock;
	assert_int_equal(status_of(ask), 204);
}

static void
met(struct sweep *s, enum sweep_deed deed, const char *name, const char *what)
{
	(void)s;
	(void)deed;
	(void)name;
	(void)what;
}

static void
failed(struct sweep *s, const char *text)
{
	(void)s;
	fail_msg("%s", text);
}

static void
progress(struct sweep *s, const char *what, int64_t n)
{
	(void)s;
	(void)what;
	(void)n;
}

/* How many it removed, and left because they are in use. */
static void
expect_sweep(int64_t expired, int64_t in_use)
{
	static const struct sweep_ears ears = { met, failed, progress };
	struct sweep s = { .store = w.store,
		.locker = &counted,
		.ears = &ears,
		.force = true,
		.older_than = -1 };
	struct err e;

	if (sweep_begin(&s, &e) != ERR_OK)
		fail_msg("%s", e.text);
	sweep_run(&s);
	assert_int_equal(s.count[SWEEP_EXPIRED], expired);
	assert_int_equal(s.count[SWEEP_IN_USE], in_use);
}

static void
make_expired(const char *path)
{
	struct upload *up;
	struct err e;

	assert_int_equal(
	    w.store->core->get_upload(w.store, id_of(path), w.arena, &up, &e),
	    ERR_OK);
	assert_int_equal(w.store->core->claim(up, &e), ERR_OK);
	assert_int_equal(
	    w.store->expirer->set_expiry(up, 1700000000, &e), ERR_OK);
	w.store->core->close(up);
}

static void
the_sweep_leaves_it_alone(void **state)
{
	bool *no_room = *state;
	const char *path = make();

	make_expired(path);
	has_no_room = no_room != NULL;
	hold(path);
	expect_sweep(0, 1);
	let_go(&w);
	expect_sweep(1, 0);
}

static void
and_what_has_got_a_lock_on_a_full_disk(void **state)
{
	const char *path = make();

	(void)state;
	make_expired(path);
	has_no_room = true;
	take_lock(path);
	expect_sweep(0, 1);
	release_lock(&w);
	expect_sweep(1, 0);
}

static int
setup_full(void **state)
{
	static bool yes = true;

	(void)setup(state);
	*state = &yes;
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_ends_an_upload_at_once_takes_no_lock),
		TEST(all_else_takes_it),
		TEST(so_does_a_store_whose_users_do_not_all_look),
		TEST(who_has_the_lock_keeps_it_out),
		TEST(who_locks_the_record_is_waited_for),
		TEST(also_where_no_lock_can_be_made),
		TEST(and_where_another_process_could_make_one),
		TEST(the_sweep_leaves_it_alone),
		cmocka_unit_test_setup_teardown(
		    the_sweep_leaves_it_alone, setup_full, teardown),
		TEST(and_what_has_got_a_lock_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
