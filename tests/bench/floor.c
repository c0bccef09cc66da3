/*
 * floor.c - the least that a FastCGI program on libfcgi can do for a short
 * request: no protocol, no checks, no locks, no log, no crash survived.
 *
 *	bench-floor SOCKET PROCESSES DIR
 *
 * A POST makes a data file and a record in DIR, a body goes into the first and
 * a head of 219 bytes over the second, a HEAD looks at both.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#include <err.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD 570
#define HEAD   219

static int dir;
static char record[RECORD];

static int
open_file(const char *id, const char *suffix, int flags)
{
	char name[80];
	int fd;

	(void)snprintf(name, sizeof(name), "%s%s", id, suffix);
	fd = openat(dir, name, flags | O_RDWR | O_CLOEXEC, 0660);
	if (fd == -1)
		err(1, "%s", name);
	return fd;
}

static void
store(FCGX_Request *r, const char *id, int flags)
{
	int data = open_file(id, "", flags),
	    info = open_file(id, ".info", flags);
	char body[8192];
	int n;

	if (flags != 0 && pwrite(info, record, RECORD, 0) != RECORD)
		err(1, "write");
	n = FCGX_GetStr(body, sizeof(body), r->in);
	if (n > 0 &&
	    (pwrite(data, body, (size_t)n, 0) != n ||
		pwrite(info, record, HEAD, 0) != HEAD))
		err(1, "write");
	(void)close(data);
	(void)close(info);
}

static void
look(const char *id)
{
	char buf[RECORD];
	struct stat st;
	int info = open_file(id, ".info", 0);

	if (pread(info, buf, RECORD, 0) != RECORD ||
	    fstatat(dir, id, &st, 0) == -1)
		err(1, "%s", id);
	(void)close(info);
}

static void
answer(FCGX_Request *r, unsigned long n)
{
	const char *method = FCGX_GetParam("REQUEST_METHOD", r->envp);
	const char *uri = FCGX_GetParam("REQUEST_URI", r->envp);
	const char *id = uri != NULL ? strrchr(uri, '/') + 1 : "";
	char made[33];

	if (strcmp(method, "POST") == 0) {
		(void)snprintf(
		    made, sizeof(made), "%016lx%016lx", (long)getpid(), n);
		store(r, made, O_CREAT | O_EXCL);
		(void)FCGX_FPrintF(r->out,
		    "Status: 201 Created\r\nTus-Resumable: 1.0.0\r\n"
		    "Location: /files/%s\r\n\r\n",
		    made);
		return;
	}
	if (strcmp(method, "HEAD") == 0)
		look(id);
	else
		store(r, id, 0);
	(void)FCGX_FPrintF(r->out,
	    "Status: %s\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 1024\r\n\r\n",
	    strcmp(method, "HEAD") == 0 ? "200 OK" : "204 No Content");
}

static void
serve(int fd)
{
	FCGX_Request r;
	unsigned long n;

	if (FCGX_InitRequest(&r, fd, 0) != 0)
		errx(1, "FCGX_InitRequest");
	for (n = 0; FCGX_Accept_r(&r) == 0; n++) {
		answer(&r, n);
		FCGX_Finish_r(&r);
	}
}

int
main(int argc, char **argv)
{
	int fd, i;

	if (argc != 4)
		errx(1, "usage: bench-floor SOCKET PROCESSES DIR");
	memset(record, 'x', sizeof(record));
	dir = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		err(1, "%s", argv[3]);
	if (FCGX_Init() != 0 || (fd = FCGX_OpenSocket(argv[1], 1024)) == -1)
		errx(1, "%s", argv[1]);
	for (i = 1; i < atoi(argv[2]); i++) {
		if (fork() != 0)
			continue;
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		break;
	}
	serve(fd);
	return 0;
}
