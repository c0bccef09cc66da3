/*
 * note.h - what goes along with a connection from process to process.
 *
 * A request whose body waits for its client is in no worker: its connection,
 * the descriptor of its lock and a note of where it is are one message on a
 * SOCK_SEQPACKET socket.  The note has the parameters of the request as they
 * came, with the client's header fields: it is never logged.
 */
#ifndef FCGI_NOTE_H
#define FCGI_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/task.h"
#include "fcgi/frame.h"

/* A request with more parameters stays where it is. */
#define NOTE_PARAMS_MAX 61440

enum note_why {
	/* A worker gives it away: the client has sent no more so far, or there
	 * is no permit for a body that flows. */
	NOTE_DRY,
	NOTE_NO_PLACE,
	/* A worker gets it: enough is here; something is, for long enough; the
	 * connection was closed; another request wants the lock; nothing came
	 * for timeouts.read; the program stops. */
	NOTE_BYTES,
	NOTE_TIMER,
	NOTE_END,
	NOTE_LOCK,
	NOTE_SILENCE,
	NOTE_STOP,
	NOTE_WHY_MAX
};

struct note {
	/* Both sides have the same struct: they are the same program. */
	uint32_t version;
	uint32_t params_len;
	enum note_why why;

	/* The web server wants the connection back. */
	bool keep;
	/* A worker wants it soon after the next byte: the end of the body
	 * cannot be seen from outside, or a hook waits for news. */
	bool is_soon;
	/* A worker wants it then even if nothing comes. */
	bool is_due;

	struct frame_cut cut;

	/* Bytes of the body that are to come; -1: unknown. */
	int64_t left;

	/* By clock_ms(): when the request began, when its last byte came, and
	 * since when its rate is measured, from how many bytes on. */
	int64_t began, last_byte, rate_since, rate_received;

	/* For how many ms the client may be silent. */
	int64_t patience;

	/* How often it was given away. */
	unsigned parks;

	/* Where its record is meanwhile, see fcgi/work.h; -1. */
	int shelf;

	struct task_note task;
};

/* A note with its parameters; connection belongs to the receiver, and so does
 * note.task.loan.fd. */
struct note_box {
	struct note note;
	char params[NOTE_PARAMS_MAX];
	int connection;
};

/* The content of FCGI_PARAMS that libfcgi made this of; -1: more than size. */
ssize_t note_pack(char *const *envp, char *to, size_t size);

/* Send note, parameters and copies of the descriptors; 0 or errno.  Never
 * waits. */
int note_send(int sock, struct note *, const void *params, int connection);

/* Receive one; false if there is none.  The connection of one that cannot be
 * used is closed. */
bool note_receive(int sock, struct note_box *);

/* Close both descriptors. */
void note_drop(struct note_box *);

#endif
