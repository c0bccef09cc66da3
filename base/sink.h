/*
 * sink.h - where the lines of the log go: a file, a pipe, a socket or syslog.
 *
 * A reader that stalls must not freeze the program.  A line waits a moment for
 * it; what then does not fit is lost, and so is every further line, without
 * another moment, until the reader takes one again.
 */
#ifndef BASE_SINK_H
#define BASE_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compat.h"
#include "base/err.h"

enum sink_kind {
	/* Writing to it never waits for another process. */
	SINK_FILE,
	/* A pipe or terminal that others write to as well, in their way. */
	SINK_SHARED,
	/* One that is opened for us alone, so that it need not block. */
	SINK_OWN,
	SINK_SOCKET,
	SINK_SYSLOG
};

struct sink {
	enum sink_kind kind;
	/* -1: syslog is not there, and asked again for each line. */
	int fd;
	/* syslog wants a byte of zero behind each line. */
	bool is_stream;
	/* The reader took nothing lately. */
	bool is_stalled;
	/* Half a line was written last. */
	bool is_cut;
};

/*
 * Open standard error anew for ourselves, if it is a pipe or a terminal: only
 * a process that has opened it may write without waiting.  At the start, before
 * the user is changed; without it, processes that write at the same time might
 * wait for a reader that stalls.
 */
void sink_prepare(void);

/* "stderr", "syslog" or the name of a file. */
MUST_CHECK enum err_code sink_open(
    struct sink *, const char *target, struct err *);

/* Could it be opened?  Makes no file. */
MUST_CHECK enum err_code sink_check(const char *target, struct err *);
void sink_close(struct sink *);

/*
 * Write a whole line that ends in a newline.  The priority is one of syslog's.
 * False: it is lost.
 */
bool sink_write(struct sink *, int priority, const char *line, size_t len);

#endif
