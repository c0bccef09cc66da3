/*
 * http_test.c - an endpoint that answers the first POST with 503, and the next
 * one never.  The clock stands still but for our own naps.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hook/parts.h"

static int64_t now, nap_takes;

int64_t __wrap_clock_ms(void);
int __wrap_nanosleep(const struct timespec *, struct timespec *);

int64_t
__wrap_clock_ms(void)
{
	return now;
}

int
__wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
	(void)wanted;
	(void)left;
	now += nap_takes;
	return 0;
}

static void
answer(int fd)
{
	static const char busy[] = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n"
				   "Connection: close\r\n\r\n";
	char trash[4096];

	(void)!read(fd, trash, sizeof(trash));
	(void)!write(fd, busy, sizeof(busy) - 1);
	(void)close(fd);
}

/* The pid of the endpoint. */
static pid_t
serve(char *url, size_t size)
{
	struct sockaddr_in where = { .sin_family = AF_INET };
	socklen_t len = sizeof(where);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
	(void)snprintf(
	    url, size, "http://127.0.0.1:%d/", (int)ntohs(where.sin_port));
	if ((pid = fork()) == 0) {
		(void)alarm(60);
		answer(accept(fd, NULL, NULL));
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	(void)close(fd);
	return pid;
}

static struct conf *
configure(const char *url)
{
	struct conf *conf = conf_new();
	struct err e;

	assert_int_equal(conf_set(conf, "hooks.url", url, &e), ERR_OK);
	assert_int_equal(conf_set(conf, "hooks.timeout", "10s", &e), ERR_OK);
	assert_int_equal(conf_set(conf, "hooks.backoff", "10ms", &e), ERR_OK);
	assert_int_equal(conf_set(conf, "hooks.retries", "3", &e), ERR_OK);
	return conf;
}

/* Once with a nap that takes all that was left, once with a longer one. */
static void
a_try_without_time_is_none(void **state)
{
	const struct file_info info = { .id = "x" };
	const struct hook_event event = { HOOK_PRE_CREATE, &info, NULL };
	struct arena *a = arena_new();
	struct hooks *hooks;
	struct hook_verdict v;
	struct conf *conf;
	char url[64];
	struct err e;
	pid_t pid;

	(void)state;
	for (nap_takes = 10000; nap_takes < 10002; nap_takes++) {
		pid = serve(url, sizeof(url));
		conf = configure(url);
		if (hook_open(conf, &hooks, &e) != ERR_OK)
			skip();
		/* SIGALRM ends the program: that it hangs is a failure. */
		(void)alarm(20);
		assert_int_not_equal(
		    hooks->ops->ask(hooks, &event, a, &v, &e), ERR_OK);
		(void)alarm(0);
		assert_string_equal(e.text, "hook pre-create: HTTP status 503");
		hooks->ops->shutdown(hooks);
		conf_free(conf);
		(void)kill(pid, SIGKILL);
	}
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_try_without_time_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
