/*
 * table.c - what all kinds of back ends have in common.
 *
 * A NULL in a table is refused when the back end is opened, instead of crashing
 * at the first call.
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

enum err_code
table_refuse(const char *key, const char *name,
    const struct table_option *options, struct err *e)
{
	for (; options->name != NULL; options++)
		if (strcmp(options->name, name) == 0)
			return err_set(e, ERR_INVALID,
			    "%s: \"%s\" was not built in: install %s and "
			    "build anew",
			    key, name, options->package);
	return err_set(e, ERR_INVALID,
	    "%s: \"%s\" is not built in; tusfcgi -V lists those that are", key,
	    name);
}
