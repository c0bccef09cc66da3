/*
 * file_copy.c - bytes from file to file, by the kernel where it can.
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file.h"

/* Copied at once: by the kernel, and by us where it cannot. */
#define KERNEL_SLICE ((size_t)64 << 20)
#define OWN_SLICE    ((size_t)256 << 10)

#ifdef HAVE_COPY_FILE_RANGE
static ssize_t
copy_in_kernel(int from, off_t at, int to, off_t to_at, size_t len)
{
	return copy_file_range(from, &at, to, &to_at, len, 0);
}
#else
static ssize_t
copy_in_kernel(int from, off_t at, int to, off_t to_at, size_t len)
{
	(void)from;
	(void)at;
	(void)to;
	(void)to_at;
	(void)len;
	errno = ENOSYS;
	return -1;
}
#endif

static bool
is_beyond_kernel(int sys)
{
	return sys == EXDEV || sys == EINVAL || sys == ENOSYS ||
	    sys == EOPNOTSUPP;
}

static enum err_code
refuse_short(struct err *e)
{
	return err_set(e, ERR_SYSTEM, "cut short");
}

/* From some place on through a buffer of our own. */
static enum err_code
copy_by_hand(int from, int64_t at, int to, int64_t to_at, int64_t end,
    struct arena *a, struct err *e)
{
	char *buf = arena_alloc(a, OWN_SLICE);
	size_t want, got;
	enum err_code rc;

	for (; at < end; at += (int64_t)got, to_at += (int64_t)got) {
		want = end - at < (int64_t)OWN_SLICE ? (size_t)(end - at) :
						       OWN_SLICE;
		if ((rc = fs_pread(from, buf, want, at, &got, e)) != ERR_OK)
			return rc;
		if (got == 0)
			return refuse_short(e);
		if ((rc = fs_pwrite(to, buf, got, to_at, NULL, e)) != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

enum err_code
file_copy(int from, int to, int64_t to_at, int64_t len, struct arena *a,
    struct err *e)
{
	int64_t left, at = 0;
	ssize_t n;

	while ((left = len - at) > 0) {
		n = copy_in_kernel(from, (off_t)at, to, (off_t)(to_at + at),
		    left < (int64_t)KERNEL_SLICE ? (size_t)left : KERNEL_SLICE);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && is_beyond_kernel(errno))
			return copy_by_hand(
			    from, at, to, to_at + at, len, a, e);
		if (n == -1)
			return err_sys(e, "copy");
		if (n == 0)
			return refuse_short(e);
		at += n;
	}
	return ERR_OK;
}
