/*
 * wire.c - any bytes on the FastCGI socket, through libfcgi and the worker.
 *
 * The input is what a peer sends on one connection, in turns: it sends what
 * follows a TURN when the worker waits for more.  Whatever it is: what is
 * refused does not depend on how it was cut into reads, what comes back is
 * whole records with headers that are ours, and the next request is answered.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <fastcgi.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "fcgi/frame.h"
#include "fcgi/stop.h"
#include "fcgi/worker.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"

/* Fits into the buffers of a socket, and so do the answers: nobody reads
 * while we write. */
#define INPUT_MAX  16384
#define ANSWER_MAX (1024 * 1024)

/* Stands between what is sent in one turn and in the next. */
#define TURN "--turn--"

/* What any answer may have, and nothing else. */
static const char *const headers[] = { "Accept-Patch", "Accept-Ranges", "Allow",
	"Cache-Control", "Content-Disposition", "Content-Length",
	"Content-Range", "Content-Security-Policy", "Content-Type", "ETag",
	"Location", "Referrer-Policy", "Retry-After", "Status",
	"Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size",
	"Tus-Resumable", "Tus-Version", "Upload-Concat", "Upload-Defer-Length",
	"Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset",
	"Vary", "X-Content-Type-Options" };

static struct settings settings;
static struct worker worker;
static bool is_over;

/* What the peer has not sent yet, and where to. */
static struct {
	const uint8_t *at, *end;
	int fd;
} peer = { .fd = -1 };

/* --- In the place of stop.c and sweeper.c --------------------------------- */

int64_t
sweeper_look(struct sweeper *s, const struct settings *now, struct board *board,
    int listen_fd)
{
	(void)s;
	(void)now;
	(void)board;
	(void)listen_fd;
	return -1;
}

void
stop_install(bool alone)
{
	(void)alone;
}

int
stop_or_wait_for(int listen_fd, int other_fd, int ms)
{
	struct pollfd pfd = { .fd = listen_fd, .events = POLLIN };

	(void)other_fd;
	(void)ms;
	is_over = poll(&pfd, 1, 0) <= 0;
	return is_over ? -1 : listen_fd;
}

bool
stop_is_wanted(void)
{
	return false;
}

bool
stop_let_in(void)
{
	return is_over;
}

bool
stop_is_due(void)
{
	return is_over;
}

bool
stop_reload_is_due(void)
{
	return false;
}

bool
stop_reload_is_wanted(void)
{
	return false;
}

/* libfcgi forgets a few bytes on the way out of what it refuses. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:libfcgi";
}

/* Whatever a peer announces, libfcgi must not allocate it. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "max_allocation_size_mb=64";
}

/* --- One connection ------------------------------------------------------- */

/* An address that Linux chooses; elsewhere there is nothing to be seen. */
static void
listen_somewhere(void)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };

	worker.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (worker.listen_fd == -1 ||
	    bind(worker.listen_fd, &sa, sizeof(sa.sa_family)) == -1 ||
	    listen(worker.listen_fd, 1) == -1 ||
	    fcntl(worker.listen_fd, F_SETFL, O_NONBLOCK) == -1)
		exit(77);
}

static void
set_up(void)
{
	struct conf *conf = conf_new();
	struct err e;

	if (conf_set(conf, "log.target", "/dev/null", &e) != ERR_OK ||
	    log_open(conf, &e) != ERR_OK)
		fuzz_bug("%s", e.text);
	settings = (struct settings){ .conf = conf,
		.base_path = "",
		.owner_param = "TUS_OWNER",
		.store_dir = "",
		.metrics_path = "/metrics",
		.status_path = "/status",
		.slow = 1,
		.lock_timeout = 100,
		.read_timeout = 100,
		.drain_timeout = 100 };
	worker.settings = &settings;
	worker.board = board_new();
	worker.up = worker.down = -1;
	listen_somewhere();
	worker_prepare();
	stop_install(false);
}

static int
connect_to_worker(void)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd == -1 ||
	    getsockname(worker.listen_fd, (struct sockaddr *)&sun, &len) ||
	    connect(fd, (struct sockaddr *)&sun, len) == -1)
		fuzz_bug("cannot connect");
	return fd;
}

/* The peer's next turn; after the last one it sends no more. */
static void
take_turn(void)
{
	size_t left = (size_t)(peer.end - peer.at);
	const uint8_t *next =
	    left == 0 ? NULL : memmem(peer.at, left, TURN, sizeof(TURN) - 1);
	size_t len = next != NULL ? (size_t)(next - peer.at) : left;

	/* The worker may have closed the connection. */
	if (len > 0)
		(void)send(peer.fd, peer.at, len, MSG_NOSIGNAL);
	peer.at = next != NULL ? next + sizeof(TURN) - 1 : peer.end;
	if (next == NULL)
		(void)shutdown(peer.fd, SHUT_WR);
}

