/*
 * table.h - tables of functions, which back ends fill in.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Is one of the pointers NULL in a struct of function pointers of this size? */
bool table_has_hole(const void *functions, size_t size);

#endif
