/*
 * faults.c - a call that fails when a test says so.
 *
 * Preloaded.  The test writes into the file FAULTS, which every process has
 * mapped: countdown, errno, whether all that follow fail, too, and reads how
 * many did.  -DMALLOC: allocations of workers fail, else writes at an offset.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct plan {
	_Atomic int countdown;
	int error, for_good;
	_Atomic int fired;
};

static struct plan *plan;
static pid_t first;

__attribute__((constructor)) static void
look_for_plan(void)
{
	const char *path = getenv("FAULTS");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	first = getpid();
	if (fd != -1)
		p = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		plan = p;
	if (fd != -1)
		(void)close(fd);
}

static bool
fails(void)
{
	int left;

	if (plan == NULL || plan->countdown <= 0)
		return false;
	left = --plan->countdown;
	if (left > 0)
		return false;
	plan->countdown = plan->for_good ? 1 : 0;
	plan->fired++;
	errno = plan->error;
	return true;
}

#ifdef MALLOC

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

/* The master of a pool makes nothing whose loss could be borne. */
static bool
is_out_of_memory(void)
{
	if (plan == NULL || plan->countdown <= 0 || getpid() == first ||
	    !fails())
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return is_out_of_memory() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return is_out_of_memory() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return is_out_of_memory() ? NULL : __libc_realloc(p, size);
}

#else

ssize_t
pwrite64(int fd, const void *buf, size_t len, off64_t at)
{
	return fails() ? -1 : syscall(SYS_pwrite64, fd, buf, len, at);
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return pwrite64(fd, buf, len, at);
}

#endif
