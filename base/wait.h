/*
 * wait.h - what to wait for before a step is tried again.
 *
 * Below fcgi/ no request sleeps: if another process has the lock, or the store
 * is busy, the callee fills this in, and the transport waits and calls again.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

struct wait {
	/* Wait until poll() reports one of these events for it; -1: wait for
	 * time alone. */
	int fd;
	short events;
	/* For so many milliseconds at most; 0: there is nothing to wait for. */
	int ms;
};

#endif
