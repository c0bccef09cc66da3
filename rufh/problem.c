/*
 * problem.c - a problem document is a line of JSON.
 */
#include "config.h"

#include <inttypes.h>

#include "rufh/problem.h"

#define IANA "https://iana.org/assignments/http-problem-types#"

/* What distinguishes the types; members: the name of the field's array. */
static const struct {
	const char *uri;
	const char *members;
} types[PROBLEM_TYPE_MAX] = {
	[PROBLEM_BLANK] = { "about:blank", NULL },
	[PROBLEM_MISMATCHING_OFFSET] = { IANA "mismatching-upload-offset",
	    NULL },
	[PROBLEM_INCONSISTENT_LENGTH] = { IANA "inconsistent-upload-length",
	    NULL },
	[PROBLEM_DIGESTS_MISMATCH] = { IANA "digest-mismatched-values",
	    "mismatched_digests" },
	[PROBLEM_DIGESTS_INVALID] = { IANA "digest-invalid-values",
	    "invalid_digests" },
};

static const char *
format_offsets(struct arena *a, const struct problem *p)
{
	return arena_printf(a,
	    ",\"expected-offset\":%" PRId64 ",\"provided-offset\":%" PRId64,
	    p->expected_offset, p->provided_offset);
}

static const char *
format_digests(struct arena *a, const struct problem *p)
{
	const char *list = "";
	size_t i;

	for (i = 0; i < p->count; i++)
		list = arena_printf(a,
		    "%s%s{\"algorithm\":\"%s\",\"header\":\"%s\"}", list,
		    i > 0 ? "," : "", p->algorithms[i], p->header);
	return arena_printf(a, ",\"%s\":[%s]", types[p->type].members, list);
}

const char *
problem_format(struct arena *a, const struct problem *p)
{
	const char *more = "";

	if (p->type == PROBLEM_MISMATCHING_OFFSET)
		more = format_offsets(a, p);
	else if (types[p->type].members != NULL)
		more = format_digests(a, p);
	return arena_printf(a,
	    "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\"%s}"
	    "\n",
	    types[p->type].uri, p->title, p->status, p->code, more);
}
