/*
 * conf_source.h - join a configuration file and its includes into one text.
 *
 * libconfig 1.5 silently wraps integers beyond 32 bits, ends the process when
 * an included name is a directory, and resolves relative names against the
 * current directory.  libconfig 1.8 reads 0770 as octal and 0xffffffff as -1.
 * A server that rereads its configuration while it runs must not suffer from
 * this, and must read the same everywhere.  So the files are read here: an
 * @include is replaced by the file's content (a relative name is relative to
 * the including file), whole numbers are written in a form that every libconfig
 * reads alike, and a map tells where each line came from.  Private to
 * base/conf.c.
 */
#ifndef BASE_CONF_SOURCE_H
#define BASE_CONF_SOURCE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

/* A larger file is refused. */
#define CONF_SOURCE_MAX ((size_t)256 << 10)

/* How deep includes may nest. */
#define CONF_SOURCE_DEPTH 10

struct conf_source;

/*
 * Read a file.  Everything returned belongs to the arena.  ERR_SYSTEM if the
 * file itself cannot be read; ERR_INVALID with "FILE:LINE: the mistake" for an
 * include that cannot be read, a number beyond 64 bits or of a base other than
 * 10 and 16, an unclosed string or comment, a NUL byte.
 */
MUST_CHECK enum err_code conf_source_read(
    struct arena *, const char *file, struct conf_source **, struct err *);

/* Text for libconfig; its lines are counted from 1. */
const char *conf_source_text(const struct conf_source *);

/* Where a line of the text came from; beyond the end, that of the last line. */
const char *conf_source_file(const struct conf_source *, unsigned line);
unsigned conf_source_line(const struct conf_source *, unsigned line);

/* Is this beyond the last line? */
bool conf_source_is_end(const struct conf_source *, unsigned line);

#endif
