/*
 * table.h - what all kinds of back ends have in common: tables of functions,
 * which they fill in, and builds without them.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Is one of the pointers NULL in a struct of function pointers of this size? */
bool table_has_hole(const void *functions, size_t size);

/* A back end that can be left out of a build, and the Debian package that it
 * needs.  A list of them ends with a NULL name. */
struct table_option {
	const char *name, *package;
};

/* Says that the back end which this key names is not built in: ERR_INVALID. */
enum err_code table_refuse(const char *key, const char *name,
    const struct table_option *options, struct err *);

#endif
