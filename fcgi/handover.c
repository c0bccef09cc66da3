/*
 * handover.c - a worker gives a request to the parking process, and gets one
 * from it.
 */
#include "config.h"

#include <sys/socket.h>

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fcgi/handover.h"
#include "fcgi/os_read.h"

/* What came, or what is to go: only the pages of a note that is there are
 * touched. */
static struct note_box box;

bool
handover_has_room(const struct handover *h)
{
	return h->up != -1 && atomic_load(&h->board->parking.room) > 0;
}

/* A request that was parked before goes back even if others have the room by
 * now: otherwise it would wait in a worker, which may be one of pool.reserve.
 */
static bool
may_give(const struct handover *h)
{
	return handover_has_room(h) ||
	    (h->from != NULL && atomic_load(&h->board->parking.room) == 0);
}

bool
handover_take(struct handover *h, FCGX_Request *fcgi)
{
	const struct note *n = &box.note;

	h->from = NULL;
	if (h->down == -1 || !note_receive(h->down, &box))
		return false;
	if (!os_read_replay(
		box.connection, &n->cut, n->keep, box.params, n->params_len)) {
		log_error("a parked request cannot be read again");
		note_drop(&box);
		return false;
	}
	fcgi->ipcFd = box.connection;
	/* Or libfcgi would close the connection before it reads. */
	fcgi->keepConnection = 1;
	h->from = n;
	board_begin_turn(h->board, h->slot);
	return true;
}

void
handover_check(struct handover *h, const FCGX_Request *fcgi)
{
	if (h->from == NULL || os_read_is_replayed(fcgi->ipcFd))
		return;
	log_error("a parked request was lost");
	handover_end(h);
}

void
handover_adopted(struct handover *h)
{
	if (h->from != NULL)
		box.note.task.loan.fd = -1;
}

/* A message that is no note, if the parking process waits for this worker. */
static void
wake(const struct handover *h)
{
	if (atomic_exchange(&h->board->parking.is_waiting, false))
		(void)send(h->up, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
handover_end(struct handover *h)
{
	if (h->from == NULL)
		return;
	if (board_end_turn(h->board, h->slot))
		wake(h);
	/* libfcgi has the connection. */
	box.connection = -1;
	note_drop(&box);
	explicit_bzero(&box, sizeof(box.note) + box.note.params_len);
	h->from = NULL;
}

/* The turn is over before the parking process looks who has one. */
static void
begin_giving(struct handover *h)
{
	(void)board_end_turn(h->board, h->slot);
	board_set_giving(h->board, h->slot, true);
}

static bool
send_note(struct handover *h, const FCGX_Request *fcgi, struct note *n)
{
	if (note_send(h->up, n, box.params, fcgi->ipcFd) == 0)
		return true;
	metrics_count_unparked(&h->board->metrics);
	return false;
}

/* The parameters of a request that came with a note are still there. */
static bool
find_params(const struct handover *h, const FCGX_Request *fcgi, struct note *n)
{
	ssize_t len;

	if (h->from != NULL) {
		n->params_len = h->from->params_len;
		return true;
	}
	len = note_pack(fcgi->envp, box.params, sizeof(box.params));
	n->params_len = (uint32_t)len;
	return len >= 0;
}

static bool
give(struct handover *h, const FCGX_Request *fcgi, struct web_call *call,
    struct note *n, int64_t began, bool keep)
{
	if (!may_give(h) || !os_read_get_cut(&n->cut) ||
	    !find_params(h, fcgi, n) || !web_park(call, &n->task))
		return false;
	n->began = began;
	n->keep = keep;
	n->parks = h->from != NULL ? h->from->parks + 1 : 1;
	work_look(call, n->task.past.received);
	n->shelf = work_shelve(&h->board->shelf);
	if (!send_note(h, fcgi, n)) {
		work_unshelve(&h->board->shelf, n->shelf);
		return false;
	}
	web_parted(call);
	metrics_count_park(&h->board->metrics);
	return true;
}

bool
handover_give(struct handover *h, const FCGX_Request *fcgi,
    struct web_call *call, struct note *n, int64_t began, bool keep)
{
	bool is_gone;

	begin_giving(h);
	is_gone = give(h, fcgi, call, n, began, keep);
	board_set_giving(h->board, h->slot, false);
	return is_gone;
}

/* The lock was never this process's own. */
bool
handover_give_back(struct handover *h, const FCGX_Request *fcgi)
{
	enum note_why why = box.note.why;
	bool is_gone;

	begin_giving(h);
	box.note.why = NOTE_NO_PLACE;
	is_gone = may_give(h) && send_note(h, fcgi, &box.note);
	board_set_giving(h->board, h->slot, false);
	box.note.why = why;
	return is_gone;
}

/* Neither END_REQUEST nor a shutdown: the request goes on elsewhere. */
void
handover_part(FCGX_Request *fcgi)
{
	(void)close(fcgi->ipcFd);
	fcgi->ipcFd = -1;
	FCGX_Free(fcgi, 0);
	(void)os_read_end();
}
