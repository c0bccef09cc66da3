/*
 * notify.c - report our state to the service manager (sd_notify(3) protocol).
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/notify.h"

/* How often sending is tried again, and the pause between in ms. */
#define TRIES 100
#define PAUSE 10

/* Only one message may wait for a manager that is stalled, not every one. */
static void
send_in_time(
    int fd, const char *text, const struct sockaddr_un *sun, socklen_t len)
{
	static const struct timespec pause = { .tv_nsec = PAUSE * 1000000 };
	static bool is_stalled;
	int tries = is_stalled ? TRIES : 0;

	while (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		   (const struct sockaddr *)sun, len) == -1) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return;
		is_stalled = ++tries > TRIES;
		if (is_stalled)
			return;
		(void)nanosleep(&pause, NULL);
	}
	is_stalled = false;
}

void
notify_send(const char *fmt, ...)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	char text[256];
	socklen_t len;
	va_list ap;
	int fd;

	if (path == NULL || (*path != '/' && *path != '@') ||
	    strlen(path) >= sizeof(sun.sun_path))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(sun.sun_path, path, strlen(path));
	len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	/* The abstract namespace of Linux. */
	if (*path == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	send_in_time(fd, text, &sun, len);
	(void)close(fd);
}

void
notify_reloading(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}
