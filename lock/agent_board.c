/*
 * agent_board.c - messages between the agent and its clients, and the figures
 * on the board.
 */
#include "config.h"

#include <sys/socket.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/id.h"
#include "lock/agent.h"

const int64_t lock_call_limits[LOCK_CALL_LIMITS] = { 250, 1000, 2500, 10000,
	25000, 100000, 500000, 2000000 };

int64_t
agent_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
agent_count(struct agent_board *board, bool was_answered, int64_t ns)
{
	size_t i = 0;

	if (!was_answered) {
		board->errors++;
		return;
	}
	while (i < LOCK_CALL_LIMITS && ns > lock_call_limits[i] * 1000)
		i++;
	board->calls[i]++;
	board->us += (uint64_t)ns / 1000;
}

void
agent_refuse(struct agent_board *board, const char *why)
{
	if (*why != '\0' && !board->is_refused)
		(void)snprintf(
		    board->refusal, sizeof(board->refusal), "%s", why);
	board->is_refused = *why != '\0';
}

bool
agent_is_sound(const struct agent_request *q)
{
	bool is_key = q->op == AGENT_TAKE || q->op == AGENT_UNASK;

	return memchr(q->id, '\0', sizeof(q->id)) != NULL &&
	    (!is_key || id_is_valid(q->id));
}

bool
agent_send_board(int fd, int board_fd)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .buf = { 0 } };
	char byte = 'b';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &board_fd, sizeof(int));
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

int
agent_receive_board(int fd)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	const struct cmsghdr *c;
	int board;

	if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) != 1 ||
	    (c = CMSG_FIRSTHDR(&m)) == NULL || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&board, CMSG_DATA(c), sizeof(board));
	return board;
}
