/*
 * ask.c - request the status from a pool, as a web server would.
 *
 * The part of FastCGI that one GET needs (FastCGI specification 1.0, 3.3 and
 * 5): the request is one short write, the answer ends with END_REQUEST.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "ctl/ask.h"

/* FastCGI's types of records, and its role. */
enum {
	BEGIN_REQUEST = 1,
	END_REQUEST = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
	RESPONDER = 1
};

#define HEADER_LEN 8

/* In seconds: an overloaded pool answers late. */
#define PATIENCE 10

/* More than the status of 8192 workers needs. */
#define ANSWER_MAX (64 * 1024 * 1024)

/* --- The connection. --- */

static enum err_code
connect_to_path(const char *path, int *fd, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sun.sun_path))
		return err_set(e, ERR_INVALID, "%s: too long a path", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd != -1 &&
	    connect(*fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return ERR_OK;
	(void)err_sys(e, "connect to %s", path);
	if (*fd != -1)
		(void)close(*fd);
	return e->code;
}

static enum err_code
connect_to_host(const char *address, struct arena *a, int *fd, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(address, ':');
	struct addrinfo *list, *one;
	char *host;
	size_t len;
	int rc;

	if (colon == NULL)
		return err_set(e, ERR_INVALID,
		    "%s: write /path/to/socket or HOST:PORT", address);
	host = arena_memdup(a, address, (size_t)(colon - address));
	len = strlen(host);
	if (*host == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		host++;
	}
	rc = getaddrinfo(*host != '\0' ? host : NULL, colon + 1, &hints, &list);
	if (rc != 0)
		return err_set(
		    e, ERR_INVALID, "%s: %s", address, gai_strerror(rc));
	*fd = -1;
	for (one = list; one != NULL && *fd == -1; one = one->ai_next) {
		*fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (*fd == -1 ||
		    connect(*fd, one->ai_addr, one->ai_addrlen) == 0)
			continue;
		(void)err_sys(e, "connect to %s", address);
		(void)close(*fd);
		*fd = -1;
	}
	freeaddrinfo(list);
	return *fd != -1 ? ERR_OK : e->code;
}

/* --- The request. --- */

struct request {
	unsigned char bytes[2048];
	size_t len;
};

static void
put_record(struct request *r, int type, const void *content, size_t len)
{
	const unsigned char header[HEADER_LEN] = { 1, (unsigned char)type, 0, 1,
		(unsigned char)(len >> 8), (unsigned char)len };

	memcpy(r->bytes + r->len, header, sizeof(header));
	if (len > 0)
		memcpy(r->bytes + r->len + sizeof(header), content, len);
	r->len += sizeof(header) + len;
}

/* Lengths below 128 are encoded in one byte each. */
static void
put_param(
    unsigned char *params, size_t *len, const char *name, const char *value)
{
	params[(*len)++] = (unsigned char)strlen(name);
	params[(*len)++] = (unsigned char)strlen(value);
	memcpy(params + *len, name, strlen(name));
	*len += strlen(name);
	memcpy(params + *len, value, strlen(value));
	*len += strlen(value);
}

static enum err_code
send_request(int fd, const char *uri, struct err *e)
{
	const unsigned char begin[8] = { 0, RESPONDER };
	unsigned char params[512];
	struct request r = { .len = 0 };
	size_t len = 0;

	put_param(params, &len, "REQUEST_METHOD", "GET");
	put_param(params, &len, "REQUEST_URI", uri);
	put_param(params, &len, "SCRIPT_NAME", "");
	put_record(&r, BEGIN_REQUEST, begin, sizeof(begin));
	put_record(&r, PARAMS, params, len);
	put_record(&r, PARAMS, NULL, 0);
	put_record(&r, STDIN, NULL, 0);
	if (send(fd, r.bytes, r.len, MSG_NOSIGNAL) == (ssize_t)r.len)
		return ERR_OK;
	return err_sys(e, "ask for the status");
}

/* --- The answer. --- */

static bool
read_whole(int fd, unsigned char *to, size_t len)
{
	size_t n;
	ssize_t got;

	for (n = 0; n < len; n += (size_t)got) {
		got = read(fd, to + n, len - n);
		if (got == -1 && errno == EINTR)
			got = 0;
		else if (got <= 0)
			return false;
	}
	return true;
}

/* The output as of a CGI program, with its header; NULL if the connection
 * broke. */
static char *
read_answer(int fd, struct arena *a)
{
	unsigned char header[HEADER_LEN], content[65535 + 255];
	size_t len = 0, size = 65536, more;
	char *text = arena_alloc(a, size), *larger;

	while (read_whole(fd, header, sizeof(header))) {
		more = (size_t)header[4] << 8 | header[5];
		if (header[1] == END_REQUEST)
			return text;
		if (!read_whole(fd, content, more + header[6]))
			return NULL;
		if (header[1] != STDOUT)
			continue;
		if (len + more >= size) {
			size = 2 * (len + more + 1);
			if (size > ANSWER_MAX)
				return NULL;
			larger = arena_alloc(a, size);
			memcpy(larger, text, len);
			text = larger;
		}
		memcpy(text + len, content, more);
		len += more;
	}
	return NULL;
}

/* The body of an answer with status 200; else *e says which answer came. */
static enum err_code
check_answer(const char *address, const char *uri, char *text,
    const char **answer, struct err *e)
{
	char *body = text == NULL ? NULL : strstr(text, "\r\n\r\n");

	if (body == NULL)
		return err_set(e, ERR_INVALID, "%s: no answer within %d s",
		    address, PATIENCE);
	if (strncmp(text, "Status: 200 ", 12) == 0 &&
	    strstr(text, "application/json") != NULL) {
		*answer = body + 4;
		return ERR_OK;
	}
	text[strcspn(text, "\r\n")] = '\0';
	return err_set(e, ERR_INVALID,
	    "%s: %s: is status.path of the running server %s?", address, text,
	    uri);
}

enum err_code
ask_status(const char *address, const char *path, struct arena *a,
    const char **answer, struct err *e)
{
	const struct timeval patience = { .tv_sec = PATIENCE };
	const char *uri = arena_printf(a, "%s?json", path);
	enum err_code rc;
	int fd = -1;

	if (strlen(uri) > 127)
		return err_set(e, ERR_INVALID, "%s: too long a path", path);
	rc = *address == '/' ? connect_to_path(address, &fd, e) :
			       connect_to_host(address, a, &fd, e);
	if (rc != ERR_OK)
		return rc;
	(void)setsockopt(
	    fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	rc = send_request(fd, uri, e);
	if (rc == ERR_OK)
		rc = check_answer(address, path, read_answer(fd, a), answer, e);
	(void)close(fd);
	return rc;
}
