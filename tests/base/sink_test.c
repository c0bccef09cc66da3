/*
 * sink_test.c - nobody waits for a reader that stalls.
 *
 * The sink is compiled in, with a syslog of our own.
 */
#include "config.h"

#include <syslog.h>

#undef _PATH_LOG
#define _PATH_LOG "syslog"
#include "base/sink.c"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/base/temp.h"

/* More lines than any buffer takes. */
#define MANY 20000

static struct sink sink;

static void
open_sink(const char *target)
{
	struct err e;

	if (sink_open(&sink, target, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static bool
say(const char *line)
{
	return sink_write(&sink, LOG_ERR, line, strlen(line));
}

/* How many lines were taken; the reader reads none of them. */
static int
fill(void)
{
	int i, n = 0;

	for (i = 0; i < MANY; i++)
		n += say("a line that nobody reads at the moment\n");
	return n;
}

static void
read_some(int fd, char *text, size_t size)
{
	ssize_t n = read(fd, text, size - 1);

	assert_true(n > 0);
	text[n] = '\0';
}

/* --- Syslog. --- */

static int
listen_as_syslog(int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = _PATH_LOG };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	(void)unlink(_PATH_LOG);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void
must_match(const char *text, const char *pattern)
{
	regex_t r;

	assert_int_equal(regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&r, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
	regfree(&r);
}

#define SYSLOG_LINE                                                            \
	"^<27>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} tusfcgi\\[[0-9]+\\]: hello$"

static void
syslog_takes_lines(void **state)
{
	char text[200];
	int fd = listen_as_syslog(SOCK_DGRAM);

	(void)state;
	open_sink("syslog");
	assert_true(say("hello\n"));
	read_some(fd, text, sizeof(text));
	must_match(text, SYSLOG_LINE);
	(void)close(fd);
}

static void
syslog_may_be_a_stream(void **state)
{
	char text[200];
	int fd = listen_as_syslog(SOCK_STREAM), peer;

	(void)state;
	open_sink("syslog");
	assert_true(say("hello\n"));
	assert_true(say("again\n"));
	peer = accept(fd, NULL, NULL);
	read_some(peer, text, sizeof(text));
	must_match(text, SYSLOG_LINE);
	must_match(text + strlen(text) + 1, "]: again$");
	(void)close(peer);
	(void)close(fd);
}

static void
syslog_may_come_later_and_be_started_anew(void **state)
{
	char text[200];
	int fd, round;

	(void)state;
	open_sink("syslog");
	assert_false(say("nobody\n"));
	for (round = 0; round < 2; round++) {
		fd = listen_as_syslog(SOCK_DGRAM);
		assert_true(say("hello\n"));
		read_some(fd, text, sizeof(text));
		must_match(text, SYSLOG_LINE);
		(void)close(fd);
	}
}

static void
a_stalled_syslog_loses_lines_and_no_time(void **state)
{
	int64_t began = clock_ms();
	int type, fd, n, i;
	char text[200];

	(void)state;
	for (type = SOCK_DGRAM; type != 0;
	     type = type == SOCK_DGRAM ? SOCK_STREAM : 0) {
		fd = listen_as_syslog(type);
		open_sink("syslog");
		n = fill();
		assert_true(n > 0 && n < MANY);
		for (i = 0; type == SOCK_DGRAM && i < n; i++)
			read_some(fd, text, sizeof(text));
		assert_int_equal(say("hello\n"), type == SOCK_DGRAM);
		sink_close(&sink);
		(void)close(fd);
	}
	assert_true(clock_ms() - began < 10000);
}

/* --- Standard error. --- */

static void
with_stderr(int theirs, int ours)
{
	int64_t began = clock_ms();
	int saved = dup(STDERR_FILENO);
	static char text[1 << 20];
	int n;

	assert_int_equal(dup2(theirs, STDERR_FILENO), STDERR_FILENO);
	sink_prepare();
	open_sink("stderr");
	n = fill();
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	if (own_stderr != -1)
		(void)close(own_stderr);
	own_stderr = -1;
	assert_true(n > 0 && n < MANY);
	assert_true(clock_ms() - began < 10000);
	/* Others that share it are used to waiting. */
	assert_int_equal(fcntl(theirs, F_GETFL) & O_NONBLOCK, 0);
	read_some(ours, text, sizeof(text));
	(void)close(theirs);
	(void)close(ours);
}

static void
a_stalled_pipe_loses_lines_and_no_time(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	with_stderr(fd[1], fd[0]);
}

static void
a_stalled_socket_loses_lines_and_no_time(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	with_stderr(fd[1], fd[0]);
}

/* Where standard error cannot be opened anew. */
static void
a_shared_pipe_loses_lines_and_no_time(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	sink = (struct sink){ .kind = SINK_SHARED, .fd = fd[1] };
	assert_true(fill() < MANY);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void
a_cut_line_ends_before_the_next_one(void **state)
{
	static char text[200];
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	sink = (struct sink){ .kind = SINK_FILE, .fd = fd[1], .is_cut = true };
	assert_true(say("next\n"));
	read_some(fd[0], text, sizeof(text));
	assert_string_equal(text, "\nnext\n");
	assert_true(say("next\n"));
	read_some(fd[0], text, sizeof(text));
	assert_string_equal(text, "next\n");
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static int
tear_down(void **state)
{
	if (sink.kind == SINK_SYSLOG)
		sink_close(&sink);
	return temp_leave(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_enter, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(syslog_takes_lines),
		TEST(syslog_may_be_a_stream),
		TEST(syslog_may_come_later_and_be_started_anew),
		TEST(a_stalled_syslog_loses_lines_and_no_time),
		TEST(a_stalled_pipe_loses_lines_and_no_time),
		TEST(a_stalled_socket_loses_lines_and_no_time),
		TEST(a_shared_pipe_loses_lines_and_no_time),
		TEST(a_cut_line_ends_before_the_next_one),
	};

	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
