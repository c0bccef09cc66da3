/*
 * conf.h - the configuration: one table of keys, read with libconfig.
 *
 * A struct conf always holds a value for every key of tusfcgi.conf(5): the
 * built-in default, what the file says, or what the command line put over it.
 * Keys are named by their full path, "store.path".  Asking for a key that is
 * not in the table, or as another type than the table says, is our own bug
 * and stops the program.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct conf;

/* Nothing but the defaults.  conf_free(NULL) is allowed. */
struct conf *conf_new(void);
void conf_free(struct conf *);

/*
 * Read a file over what is there, and conf_check() it.  ERR_INVALID with
 * "FILE:LINE: what is wrong" for a syntax error, an unknown key (and the
 * nearest known one), a wrong type or a value out of range; ERR_SYSTEM if the
 * file cannot be read.  After an error the conf holds part of the file: throw
 * it away.
 */
MUST_CHECK enum err_code conf_read(
    struct conf *, const char *file, struct err *);

/*
 * Set one key from text, in the syntax of the file without quotes: "10M",
 * "5m", "true", "0660"; the elements of a list are separated by commas.
 */
MUST_CHECK enum err_code conf_set(
    struct conf *, const char *key, const char *value, struct err *);

/*
 * What must hold between keys: ERR_INVALID names both.  conf_read() has done
 * it; do it once more after the last conf_set().  Defaults never clash with
 * what was set: pool.min_spare and pool.reserve, left alone, make way for a
 * small pool.max_workers.
 */
MUST_CHECK enum err_code conf_check(const struct conf *, struct err *);

bool conf_bool(const struct conf *, const char *key);

/* Whole numbers, sizes in bytes, modes. */
int64_t conf_int(const struct conf *, const char *key);

/* Durations, in milliseconds: timeouts may be fractions of a second. */
int64_t conf_ms(const struct conf *, const char *key);

/* Never NULL; "" where nothing is set.  Belongs to the conf. */
const char *conf_str(const struct conf *, const char *key);

/* The n-th element of a list, NULL after the last. */
const char *conf_item(const struct conf *, const char *key, size_t n);

/*
 * The keys that keep their value as long as a program runs, NULL after the
 * last: where uploads are and who excludes whom.
 */
const char *conf_fixed_key(size_t n);

/* Give such a key the value that it has in another conf; false if it has it
 * already. */
bool conf_keep(struct conf *, const struct conf *from, const char *key);

/* Was the key set by the file or conf_set(), rather than left alone? */
bool conf_is_set(const struct conf *, const char *key);

#endif
