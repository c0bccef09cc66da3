/*
 * evict.c - a shared file system that cuts off a host which slept.
 *
 * Preloaded.  The file EVICT has a number, which the test increments when the
 * locks of this host are taken away.  Files opened before can then not be
 * written, cut, flushed or locked any more, as with NFS and CephFS: EIO.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	FDS = 1024
};

static const _Atomic unsigned *now;
/* What it was when a descriptor was opened for writing; 0: it was not. */
static unsigned opened[FDS];

__attribute__((constructor)) static void
look(void)
{
	const char *path = getenv("EVICT");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd != -1)
		p = mmap(NULL, sizeof(*now), PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		now = p;
	if (fd != -1)
		(void)close(fd);
}

static bool
is_cut_off(int fd)
{
	if (now == NULL || fd < 0 || fd >= FDS || opened[fd] == 0 ||
	    opened[fd] == *now)
		return false;
	errno = EIO;
	return true;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int
openat64(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;
	int fd;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	fd = NEXT(openat64)(dir, path, flags, mode);
	if (fd >= 0 && fd < FDS)
		opened[fd] =
		    now != NULL && (flags & O_ACCMODE) != O_RDONLY ? *now : 0;
	return fd;
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return openat64(dir, path, flags, mode);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return is_cut_off(fd) ? -1 : NEXT(pwrite64)(fd, p, n, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwrite64(fd, p, n, at);
}

int
ftruncate64(int fd, off64_t size)
{
	return is_cut_off(fd) ? -1 : NEXT(ftruncate64)(fd, size);
}

int
ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

int
fdatasync(int fd)
{
	return is_cut_off(fd) ? -1 : NEXT(fdatasync)(fd);
}

int
fsync(int fd)
{
	return is_cut_off(fd) ? -1 : NEXT(fsync)(fd);
}

int
fcntl64(int fd, int what, ...)
{
	va_list args;
	void *arg;

	va_start(args, what);
	arg = va_arg(args, void *);
	va_end(args);
	return what == F_OFD_SETLK && is_cut_off(fd) ?
	    -1 :
	    NEXT(fcntl64)(fd, what, arg);
}

int
fcntl(int fd, int what, ...)
{
	va_list args;
	void *arg;

	va_start(args, what);
	arg = va_arg(args, void *);
	va_end(args);
	return fcntl64(fd, what, arg);
}
