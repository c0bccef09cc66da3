/*
 * copy.c - copy bytes from file to file, by the kernel where it can.
 */
#include "config.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/file/file.h"

#define OWN_SLICE ((size_t)256 << 10)

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

/* Is there space for the bytes until the next check? */
static enum err_code
check_room(
    const struct file_bytes *b, int64_t at, int64_t *until, struct err *e)
{
	int64_t need = b->len - at, bytes;
	enum err_code rc;

	if (b->min_free == 0 || at < *until)
		return ERR_OK;
	if (need > FILE_ROOM)
		need = FILE_ROOM;
	if ((rc = fs_free_space(b->to, &bytes, e)) != ERR_OK)
		return rc;
	if (bytes - need < b->min_free)
		return err_set(e, ERR_NO_SPACE,
		    "only %lld bytes are free, store.min_free is %lld",
		    (long long)bytes, (long long)b->min_free);
	*until = at + need;
	return ERR_OK;
}

/* Copy from some offset on through a buffer of our own. */
static enum err_code
copy_by_hand(
    const struct file_bytes *b, int64_t at, struct arena *a, struct err *e)
{
	char *buf = arena_alloc(a, OWN_SLICE);
	int64_t until = at;
	size_t want, got;
	enum err_code rc;

	for (; at < b->len; at += (int64_t)got) {
		want = b->len - at < (int64_t)OWN_SLICE ?
		    (size_t)(b->len - at) :
		    OWN_SLICE;
		if ((rc = check_room(b, at, &until, e)) != ERR_OK ||
		    (rc = fs_pread(b->from, buf, want, at, &got, e)) != ERR_OK)
			return rc;
		if (got == 0)
			return refuse_short(e);
		rc = fs_pwrite(b->to, buf, got, b->to_at + at, NULL, e);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

enum err_code
file_copy(const struct file_bytes *b, struct arena *a, struct err *e)
{
	int64_t left, at = 0, until = 0;
	enum err_code rc;
	ssize_t n;

	while ((left = b->len - at) > 0) {
		if ((rc = check_room(b, at, &until, e)) != ERR_OK)
			return rc;
		n = copy_in_kernel(b->from, (off_t)at, b->to,
		    (off_t)(b->to_at + at),
		    left < FILE_ROOM ? (size_t)left : FILE_ROOM);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && is_beyond_kernel(errno))
			return copy_by_hand(b, at, a, e);
		if (n == -1)
			return err_sys(e, "copy");
		if (n == 0)
			return refuse_short(e);
		at += n;
	}
	return ERR_OK;
}
