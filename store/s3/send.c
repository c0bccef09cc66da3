/*
 * send.c - parts on their way to S3, several at a time, while more bytes come;
 * and parts that S3 copies.
 *
 * They are begun in order, and may arrive in any.  One counts when it is there
 * and all before it count: so the prefix is unbroken whatever fails, and what
 * came through behind a part that failed is sent again.
 */
#include "config.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_loop.h"
#include "store/s3/s3.h"

/* A caller hands over so many bytes at a time. */
#define SLICE ((int64_t)1 << 20)

/* In ms: the longest wait without a look at the clock. */
#define LONGEST_WAIT 1000

/* In ms: how long a connection to S3 is kept without a request. */
#define KEPT 10000

enum phase {
	/* For again_at. */
	PHASE_WAITS,
	PHASE_SENDS,
	PHASE_OVER
};

struct s3_sending {
	struct s3_try try;
	struct s3_call call;
	struct s3_text answer;
	enum phase phase;
	int64_t again_at;

	/* Once it is over. */
	enum err_code rc;
	struct err err;
};

struct s3_sender {
	/* The process that it belongs to, as do its connections. */
	pid_t owner;
	struct http_loop *loop;

	/* The n parts on their way, in order, from first on, round; there is
	 * room for so many. */
	size_t first, n, room;
	struct s3_sending queue[];
};

/* --- One part. --- */

static void settle_one(struct s3_sending *, CURLcode);

static void
go(struct s3_sending *one)
{
	struct s3_sender *r = one->try.s->sender;

	if (!s3_try_begin(&one->try)) {
		settle_one(one, CURLE_LOGIN_DENIED);
		return;
	}
	one->phase = PHASE_SENDS;
	http_loop_add(r->loop, one->try.curl);
}

static void
settle_one(struct s3_sending *one, CURLcode code)
{
	int64_t wait;

	if (!s3_try_end(&one->try, code, &wait)) {
		one->phase = PHASE_WAITS;
		one->again_at = clock_ms() + wait;
		return;
	}
	one->rc = s3_try_judge(&one->try, code, &one->err);
	one->phase = PHASE_OVER;
}

static void
on_over(void *own, CURLcode code)
{
	struct s3_try *x = own;
	struct s3_sending *one = OUTER(x, struct s3_sending, try);

	http_loop_remove(x->s->sender->loop, x->curl);
	settle_one(one, code);
}

/* --- All of them. --- */

/* One that another process made is left to that process. */
static struct s3_sender *
sender_of(struct s3_store *s)
{
	struct s3_sender *r = s->sender;
	size_t room;

	if (r != NULL && r->owner == getpid())
		return r;
	room = s->parallel > S3_COPIES ? s->parallel : S3_COPIES;
	r = must_alloc(sizeof(*r) + room * sizeof(r->queue[0]));
	memset(r, 0, sizeof(*r) + room * sizeof(r->queue[0]));
	r->owner = getpid();
	r->room = room;
	r->loop = http_loop_open(s->http, (long)room, on_over);
	s->sender = r;
	return r;
}

static struct s3_sending *
nth(const struct s3_store *s, size_t n)
{
	struct s3_sender *r = s->sender;

	return &r->queue[(r->first + n) % r->room];
}

static void
drop_first(struct s3_upload *u)
{
	struct s3_sender *r = u->s->sender;

	r->first = (r->first + 1) % r->room;
	r->n--;
	u->n_ahead--;
}

/* Go on with all, and do not wait.  Fails if the first one has failed. */
static enum err_code
work(struct s3_upload *u, struct err *e)
{
	struct s3_sender *r = u->s->sender;
	struct s3_sending *one;
	enum err_code rc;
	size_t i;

	for (i = 0; i < r->n; i++) {
		one = nth(u->s, i);
		if (one->phase == PHASE_WAITS && clock_ms() >= one->again_at)
			go(one);
	}
	http_loop_work(r->loop);
	while (r->n > 0 && (one = nth(u->s, 0))->phase == PHASE_OVER) {
		*e = one->err;
		rc = s3_take_part(u, &one->call, &one->answer, one->rc, e);
		if (rc != ERR_OK)
			return rc;
		drop_first(u);
	}
	return ERR_OK;
}

/* How long until something is to be done even if no socket says so. */
static int
time_left(const struct s3_store *s)
{
	struct s3_sender *r = s->sender;
	int ms = http_loop_timeout(r->loop, LONGEST_WAIT);
	int64_t now = clock_ms();
	size_t i;

	for (i = 0; i < r->n; i++)
		if (nth(s, i)->phase == PHASE_WAITS &&
		    nth(s, i)->again_at < now + ms)
			ms = (int)(nth(s, i)->again_at - now);
	return ms > 0 ? ms : 0;
}

static void
wait_for_any(const struct s3_store *s)
{
	struct pollfd pfd = { .fd = http_loop_fd(s->sender->loop),
		.events = POLLIN };

	(void)poll(&pfd, 1, time_left(s));
}

bool
s3_can_start_part(const struct s3_upload *u)
{
	return u->n_ahead < u->abreast;
}

/* The place of the part behind those that are on their way, once there is one.
 * Fails if one of them has failed. */
static enum err_code
find_place(struct s3_upload *u, struct s3_sending **one, struct err *e)
{
	struct s3_sender *r = sender_of(u->s);
	enum err_code rc;

	assert(r->n == u->n_ahead);
	while ((rc = work(u, e)) == ERR_OK && !s3_can_start_part(u))
		wait_for_any(u->s);
	*one = nth(u->s, r->n);
	return rc;
}

