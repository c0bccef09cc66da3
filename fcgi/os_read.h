/*
 * os_read.h - the one place where the program waits for its peer.
 *
 * libfcgi reads sockets through a function of its platform layer, OS_Read(), 8
 * KiB at a time, and blocks in it without limit.  This file replaces OS_Read():
 * its own version reads much at once while a body is received, and calls a
 * watch function when there is nothing to read.
 *
 * Where OS_Read() cannot be replaced (a static library), HAVE_OS_READ is not
 * defined.  Then reads are small, and a timer calls the watch while libfcgi
 * waits.
 */
#ifndef FCGI_OS_READ_H
#define FCGI_OS_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/frame.h"

/*
 * wait_on() is called when more input is wanted and all that has arrived was
 * handed out: at once, and then every OS_READ_STEP ms.  silence is the time in
 * ms since input last arrived.  If it returns false, the stream ends, as if the
 * peer had closed the connection.
 */
struct os_read_watch {
	bool (*wait_on)(void *arg, int64_t silence);
	void *arg;
	/* In place of OS_READ_STEP; 0: OS_READ_STEP. */
	int step;
	/* Call it before each read as well. */
	bool is_asked_first;
	/* Call it at once when this descriptor has one of these events; 0:
	 * there is none.  Where OS_Read() cannot be replaced, the next step
	 * does. */
	int fd;
	short events;
};

#define OS_READ_STEP 250

/* Use this watch from now on; NULL: wait for ever.  It may change meanwhile. */
void os_read_watch(const struct os_read_watch *);

/*
 * Announce that libfcgi is about to read a new connection, or the next request
 * of one that was kept open; and how many ms ago that reading began.
 */
void os_read_expect(void);
int64_t os_read_age(void);

/*
 * All input between these two calls belongs to one body, so it is read ahead.
 * os_read_end() returns false unless the request is complete and nothing came
 * after it: libfcgi drops what it has buffered, so the connection must not be
 * reused.
 */
void os_read_begin(int fd);
bool os_read_end(void);

/*
 * A request can change its process while its watch is asked in the middle of
 * the body: the cut says where.  False where it cannot, be it because of what
 * has come so far.
 */
bool os_read_get_cut(struct frame_cut *);

/*
 * The connection comes from another process, where its request was cut.  Before
 * FCGX_Accept_r() has it as ipcFd: libfcgi reads the beginning of the request
 * once more.  False if it cannot be.  libfcgi may drop this connection and
 * accept another one without a word: afterwards, is it that one?
 */
bool os_read_replay(int fd, const struct frame_cut *, bool keep,
    const void *params, size_t len);
bool os_read_is_replayed(int fd);

/* Did a parameter of the request contain a NUL byte? libfcgi cuts it off there,
 * which could turn a name into another.  False also where this cannot be
 * known. */
bool os_read_has_nul(void);

/* Has more been read than libfcgi was given?  True also where this cannot be
 * known.  os_read_count() is the number of reads, modulo UINT_MAX + 1. */
bool os_read_is_ahead(void);
unsigned os_read_count(void);

/* Give back the memory that reading ahead has touched, unless it is in use. */
void os_read_trim(void);

/*
 * Call these around each FCGX_GetChar() of a body.  If libfcgi might wait
 * without calling the watch, os_read_enter() calls it first.
 */
void os_read_enter(int fd, bool is_dry);
void os_read_leave(void);

/* Is the watch called between two requests as well?  If not, a connection that
 * the front end keeps open would block the process for ever. */
bool os_read_may_keep(void);

/* The request is complete and nothing came after it, so the web server will
 * send no more.  False also where this cannot be known. */
bool os_read_is_over(void);

/* "large reads" or its substitute, for tusfcgi -V. */
const char *os_read_describe(void);

#endif
