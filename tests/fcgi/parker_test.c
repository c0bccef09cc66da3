/*
 * parker_test.c - the parking process, with this program as the workers.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <linux/sockios.h>

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fcgi/parker.h"

enum {
	REQUESTS_MAX = 200,
	PATIENCE = 60000,
	/* Ms for what is to happen at once. */
	SOON = 10000,
	/* Few of these are in the socket at a time. */
	BUFFER = 4608
};

/* A request, seen from its client: the connection, and the other end of what
 * stands for its lock. */
static struct {
	int client, lock;
} requests[REQUESTS_MAX];

static struct board *board;
static int up[2], down[2];
static pid_t pid;

/* Shared with the process. */
static _Atomic bool *is_wanted;

static bool
look_wanted(const struct lock_loan *loan)
{
	(void)loan;
	return atomic_load(is_wanted);
}

static const struct locker_lender lender = { .is_wanted = look_wanted };

static void
pause_a_bit(void)
{
	(void)poll(NULL, 0, 2);
}

/* But not for ever. */
static void
pause_before(int64_t end)
{
	assert_true(clock_ms() < end);
	pause_a_bit();
}

/* With a limit of descriptors; 0: as it is. */
static void
start_with(size_t max, rlim_t files)
{
	const struct rlimit limit = { files, files };
	const struct parker parker = { .up = up[1],
		.down = down[0],
		.board = board,
		.lender = &lender,
		.max = max };

	int64_t end = clock_ms() + SOON;

	atomic_store(&board->parking.beat, 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (files > 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0)
			_exit(1);
		parker_run(&parker);
		_exit(0);
	}
	while (atomic_load(&board->parking.beat) == 0)
		pause_before(end);
}

static void
start(size_t max)
{
	start_with(max, 0);
}

