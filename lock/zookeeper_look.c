/*
 * zookeeper_look.c - the settings of a ZooKeeper, which it tells in answer to
 * the four letters "conf" on a connection of their own, where it may.
 */
#include "config.h"

#include <sys/socket.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lock/zookeeper_look.h"

enum {
	TEXT_SIZE = 4096,
	/* A session shorter than so many ticks ends when one beat is late. */
	TICKS = 3,
	/* 100 ms apart. */
	TRIES = 5
};

static int
connect_to(const char *host, int64_t ms)
{
	const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
	const struct timeval limit = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	struct addrinfo *found;
	char name[256], port[16];
	int fd;

	(void)snprintf(
	    port, sizeof(port), "%d", engine_split(host, name, sizeof(name)));
	if (getaddrinfo(name, port, &wanted, &found) != 0)
		return -1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1 &&
	    (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		    -1 ||
		setsockopt(
		    fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == -1 ||
		connect(fd, found->ai_addr, found->ai_addrlen) == -1)) {
		(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static void
ask(const char *host, int64_t ms, char text[TEXT_SIZE])
{
	int64_t end = clock_ms() + ms;
	int fd = connect_to(host, ms);
	size_t len = 0;
	ssize_t n = fd != -1 ? send(fd, "conf", 4, MSG_NOSIGNAL) : -1;

	while (n > 0 && len < TEXT_SIZE - 1 && clock_ms() < end) {
		n = recv(fd, text + len, TEXT_SIZE - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	if (fd != -1)
		(void)close(fd);
}

/* The number in a line KEY=NUMBER; -1 if there is none. */
static long
number_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at != NULL ? strtol(at + strlen(key), NULL, 10) : -1;
}

void
zookeeper_look(struct engine *e)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };
	/* The caller reports its earlier findings even if ZooKeeper does not
	 * answer this. */
	int64_t end = clock_ms() + e->conf->reply;
	char text[TEXT_SIZE] = "";
	long tick, connections;
	int i;

	/* It may still count the connection that was just closed. */
	for (i = 0; i < TRIES && *text == '\0' && clock_ms() < end; i++) {
		if (i > 0)
			(void)nanosleep(&pause, NULL);
		ask(engine_host(e), end - clock_ms(), text);
	}
	tick = number_of(text, "\ntickTime=");
	connections = number_of(text, "\nmaxClientCnxns=");
	if (tick == -1)
		engine_note(e, false,
		    "its settings are not known: have "
		    "4lw.commands.whitelist=conf in zoo.cfg to let it tell");
	else if (e->conf->session < TICKS * tick)
		engine_note(e, true,
		    "lock.session is shorter than %d of its ticks of %ld ms: "
		    "set %ld s or more",
		    TICKS, tick, (TICKS * tick + 999) / 1000);
	/* An agent, a trial. */
	if (connections == 1)
		engine_note(e, true,
		    "maxClientCnxns=1 admits one connection of each host: set "
		    "2 or more, or 0");
}
