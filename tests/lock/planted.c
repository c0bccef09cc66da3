/*
 * planted.c - the races find the bug that was planted in this build.
 *
 * Linked once for each bug of bugs.py with the locker that has it, which then
 * stands for the one in the library; fails if nothing is found.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/lock/place.h"

/* planted-TYPE-BUG */
static const char *
type_of(const char *program)
{
	static char type[16];
	const char *name = strstr(program, "planted-");

	if (name == NULL || sscanf(name, "planted-%15[a-z]", type) != 1)
		return "flock";
	return type;
}

static struct race_result
find(const struct lock_maker *maker)
{
	struct race_result r = lock_race(maker, 8, maker->rounds, true);

	return r.doubles > 0 ? r :
			       lock_death_race(maker, 8, maker->deaths, true);
}

int
main(int argc, char **argv)
{
	const struct lock_maker maker = { "planted bug", place_open, 100000,
		2000, 0 };
	struct locker *first;
	struct race_result r;

	(void)argc;
	place_make();
	place_set_type(type_of(argv[0]));
	first = place_open();
	first->ops->shutdown(first);
	r = find(&maker);
	place_remove();
	(void)printf("%s after %ld locks\n",
	    r.doubles > 0 ? "two holders" : "the bug was not found",
	    r.acquired);
	return r.doubles == 0;
}
