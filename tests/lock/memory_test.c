/*
 * memory_test.c - the contract for the locks of one pool.
 */
#include "config.h"

#include <stddef.h>

#include "tests/lock/place.h"

int
main(void)
{
	static const struct lock_maker maker = { "memory", place_open, 20000,
		400, 0 };
	struct locker *first;
	int failed;

	place_make();
	place_set_type("memory");
	/* As a master does, before it forks. */
	first = place_open();
	first->ops->shutdown(first);
	failed = lock_contract_run(&maker);
	place_remove();
	return failed != 0;
}
