/*
 * arena_test.c - memory that is there, aligned, empty, and forgotten at once.
 */
#include "config.h"

#include <sys/wait.h>

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"

static int
set_up(void **state)
{
	*state = arena_new();
	return 0;
}

static int
tear_down(void **state)
{
	arena_free(*state);
	return 0;
}

static bool
is_zero(const unsigned char *p, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void
memory_is_zeroed_and_aligned_whatever_the_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 7, 16, 17, 8191, 8192, 8193,
		100000 };
	unsigned char *p;
	size_t i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < NITEMS(sizes); i++) {
			p = arena_alloc(*state, sizes[i]);
			assert_non_null(p);
			assert_int_equal(
			    (uintptr_t)p % alignof(max_align_t), 0);
			assert_true(is_zero(p, sizes[i]));
			memset(p, 0xa5, sizes[i]);
		}
		arena_reset(*state);
	}
}

static void
pieces_do_not_overlap(void **state)
{
	unsigned char *p[500];
	size_t i, j;

	for (i = 0; i < NITEMS(p); i++) {
		p[i] = arena_alloc(*state, i);
		memset(p[i], (int)(i & 0xff), i);
	}
	for (i = 0; i < NITEMS(p); i++)
		for (j = 0; j < i; j++)
			assert_int_equal(p[i][j], i & 0xff);
}

static void
a_reset_gives_the_same_memory_again(void **state)
{
	void *first = arena_alloc(*state, 100);
	int i;

	for (i = 0; i < 100; i++)
		(void)arena_alloc(*state, 5000);
	arena_reset(*state);
	assert_ptr_equal(arena_alloc(*state, 100), first);
}

static void
copies_are_copies_with_a_nul_behind_them(void **state)
{
	const char text[] = "ab\0cd";
	char *copy = arena_memdup(*state, text, 5);

	assert_memory_equal(copy, text, 6);
	assert_ptr_not_equal(copy, text);
	assert_string_equal(arena_memdup(*state, NULL, 0), "");
	copy = arena_strdup(*state, text);
	assert_string_equal(copy, "ab");
	assert_ptr_not_equal(copy, text);
	assert_null(arena_strdup(*state, NULL));
}

static void
text_of_any_length_can_be_printed(void **state)
{
	char *text;

	assert_string_equal(arena_printf(*state, "%s-%d", "a", 5), "a-5");
	assert_string_equal(arena_printf(*state, "%s", ""), "");
	text = arena_printf(*state, "%0*d", 100000, 7);
	assert_int_equal(strlen(text), 100000);
	assert_int_equal(text[99999], '7');
}

static void
what_outlives_a_request_is_zeroed_or_copied(void **state)
{
	unsigned char *p = must_alloc(1000);
	char *s = must_strdup("text");

	(void)state;
	assert_true(is_zero(p, 1000));
	assert_string_equal(s, "text");
	free(p);
	free(s);
	p = must_alloc(0);
	assert_non_null(p);
	free(p);
}

/* --- What ends the process. --- */

static void
alloc_everything(void)
{
	(void)arena_alloc(arena_new(), SIZE_MAX);
}

static void
alloc_nearly_everything(void)
{
	(void)arena_alloc(arena_new(), SIZE_MAX - 64);
}

static void
copy_everything(void)
{
	(void)arena_memdup(arena_new(), "", SIZE_MAX);
}

/* Runs f in a child; its exit status, and what it said on stderr. */
static int
run(void (*f)(void), char *said, size_t size)
{
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		f();
		_exit(0);
	}
	(void)close(ends[1]);
	n = read(ends[0], said, size - 1);
	said[n > 0 ? n : 0] = '\0';
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
out_of_memory_ends_the_process_with_one_line(void **state)
{
	static void (*const f[])(
	    void) = { out_of_memory, alloc_everything, copy_everything };
	char said[200];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(f); i++) {
		assert_int_equal(run(f[i], said, sizeof(said)), 1);
		assert_non_null(strstr(said, "out of memory"));
		assert_int_equal(strcspn(said, "\n"), strlen(said) - 1);
	}
}

/* The sanitizer answers in malloc's place, and not in one line. */
static void
a_size_that_wraps_around_never_returns(void **state)
{
	char said[200];

	(void)state;
	assert_int_not_equal(
	    run(alloc_nearly_everything, said, sizeof(said)), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(memory_is_zeroed_and_aligned_whatever_the_size),
		TEST(pieces_do_not_overlap),
		TEST(a_reset_gives_the_same_memory_again),
		TEST(copies_are_copies_with_a_nul_behind_them),
		TEST(text_of_any_length_can_be_printed),
		TEST(what_outlives_a_request_is_zeroed_or_copied),
		TEST(out_of_memory_ends_the_process_with_one_line),
		TEST(a_size_that_wraps_around_never_returns),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
