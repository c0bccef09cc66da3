/*
 * os_timer.c - replaces os_read.c where OS_Read() cannot be replaced.
 *
 * libfcgi then reads 8 KiB at a time and waits for its peer without limit.  A
 * timer calls the watch during the wait, and ends a wait that is too long by
 * shutting down the reading side of the connection.
 *
 * The watch runs in a signal handler, but only while the program is inside
 * FCGX_GetChar(), which reads and copies and holds no lock.
 */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/compat.h"
#include "base/log.h"
#include "fcgi/os_read.h"

static const struct os_read_watch *watch;
static timer_t timer;
static bool has_timer, is_body;
static int waiting_fd = -1;
static int64_t since;
static volatile sig_atomic_t is_waiting;

static void
ask(int64_t silence)
{
	if (watch != NULL && !watch->wait_on(watch->arg, silence)) {
		is_waiting = 0;
		(void)shutdown(waiting_fd, SHUT_RD);
	}
}

static void
on_timer(int sig)
{
	int saved = errno;

	(void)sig;
	if (is_waiting)
		ask(clock_ms() - since);
	errno = saved;
}

static void
make_timer(void)
{
	struct sigevent ev;
	struct sigaction sa;

	memset(&ev, 0, sizeof(ev));
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_timer;
	sa.sa_flags = SA_RESTART;
	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(SIGUSR2, &sa, NULL);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR2;
	has_timer = timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0;
	if (!has_timer)
		log_error("timer_create: %s", strerror(errno));
}

static void
set_timer(long ms)
{
	struct itimerspec it;

	memset(&it, 0, sizeof(it));
	it.it_value.tv_nsec = it.it_interval.tv_nsec = ms * 1000000;
	if (has_timer)
		(void)timer_settime(timer, 0, &it, NULL);
}

/*
 * The timer runs only while a body is read: a signal would end a send, because
 * a send with a time limit is never restarted.
 */
void
os_read_watch(const struct os_read_watch *w)
{
	watch = w;
	if (is_body)
		set_timer(w != NULL ? OS_READ_STEP : 0);
}

void
os_read_expect(void)
{
}

int64_t
os_read_age(void)
{
	return 0;
}

void
os_read_begin(int fd)
{
	if (!has_timer)
		make_timer();
	waiting_fd = fd;
	is_body = true;
}

bool
os_read_end(void)
{
	is_body = false;
	return true;
}

bool
os_read_get_cut(struct frame_cut *cut)
{
	(void)cut;
	return false;
}

bool
os_read_replay(int fd, const struct frame_cut *cut, bool keep,
    const void *params, size_t len)
{
	(void)fd;
	(void)cut;
	(void)keep;
	(void)params;
	(void)len;
	return false;
}

bool
os_read_is_replayed(int fd)
{
	(void)fd;
	return false;
}

bool
os_read_has_nul(void)
{
	return false;
}

bool
os_read_is_ahead(void)
{
	return true;
}

unsigned
os_read_count(void)
{
	return 0;
}

void
os_read_trim(void)
{
}

void
os_read_enter(int fd, bool is_dry)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	waiting_fd = fd;
	if (!is_dry)
		return;
	since = clock_ms();
	if (poll(&pfd, 1, 0) == 0)
		ask(0);
	is_waiting = 1;
}

void
os_read_leave(void)
{
	is_waiting = 0;
}

bool
os_read_may_keep(void)
{
	return false;
}

bool
os_read_is_over(void)
{
	return false;
}

const char *
os_read_describe(void)
{
	return "small reads and a timer (OS_Read of libfcgi not replaced)";
}
