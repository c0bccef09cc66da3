/*
 * http_loop.c - the sockets of libcurl in an epoll of ours, which is one
 * descriptor to wait for.
 */
#include "config.h"

#include <sys/epoll.h>

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/http_loop.h"

enum {
	EVENTS = 32
};

struct http_loop {
	const struct http_lib *lib;
	http_over *over;
	CURLM *multi;
	int epoll_fd;
	/* When libcurl wants to be called, by clock_ms(); 0: by no clock. */
	int64_t timer;
};

static int
on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *own)
{
	const struct http_loop *l = arg;
	struct epoll_event ev = { .data.fd = fd };

	(void)curl;
	(void)own;
	if ((what & CURL_POLL_IN) != 0)
		ev.events |= EPOLLIN;
	if ((what & CURL_POLL_OUT) != 0)
		ev.events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == -1)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	return 0;
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	((struct http_loop *)arg)->timer = ms < 0 ? 0 : clock_ms() + ms;
	return 0;
}

struct http_loop *
http_loop_open(const struct http_lib *lib, long connections, http_over *over)
{
	struct http_loop *l = must_alloc(sizeof(*l));

	*l = (struct http_loop){ .lib = lib, .over = over };
	l->multi = lib->multi_init();
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->multi == NULL || l->epoll_fd == -1)
		out_of_memory();
	(void)lib->multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)lib->multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	(void)lib->multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)lib->multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	(void)lib->multi_setopt(
	    l->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
	return l;
}

void
http_loop_close(struct http_loop *l)
{
	(void)l->lib->multi_cleanup(l->multi);
	(void)close(l->epoll_fd);
	free(l);
}

void
http_loop_add(struct http_loop *l, CURL *curl)
{
	(void)l->lib->multi_add_handle(l->multi, curl);
}

void
http_loop_remove(struct http_loop *l, CURL *curl)
{
	(void)l->lib->multi_remove_handle(l->multi, curl);
}

int
http_loop_fd(const struct http_loop *l)
{
	return l->epoll_fd;
}

int
http_loop_timeout(const struct http_loop *l, int most)
{
	int64_t left = l->timer - clock_ms();

	if (l->timer == 0 || left >= most)
		return most;
	return left > 0 ? (int)left : 0;
}

void
http_loop_work(struct http_loop *l)
{
	struct epoll_event events[EVENTS];
	void *own = NULL;
	CURLMsg *m;
	int n, running;

	if (l->timer != 0 && clock_ms() >= l->timer) {
		l->timer = 0;
		(void)l->lib->multi_socket_action(
		    l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	n = epoll_wait(l->epoll_fd, events, EVENTS, 0);
	while (n-- > 0)
		(void)l->lib->multi_socket_action(
		    l->multi, events[n].data.fd, 0, &running);
	while ((m = l->lib->multi_info_read(l->multi, &n)) != NULL) {
		(void)l->lib->easy_getinfo(
		    m->easy_handle, CURLINFO_PRIVATE, (char **)&own);
		l->over(own, m->data.result);
	}
}
