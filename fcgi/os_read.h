/*
 * os_read.h - the one place where the program waits for its peer.
 *
 * libfcgi reads sockets through a function of its platform layer, OS_Read(),
 * 8 KiB at a time, and blocks there without limit.  This file puts its own
 * OS_Read() in that place: it reads a lot at once while a body is coming,
 * and asks its watch what to do when nothing is.
 *
 * Where libfcgi does not let its function be replaced (a static library),
 * HAVE_OS_READ is not defined.  Then reads are small, and a timer asks the
 * watch while libfcgi waits.
 */
#ifndef FCGI_OS_READ_H
#define FCGI_OS_READ_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Asked when all that has arrived was handed out and more is wanted: at once,
 * and then every OS_READ_STEP ms.  silence is how long nothing has come, in
 * ms.  False ends the stream, as if the peer had closed the connection.
 */
struct os_read_watch {
	bool (*wait_on)(void *arg, int64_t silence);
	void *arg;
};

#define OS_READ_STEP 250

/* Ask this from now on, while we wait; NULL: wait for ever. */
void os_read_watch(const struct os_read_watch *);

/*
 * A connection, or the next request on one that is kept, is about to come; and
 * how many ms ago libfcgi began to read it.
 */
void os_read_expect(void);
int64_t os_read_age(void);

/*
 * Between these two, all that is read belongs to one body: read ahead.  False
 * unless the request is whole and nothing came after it: libfcgi drops what it
 * has buffered, so the connection must not be reused.
 */
void os_read_begin(int fd);
bool os_read_end(void);

/* Did a parameter of the request have a NUL byte?  libfcgi cuts it there, so
 * that a name would become another one.  False where that cannot be known. */
bool os_read_has_nul(void);

/* Is there more than what libfcgi has been given?  True also where that cannot
 * be known.  And how often was something read, modulo UINT_MAX + 1? */
bool os_read_is_ahead(void);
unsigned os_read_count(void);

/* Give the memory back that reading ahead has touched, unless it is in use. */
void os_read_trim(void);

/*
 * Around each FCGX_GetChar() of a body.  Before it libfcgi might wait without
 * asking, the watch is asked, if there is no better way.
 */
void os_read_enter(int fd, bool is_dry);
void os_read_leave(void);

/* Is the watch asked between two requests, too?  Else a connection that the
 * front end keeps would hold us for ever. */
bool os_read_may_keep(void);

/* The request is whole and nothing came after it, so that the web server will
 * write no more.  False also where that cannot be known. */
bool os_read_is_over(void);

/* "large reads" or what there is instead, for tusfcgi -V. */
const char *os_read_describe(void);

#endif
