/*
 * note.c - what goes along with a connection from process to process.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "fcgi/note.h"

/* The connection and the lock. */
#define DESCRIPTORS_MAX 2

/* As timeouts.read has it, in ms. */
#define PATIENCE_MAX ((int64_t)24 * 3600 * 1000)

#define NOTE_VERSION ((uint32_t)0x54550000 + (uint32_t)sizeof(struct note))

/* libfcgi puts it among the parameters. */
#define ROLE "FCGI_ROLE="

/* Aligned as a header of a message has to be. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

static char *
pack_length(char *p, size_t len)
{
	if (len < 128) {
		*p++ = (char)len;
		return p;
	}
	*p++ = (char)(len >> 24 | 0x80);
	*p++ = (char)(len >> 16);
	*p++ = (char)(len >> 8);
	*p++ = (char)len;
	return p;
}

ssize_t
note_pack(char *const *envp, char *to, size_t size)
{
	const char *value;
	size_t name_len, value_len;
	char *p = to;

	for (; *envp != NULL; envp++) {
		value = strchr(*envp, '=');
		if (value == NULL ||
		    strncmp(*envp, ROLE, sizeof(ROLE) - 1) == 0)
			continue;
		name_len = (size_t)(value++ - *envp);
		value_len = strlen(value);
		if (name_len + value_len + 8 > size - (size_t)(p - to))
			return -1;
		p = pack_length(pack_length(p, name_len), value_len);
		memcpy(p, *envp, name_len);
		memcpy(p + name_len, value, value_len);
		p += name_len + value_len;
	}
	return p - to;
}

int
note_send(int sock, struct note *n, const void *params, int connection)
{
	const int descriptors[] = { connection, n->task.loan.fd };
	size_t size = n->task.loan.fd == -1 ? sizeof(int) : 2 * sizeof(int);
	union control control;
	/* sendmsg() reads what struct iovec has no const for. */
	struct iovec from[] = { { n, sizeof(*n) },
		{ (void *)(uintptr_t)params, n->params_len } };
	struct msghdr msg = { .msg_iov = from,
		.msg_iovlen = NITEMS(from),
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(size) };

	n->version = NOTE_VERSION;
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(&control.header), descriptors, size);
	while (sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* How many descriptors came. */
static size_t
take_descriptors(struct msghdr *msg, int descriptors[DESCRIPTORS_MAX])
{
	const struct cmsghdr *h = CMSG_FIRSTHDR(msg);
	size_t size;

	if (h == NULL || h->cmsg_level != SOL_SOCKET ||
	    h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(0))
		return 0;
	size = h->cmsg_len - CMSG_LEN(0);
	if (size > DESCRIPTORS_MAX * sizeof(int))
		size = DESCRIPTORS_MAX * sizeof(int);
	memcpy(descriptors, CMSG_DATA(h), size);
	return size / sizeof(int);
}

/* A process without free descriptors gets none, and MSG_CTRUNC. */
static bool
is_whole(const struct note *n, size_t len, const struct msghdr *msg, size_t got)
{
	return (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    len >= sizeof(*n) && n->version == NOTE_VERSION &&
	    n->params_len == len - sizeof(*n) &&
	    n->params_len <= NOTE_PARAMS_MAX && n->why < NOTE_WHY_MAX &&
	    n->cut.has < sizeof(n->cut.header) &&
	    n->cut.content <= UINT16_MAX && n->cut.padding <= UINT8_MAX &&
	    n->patience >= 0 && n->patience <= PATIENCE_MAX &&
	    got == (n->task.loan.fd == -1 ? 1 : 2);
}

/* False: this one cannot be used, and its descriptors were closed. */
static bool
unpack(struct note_box *box, size_t len, struct msghdr *msg)
{
	int descriptors[DESCRIPTORS_MAX] = { -1, -1 };
	size_t got = take_descriptors(msg, descriptors);

	if (!is_whole(&box->note, len, msg, got)) {
		while (got > 0)
			(void)close(descriptors[--got]);
		return false;
	}
	box->connection = descriptors[0];
	box->note.task.loan.fd = descriptors[1];
	return true;
}

bool
note_receive(int sock, struct note_box *box)
{
	union control control;
	struct iovec to[] = { { &box->note, sizeof(box->note) },
		{ box->params, sizeof(box->params) } };
	struct msghdr msg;
	ssize_t len;

	do {
		msg = (struct msghdr){ .msg_iov = to,
			.msg_iovlen = NITEMS(to),
			.msg_control = &control,
			.msg_controllen = sizeof(control) };
		len = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len > 0 && !unpack(box, (size_t)len, &msg));
	return len > 0;
}

void
note_drop(struct note_box *box)
{
	if (box->connection != -1)
		(void)close(box->connection);
	if (box->note.task.loan.fd != -1)
		(void)close(box->note.task.loan.fd);
	box->connection = box->note.task.loan.fd = -1;
}
