/*
 * core.c - requests without a web server: the protocol, store and locks alone.
 *
 *	bench-core DIR create FIRST N      uploads number FIRST to FIRST + N - 1
 *	bench-core DIR quota FIRST N       the same, of one owner who has a
 *quota bench-core DIR never FIRST N       with store.overcommit = "never"
 *	bench-core DIR head FIRST N TOTAL  HEAD of N of so many, at random
 *	bench-core DIR patch NUMBER N      N times PATCH of 1 KiB, one upload
 *	bench-core DIR write NUMBER N      the same bytes by pwrite() alone
 *	bench-core DIR floor NUMBER N      and by the least that a PATCH can do
 *
 * The id of an upload is its number.  Says how many microseconds each took.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/tus.h"

#define BODY 1024

static const struct web_protocol *const protocols[] = { &tus_protocol, NULL };
static struct web_server server = { .protocols = protocols };
static struct arena *arena;
static char body[BODY];
static long long next;

static void
next_id(char id[ID_MAX + 1])
{
	(void)snprintf(id, ID_MAX + 1, "%032llx", next++);
}

static void
open_server(const char *dir, const char *overcommit)
{
	struct conf *conf = conf_new();
	struct err e;

	if (conf_set(conf, "store.path", dir, &e) != ERR_OK ||
	    conf_set(conf, "store.durability", "none", &e) != ERR_OK ||
	    conf_set(conf, "store.overcommit", overcommit, &e) != ERR_OK ||
	    store_open(conf, &server.core.store, &e) != ERR_OK ||
	    locker_open(conf, &server.core.locker, &e) != ERR_OK)
		errx(1, "%s", e.text);
	server.max_metadata = 4096;
	server.core.now = clock_now;
	server.core.now_ms = clock_ms;
	server.core.new_id = next_id;
	arena = arena_new();
}

/* One request; the body is there at once. */
static void
ask(const struct web_request *req, int status)
{
	struct web_call *call = web_call_new(&server, req, arena);
	const struct web_response *r;

	if (web_begin(call) == STEP_RECEIVE &&
	    web_receive(call, body, sizeof(body)) != STEP_DONE)
		web_end(call, END_COMPLETE);
	r = web_response(call);
	if (r->status != status)
		errx(1, "%s %s: %d %s", req->method, req->path, r->status,
		    r->err->text);
	web_close(call);
	arena_reset(arena);
}

static void
create(long long n, const char *length, const char *owner)
{
	const struct web_request req = { .method = "POST",
		.path = "/",
		.base = "/files",
		.max_size = -1,
		.tus_resumable = "1.0.0",
		.upload_length = length,
		.content_length = "0",
		.owner = owner };

	while (n-- > 0)
		ask(&req, 201);
}

/* Under a limit, with a length that each disk can set aside. */
static void
create_limited(long long n, bool has_quota)
{
	if (has_quota)
		server.core.quota =
		    (struct store_quota){ INT64_MAX, INT64_MAX };
	create(n, "1024", has_quota ? "anna" : NULL);
}

static void
head(long long first, long long n, long long total)
{
	char path[ID_MAX + 2];
	const struct web_request req = { .method = "HEAD",
		.path = path,
		.base = "/files",
		.max_size = -1,
		.tus_resumable = "1.0.0" };
	uint64_t x = 88172645463325252;

	while (n-- > 0) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		(void)snprintf(path, sizeof(path), "/%032llx",
		    first + (long long)(x % (uint64_t)total));
		ask(&req, 200);
	}
}

static off_t
size_of(const char *dir, long long number, int *fd)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%032llx", dir, number);
	*fd = open(path, O_RDWR);
	if (*fd == -1)
		err(1, "%s", path);
	return lseek(*fd, 0, SEEK_END);
}

static void
patch(const char *dir, long long number, long long n)
{
	char path[ID_MAX + 2], offset[24];
	const struct web_request req = { .method = "PATCH",
		.path = path,
		.base = "/files",
		.max_size = -1,
		.tus_resumable = "1.0.0",
		.content_type = "application/offset+octet-stream",
		.content_length = "1024",
		.upload_offset = offset };
	off_t at;
	int fd;

	at = size_of(dir, number, &fd);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "/%032llx", number);
	for (; n-- > 0; at += BODY) {
		(void)snprintf(offset, sizeof(offset), "%lld", (long long)at);
		ask(&req, 204);
	}
}

static void
bare_write(const char *dir, long long number, long long n)
{
	int fd;
	off_t at = size_of(dir, number, &fd);

	for (; n-- > 0; at += BODY)
		if (pwrite(fd, body, BODY, at) != BODY)
			err(1, "pwrite");
}

/* Record, lock and data: open each, look, write, close. */
static void
least(const char *dir, long long number, long long n)
{
	char path[4096], info[4200], lock[4200], record[1024];
	struct stat st;
	off_t at;
	int fd, i, l;

	at = size_of(dir, number, &fd);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/%032llx", dir, number);
	(void)snprintf(info, sizeof(info), "%s.info", path);
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	for (; n-- > 0; at += BODY) {
		i = open(info, O_RDWR);
		l = open(lock, O_RDWR | O_CREAT, 0600);
		if (pread(i, record, sizeof(record), 0) <= 0 ||
		    flock(l, LOCK_EX) == -1 || fstat(l, &st) == -1)
			err(1, "%s", path);
		fd = open(path, O_RDWR);
		if (fstat(fd, &st) == -1 || pwrite(fd, body, BODY, at) != BODY)
			err(1, "%s", path);
		(void)close(fd);
		(void)close(l);
		(void)close(i);
	}
}

static double
seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	long long first, n;
	double began;

	if (argc < 5)
		errx(2, "usage: bench-core DIR create|head|patch|write ...");
	first = next = atoll(argv[3]);
	n = atoll(argv[4]);
	open_server(
	    argv[1], strcmp(argv[2], "never") == 0 ? "never" : "always");
	began = seconds();
	if (strcmp(argv[2], "create") == 0)
		create(n, "1099511627776", NULL);
	else if (strcmp(argv[2], "quota") == 0 || strcmp(argv[2], "never") == 0)
		create_limited(n, strcmp(argv[2], "quota") == 0);
	else if (strcmp(argv[2], "head") == 0)
		head(first, n, argc > 5 ? atoll(argv[5]) : 1);
	else if (strcmp(argv[2], "patch") == 0)
		patch(argv[1], first, n);
	else if (strcmp(argv[2], "floor") == 0)
		least(argv[1], first, n);
	else
		bare_write(argv[1], first, n);
	printf("%.3f\n", (seconds() - began) * 1e6 / (double)n);
	return 0;
}
