/*
 * board_test.c - the board of a pool: are requests short enough for the workers
 * that there are?
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fcgi/board.h"

enum {
	WORKERS = 4
};

static struct board *board;
static struct board_pace pace;

static int
set_up(void **state)
{
	size_t i;

	(void)state;
	board = board_new();
	assert_non_null(board);
	board->wake_fd = -1;
	for (i = 0; i < WORKERS; i++)
		board_set(board, i, WORKER_BUSY);
	pace = (struct board_pace){ 0 };
	(void)board_is_brisk(board, &pace, 1000);
	return 0;
}

/* Each of these workers begins so many requests, and is at the last. */
static void
serve(size_t first, size_t end, int n)
{
	for (; n > 0; n--)
		for (size_t i = first; i < end; i++) {
			board_set(board, i, WORKER_IDLE);
			board_set(board, i, WORKER_BUSY);
		}
}

static void
a_millisecond_each_is_brisk(void **state)
{
	(void)state;
	serve(0, WORKERS, 20);
	assert_true(board_is_brisk(board, &pace, 1020));
	serve(0, WORKERS, 19);
	assert_false(board_is_brisk(board, &pace, 1040));
	/* Each look counts from the last one on. */
	serve(0, WORKERS, 20);
	assert_true(board_is_brisk(board, &pace, 1060));
}

static void
some_that_are_stuck_count(void **state)
{
	(void)state;
	serve(0, 1, 20);
	assert_false(board_is_brisk(board, &pace, 1020));
	assert_false(board_is_brisk(board, &pace, 1040));
}

/* As long as the client wants, so that it says nothing. */
static void
who_receives_does_not_count(void **state)
{
	size_t i;

	(void)state;
	for (i = 1; i < WORKERS; i++)
		board_set(board, i, WORKER_RECEIVING);
	serve(0, 1, 20);
	assert_true(board_is_brisk(board, &pace, 1020));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(a_millisecond_each_is_brisk),
		TEST(some_that_are_stuck_count),
		TEST(who_receives_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