/* In the socket, for many or large ones. */
static void
make_room(void)
{
	int size = 200000;

	(void)setsockopt(down[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int
set_up(void **state)
{
	int size = BUFFER;

	(void)state;
	board = board_new();
	is_wanted = mmap(NULL, sizeof(*is_wanted), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(board != NULL && is_wanted != MAP_FAILED);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, up), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, down), 0);
	(void)setsockopt(down[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static int
tear_down(void **state)
{
	int i;

	(void)state;
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	pid = 0;
	for (i = 0; i < 2; i++) {
		(void)close(up[i]);
		(void)close(down[i]);
	}
	(void)munmap(board, sizeof(*board));
	(void)munmap((void *)(uintptr_t)is_wanted, sizeof(*is_wanted));
	return 0;
}

/* Park request n, of which one byte is still to come, with so many bytes of
 * parameters. */
static void
park_large(int n, uint32_t size)
{
	static char params[NOTE_PARAMS_MAX];
	struct note note = { .why = NOTE_DRY,
		.params_len = size,
		.left = 1,
		.shelf = -1,
		.cut.content = 1,
		.last_byte = clock_ms(),
		.patience = PATIENCE };
	int64_t end = clock_ms() + SOON;
	int pair[2], wire[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(wire), 0);
	note.task.loan.fd = wire[1];
	memcpy(params, &n, sizeof(n));
	while (note_send(up[0], &note, params, pair[0]) != 0)
		pause_before(end);
	(void)close(pair[0]);
	(void)close(wire[1]);
	requests[n].client = pair[1];
	requests[n].lock = wire[0];
}

static void
park(int n)
{
	park_large(n, sizeof(n));
}

static void
send_byte(int n)
{
	char byte = (char)n;

	assert_int_equal(send(requests[n].client, &byte, 1, MSG_NOSIGNAL), 1);
}

/* The next that comes, with its connection and its lock; -1: none came within
 * so many ms. */
static int
take(int ms, enum note_why why)
{
	static struct note_box box;
	struct pollfd pfd = { .fd = down[1], .events = POLLIN };
	struct pollfd lock = { .events = POLLIN };
	int n;

	if (poll(&pfd, 1, ms) != 1)
		return -1;
	assert_true(note_receive(down[1], &box));
	memcpy(&n, box.params, sizeof(n));
	assert_in_range(n, 0, REQUESTS_MAX - 1);
	assert_int_equal(box.note.why, why);
	assert_int_equal(send(box.connection, "a", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(write(box.note.task.loan.fd, "a", 1), 1);
	note_drop(&box);
	/* Now no process has the lock any more. */
	lock.fd = requests[n].lock;
	assert_int_equal(read(lock.fd, &(char){ 0 }, 1), 1);
	assert_int_equal(poll(&lock, 1, SOON), 1);
	assert_int_equal(read(lock.fd, &(char){ 0 }, 1), 0);
	return n;
}

/* Take so many, each once. */
static void
take_all(int n, enum note_why why)
{
	bool seen[REQUESTS_MAX] = { false };
	int i;

	while (n-- > 0) {
		i = take(SOON, why);
		assert_int_not_equal(i, -1);
		assert_false(seen[i]);
		seen[i] = true;
		(void)close(requests[i].client);
		(void)close(requests[i].lock);
	}
}

static void
wait_parked(int n)
{
	int64_t end = clock_ms() + SOON;

	while (atomic_load(&board->parking.parked) != n)
		pause_before(end);
}

static void
wait_rounds(int n)
{
	int64_t beat = atomic_load(&board->parking.beat);
	int64_t end = clock_ms() + SOON;

	while (n > 0) {
		if (atomic_load(&board->parking.beat) != beat) {
			beat = atomic_load(&board->parking.beat);
			n--;
		}
		pause_before(end);
	}
}

static bool
is_up_empty(void)
{
	int bytes = 0;

	assert_int_equal(ioctl(up[1], SIOCINQ, &bytes), 0);
	return bytes == 0;
}

/* The workers are slower than the requests become ready. */
static void
what_the_workers_have_no_room_for_is_kept(void **state)
{
	int64_t end;
	int i;

	(void)state;
	start(REQUESTS_MAX);
	for (i = 0; i < REQUESTS_MAX; i++)
		park(i);
	end = clock_ms() + SOON;
	while (!is_up_empty())
		pause_before(end);
	for (i = 0; i < REQUESTS_MAX; i++)
		send_byte(i);
	wait_rounds(5);
	assert_true(atomic_load(&board->parking.parked) > REQUESTS_MAX / 2);
	take_all(REQUESTS_MAX, NOTE_BYTES);
	assert_int_equal(take(50, NOTE_BYTES), -1);
	wait_parked(0);
}

/* Each of these workers has had a request since then. */
static void
have_turns(size_t n, int64_t since)
{
	size_t slot;

	for (slot = 0; slot < n; slot++) {
		board_set(board, slot, WORKER_BUSY);
		board_begin_turn(board, slot);
		atomic_store(&board->slots[slot].turn, since);
	}
}

/* While the workers that have the first are busy, nothing more comes. */
static void
what_is_ready_at_once_comes_a_few_at_a_time(void **state)
{
	enum {
		ALL = 100,
		FEW = 20
	};
	int i, n;

	(void)state;
	make_room();
	start(REQUESTS_MAX);
	for (i = 0; i < ALL; i++)
		park(i);
	wait_parked(ALL);
	for (i = 0; i < ALL; i++)
		send_byte(i);
	wait_rounds(5);
	n = ALL - atomic_load(&board->parking.parked);
	assert_in_range(n, 1, FEW);
	/* They take no time at all. */
	have_turns((size_t)n, clock_ms() + SOON);
	take_all(n, NOTE_BYTES);
	assert_int_equal(take(50, NOTE_BYTES), -1);
	assert_true(atomic_load(&board->parking.is_waiting));
	assert_true(board_end_turn(board, 0));
	assert_false(board_end_turn(board, 0));
	take_all(1, NOTE_BYTES);
	/* What takes long is no reason to wait. */
	have_turns((size_t)n, 1);
	take_all(ALL - n - 1, NOTE_BYTES);
	wait_parked(0);
	assert_false(atomic_load(&board->parking.is_waiting));
}

/* The open file lives on in the process that has it now. */
static void
a_connection_that_was_given_away_is_not_looked_at(void **state)
{
	static struct note_box box;
	struct pollfd pfd = { .fd = down[1], .events = POLLIN };
	int i;

	(void)state;
	start(REQUESTS_MAX);
	park(0);
	send_byte(0);
	assert_int_equal(poll(&pfd, 1, SOON), 1);
	assert_true(note_receive(down[1], &box));
	/* In the memory of the first. */
	park(1);
	wait_parked(1);
	for (i = 0; i < 10; i++) {
		send_byte(0);
		pause_a_bit();
	}
	assert_int_equal(take(50, NOTE_BYTES), -1);
	send_byte(1);
	take_all(1, NOTE_BYTES);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	note_drop(&box);
	(void)close(requests[0].client);
	(void)close(requests[0].lock);
}

/* As nothing is that cannot be polled. */
static void
a_connection_that_cannot_be_watched_is_looked_at(void **state)
{
	static struct note_box box;
	struct note note = { .why = NOTE_DRY,
		.left = 1,
		.is_soon = true,
		.shelf = -1,
		.last_byte = clock_ms(),
		.patience = PATIENCE,
		.task.loan.fd = -1 };
	struct pollfd pfd = { .fd = down[1], .events = POLLIN };
	int fd = open("/dev/null", O_RDWR);

	(void)state;
	start(REQUESTS_MAX);
	assert_int_not_equal(fd, -1);
	assert_int_equal(note_send(up[0], &note, "", fd), 0);
	(void)close(fd);
	assert_int_equal(poll(&pfd, 1, SOON), 1);
	assert_true(note_receive(down[1], &box));
	assert_int_equal(box.note.why, NOTE_TIMER);
	note_drop(&box);
}

static void
without_room_nothing_is_taken_and_nothing_lost(void **state)
{
	int i;

	(void)state;
	/* Of which 64 are its own. */
	start_with(REQUESTS_MAX, 64 + 2 * 74);
	assert_int_equal(atomic_load(&board->parking.room), 10);
	for (i = 0; i < 100; i++)
		park(i);
	wait_parked(74);
	assert_int_equal(atomic_load(&board->parking.room), 0);
	assert_false(is_up_empty());
	for (i = 0; i < 100; i++)
		send_byte(i);
	take_all(100, NOTE_BYTES);
	wait_parked(0);
	assert_int_equal(atomic_load(&board->parking.room), 10);
}

static void
long_parameters_take_the_room_of_several(void **state)
{
	int i;

	(void)state;
	make_room();
	start(10);
	park(0);
	wait_parked(1);
	assert_int_equal(atomic_load(&board->parking.room), 9);
	for (i = 1; i < 3; i++)
		park_large(i, 16 * 1024);
	wait_parked(3);
	assert_int_equal(atomic_load(&board->parking.room), 2);
	/* Of a worker that has looked before. */
	park_large(3, 60 * 1024);
	wait_parked(4);
	assert_int_equal(atomic_load(&board->parking.room), 0);
	for (i = 1; i < 4; i++)
		send_byte(i);
	take_all(3, NOTE_BYTES);
	wait_parked(1);
	assert_int_equal(atomic_load(&board->parking.room), 9);
}

static void
a_wanted_lock_brings_its_request_back(void **state)
{
	(void)state;
	start(REQUESTS_MAX);
	park(0);
	assert_int_equal(take(50, NOTE_LOCK), -1);
	atomic_store(is_wanted, true);
	take_all(1, NOTE_LOCK);
}

static void
a_stop_brings_all_back_and_ends_it(void **state)
{
	int i, status;

	(void)state;
	start(REQUESTS_MAX);
	for (i = 0; i < 30; i++)
		park(i);
	assert_int_equal(kill(pid, SIGTERM), 0);
	take_all(30, NOTE_STOP);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pid = 0;
}

/* A worker has seen room just before there was none. */
static void
a_stop_waits_for_what_is_about_to_come(void **state)
{
	int64_t end = clock_ms() + SOON;
	int status;

	(void)state;
	start(REQUESTS_MAX);
	board_set(board, 3, WORKER_BUSY);
	board_set_giving(board, 3, true);
	assert_int_equal(kill(pid, SIGTERM), 0);
	while (atomic_load(&board->parking.room) != -1)
		pause_before(end);
	wait_rounds(3);
	park(0);
	board_set_giving(board, 3, false);
	take_all(1, NOTE_STOP);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pid = 0;
}

/* Requests that were on their way when the process was killed come with the
 * next one. */
static void
another_one_serves_what_is_in_the_socket(void **state)
{
	int i;

	(void)state;
	start(REQUESTS_MAX);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	for (i = 0; i < 5; i++)
		park(i);
	start(REQUESTS_MAX);
	for (i = 0; i < 5; i++)
		send_byte(i);
	take_all(5, NOTE_BYTES);
}

int
main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ONE(what_the_workers_have_no_room_for_is_kept),
		ONE(what_is_ready_at_once_comes_a_few_at_a_time),
		ONE(a_connection_that_was_given_away_is_not_looked_at),
		ONE(a_connection_that_cannot_be_watched_is_looked_at),
		ONE(without_room_nothing_is_taken_and_nothing_lost),
		ONE(long_parameters_take_the_room_of_several),
		ONE(a_wanted_lock_brings_its_request_back),
		ONE(a_stop_brings_all_back_and_ends_it),
		ONE(a_stop_waits_for_what_is_about_to_come),
		ONE(another_one_serves_what_is_in_the_socket),
	};
#undef ONE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
