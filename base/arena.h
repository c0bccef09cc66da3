/*
 * arena.h - memory that lives as long as a request.
 *
 * Allocation never fails for the caller: when memory is exhausted the process
 * logs one line and exits with status 1.  The kernel then releases its locks,
 * the master starts another worker, and the client resumes.
 *
 * Single allocations of an arena are never freed.  arena_reset() frees all of
 * them and keeps the first block, so that a worker touches the same few pages
 * for every request.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

struct arena;

/* arena_free() frees the arena and everything in it. */
struct arena *arena_new(void);
void arena_free(struct arena *);

/* Free everything that was allocated, keep the arena. */
void arena_reset(struct arena *);

/* Zeroed memory, aligned for any type; size 0 is allowed. */
void *arena_alloc(struct arena *, size_t size);

/* A copy with a NUL behind it; arena_strdup(a, NULL) is NULL. */
char *arena_memdup(struct arena *, const void *, size_t);
char *arena_strdup(struct arena *, const char *);

/* The parts, NULL after the last, as one string; and a number in decimal. */
char *arena_join(struct arena *, const char *const parts[]);
char *arena_int(struct arena *, int64_t);

char *arena_printf(struct arena *, const char *, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *, const char *, va_list) PRINTF_LIKE(2, 0);

/* For the few things that outlive a request: malloc that cannot fail. */
void *must_alloc(size_t size);
char *must_strdup(const char *);
NORETURN void out_of_memory(void);

/* Have the kernel take back what was freed, as far as the C library can. */
void memory_give_back(void);

#endif