/* In the place of libc's: when the worker has to wait, it is the peer's turn.
 */
int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec now = { 0 },
			ts = { .tv_sec = ms / 1000,
				.tv_nsec = (long)(ms % 1000) * 1000000 };
	int ready = ppoll(fds, n, &now, NULL);

	if (ready != 0 || ms == 0)
		return ready;
	if (peer.fd != -1)
		take_turn();
	return ppoll(fds, n, ms < 0 ? NULL : &ts, NULL);
}

/* All that comes back for these bytes. */
static const uint8_t *
converse(const uint8_t *bytes, size_t len, size_t *got)
{
	static uint8_t answer[ANSWER_MAX];
	int fd = connect_to_worker();
	ssize_t n;

	peer.at = bytes;
	peer.end = bytes + len;
	peer.fd = fd;
	take_turn();
	is_over = false;
	settings.server = server;
	if (worker_run(&worker) != WORKER_LEFT)
		fuzz_bug("the worker gave up");
	peer.fd = -1;
	*got = 0;
	while ((n = read(fd, answer + *got, sizeof(answer) - *got)) > 0)
		*got += (size_t)n;
	(void)close(fd);
	return answer;
}

/* --- The answer ---------------------------------------------------------- */

static bool
is_ours(const char *line)
{
	size_t i, len = strcspn(line, ":");

	for (i = 0; i < NITEMS(headers); i++)
		if (strlen(headers[i]) == len &&
		    strncmp(line, headers[i], len) == 0)
			return true;
	return strncmp(line, "Access-Control-", 15) == 0;
}

static void
check_line(const char *line, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' ? line[i] != '\t' :
						   line[i] == 0x7f)
			fuzz_bug("a header has byte %#x", (unsigned)line[i]);
	if (memchr(line, ':', len) == NULL || !is_ours(line))
		fuzz_bug("header %.*s", (int)len, line);
}

/* The head of an answer: lines that end with CR LF, and an empty one. */
static void
check_head(char *text, size_t len)
{
	char *line = text, *end;

	text[len] = '\0';
	if (strncmp(text, "Status: ", 8) != 0)
		fuzz_bug("no status: %.20s", text);
	while ((end = strstr(line, "\r\n")) != line) {
		if (end == NULL)
			fuzz_bug("the head has no end");
		check_line(line, (size_t)(end - line));
		line = end + 2;
	}
}

/* True if a whole answer is among the records. */
static bool
check_records(const uint8_t *p, size_t len)
{
	static char text[ANSWER_MAX + 1];
	size_t content, n = 0;
	bool is_whole = false;

	while (len > 0) {
		if (len < 8 || p[0] != FCGI_VERSION_1)
			fuzz_bug("no record in the answer");
		content = (size_t)p[4] << 8 | p[5];
		if (len < 8 + content + p[6])
			fuzz_bug("half a record in the answer");
		if (p[1] == FCGI_STDOUT) {
			memcpy(text + n, p + 8, content);
			n += content;
		} else if (p[1] == FCGI_END_REQUEST && n > 0) {
			check_head(text, n);
			is_whole = true;
			n = 0;
		}
		len -= 8 + content + p[6];
		p += 8 + content + p[6];
	}
	return is_whole;
}

/* --- The target ----------------------------------------------------------- */

/* Whether bytes are refused is not a matter of who reads how many at once. */
static void
check_frame(const uint8_t *bytes, size_t len)
{
	struct frame whole = { 0 }, cut = { 0 };
	bool is_good = frame_check(&whole, bytes, len);
	size_t i;

	for (i = 0; i < len; i++)
		(void)frame_check(&cut, bytes + i, 1);
	if (cut.is_refused == is_good)
		fuzz_bug("refused %s in pieces", is_good ? "only" : "but not");
}

static void
ask_for_options(void)
{
	static const char request[] =
	    "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"
	    "\1\4\0\1\0\52\0\0"
	    "\16\7REQUEST_METHODOPTIONS\13\6REQUEST_URI/files"
	    "\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0";
	const uint8_t *answer;
	size_t len;

	answer = converse((const uint8_t *)request, sizeof(request) - 1, &len);
	if (!check_records(answer, len))
		fuzz_bug("no answer to the next request");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *answer;

	if (worker.board == NULL)
		set_up();
	if (len > INPUT_MAX)
		len = INPUT_MAX;
	server_open();
	server.core.max_size = 1 << 20;
	check_frame(bytes, len);
	answer = converse(bytes, len, &len);
	(void)check_records(answer, len);
	ask_for_options();
	return 0;
}
