/*
 * fill.h - the values of a template's placeholders, from the data of an upload.
 */
#ifndef STORE_FILL_H
#define STORE_FILL_H

#include "store/store.h"

/* template_fill() the rest of a template for this upload; {year}, {month} and
 * {day} are those of a time in seconds since the epoch. */
char *store_fill(
    struct arena *, const char *rest, const struct file_info *, int64_t when);

#endif