static void
begin(struct s3_upload *u, struct s3_sending *one)
{
	struct s3_store *s = u->s;
	CURL *curl = one->try.curl;

	s->sender->n++;
	u->n_ahead++;
	one->answer.len = 0;
	one->try = (struct s3_try){ .s = s,
		.c = &one->call,
		.answer = &one->answer,
		.curl = curl != NULL ? curl : s3_new_handle(s) };
	go(one);
}

enum err_code
s3_start_part(struct s3_upload *u, struct err *e)
{
	struct s3_sending *one;
	enum err_code rc;

	/* The bytes before the first one are in segments. */
	if (u->n_ahead == 0 && (rc = s3_load_tail(u, u->prefix, e)) != ERR_OK)
		return rc;
	if ((rc = find_place(u, &one, e)) != ERR_OK)
		return rc;
	rc = s3_describe_part(u, u->n_parts + u->n_ahead + 1, &one->call, e);
	if (rc == ERR_OK)
		begin(u, one);
	return rc;
}

enum err_code
s3_start_copy(
    struct s3_upload *u, const char *key, const char *range, struct err *e)
{
	struct s3_sending *one;
	enum err_code rc;

	if ((rc = find_place(u, &one, e)) != ERR_OK)
		return rc;
	s3_describe_copy(
	    u, u->n_parts + u->n_ahead + 1, key, range, &one->call);
	begin(u, one);
	return ERR_OK;
}

/* S3 may do what it was asked all the same, and does no harm by that. */
static void
stop(struct s3_sending *one)
{
	int64_t wait;

	if (one->phase != PHASE_SENDS)
		return;
	http_loop_remove(one->try.s->sender->loop, one->try.curl);
	(void)!s3_try_end(&one->try, CURLE_ABORTED_BY_CALLBACK, &wait);
	one->phase = PHASE_OVER;
}

void
s3_drop_parts(struct s3_upload *u)
{
	while (u->n_ahead > 0) {
		stop(nth(u->s, 0));
		drop_first(u);
	}
}

enum err_code
s3_settle_parts(struct s3_upload *u, struct err *e)
{
	enum err_code rc;

	while (u->n_ahead > 0) {
		if (work(u, e) != ERR_OK) {
			drop_first(u);
			if ((rc = s3_send_part(u, e)) != ERR_OK) {
				s3_drop_parts(u);
				return rc;
			}
		} else if (u->n_ahead > 0) {
			wait_for_any(u->s);
		}
	}
	return ERR_OK;
}

enum err_code
s3_await_parts(struct s3_upload *u, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (u->n_ahead > 0 && (rc = work(u, e)) == ERR_OK)
		if (u->n_ahead > 0)
			wait_for_any(u->s);
	return rc;
}

/* --- Connections and buffers, kept for the next request. --- */

static void
close_sender(struct s3_store *s)
{
	struct s3_sender *r = s->sender;
	size_t i;

	if (r == NULL || r->owner != getpid())
		return;
	for (i = 0; i < r->room; i++) {
		if (r->queue[i].try.curl != NULL)
			s->http->easy_cleanup(r->queue[i].try.curl);
		free(r->queue[i].answer.text);
	}
	http_loop_close(r->loop);
	free(r);
	s->sender = NULL;
}

/* Connections, buffers and a spool, which the next request could use. */
void
s3_release(struct s3_store *s)
{
	if (s->curl != NULL && s->owner == getpid())
		s->http->easy_cleanup(s->curl);
	s->curl = NULL;
	close_sender(s);
	if (s->spare != -1)
		(void)close(s->spare);
	s->spare = -1;
	free(s->answer.text);
	s->answer = (struct s3_text){ NULL, 0, 0 };
}

/* Where the last request was long ago. */
static int64_t
rest(struct s3_store *s)
{
	int64_t left = s->used + KEPT - clock_ms();

	if (s->used == 0)
		return -1;
	if (left > 0)
		return left;
	s->used = 0;
	s3_release(s);
	memory_give_back();
	return -1;
}

static int64_t
rest_of(struct data_store *ds)
{
	return rest(s3_store_of(ds));
}

const struct store_rester s3_rester = {
	.rest = rest_of,
};

/* --- How fast bytes may come. --- */

/* The part that is filled now may be full before the next slice is over. */
static bool
is_short_of_room(const struct s3_upload *u)
{
	size_t n = u->n_parts + u->n_ahead + 1;

	return !s3_can_start_part(u) &&
	    s3_part_end(u, n) - u->base.info.offset < SLICE;
}

static enum err_code
pace(struct upload *up, struct wait *wait, struct err *e)
{
	struct s3_upload *u = s3_upload_of(up);
	enum err_code rc;

	if (u->n_ahead == 0) {
		(void)rest(u->s);
		return ERR_OK;
	}
	if ((rc = work(u, e)) != ERR_OK)
		return rc;
	if (u->n_ahead == 0)
		return ERR_OK;
	wait->fd = http_loop_fd(u->s->sender->loop);
	wait->events = POLLIN;
	if (is_short_of_room(u))
		wait->ms = time_left(u->s) + 1;
	return ERR_OK;
}

const struct store_pacer s3_pacer = {
	.pace = pace,
};
