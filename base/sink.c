/*
 * sink.c - where the lines of the log go: a file, a pipe, a socket or syslog.
 *
 * O_NONBLOCK belongs to the open file description, which other programs share:
 * the shell, the web server, the other processes of a container.  So it is
 * never set on standard error.  On a socket, each send asks not to wait; pipes
 * and terminals are opened again; for other files poll() tells whether a line
 * may fit.
 *
 * syslog(3) waits for a daemon that stalls, so it is not used.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/fs.h"
#include "base/sink.h"

/* How long a line waits for a reader, in ms. */
#define PATIENCE 250

/* Room for the header of a syslog line. */
#define HEAD_SIZE 64

#ifndef _PATH_LOG
#define _PATH_LOG "/dev/log"
#endif

/* Standard error, opened again for this process; -1 if it is not. */
static int own_stderr = -1;

void
sink_prepare(void)
{
	char path[32];
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == -1 ||
	    (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO)))
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", STDERR_FILENO);
	own_stderr = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static bool
connect_syslog(struct sink *s, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = _PATH_LOG };

	s->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->is_stream = type == SOCK_STREAM;
	if (s->fd == -1 ||
	    connect(s->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return s->fd != -1;
	(void)close(s->fd);
	s->fd = -1;
	return false;
}

static bool
find_syslog(struct sink *s)
{
	return s->fd != -1 || connect_syslog(s, SOCK_DGRAM) ||
	    (errno == EPROTOTYPE && connect_syslog(s, SOCK_STREAM));
}

static enum sink_kind
kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || S_ISREG(st.st_mode))
		return SINK_FILE;
	return S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_SHARED;
}

/* O_NONBLOCK, because opening a pipe would wait for its reader. */
static enum err_code
open_file(struct sink *s, const char *path, struct err *e)
{
	s->fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    0640);
	if (s->fd == -1)
		return err_sys(e, "open log %s", path);
	s->kind = kind_of(s->fd);
	if (s->kind == SINK_SHARED)
		s->kind = SINK_OWN;
	return ERR_OK;
}

enum err_code
sink_open(struct sink *s, const char *target, struct err *e)
{
	*s = (struct sink){ .fd = -1 };
	if (strcmp(target, "syslog") == 0) {
		s->kind = SINK_SYSLOG;
		/* Read the time zone now: later a sandbox may forbid it. */
		tzset();
		(void)find_syslog(s);
		return ERR_OK;
	}
	if (strcmp(target, "stderr") != 0)
		return open_file(s, target, e);
	s->fd = own_stderr != -1 ? own_stderr : STDERR_FILENO;
	s->kind = own_stderr != -1 ? SINK_OWN : kind_of(s->fd);
	return ERR_OK;
}

enum err_code
sink_check(const char *target, struct err *e)
{
	if (strchr(target, '/') == NULL ||
	    faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) == 0)
		return ERR_OK;
	if (errno != ENOENT)
		return err_sys(e, "open log %s", target);
	return fs_may_make(target, e);
}

void
sink_close(struct sink *s)
{
	if (s->fd != -1 && s->fd != own_stderr && s->fd != STDERR_FILENO)
		(void)close(s->fd);
	s->fd = -1;
}

static bool
has_room(const struct sink *s, int64_t ms)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLOUT };

	return poll(&pfd, 1, ms > 0 ? (int)ms : 0) > 0;
}

/* Never waits. */
static ssize_t
write_now(const struct sink *s, const char *p, size_t len)
{
	if (s->kind == SINK_SOCKET || s->kind == SINK_SYSLOG)
		return send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (s->kind == SINK_SHARED && !has_room(s, 0)) {
		errno = EAGAIN;
		return -1;
	}
	return write(s->fd, p, len);
}

static bool
write_all(struct sink *s, const char *p, size_t len)
{
	int64_t until = s->is_stalled ? 0 : clock_ms() + PATIENCE;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write_now(s, p + done, len - done);
		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		s->is_stalled = errno == EAGAIN || errno == EWOULDBLOCK;
		if (!s->is_stalled || clock_ms() >= until ||
		    !has_room(s, until - clock_ms())) {
			s->is_cut = s->is_cut || done > 0;
			return false;
		}
	}
	/* Write to the page only if something changes, so that it stays
	 * shared. */
	if (s->is_stalled || s->is_cut)
		s->is_stalled = s->is_cut = false;
	return true;
}

static bool
send_syslog(struct sink *s, const char *text, size_t len)
{
	if (s->is_stream)
		len++;
	if (find_syslog(s) && write_all(s, text, len))
		return true;
	if (s->is_stalled)
		return false;
	/* The daemon was restarted. */
	sink_close(s);
	return find_syslog(s) && write_all(s, text, len);
}

/* The format of syslog(3), RFC 3164. */
static bool
write_syslog(struct sink *s, int priority, const char *line, size_t len)
{
	static char text[HEAD_SIZE + LOG_LINE_MAX];
	time_t now = time(NULL);
	size_t n = 0;
	struct tm tm;

	if (len > sizeof(text) - HEAD_SIZE)
		len = sizeof(text) - HEAD_SIZE;
	n += (size_t)snprintf(text, HEAD_SIZE, "<%d>", LOG_DAEMON | priority);
	if (localtime_r(&now, &tm) != NULL)
		n += strftime(text + n, HEAD_SIZE - n, "%b %e %H:%M:%S ", &tm);
	n += (size_t)snprintf(
	    text + n, HEAD_SIZE - n, "tusfcgi[%ld]: ", (long)getpid());
	memcpy(text + n, line, len);
	n += len;
	/* Overwrites the newline. */
	text[n - 1] = '\0';
	return send_syslog(s, text, n - 1);
}

bool
sink_write(struct sink *s, int priority, const char *line, size_t len)
{
	if (s->kind == SINK_SYSLOG)
		return write_syslog(s, priority, line, len);
	if (s->is_cut && !write_all(s, "\n", 1))
		return false;
	return write_all(s, line, len);
}
