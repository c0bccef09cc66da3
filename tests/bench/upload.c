/*
 * upload.c - the load of the benchmark: one client that costs next to nothing.
 *
 *	upload put  PORT PATH BYTES          one PUT
 *	upload tus  PORT PATH BYTES CHUNK    create, then PATCH chunk by chunk
 *	upload get  PORT PATH                read and throw away
 *	upload head PORT FILE SECONDS LINKS  HEAD of the paths in FILE, in turn,
 *	                                     over so many connections
 *
 * The bytes come out of a memfd by sendfile(), so that no time of ours is
 * taken for the server's.  Says "BYTES SECONDS" on stdout; exit 1 and a
 * sentence on stderr for anything but the answer that was hoped for.
 */
#define _GNU_SOURCE

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <poll.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The memfd; sent again and again. */
#define PIECE (4 * 1024 * 1024)

struct link {
	uint16_t port;
	int fd;
};

static char answer[65536];

static double
seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
link_up(struct link *l)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd == -1 ||
	    connect(l->fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		err(1, "connect to port %d", l->port);
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void
send_text(const struct link *l, const char *text)
{
	size_t len = strlen(text);

	if (send(l->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "send headers");
}

static void
send_bytes(const struct link *l, int memfd, int64_t n)
{
	while (n > 0) {
		off_t from = 0;
		size_t piece = n < PIECE ? (size_t)n : PIECE;

		while (from < (off_t)piece)
			if (sendfile(
				l->fd, memfd, &from, piece - (size_t)from) <= 0)
				err(1, "send body");
		n -= (int64_t)piece;
	}
}

/* The head of an answer into `answer`; the length of the body, -1 unknown. */
static int64_t
read_head(struct link *l, size_t *extra)
{
	size_t got = 0;
	char *end, *cl;
	ssize_t n;

	for (;;) {
		n = recv(l->fd, answer + got, sizeof(answer) - 1 - got, 0);
		if (n <= 0)
			errx(1, "the server closed the connection");
		got += (size_t)n;
		answer[got] = '\0';
		if ((end = strstr(answer, "\r\n\r\n")) != NULL)
			break;
	}
	*extra = got - (size_t)(end + 4 - answer);
	*end = '\0';
	cl = strcasestr(answer, "\r\nContent-Length:");
	return cl == NULL ? -1 : atoll(cl + 17);
}

/* Read one answer to its end and check its status. */
static void
expect(struct link *l, const char *statuses)
{
	char status[4] = "";
	size_t extra;
	int64_t left;
	ssize_t n;
	bool closes;

	left = read_head(l, &extra) - (int64_t)extra;
	memcpy(status, answer + 9, 3);
	if (strstr(statuses, status) == NULL)
		errx(1, "answered %.200s", answer);
	closes = strcasestr(answer, "Connection: close") != NULL;
	while (left > 0) {
		static char trash[65536];

		n = recv(l->fd, trash, sizeof(trash), 0);
		if (n <= 0)
			errx(1, "the answer is not whole");
		left -= n;
	}
	if (closes) {
		(void)close(l->fd);
		link_up(l);
	}
}

static void
put(struct link *l, const char *path, int64_t size, int memfd)
{
	char head[1024];

	(void)snprintf(head, sizeof(head),
	    "PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %lld\r\n"
	    "\r\n",
	    path, (long long)size);
	send_text(l, head);
	send_bytes(l, memfd, size);
	expect(l, "201 204");
}

/* The path in the Location of the answer. */
static void
location(char *path, size_t size)
{
	char *p = strcasestr(answer, "\r\nLocation:");
	char *scheme;

	if (p == NULL)
		errx(1, "no Location: %s", answer);
	p += 11;
	p += strspn(p, " ");
	p[strcspn(p, "\r")] = '\0';
	if ((scheme = strstr(p, "://")) != NULL)
		p = strchr(scheme + 3, '/');
	(void)snprintf(path, size, "%s", p);
}

static void
tus(struct link *l, const char *base, int64_t size, int64_t chunk, int memfd)
{
	char head[1024], path[512];
	int64_t offset, n;

	(void)snprintf(head, sizeof(head),
	    "POST %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
	    "Upload-Length: %lld\r\nContent-Length: 0\r\n\r\n",
	    base, (long long)size);
	send_text(l, head);
	expect(l, "201");
	location(path, sizeof(path));
	for (offset = 0; offset < size; offset += n) {
		n = size - offset < chunk ? size - offset : chunk;
		(void)snprintf(head, sizeof(head),
		    "PATCH %s HTTP/1.1\r\nHost: localhost\r\n"
		    "Tus-Resumable: 1.0.0\r\n"
		    "Content-Type: application/offset+octet-stream\r\n"
		    "Upload-Offset: %lld\r\nContent-Length: %lld\r\n\r\n",
		    path, (long long)offset, (long long)n);
		send_text(l, head);
		send_bytes(l, memfd, n);
		expect(l, "204");
	}
	fprintf(stderr, "%s\n", path);
}

static int64_t
get(struct link *l, const char *path)
{
	char head[1024];
	int64_t size;
	size_t extra;

	(void)snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	send_text(l, head);
	size = read_head(l, &extra);
	if (strncmp(answer + 9, "200", 3) != 0)
		errx(1, "answered %.200s", answer);
	for (int64_t left = size - (int64_t)extra; left > 0;) {
		static char trash[1 << 20];
		ssize_t n = recv(l->fd, trash, sizeof(trash), 0);

		if (n <= 0)
			errx(1, "the content is not whole");
		left -= n;
	}
	return size;
}

/* The paths in a file, a line each. */
static size_t
read_paths(const char *file, char paths[][256], size_t max)
{
	FILE *f = fopen(file, "r");
	size_t n = 0;

	if (f == NULL)
		err(1, "%s", file);
	while (n < max && fgets(paths[n], 256, f) != NULL) {
		paths[n][strcspn(paths[n], "\n")] = '\0';
		n++;
	}
	(void)fclose(f);
	if (n == 0)
		errx(1, "%s is empty", file);
	return n;
}

static void
ask_head(struct link *l, const char *path)
{
	char head[512];

	(void)snprintf(head, sizeof(head),
	    "HEAD %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Tus-Resumable: 1.0.0\r\n\r\n",
	    path);
	send_text(l, head);
}

/* Apache closes idle connections when it wants their threads. */
static bool
is_closed(const struct link *l)
{
	char byte;

	return recv(l->fd, &byte, 1, MSG_PEEK) <= 0;
}

/* Every connection has one request under way at any time.  How many. */
static int64_t
heads(uint16_t port, const char *file, double for_seconds, size_t n)
{
	static char paths[1024][256];
	static struct link links[256];
	static struct pollfd pfds[256];
	size_t npaths = read_paths(file, paths, 1024), i, extra;
	double end = seconds() + for_seconds;
	int64_t count = 0;

	if (n < 1 || n > 256)
		errx(2, "1 to 256 connections");
	for (i = 0; i < n; i++) {
		links[i].port = port;
		link_up(&links[i]);
		pfds[i] = (struct pollfd){ links[i].fd, POLLIN, 0 };
		ask_head(&links[i], paths[i % npaths]);
	}
	while (seconds() < end) {
		(void)poll(pfds, n, 1000);
		for (i = 0; i < n; i++) {
			bool closed;

			if (pfds[i].revents == 0)
				continue;
			closed = is_closed(&links[i]);
			if (!closed) {
				(void)read_head(&links[i], &extra);
				if (strncmp(answer + 9, "200", 3) != 0)
					errx(1, "answered %.200s", answer);
				count++;
				closed = strcasestr(answer,
					     "Connection: close") != NULL;
			}
			if (closed) {
				(void)close(links[i].fd);
				link_up(&links[i]);
				pfds[i].fd = links[i].fd;
			}
			ask_head(&links[i], paths[(size_t)count % npaths]);
		}
	}
	return count;
}

int
main(int argc, char **argv)
{
	struct link l;
	double began;
	int64_t size = argc > 4 ? atoll(argv[4]) : 0;
	int memfd = memfd_create("body", MFD_CLOEXEC);

	if (argc < 4)
		errx(2, "usage: upload put|tus|get|head PORT PATH ...");
	if (memfd == -1 || ftruncate(memfd, PIECE) == -1 ||
	    fallocate(memfd, 0, 0, PIECE) == -1)
		err(1, "memfd");
	l.port = (uint16_t)atoi(argv[2]);
	began = seconds();
	if (strcmp(argv[1], "head") == 0) {
		size = heads(l.port, argv[3], argc > 4 ? atof(argv[4]) : 5,
		    argc > 5 ? (size_t)atoi(argv[5]) : 32);
		printf("%lld %.6f\n", (long long)size, seconds() - began);
		return 0;
	}
	link_up(&l);
	if (strcmp(argv[1], "put") == 0)
		put(&l, argv[3], size, memfd);
	else if (strcmp(argv[1], "tus") == 0)
		tus(&l, argv[3], size, argc > 5 ? atoll(argv[5]) : size, memfd);
	else
		size = get(&l, argv[3]);
	printf("%lld %.6f\n", (long long)size, seconds() - began);
	return 0;
}
