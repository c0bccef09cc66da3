/*
 * ledger_test.c - the ledger as the file store keeps it on disk.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/store/contract.h"

#define ID "0d7e18102c1a1896f45a1fc9a11d1815"

/* sha256sum of "joe" */
#define PAGE                                                                   \
	".quota/"                                                              \
	"78675cc176081372c43abab3ea9fb70c74381eb02dc6e93fb6d44d161da6eeb3"

static struct place place;

static int
set_up(void **state)
{
	static const struct variant data = {
		.name = "data", .type = "file", .durability = "data"
	};

	(void)state;
	memset(&place, 0, sizeof(place));
	place_open(&place, &data);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	place_close(&place);
	return 0;
}

static const char *
path_of(const char *name)
{
	return arena_printf(place.a, "%s/%s", place.dir, name);
}

static bool
is_there(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

static void
touch(const char *name)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT, 0600);

	assert_int_not_equal(fd, -1);
	(void)close(fd);
}

static enum err_code
create(const char *id, int64_t size, int64_t uploads)
{
	const struct store_quota quota = { .uploads = uploads, .bytes = 1000 };
	struct file_info info = { .id = id, .size = size, .owner = "joe" };
	struct data_store *ds = place.ds;
	struct store_entry *entry;
	struct upload *up;
	enum err_code rc;

	rc = ds->ledger->enter(
	    ds, &info, size, &quota, place.a, &entry, &place.e);
	if (rc != ERR_OK)
		return rc;
	rc = ds->core->new_upload(ds, &info, place.a, &up, &place.e);
	ds->ledger->entered(entry, rc == ERR_OK);
	if (rc == ERR_OK)
		ds->core->close(up);
	return rc;
}

static void
terminate(const char *id)
{
	struct upload *up;

	assert_int_equal(
	    place.ds->core->get_upload(place.ds, id, place.a, &up, &place.e),
	    ERR_OK);
	assert_int_equal(place.ds->terminater->terminate(up, &place.e), ERR_OK);
	place.ds->core->close(up);
}

static void
prune(void)
{
	int64_t n;

	assert_int_equal(
	    place.ds->ledger->prune(place.ds, NULL, false, &n, &place.e),
	    ERR_OK);
}

static void
the_name_of_an_entry_says_it_all(void **state)
{
	struct store_leftover l;
	void *cursor = NULL;

	(void)state;
	assert_int_equal(create(ID, 5, 10), ERR_OK);
	assert_true(is_there(PAGE "/" ID ".5"));
	assert_int_equal(place.ds->keeper->leftover_next(
			     place.ds, &cursor, NULL, place.a, &l, &place.e),
	    ERR_OK);
	assert_null(l.name);
	terminate(ID);
	assert_false(is_there(PAGE "/" ID ".5"));
	assert_true(is_there(PAGE "/lock"));
}

static void
the_sweep_leaves_no_empty_page(void **state)
{
	(void)state;
	assert_int_equal(create(ID, 5, 10), ERR_OK);
	prune();
	assert_true(is_there(PAGE "/" ID ".5"));
	terminate(ID);
	prune();
	assert_true(is_there(".quota"));
	assert_false(is_there(PAGE));
	assert_int_equal(create(ID, 5, 1), ERR_OK);
}

static void
only_entries_count(void **state)
{
	static const char *const strangers[] = { "README", "notes.txt", ".5",
		"a.", "a.-1", "a.5x", "a.5.6", "a b.5",
		"a.99999999999999999999" };
	size_t i;

	(void)state;
	assert_int_equal(create(ID, 5, 10), ERR_OK);
	for (i = 0; i < NITEMS(strangers); i++)
		touch(arena_printf(place.a, PAGE "/%s", strangers[i]));
	assert_int_equal(create("second", 995, 2), ERR_OK);
	assert_int_equal(create("third", 1, 3), ERR_QUOTA);
	assert_int_equal(create("third", 0, 2), ERR_QUOTA);
	prune();
	for (i = 0; i < NITEMS(strangers); i++)
		assert_true(
		    is_there(arena_printf(place.a, PAGE "/%s", strangers[i])));
}

static void
half_an_upload_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(create("one", 5, 2), ERR_OK);
	assert_int_equal(create("two", 5, 2), ERR_OK);
	assert_int_equal(create("new", 5, 2), ERR_QUOTA);
	assert_int_equal(unlink(path_of("one")), 0);
	assert_int_equal(create("new", 5, 2), ERR_OK);
	assert_int_equal(unlink(path_of("two.info")), 0);
	assert_int_equal(create("other", 5, 2), ERR_OK);
}

static void
links_are_not_followed(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path_of("elsewhere"), 0700), 0);
	assert_int_equal(symlink("elsewhere", path_of(".quota")), 0);
	assert_int_equal(create(ID, 5, 10), ERR_SYSTEM);
	assert_false(is_there(ID));
	assert_int_equal(unlink(path_of(".quota")), 0);
	assert_int_equal(mkdir(path_of(".quota"), 0700), 0);
	assert_int_equal(symlink("../elsewhere", path_of(PAGE)), 0);
	assert_int_equal(create(ID, 5, 10), ERR_SYSTEM);
	assert_int_equal(rmdir(path_of("elsewhere")), 0);
}

/* The numbers with which the sum of the page begins. */
static void
is_sum(long long uploads, long long bytes)
{
	long long numbers[2] = { -1, -1 };
	FILE *f = fopen(path_of(PAGE "/lock"), "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lld %lld", &numbers[0], &numbers[1]), 2);
	(void)fclose(f);
	assert_int_equal(numbers[0], uploads);
	assert_int_equal(numbers[1], bytes);
}

static void
a_page_has_the_sum_of_its_names(void **state)
{
	(void)state;
	assert_int_equal(create("one", 5, 10), ERR_OK);
	is_sum(1, 5);
	assert_int_equal(create(ID, 700, 10), ERR_OK);
	is_sum(2, 705);
	terminate("one");
	is_sum(1, 700);
	assert_int_equal(create("two", 301, 10), ERR_QUOTA);
	is_sum(1, 700);
	assert_int_equal(create("two", 300, 10), ERR_OK);
	is_sum(2, 1000);
}

/* A release that knows of no sum, or a process that died. */
static void
a_sum_that_is_older_than_its_page_is_not_trusted(void **state)
{
	struct stat before, after;

	(void)state;
	assert_int_equal(create(ID, 5, 10), ERR_OK);
	touch("other");
	touch("other.info");
	assert_int_equal(stat(path_of(PAGE), &before), 0);
	do {
		(void)unlink(path_of(PAGE "/other.990"));
		touch(PAGE "/other.990");
		assert_int_equal(stat(path_of(PAGE), &after), 0);
	} while (memcmp(&before.st_mtim, &after.st_mtim,
		     sizeof(before.st_mtim)) == 0);
	is_sum(1, 5);
	assert_int_equal(create("new", 20, 10), ERR_QUOTA);
	is_sum(2, 995);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest all[] = {
		TEST(the_name_of_an_entry_says_it_all),
		TEST(the_sweep_leaves_no_empty_page),
		TEST(only_entries_count),
		TEST(half_an_upload_does_not_count),
		TEST(links_are_not_followed),
		TEST(a_page_has_the_sum_of_its_names),
		TEST(a_sum_that_is_older_than_its_page_is_not_trusted),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
