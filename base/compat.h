/*
 * compat.h - macros that the language lacks.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include <stddef.h>

#if defined(__GNUC__) || defined(__clang__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK	       __attribute__((warn_unused_result))
#define NORETURN	       __attribute__((noreturn))
#else
#define PRINTF_LIKE(fmt, args)
#define MUST_CHECK
#define NORETURN
#endif

#define NITEMS(a) (sizeof(a) / sizeof((a)[0]))

/* From a pointer to the embedded struct to the struct around it. */
#define OUTER(ptr, type, member)                                               \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
