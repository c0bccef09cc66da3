/*
 * worker_place.c - the places of those that may be busy for long.
 */
#include "config.h"

#include <poll.h>

#include "base/clock.h"
#include "fcgi/stop.h"
#include "fcgi/work.h"
#include "fcgi/worker_parts.h"

/* The interval at which a request that waits for a place tries again. */
static const struct wait place_step = { .fd = -1, .ms = 10 };

/* In ms: most requests that hold a place end in less. */
#define SOON_FREE 100

/* Wait; true if the connection was closed.  Nothing is read from it. */
static bool
is_hung_up(int fd, const struct wait *wait)
{
	struct pollfd pfd[] = { { .fd = fd, .events = 0 },
		{ .fd = wait->fd, .events = wait->events } };

	return poll(pfd, NITEMS(pfd), wait->ms) > 0 && pfd[0].revents != 0;
}

/*
 * May this request wait a little longer?  If no other worker is idle, for at
 * most so many ms in total: short requests need a worker too.
 */
bool
worker_may_wait(const struct job *job, int64_t at_most, const struct wait *wait)
{
	int64_t waited = clock_ms() - job->began;

	return waited < job->settings->lock_timeout &&
	    (waited < at_most || board_may_wait(job->worker->board)) &&
	    !stop_is_wanted() && !is_hung_up(job->fcgi.ipcFd, wait);
}

/* A worker that may be busy for long needs a place, so that some workers never
 * are. */
bool
worker_take_place(struct job *job)
{
	const struct worker *w = job->worker;

	if (!job->has_place)
		job->has_place = board_claim(w->board, w->slot);
	return job->has_place;
}

/* Wait as long as a place is held by a hook or the like, not by a body. */
bool
worker_wait_for_place(struct job *job)
{
	enum work_phase before = work_enter(WORK_LOCK);
	bool is_ours;

	while (!(is_ours = worker_take_place(job)))
		if (!board_may_free(job->worker->board) ||
		    !worker_may_wait(job, SOON_FREE, &place_step))
			break;
	(void)work_enter(before);
	return is_ours;
}

void
worker_leave_place(struct job *job)
{
	const struct worker *w = job->worker;

	if (!job->has_place)
		return;
	board_unclaim(w->board, w->slot);
	board_set(w->board, w->slot, WORKER_BUSY);
	job->has_place = false;
}

/* Note on the board that the client decides how long this takes. */
void
worker_is_receiving(const struct job *job, bool it_is)
{
	const struct worker *w = job->worker;

	board_set(w->board, w->slot, it_is ? WORKER_RECEIVING : WORKER_BUSY);
}
