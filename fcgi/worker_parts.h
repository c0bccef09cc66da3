/*
 * worker_parts.h - what the files of a worker share; private to them.
 */
#ifndef FCGI_WORKER_PARTS_H
#define FCGI_WORKER_PARTS_H

#include <fcgiapp.h>

#include "fcgi/handover.h"
#include "fcgi/worker.h"
#include "web/web.h"

struct job {
	const struct worker *worker;
	const struct settings *settings;
	FCGX_Request fcgi;
	struct arena *arena;
	int64_t began;

	/* The last request left its connection open. */
	bool is_kept;

	/* The last request had a body, whose memory is still mapped. */
	bool is_warm;

	/* There is an agent for locks, and no master that looks after it. */
	bool has_agent;

	int64_t served;

	/* Between this worker and the parking process.  is_gone: the request
	 * was given away in the middle of this call. */
	struct handover handover;
	struct web_call *call;
	bool is_gone;

	/* The board's reloads when the log was last opened. */
	unsigned reloads;
};

/* --- worker_answer.c --- */

void worker_answer(struct job *, const struct web_request *, struct web_call *);

/* The status page or the metrics; false if the request asks for neither. */
bool worker_answer_reader(struct job *, const struct web_request *);

void worker_end_response(struct job *);

#endif
