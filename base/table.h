/*
 * table.h - tables of functions, which a back end fills in.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Is a pointer missing in a struct of function pointers of so many bytes? */
bool table_has_hole(const void *functions, size_t size);

#endif
