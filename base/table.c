/*
 * table.c - tables of functions, which back ends fill in.
 *
 * A NULL is refused when the back end is opened, instead of crashing at the
 * first call.
 */
#include "config.h"

#include <string.h>

#include "base/table.h"

bool
table_has_hole(const void *functions, size_t size)
{
	void (*function)(void);
	size_t i;

	for (i = 0; i < size; i += sizeof(function)) {
		memcpy(
		    &function, (const char *)functions + i, sizeof(function));
		if (function == NULL)
			return true;
	}
	return false;
}
