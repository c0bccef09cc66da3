/*
 * conf_source.h - a configuration file and its includes, made one text.
 *
 * libconfig 1.5 wraps integers beyond 32 bits around without a word, ends the
 * process when an included name is a directory, and resolves relative names
 * against the current directory.  libconfig 1.8 reads 0770 as octal and
 * 0xffffffff as -1.  None of this may happen to a server that rereads its
 * configuration while it runs, and that means the same everywhere.  So the
 * files are read here: an @include is replaced by what it names (a relative
 * name starts at the file that says it), whole numbers are spelt in a way that
 * every libconfig reads alike, and a map tells which line came from where.
 * Private to base/conf.c.
 */
#ifndef BASE_CONF_SOURCE_H
#define BASE_CONF_SOURCE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

/* More than this is no configuration. */
#define CONF_SOURCE_MAX ((size_t)256 << 10)

/* How deep includes may nest. */
#define CONF_SOURCE_DEPTH 10

struct conf_source;

/*
 * Everything it returns belongs to the arena.  ERR_SYSTEM if the file itself
 * cannot be read; ERR_INVALID with "FILE:LINE: what is wrong" for an include
 * that cannot, a number too large for 64 bits or of another base than 10 and
 * 16, a string or a comment that is not closed, a NUL byte.
 */
MUST_CHECK enum err_code conf_source_read(
    struct arena *, const char *file, struct conf_source **, struct err *);

/* Text for libconfig; its lines are counted from 1. */
const char *conf_source_text(const struct conf_source *);

/* Where a line of the text came from; behind the end it is the last line. */
const char *conf_source_file(const struct conf_source *, unsigned line);
unsigned conf_source_line(const struct conf_source *, unsigned line);

/* Is it behind the last line? */
bool conf_source_is_end(const struct conf_source *, unsigned line);

#endif
