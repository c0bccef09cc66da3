/*
 * os_read.c - the one place where the program waits for its peer.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcgios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "fcgi/frame.h"
#include "fcgi/os_read.h"

/* About as much as a front end sends at a time. */
#define AHEAD_SIZE (256 * 1024)

/* How much os_read_trim() leaves mapped. */
#define AHEAD_KEPT (16 * 1024)

static struct {
	const struct os_read_watch *watch;

	/* The bytes [at, end) of ahead were read and are not handed out yet. */
	char *ahead;
	size_t at, end;
	bool may_read_ahead;
	unsigned reads;
	/* How much of ahead was touched since its memory was last given
	 * back. */
	size_t touched;

	/* The state of the connection with this inode (0: none yet), and the
	 * time of its first read. */
	struct frame frame;
	ino_t ino;
	int64_t began;

	/* [replay_at, replay_end) is read before anything else. */
	char *replay;
	size_t replay_at, replay_end;
	ino_t replayed;
} seam;

void
os_read_watch(const struct os_read_watch *watch)
{
	seam.watch = watch;
}

static void
forget_replay(void)
{
	free(seam.replay);
	seam.replay = NULL;
	seam.replay_at = seam.replay_end = 0;
	seam.replayed = 0;
}

void
os_read_expect(void)
{
	forget_replay();
	seam.ino = 0;
	seam.began = clock_ms();
}

int64_t
os_read_age(void)
{
	return clock_ms() - seam.began;
}

void
os_read_begin(int fd)
{
	(void)fd;
	if (seam.ahead == NULL) {
		seam.ahead = mmap(NULL, AHEAD_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (seam.ahead == MAP_FAILED)
			out_of_memory();
	}
	seam.at = seam.end = 0;
	seam.may_read_ahead = true;
}

bool
os_read_end(void)
{
	seam.at = seam.end = 0;
	seam.may_read_ahead = false;
	return frame_is_over(&seam.frame);
}

bool
os_read_has_nul(void)
{
	return seam.frame.has_nul;
}

bool
os_read_is_ahead(void)
{
	return seam.at < seam.end || seam.replay_at < seam.replay_end;
}

bool
os_read_get_cut(struct frame_cut *cut)
{
	return !os_read_is_ahead() && frame_get_cut(&seam.frame, cut);
}

bool
os_read_replay(int fd, const struct frame_cut *cut, bool keep,
    const void *params, size_t len)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	seam.replay = must_alloc(len + FRAME_AGAIN);
	seam.replay_end = frame_again(cut, keep, params, len, seam.replay);
	memset(&seam.frame, 0, sizeof(seam.frame));
	if (!frame_check(&seam.frame, seam.replay, seam.replay_end)) {
		forget_replay();
		return false;
	}
	seam.ino = seam.replayed = st.st_ino;
	return true;
}

bool
os_read_is_replayed(int fd)
{
	struct stat st;

	return seam.replayed != 0 && fstat(fd, &st) == 0 &&
	    st.st_ino == seam.replayed;
}

unsigned
os_read_count(void)
{
	return seam.reads;
}

void
os_read_trim(void)
{
	if (seam.touched <= AHEAD_KEPT || seam.at < seam.end)
		return;
	(void)madvise(seam.ahead, AHEAD_SIZE, MADV_DONTNEED);
	seam.touched = 0;
}

void
os_read_enter(int fd, bool is_dry)
{
	(void)fd;
	(void)is_dry;
}

void
os_read_leave(void)
{
}

bool
os_read_may_keep(void)
{
	return true;
}

bool
os_read_is_over(void)
{
	return frame_is_over(&seam.frame);
}

const char *
os_read_describe(void)
{
	return "large reads";
}

/* Until the peer has sent something, or the watch is due. */
static void
wait_for_input(int fd)
{
	const struct os_read_watch *w = seam.watch;
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = -1 } };

	if (w != NULL && w->events != 0)
		fds[1] = (struct pollfd){ .fd = w->fd, .events = w->events };
	(void)poll(fds, NITEMS(fds),
	    w != NULL && w->step > 0 ? w->step : OS_READ_STEP);
}

/*
 * Read the available bytes, or wait as long as the watch allows.  The bytes
 * that do not fit into buf go to ahead, so that small reads touch no page
 * there.
 */
static ssize_t
read_some(int fd, void *buf, size_t len)
{
	struct iovec to[] = { { buf, len }, { seam.ahead, AHEAD_SIZE } };
	struct msghdr msg = { .msg_iov = to,
		.msg_iovlen = seam.may_read_ahead ? 2 : 1 };
	const struct os_read_watch *w = seam.watch;
	int64_t since = -1, silence = 0;
	ssize_t n;

	if (w != NULL && w->is_asked_first && !w->wait_on(w->arg, 0))
		return 0;
	for (;;) {
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (since == -1)
			since = clock_ms();
		else
			silence = clock_ms() - since;
		if (w != NULL && !w->wait_on(w->arg, silence))
			return 0;
		wait_for_input(fd);
	}
}

/*
 * Notice a new connection: libfcgi drops a connection that it does not accept
 * and takes another one without telling, often with the same descriptor.
 */
static bool
see_connection(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	if (st.st_ino == seam.ino)
		return true;
	forget_replay();
	seam.ino = st.st_ino;
	seam.began = clock_ms();
	memset(&seam.frame, 0, sizeof(seam.frame));
	return true;
}

static bool
is_good(const char *buf, size_t len, size_t more)
{
	return frame_check(&seam.frame, buf, len) &&
	    (more == 0 || frame_check(&seam.frame, seam.ahead, more));
}

/* Copy at most len of the bytes from *at to end, and move *at behind them. */
static int
hand_out(const char *from, size_t *at, size_t end, char *buf, size_t len)
{
	size_t n = end - *at;

	if (n > len)
		n = len;
	memcpy(buf, from + *at, n);
	*at += n;
	return (int)n;
}

/* Replaces libfcgi's function of this name. */
int
OS_Read(int fd, char *buf, size_t len)
{
	size_t more;
	ssize_t n;

	if (seam.at < seam.end)
		return hand_out(seam.ahead, &seam.at, seam.end, buf, len);
	if (!seam.may_read_ahead && !see_connection(fd))
		return -1;
	if (seam.replay_at < seam.replay_end)
		return hand_out(
		    seam.replay, &seam.replay_at, seam.replay_end, buf, len);
	n = read_some(fd, buf, len);
	seam.reads++;
	if (n <= 0)
		return (int)n;
	more = (size_t)n > len ? (size_t)n - len : 0;
	n -= (ssize_t)more;
	if (!is_good(buf, (size_t)n, more)) {
		log_warn("connection closed: no web server sends such FastCGI");
		/* Without this, libfcgi would keep reading as long as input
		 * comes. */
		(void)shutdown(fd, SHUT_RD);
		errno = EPROTO;
		return -1;
	}
	seam.at = 0;
	seam.end = more;
	if (seam.touched < more)
		seam.touched = more;
	return (int)n;
}
