/*
 * idset_test.c - a set of ids has those that were added, and no others.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/idset.h"

enum {
	MANY = 100000
};

static const char *
id_of(int number)
{
	static char id[ID_MAX + 1];

	(void)snprintf(id, sizeof(id), "%032x", (unsigned)number);
	return id;
}

static void
a_set_has_what_was_added_with_its_mark(void **state)
{
	struct id_set *s = id_set_new(MANY);
	int i;

	(void)state;
	assert_int_equal(id_set_mark(s, id_of(0)), 0);
	for (i = 0; i < MANY; i++)
		id_set_add(s, id_of(i), 1 + (unsigned)i % 3);
	for (i = 0; i < MANY; i++)
		assert_int_equal(id_set_mark(s, id_of(i)), 1 + (unsigned)i % 3);
	for (i = MANY; i < 2 * MANY; i++)
		assert_int_equal(id_set_mark(s, id_of(i)), 0);
	id_set_free(s);
}

/* Then it has no more, and still an end. */
static void
a_set_that_is_full_takes_no_more(void **state)
{
	const int most[] = { 0, 1, 1000, 1024, 5000 };
	struct id_set *s;
	int i, n;

	(void)state;
	for (n = 0; n < 5; n++) {
		s = id_set_new((size_t)most[n]);
		for (i = 0; i < 10000; i++)
			id_set_add(s, id_of(i), 3);
		for (i = 0; i < 10000; i++)
			assert_int_equal(
			    id_set_mark(s, id_of(i)), i < most[n] ? 3 : 0);
		id_set_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_has_what_was_added_with_its_mark),
		cmocka_unit_test(a_set_that_is_full_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
