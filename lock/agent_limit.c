/*
 * agent_limit.c - how many files and how much memory the agent may have.
 */
#include "config.h"

#include <sys/resource.h>

#include "lock/agent.h"

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

/* Their shadows are larger than any limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||           \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(memory_sanitizer)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* In bytes: many times what an agent needs.  A library that believes what a
 * service says of lengths gets no more. */
#define MEMORY_MAX ((rlim_t)256 << 20)

void
agent_limit(void)
{
	const struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	struct rlimit files;

	/* One descriptor for each process that locks. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!IS_SANITIZED)
		(void)setrlimit(RLIMIT_DATA, &memory);
}
