/*
 * agentd.c - the process of the lock agent.
 *
 * Locks of this host are answered from a table, without the network.  If
 * another host holds a lock, the engine is asked once for all processes that
 * wait for it here, and not again within FAR_MS of an answer unless it reports
 * "free".
 *
 * The deadline counts from the sending of the last beat that was answered.
 * When it has passed, all held locks are lost for ever, even if the service
 * answers a moment later.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lock/agentd.h"

enum {
	CLIENTS = 16384,
	BEAT_MS = 500,
	/* In ms: the pause after a beat, or a drop, without an answer. */
	RETRY_MS = 250,
	/* In ms: how long the locks of a dead agent are kept, because its
	 * clients may not know of its death yet. */
	HEIR_MS = 1000,
	EVENTS = 64
};

enum slot_state {
	FREE,
	TAKING,
	HELD,
	/* Released, or in doubt, until the engine confirms that it is gone. */
	DROPPING
};

struct slot {
	enum slot_state state;
	/* The connection of the process that has it, or takes it; -1: it is
	 * gone. */
	int fd;
	uint64_t token;
	bool may_ask;
	/* Another host asks for it. */
	bool is_wanted_far;
	/* Is a request under way?  And when to try the drop again. */
	bool is_out;
	int64_t again;
	/* When the call was made. */
	int64_t sent_ns;
	struct engine_call call;
};

static struct {
	struct engine *engine;
	struct agent_board *board;
	int board_fd, listen_fd, epoll_fd;
	char session[ENGINE_SESSION_SIZE];
	uint64_t number;

	/* Indexed by descriptor. */
	pid_t pids[CLIENTS];
	struct slot slots[AGENT_SLOTS];
	int slots_top;

	struct engine_call beat;
	/* has_ended: the service ended our session, and has not answered a beat
	 * since. */
	bool is_beating, is_up, has_ended;
	int64_t beat_sent, next_beat, beat_ns;
	bool is_leaving;
} mine;

static volatile sig_atomic_t got_leave, got_hup;

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		got_hup = 1;
	else
		got_leave = 1;
}

static struct engine_held *
held_of(const struct slot *s)
{
	return &mine.board->slots[s - mine.slots].held;
}

static struct agent_slot *
shown(const struct slot *s)
{
	return &mine.board->slots[s - mine.slots];
}

