/*
 * problem.h - problem documents (RFC 9457), the bodies of refusals.
 */
#ifndef RUFH_PROBLEM_H
#define RUFH_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

enum problem_type {
	PROBLEM_BLANK,
	PROBLEM_MISMATCHING_OFFSET,
	PROBLEM_INCONSISTENT_LENGTH,
	PROBLEM_DIGESTS_MISMATCH,
	PROBLEM_DIGESTS_INVALID,
	PROBLEM_TYPE_MAX
};

/*
 * All strings are constants of this program: none needs escaping, and none
 * comes from a request.
 */
struct problem {
	enum problem_type type;
	const char *title;
	int status;
	/* "ERR_..." */
	const char *code;

	/* PROBLEM_MISMATCHING_OFFSET: the server's, and the client's. */
	int64_t expected_offset, provided_offset;

	/* PROBLEM_DIGESTS_*: the names of count algorithms, all of the field
	 * header. */
	const char *header;
	const char *const *algorithms;
	size_t count;
};

/* One JSON object on a line of its own. */
const char *problem_format(struct arena *, const struct problem *);

#endif
