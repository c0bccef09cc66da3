/*
 * wait.h - what to wait for before a step is tried again.
 *
 * Below fcgi/ no request sleeps: a lock that another has, or a store that is
 * busy, fills this in, and the transport waits and calls again.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

struct wait {
	/* Until poll() has one of these events for it; -1: nothing but time. */
	int fd;
	short events;
	/* For so many milliseconds at most; 0: there is nothing to wait for. */
	int ms;
};

#endif