static void
answer(int fd, const struct agent_answer *a)
{
	if (fd != -1)
		(void)send(fd, a, sizeof(*a), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
refuse(int fd, enum err_code rc, const char *text)
{
	struct agent_answer a = { .rc = rc, .slot = -1 };

	(void)snprintf(a.text, sizeof(a.text), "%s", text);
	answer(fd, &a);
}

/* --- Waiting processes.  --- */

static struct slot *
find_slot(const char *id)
{
	int i;

	for (i = 0; i < mine.slots_top; i++)
		if (mine.slots[i].state != FREE &&
		    strcmp(held_of(&mine.slots[i])->id, id) == 0)
			return &mine.slots[i];
	return NULL;
}

static void
show_wanted(const struct slot *s)
{
	shown(s)->is_wanted = s->state == HELD &&
	    (s->is_wanted_far || wait_count(held_of(s)->id) > 0);
}

static void
stop_asking(int fd, const char *id)
{
	struct slot *s;

	wait_end(fd, id);
	if ((s = find_slot(id)) != NULL)
		show_wanted(s);
	far_unask(mine.engine, id);
}

static void
say_locked(int fd, const char *id, bool may_ask)
{
	struct agent_answer a = { .rc = ERR_LOCKED,
		.slot = -1,
		.holder.pid = -1,
		.text = "it is held" };
	const struct far *far = far_find(id);
	const struct slot *s;
	bool is_crowded = may_ask && !wait_begin(fd, id);

	if ((s = find_slot(id)) != NULL)
		show_wanted(s);
	else if (far != NULL)
		far_name_host(far, a.holder.host, sizeof(a.holder.host));
	if (is_crowded)
		refuse(fd, ERR_CROWDED, "as many as may wait for it do so");
	else
		answer(fd, &a);
}

/* --- Slots. --- */

static void
drop(struct slot *s)
{
	s->state = DROPPING;
	s->is_out = true;
	show_wanted(s);
	s->sent_ns = clock_ns();
	engine_send(mine.engine, ENGINE_DROP, &s->call, held_of(s));
}

static void
set_free(struct slot *s)
{
	struct agent_answer a = { .rc = ERR_OK };

	/* The release is answered: the next process finds the lock free. */
	answer(s->fd, &a);
	s->state = FREE;
	shown(s)->is_used = false;
}

static void
taken(struct slot *s, uint64_t token)
{
	struct agent_answer a = {
		.rc = ERR_OK, .slot = (int)(s - mine.slots), .token = token
	};

	s->state = HELD;
	s->token = token;
	if (s->fd == -1 || shown(s)->is_lost ||
	    agent_clock() >= mine.board->valid_until) {
		refuse(s->fd, ERR_UNAVAILABLE, "the session was lost");
		s->fd = -1;
		drop(s);
		return;
	}
	stop_asking(s->fd, held_of(s)->id);
	answer(s->fd, &a);
}

/* A request that was given up has succeeded late: no process here has that
 * lock. */
static bool
is_orphan(const char *holder)
{
	size_t len = strlen(mine.session);

	return strncmp(holder, mine.session, len) == 0 && holder[len] == ':';
}

static void
found_taken(struct slot *s, const char *holder)
{
	struct far *far;
	int fd = s->fd;

	if (is_orphan(holder)) {
		s->fd = -1;
		if (fd != -1)
			say_locked(fd, held_of(s)->id, s->may_ask);
		(void)snprintf(
		    held_of(s)->owner, sizeof(held_of(s)->owner), "%s", holder);
		drop(s);
		return;
	}
	far = far_note(held_of(s)->id, holder);
	s->state = FREE;
	shown(s)->is_used = false;
	if (fd == -1)
		return;
	say_locked(fd, far->id, s->may_ask);
	far_ask(mine.engine, far);
}

static void
done(struct engine_call *call, enum err_code rc, uint64_t token,
    const char *holder)
{
	struct slot *s = OUTER(call, struct slot, call);

	agent_count(mine.board, rc != ERR_UNAVAILABLE, clock_ns() - s->sent_ns);
	s->is_out = false;
	if (s->state == DROPPING && rc == ERR_OK) {
		set_free(s);
	} else if (s->state == DROPPING) {
		refuse(s->fd, ERR_OK, "");
		s->fd = -1;
		s->again = clock_ms() + RETRY_MS;
	} else if (rc == ERR_OK) {
		taken(s, token);
	} else if (rc == ERR_LOCKED) {
		found_taken(s, holder);
	} else {
		/* The request may have been carried out: drop the lock until
		 * that is certain. */
		stop_asking(s->fd, held_of(s)->id);
		refuse(
		    s->fd, ERR_UNAVAILABLE, "the lock service does not answer");
		s->fd = -1;
		s->state = DROPPING;
		s->again = clock_ms() + RETRY_MS;
	}
}

static struct slot *
new_slot(void)
{
	int i = 0;

	while (i < mine.slots_top && mine.slots[i].state != FREE)
		i++;
	if (i == AGENT_SLOTS)
		return NULL;
	if (i == mine.slots_top)
		mine.slots_top++;
	if (mine.slots_top > mine.board->slots_top)
		mine.board->slots_top = mine.slots_top;
	return &mine.slots[i];
}

static void
take(int fd, const struct agent_request *q)
{
	struct slot *s = find_slot(q->id);
	struct far *far = far_find(q->id);

	if (agent_clock() >= mine.board->valid_until || claim_is_refused()) {
		stop_asking(fd, q->id);
		refuse(fd, ERR_UNAVAILABLE,
		    mine.board->is_refused ?
			"the lock service refuses" :
			"the lock service does not answer");
		return;
	}
	if (s != NULL) {
		say_locked(fd, q->id, q->may_ask);
		return;
	}
	if (far != NULL && clock_ms() < far->until) {
		say_locked(fd, q->id, q->may_ask);
		far_ask(mine.engine, far);
		return;
	}
	if ((s = new_slot()) == NULL) {
		stop_asking(fd, q->id);
		refuse(fd, ERR_UNAVAILABLE, "too many uploads are locked");
		return;
	}
	*s = (struct slot){ .state = TAKING,
		.fd = fd,
		.may_ask = q->may_ask,
		.is_out = true,
		.sent_ns = clock_ns(),
		.call = { done } };
	(void)stpcpy(held_of(s)->id, q->id);
	(void)snprintf(held_of(s)->owner, sizeof(held_of(s)->owner),
	    "%s:%" PRIu64, mine.session, ++mine.number);
	shown(s)->is_lost = shown(s)->is_wanted = false;
	shown(s)->is_used = true;
	engine_send(mine.engine, ENGINE_TAKE, &s->call, held_of(s));
}

/* --- Requests. --- */

static void
release(int fd, int n)
{
	if (n < 0 || n >= mine.slots_top || mine.slots[n].state != HELD ||
	    mine.slots[n].fd != fd)
		refuse(fd, ERR_OK, "");
	else
		drop(&mine.slots[n]);
}

static void
tell_holder(int fd, const char *id)
{
	struct agent_answer a = { .rc = ERR_NOT_FOUND, .holder.pid = -1 };
	const struct slot *s = find_slot(id);
	const struct far *far = far_find(id);

	if (s != NULL && s->state == HELD && s->fd != -1) {
		a.rc = ERR_OK;
		a.holder.pid = mine.pids[s->fd];
	} else if (far != NULL && clock_ms() < far->until) {
		a.rc = ERR_OK;
		far_name_host(far, a.holder.host, sizeof(a.holder.host));
	}
	answer(fd, &a);
}

static void
forget(int fd)
{
	const char *id;
	int i;

	for (i = 0; i < mine.slots_top; i++) {
		if (mine.slots[i].fd != fd || mine.slots[i].state == FREE)
			continue;
		mine.slots[i].fd = -1;
		if (mine.slots[i].state == HELD)
			drop(&mine.slots[i]);
	}
	while ((id = wait_for_what(fd)) != NULL)
		stop_asking(fd, id);
	(void)close(fd);
}

static void
serve(int fd)
{
	struct agent_request q;
	ssize_t n = recv(fd, &q, sizeof(q), MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(q) || !agent_is_sound(&q)) {
		forget(fd);
		return;
	}
	switch (q.op) {
	case AGENT_HELLO:
		if (claim_store(q.id))
			refuse(fd, ERR_OK, "");
		else
			refuse(fd, ERR_UNAVAILABLE,
			    "the lock agent serves another store");
		break;
	case AGENT_TAKE:
		take(fd, &q);
		break;
	case AGENT_UNASK:
		stop_asking(fd, q.id);
		refuse(fd, ERR_OK, "");
		break;
	case AGENT_RELEASE:
		release(fd, q.slot);
		break;
	case AGENT_HOLDER:
		tell_holder(fd, q.id);
		break;
	default:
		forget(fd);
	}
}

static void
welcome(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept4(mine.listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd == -1)
		return;
	ev.data.fd = fd;
	if (fd >= CLIENTS ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1 ||
	    (who.uid != geteuid() && who.uid != 0) ||
	    !agent_send_board(fd, mine.board_fd) ||
	    epoll_ctl(mine.epoll_fd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		(void)close(fd);
		return;
	}
	mine.pids[fd] = who.pid;
}

/* --- The engine. --- */

static void
lose(struct slot *s)
{
	shown(s)->is_lost = true;
	s->is_wanted_far = false;
	mine.board->lost++;
}

static void
lose_all(const char *why)
{
	int i, n = 0;

	for (i = 0; i < mine.slots_top; i++) {
		n += mine.slots[i].state == HELD;
		if (mine.slots[i].state == HELD ||
		    mine.slots[i].state == TAKING)
			lose(&mine.slots[i]);
	}
	/* A service that ends each session at once is logged once. */
	if (n > 0 || !mine.has_ended)
		log_warn("locks: %s: %d locks are lost", why, n);
}

static void
told(const char *id, enum engine_hint hint)
{
	struct slot *s;
	struct far *far;

	if (id == NULL) {
		(void)claim_was_told(NULL, hint);
		lose_all("the service has ended our session");
		mine.has_ended = true;
		return;
	}
	if (claim_was_told(id, hint))
		return;
	s = find_slot(id);
	far = far_find(id);
	if (hint == ENGINE_FREE && far != NULL)
		far->until = 0;
	if (s == NULL || s->state != HELD)
		return;
	if (hint == ENGINE_WANTED || hint == ENGINE_UNWANTED)
		s->is_wanted_far = hint == ENGINE_WANTED;
	if (hint == ENGINE_LOST) {
		log_warn("locks: %s was lost", id);
		lose(s);
	}
	show_wanted(s);
}

static void
beat_done(struct engine_call *call, enum err_code rc, uint64_t token,
    const char *holder)
{
	int64_t valid = mine.board->valid_until, now = agent_clock();

	(void)call;
	(void)token;
	(void)holder;
	mine.is_beating = false;
	agent_count(mine.board, rc == ERR_OK, clock_ns() - mine.beat_ns);
	mine.next_beat = now + (rc == ERR_OK ? BEAT_MS : RETRY_MS);
	if (rc == ERR_OK && mine.is_up && now >= valid)
		lose_all("no answer for longer than lock.session");
	if (rc == ERR_OK && !mine.is_leaving) {
		mine.board->valid_until =
		    mine.beat_sent + mine.engine->session_ms - AGENT_MARGIN;
		if (!mine.is_up || mine.has_ended)
			log_info("locks: %s, session of %" PRId64 " ms",
			    mine.session, mine.engine->session_ms);
		mine.is_up = true;
		mine.has_ended = false;
	}
}

static void
beat(void)
{
	static const struct engine_held *list[AGENT_SLOTS + 1];
	int i, n = 0;

	if (mine.is_beating || mine.is_leaving ||
	    agent_clock() < mine.next_beat)
		return;
	/* A lock that is being taken may be ours already, and its time
	 * counts. */
	for (i = 0; i < mine.slots_top; i++)
		if ((mine.slots[i].state == HELD ||
			mine.slots[i].state == TAKING) &&
		    !shown(&mine.slots[i])->is_lost)
			list[n++] = held_of(&mine.slots[i]);
	mine.board->held = (uint64_t)n;
	if (claim_held() != NULL)
		list[n++] = claim_held();
	mine.is_beating = true;
	mine.beat_ns = clock_ns();
	mine.beat_sent = agent_clock();
	engine_beat(mine.engine, &mine.beat, list, (size_t)n);
}

/* Repeat unanswered requests to holders, and unanswered drops. */
static void
try_again(void)
{
	int64_t now = clock_ms();
	int i;

	for (i = 0; i < mine.slots_top; i++)
		if (mine.slots[i].state == DROPPING && !mine.slots[i].is_out &&
		    now >= mine.slots[i].again)
			drop(&mine.slots[i]);
}

/* Take over the locks that an agent before this one held and did not
 * release. */
static void
inherit(void)
{
	int i;

	for (i = 0; i < mine.board->slots_top; i++) {
		if (!mine.board->slots[i].is_used)
			continue;
		mine.board->slots[i].is_lost = true;
		mine.slots[i] = (struct slot){ .state = DROPPING,
			.fd = -1,
			.again = clock_ms() + HEIR_MS,
			.call = { done } };
		mine.slots_top = i + 1;
	}
	mine.board->valid_until = 0;
}

/* --- The loop. --- */

static void
turn(void)
{
	struct pollfd fds[ENGINE_FDS + 1];
	struct epoll_event events[EVENTS];
	int i, n, timeout = 50;

	beat();
	if (agent_clock() < mine.board->valid_until)
		claim_look(mine.engine, mine.board);
	claim_show_refusal(mine.engine, mine.board);
	try_again();
	n = engine_prepare(mine.engine, fds, &timeout);
	fds[n] = (struct pollfd){ .fd = mine.epoll_fd, .events = POLLIN };
	(void)poll(fds, (nfds_t)n + 1, timeout);
	engine_work(mine.engine, fds, n);
	n = epoll_wait(mine.epoll_fd, events, EVENTS, 0);
	for (i = 0; i < n; i++) {
		if (events[i].data.fd == mine.listen_fd)
			welcome();
		else
			serve(events[i].data.fd);
	}
}

/* A process that still holds a lock must see that it is lost before it is
 * free. */
static void
begin_to_leave(void)
{
	int i;

	mine.is_leaving = true;
	mine.board->valid_until = 0;
	for (i = 0; i < mine.slots_top; i++) {
		if (mine.slots[i].state != HELD)
			continue;
		lose(&mine.slots[i]);
		mine.slots[i].state = DROPPING;
		mine.slots[i].fd = -1;
		mine.slots[i].again = clock_ms() + HEIR_MS;
	}
}

static bool
has_slots(void)
{
	int i;

	for (i = 0; i < mine.slots_top; i++)
		if (mine.slots[i].state != FREE)
			return true;
	return false;
}

static void
look_at_signals(const struct conf *conf)
{
	if (got_hup) {
		got_hup = 0;
		log_follow(conf);
	}
	if (!got_leave)
		return;
	if (!mine.is_leaving) {
		/* Connections that have ended already must not count as lost
		 * locks. */
		turn();
		begin_to_leave();
	}
	if (!has_slots() && claim_leave(mine.engine))
		_exit(0);
}

void
agent_serve(const struct engine_ops *ops, const struct conf *conf,
    int listen_fd, int board_fd, struct agent_board *board)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = listen_fd };
	struct err e = { 0 };

	(void)signal(SIGUSR2, on_signal);
	(void)signal(SIGHUP, on_signal);
	mine.listen_fd = listen_fd;
	mine.board_fd = board_fd;
	mine.beat.done = beat_done;
	mine.board = board;
	mine.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (mine.epoll_fd == -1 ||
	    epoll_ctl(mine.epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) == -1 ||
	    !engine_name_session(mine.session))
		(void)err_sys(&e, "lock agent");
	else
		(void)!engine_open(ops, conf, mine.session, &mine.engine, &e);
	if (mine.engine == NULL) {
		log_error("locks: %s", e.text);
		_exit(1);
	}
	mine.engine->told = told;
	inherit();
	for (;;) {
		turn();
		look_at_signals(conf);
	}
}
