/*
 * proxy.c - a network that loses things: TCP to TCP, in a process of its own.
 */
#include "config.h"

#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lock/proxy.h"

enum {
	PAIRS = 64,
	ROOM = 65536
};

/* One direction of a connection; what is held back goes at that time. */
struct way {
	char held[ROOM];
	size_t len;
	int64_t until;
};

struct pair {
	/* -1: closed.  Of the client, then of the service. */
	int fds[2];
	struct way ways[2];
	bool is_to_lose;
};

static struct {
	_Atomic int fault, failed, hang_up;
	char words[2][256];
} * plan;

static struct pair pairs[PAIRS];
static pid_t proxy;

static int
listen_somewhere(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sin, len) == -1 ||
	    listen(fd, 64) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		abort();
	*port = ntohs(sin.sin_port);
	return fd;
}

static int
connect_to(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static void
close_pair(struct pair *p)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (p->fds[i] != -1)
			(void)close(p->fds[i]);
		p->fds[i] = -1;
		p->ways[i].len = 0;
	}
}

static void
welcome(int listener, int to_port)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), i = 0;
	int service = connect_to(to_port);

	while (i < PAIRS && (pairs[i].fds[0] != -1 || pairs[i].fds[1] != -1))
		i++;
	if (service == -1 || i == PAIRS) {
		(void)close(fd);
		(void)close(service);
		return;
	}
	memset(&pairs[i], 0, sizeof(pairs[i]));
	pairs[i].fds[0] = fd;
	pairs[i].fds[1] = service;
}

static bool
has_word(const char *text, size_t len)
{
	int i;

	for (i = 0; i < 2; i++)
		if (plan->words[i][0] != '\0' &&
		    memmem(text, len, plan->words[i], strlen(plan->words[i])) !=
			NULL)
			return true;
	return false;
}

/* Carry out the plan for a request of the client. */
static void
look(struct pair *p, const char *text, size_t len)
{
	int fault = plan->fault;

	if (fault == PROXY_NONE || !has_word(text, len))
		return;
	plan->fault = PROXY_NONE;
	plan->failed = 1;
	if (fault == PROXY_LOSE_ANSWER)
		p->is_to_lose = true;
	else
		p->ways[fault == PROXY_LATE_ANSWER].until =
		    clock_ms() + PROXY_LATE_MS;
}

/* From fds[i] to the other. */
static void
carry(struct pair *p, int i)
{
	struct way *w = &p->ways[i];
	ssize_t n = recv(p->fds[i], w->held + w->len, ROOM - w->len, 0);

	if (n > 0 && i == 0)
		look(p, w->held + w->len, (size_t)n);
	if (n <= 0 && i == 0 && w->until != 0) {
		/* The sender is gone, what it sent is under way. */
		(void)close(p->fds[0]);
		p->fds[0] = -1;
	} else if (n <= 0 || (i == 1 && p->is_to_lose)) {
		close_pair(p);
	} else {
		w->len += (size_t)n;
	}
}

static void
deliver(struct pair *p, int i)
{
	struct way *w = &p->ways[i];

	if (w->len == 0 || clock_ms() < w->until || p->fds[1 - i] == -1)
		return;
	(void)send(p->fds[1 - i], w->held, w->len, MSG_NOSIGNAL);
	w->len = 0;
	w->until = 0;
	/* The answer has nobody any more; it is waited for all the same. */
}

static void
turn(int listener, int to_port)
{
	struct pollfd fds[2 * PAIRS + 1];
	int i;

	fds[2 * PAIRS] = (struct pollfd){ listener, POLLIN, 0 };
	for (i = 0; i < 2 * PAIRS; i++)
		fds[i] = (struct pollfd){ pairs[i / 2].fds[i % 2], POLLIN, 0 };
	(void)poll(fds, 2 * PAIRS + 1, 5);
	for (i = 0; i < 2 * PAIRS; i++)
		if (fds[i].revents != 0 && pairs[i / 2].fds[i % 2] != -1)
			carry(&pairs[i / 2], i % 2);
	for (i = 0; i < 2 * PAIRS; i++)
		deliver(&pairs[i / 2], i % 2);
	if (fds[2 * PAIRS].revents != 0)
		welcome(listener, to_port);
	if (!plan->hang_up)
		return;
	for (i = 0; i < PAIRS; i++)
		close_pair(&pairs[i]);
	plan->hang_up = 0;
}

int
proxy_start(int to_port)
{
	int port, i, listener = listen_somewhere(&port);

	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED || (proxy = fork()) == -1)
		abort();
	if (proxy == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (i = 0; i < PAIRS; i++)
			pairs[i].fds[0] = pairs[i].fds[1] = -1;
		for (;;)
			turn(listener, to_port);
	}
	(void)close(listener);
	return port;
}

void
proxy_stop(void)
{
	(void)kill(proxy, SIGKILL);
	(void)waitpid(proxy, NULL, 0);
}

void
proxy_plan(enum proxy_fault fault, const char *word, const char *other_word)
{
	(void)snprintf(plan->words[0], sizeof(plan->words[0]), "%s", word);
	(void)snprintf(
	    plan->words[1], sizeof(plan->words[1]), "%s", other_word);
	plan->failed = 0;
	plan->fault = fault;
}

int
proxy_has_failed(void)
{
	return plan->failed;
}

void
proxy_hang_up(void)
{
	plan->hang_up = 1;
	while (plan->hang_up)
		(void)usleep(1000);
}
