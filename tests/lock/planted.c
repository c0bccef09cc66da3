/*
 * planted.c - the race test finds the bug that was planted in this build.
 *
 * Linked once for each bug of bugs.py with the locker that has it, which then
 * stands for the one in the library; fails if nothing is found.
 */
#include "config.h"

#include <stdio.h>

#include "tests/lock/place.h"

int
main(void)
{
	const struct lock_maker maker = { "planted bug", place_open, 100000,
		0 };
	struct race_result r;

	place_make();
	r = lock_race(&maker, 8, maker.rounds, true);
	place_remove();
	(void)printf("%s after %ld locks\n",
	    r.doubles > 0 ? "two holders" : "the bug was not found",
	    r.acquired);
	return r.doubles == 0;
}
