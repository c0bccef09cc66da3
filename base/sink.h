/*
 * sink.h - where the lines of the log go: a file, a pipe, a socket or syslog.
 *
 * A reader that stalls must not freeze the program.  A line waits a moment for
 * it; the part that then does not fit is lost, and so is every further line,
 * without waiting, until the reader reads again.
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
	/* A pipe or terminal that other programs write to as well. */
	SINK_SHARED,
	/* A pipe or terminal that this process opened for itself, so it can be
	 * non-blocking. */
	SINK_OWN,
	SINK_SOCKET,
	SINK_SYSLOG
};

struct sink {
	enum sink_kind kind;
	/* -1: syslog does not run; each line tries again. */
	int fd;
	/* syslog needs a zero byte after each line. */
	bool is_stream;
	/* The reader took nothing lately. */
	bool is_stalled;
	/* Only half of the last line was written. */
	bool is_cut;
};

/*
 * Open standard error again for this process alone, if it is a pipe or a
 * terminal: only a descriptor of its own can be non-blocking.  Call this at the
 * start, before the user is changed; without it, processes that write at the
 * same time might wait for a reader that stalls.
 */
void sink_prepare(void);

/* "stderr", "syslog" or the name of a file. */
MUST_CHECK enum err_code sink_open(
    struct sink *, const char *target, struct err *);

/* Could it be opened?  Creates no file. */
MUST_CHECK enum err_code sink_check(const char *target, struct err *);
void sink_close(struct sink *);

/*
 * Write a whole line that ends in a newline.  The priority is one of syslog's.
 * False: the line is lost.
 */
bool sink_write(struct sink *, int priority, const char *line, size_t len);

#endif
