/*
 * cut_test.c - a request is cut at every byte of its body and read again, by
 * the libfcgi that is installed.
 */
#include "config.h"

#include <sys/socket.h>

#include <fcgiapp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compat.h"
#include "fcgi/os_read.h"

enum {
	REQUEST = 0x0102,
	WIRE_MAX = 8192,
	BODY_MAX = 2048
};

static const char params[] = "\016\003REQUEST_METHODPUT"
			     "\016\000CONTENT_LENGTH"
			     "\013\006REQUEST_URI/u/abc";

/* What a web server sends, where its body begins, and what the body is. */
static struct {
	unsigned char bytes[WIRE_MAX];
	size_t len, body_at;
	char body[BODY_MAX];
	size_t body_len;
} wire;

/* The bytes of the body that were read. */
static char got[BODY_MAX];
static size_t got_len;

static void
put(unsigned type, const void *content, size_t len, size_t padding)
{
	unsigned char *p = wire.bytes + wire.len;

	memcpy(p, "\1\0\1\2", 4);
	p[1] = (unsigned char)type;
	p[4] = (unsigned char)(len >> 8);
	p[5] = (unsigned char)len;
	p[6] = (unsigned char)padding;
	p[7] = 0;
	memcpy(p + 8, content, len);
	memset(p + 8 + len, 0xee, padding);
	wire.len += 8 + len + padding;
}

/* Bodies in records of these lengths, again and again. */
struct style {
	size_t body, record, padding;
};

static void
build(const struct style *s)
{
	static const char begin[8] = { 0, 1, 1 };
	size_t at, n;

	wire.len = 0;
	put(1, begin, sizeof(begin), 0);
	put(4, params, sizeof(params) - 1, 5);
	put(4, "", 0, 0);
	wire.body_at = wire.len;
	wire.body_len = s->body;
	for (at = 0; at < s->body; at++)
		wire.body[at] = (char)(at * 7 + s->record);
	for (at = 0; at < s->body; at += n) {
		n = s->body - at < s->record ? s->body - at : s->record;
		put(5, wire.body + at, n, s->padding);
	}
	put(5, "", 0, 0);
}

static bool
never_wait(void *arg, int64_t silence)
{
	(void)arg;
	(void)silence;
	return false;
}

static const struct os_read_watch watch = { .wait_on = never_wait };

static void
send_up_to(int fd, size_t *sent, size_t end)
{
	if (end <= *sent)
		return;
	assert_int_equal(
	    write(fd, wire.bytes + *sent, end - *sent), end - *sent);
	*sent = end;
}

static void
read_all(FCGX_Request *r)
{
	int ch;

	while ((ch = FCGX_GetChar(r->in)) != EOF)
		got[got_len++] = (char)ch;
}

/* As another process would; false: not at this byte. */
static bool
change_process(FCGX_Request *r)
{
	struct frame_cut cut;
	int fd = r->ipcFd;

	if (!os_read_get_cut(&cut))
		return false;
	r->ipcFd = -1;
	FCGX_Free(r, 0);
	(void)os_read_end();
	os_read_expect();
	assert_true(os_read_replay(fd, &cut, true, params, sizeof(params) - 1));
	r->ipcFd = fd;
	r->keepConnection = 1;
	return true;
}

static void
begin(FCGX_Request *r, bool is_again)
{
	os_read_watch(&watch);
	assert_int_equal(FCGX_Accept_r(r), 0);
	if (is_again)
		assert_true(os_read_is_replayed(r->ipcFd));
	assert_string_equal(FCGX_GetParam("REQUEST_METHOD", r->envp), "PUT");
	assert_string_equal(FCGX_GetParam("CONTENT_LENGTH", r->envp), "");
	os_read_begin(r->ipcFd);
	read_all(r);
}

/* Cut there, and a second time. */
static long
cut_twice(size_t first, size_t second)
{
	const size_t ends[] = { first, second, wire.len };
	FCGX_Request r;
	size_t sent = 0, i;
	long cuts = 0;
	int pair[2];
	bool is_again = false;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	(void)FCGX_InitRequest(&r, 0, 0);
	r.ipcFd = pair[1];
	r.keepConnection = 1;
	os_read_expect();
	got_len = 0;
	for (i = 0; i < NITEMS(ends); i++) {
		send_up_to(pair[0], &sent, ends[i]);
		if (i > 0 && !is_again && i < NITEMS(ends) - 1)
			continue;
		begin(&r, is_again);
		if (i == NITEMS(ends) - 1)
			break;
		is_again = change_process(&r);
		/* Then all the rest comes, and nothing is cut. */
		if (!is_again)
			break;
		cuts++;
	}
	if (i == NITEMS(ends) - 1) {
		assert_int_equal(FCGX_GetError(r.in), 0);
		assert_true(os_read_is_over());
		assert_int_equal(got_len, wire.body_len);
		assert_memory_equal(got, wire.body, got_len);
	}
	(void)os_read_end();
	os_read_watch(NULL);
	FCGX_Detach(&r);
	r.keepConnection = 0;
	FCGX_Finish_r(&r);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return cuts;
}

static void
a_request_goes_on_wherever_it_is_cut(void **state)
{
	static const struct style styles[] = { { 60, 33, 0 }, { 300, 97, 7 },
		{ 40, 1, 3 } };
	size_t i, first, second;
	long cuts = 0;

	(void)state;
	for (i = 0; i < NITEMS(styles); i++) {
		build(&styles[i]);
		for (first = wire.body_at; first < wire.len; first++)
			for (second = first + 1;
			     second < wire.len && second < first + 40; second++)
				cuts += cut_twice(first, second);
	}
	assert_true(cuts > 20000);
}

static void
padding_alone_is_no_place_to_cut(void **state)
{
	static const struct style padded = { 50, 50, 7 };
	struct frame f = { .phase = FRAME_IDLE };
	struct frame_cut cut;
	size_t at;

	(void)state;
	build(&padded);
	for (at = 0; at < wire.len; at++) {
		bool may_be = at > wire.body_at &&
		    (at < wire.body_at + 8 + 50 || at >= wire.len - 8);

		assert_true(at == 0 || frame_check(&f, wire.bytes + at - 1, 1));
		if (at > wire.body_at)
			assert_int_equal(frame_get_cut(&f, &cut), may_be);
	}
}

static void
another_connection_is_not_taken_for_it(void **state)
{
	struct frame_cut cut = { .request = REQUEST, .content = 10 };
	int pair[2], other[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
	os_read_expect();
	assert_true(
	    os_read_replay(pair[1], &cut, false, params, sizeof(params) - 1));
	assert_true(os_read_is_replayed(pair[1]));
	assert_false(os_read_is_replayed(other[1]));
	os_read_expect();
	assert_false(os_read_is_replayed(pair[1]));
	(void)close(pair[0]);
	(void)close(pair[1]);
	(void)close(other[0]);
	(void)close(other[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_goes_on_wherever_it_is_cut),
		cmocka_unit_test(padding_alone_is_no_place_to_cut),
		cmocka_unit_test(another_connection_is_not_taken_for_it),
	};

	(void)setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "1", 1);
	(void)FCGX_Init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
