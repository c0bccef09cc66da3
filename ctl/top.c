/*
 * top.c - tusctl top: what the server is doing, on a terminal.
 *
 * It requests the status from the pool's socket as a web server would, so it
 * needs neither a login nor a web server.  On a terminal it refreshes every two
 * seconds, elsewhere it prints once.
 */
#include "config.h"

#include <sys/ioctl.h>

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

#define USUAL_SOCKET "/run/tusfcgi/tusfcgi.sock"
#define EVERY	     2000

/* The most rows for errors, slow requests and other requests, on a terminal. */
#define FEW 6

struct screen {
	struct ctl *ctl;
	const char *address;
	bool is_live;

	/* Rows and columns that are left; rows are unlimited if the output is
	 * not live. */
	int rows, columns;

	/* The totals at the last refresh, and its time. */
	int64_t requests, bytes, at;
};

static volatile sig_atomic_t is_over;

static void
on_signal(int sig)
{
	(void)sig;
	is_over = 1;
}

/* --- Pieces. --- */

/* Print one row, cut to the width; control characters of clients are
 * removed. */
static void PRINTF_LIKE(2, 3) put(struct screen *s, const char *fmt, ...)
{
	struct arena *a = s->ctl->arena;
	const char *text;
	va_list ap;

	if (s->rows <= 0)
		return;
	s->rows--;
	va_start(ap, fmt);
	text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	(void)printf("%s%s\n",
	    format_columns(a, format_text(a, text, strlen(text)), s->columns),
	    s->is_live ? "\033[K" : "");
}

/* In inverse video, after an empty row; nothing if no row would follow. */
static void
put_title(struct screen *s, const char *text)
{
	if (s->rows < 3) {
		s->rows = 0;
		return;
	}
	put(s, "%s", "");
	(void)printf("%s", s->is_live ? "\033[7m" : "");
	put(s, "%s", text);
	(void)printf("%s", s->is_live ? "\033[0m" : "");
}

static int64_t
number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const char *
text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "-";
}

static const char *
size(struct screen *s, int64_t bytes)
{
	return format_size(s->ctl->arena, bytes);
}

static const char *
took(struct screen *s, int64_t ms)
{
	if (ms < 10000)
		return arena_printf(s->ctl->arena, "%.1fs", (double)ms / 1000);
	return format_age(s->ctl->arena, 1, 1 + ms / 1000);
}

/* --- Sections. --- */

/* The rate per second since the last refresh. */
static double
rate_of(const struct screen *s, int64_t before, int64_t now)
{
	int64_t ms = clock_ms() - s->at;

	return s->at == 0 || ms <= 0 ?
	    0 :
	    (double)(now - before) * 1000 / (double)ms;
}

static void
show_totals(struct screen *s, const json_t *st)
{
	const json_t *workers = json_object_get(st, "workers");
	const json_t *hooks = json_object_get(st, "hooks");
	int64_t requests = number(st, "requests");

	put(s, "tusfcgi %s, up %s", text(st, "version"),
	    format_age(
		s->ctl->arena, number(st, "started"), number(st, "time")));
	put(s,
	    "workers    %lld receiving, %lld busy, %lld idle; at most %lld; "
	    "%lld parked",
	    (long long)number(workers, "receiving"),
	    (long long)number(workers, "busy"),
	    (long long)number(workers, "idle"),
	    (long long)number(workers, "max"), (long long)number(st, "parked"));
	put(s, "requests   %lld, %.1f/s; %lld refused", (long long)requests,
	    rate_of(s, s->requests, requests),
	    (long long)number(st, "refusals"));
	put(s,
	    "uploads    %lld created, %lld finished, %lld terminated; %s "
	    "received, now %s/s",
	    (long long)number(st, "uploads_created"),
	    (long long)number(st, "uploads_finished"),
	    (long long)number(st, "uploads_terminated"),
	    size(s, number(st, "bytes_received")), size(s, number(st, "rate")));
	put(s, "hooks      %lld running, %lld events wait",
	    (long long)number(hooks, "running"),
	    (long long)number(hooks, "waiting"));
	s->requests = requests;
	s->at = clock_ms();
}

static const char *
progress(struct screen *s, const json_t *upload)
{
	int64_t all = number(upload, "size"), offset = number(upload, "offset");

	if (all < 0 || offset < 0)
		return "?";
	return arena_printf(s->ctl->arena, "%.0f%%",
	    all == 0 ? 100.0 : (double)offset * 100 / (double)all);
}

static void
show_uploads(struct screen *s, const json_t *list, int at_most)
{
	size_t i, n = json_array_size(list);

	put_title(s,
	    arena_printf(s->ctl->arena,
		"%-32s %5s %8s %9s %6s %-6s %-16s %-22s %s",
		"UPLOADS UNDER WAY", "DONE", "OF", "RATE", "TIME", "WAITS",
		"OWNER", "CLIENT", "NAME"));
	for (i = 0; i < n && (int)i < at_most; i++) {
		const json_t *u = json_array_get(list, i);

		put(s, "%-32s %5s %8s %7s/s %6s %-6s %-16.16s %-22.22s %s",
		    text(u, "id"), progress(s, u), size(s, number(u, "size")),
		    size(s, number(u, "rate")), took(s, number(u, "ms")),
		    text(u, "waits_for"), text(u, "owner"), text(u, "client"),
		    text(u, "name"));
	}
	if (i < n)
		put(s, "... and %zu more", n - i);
}

static void
show_requests(struct screen *s, const char *title, const json_t *list,
    const char *last, int at_most)
{
	size_t i, n = json_array_size(list);

	if (n == 0)
		return;
	put_title(s,
	    arena_printf(s->ctl->arena,
		"%-7s %-32s %6s %7s %7s %7s %7s %-6s %-16s %s", title, "ID",
		"TIME", "LOCK", "DISK", "HOOK", "CLIENT", last, "OWNER",
		"CLIENT"));
	for (i = 0; i < n && (int)i < at_most; i++) {
		const json_t *r = json_array_get(list, i);
		const json_t *spent = json_object_get(r, "spent_ms");
		int64_t status = number(r, "status");

		put(s, "%-7s %-32s %6s %7s %7s %7s %7s %-6s %-16.16s %s",
		    text(r, "method"), text(r, "id"), took(s, number(r, "ms")),
		    took(s, number(spent, "lock")),
		    took(s, number(spent, "disk")),
		    took(s, number(spent, "hook")),
		    took(s, number(spent, "client")),
		    status < 0 ?
			text(r, "waits_for") :
			arena_printf(s->ctl->arena, "%lld", (long long)status),
		    text(r, "owner"), text(r, "client"));
	}
}

static void
show_errors(struct screen *s, const json_t *list, int64_t now)
{
	size_t i, n = json_array_size(list);

	if (n == 0)
		return;
	put_title(s, "  AGO LAST ERRORS AND WARNINGS");
	for (i = 0; i < n; i++) {
		const json_t *e = json_array_get(list, i);

		put(s, "%5s %s",
		    format_age(s->ctl->arena, number(e, "time"), now),
		    text(e, "text"));
	}
}

static int
least(int a, int b)
{
	return a < b ? a : b;
}

/* The fewer rows there are, the larger the share of the uploads. */
static void
show(struct screen *s, const json_t *st)
{
	const json_t *slowest = json_object_get(st, "slowest");
	const json_t *errors = json_object_get(st, "errors");
	const json_t *others = json_object_get(st, "others");
	int few = s->is_live ? least(1 + s->rows / 12, FEW) : INT32_MAX;
	int below = 3 * 2 + least((int)json_array_size(slowest), few) +
	    least((int)json_array_size(errors), few) +
	    least((int)json_array_size(others), few);

	show_totals(s, st);
	show_uploads(s, json_object_get(st, "uploads"),
	    s->is_live ? s->rows - below - 3 : INT32_MAX);
	show_requests(s, "OTHERS", others, "WAITS", few);
	show_requests(s, "SLOWEST", slowest, "STATUS", few);
	show_errors(s, errors, number(st, "time"));
}

/* --- Again and again. --- */

static void
measure(struct screen *s)
{
	struct winsize size;

	s->rows = s->columns = INT32_MAX;
	if (!s->is_live)
		return;
	s->rows = 24;
	s->columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
		s->rows = size.ws_row;
		s->columns = size.ws_col;
	}
	/* The last row stays empty, otherwise the terminal scrolls. */
	s->rows--;
}

static bool
refresh(struct screen *s)
{
	struct ctl *c = s->ctl;
	json_error_t where;
	const char *answer;
	struct err e;
	json_t *st;

	arena_reset(c->arena);
	if (ask_status(s->address, c->conf->status.path, c->arena, &answer,
		&e) != ERR_OK) {
		ctl_warn(c, "%s", e.text);
		return false;
	}
	st = json_loads(answer, 0, &where);
	if (st == NULL) {
		ctl_warn(c, "%s: the answer is no status: %s", s->address,
		    where.text);
		return false;
	}
	measure(s);
	(void)printf("%s", s->is_live ? "\033[H" : "");
	show(s, st);
	(void)printf("%s", s->is_live ? "\033[J" : "");
	(void)fflush(stdout);
	json_decref(st);
	return true;
}

/* False if the user wants to quit. */
static bool
wait_for_key(void)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
	char key = '\0';

	if (poll(&pfd, 1, EVERY) > 0 && read(STDIN_FILENO, &key, 1) <= 0)
		return false;
	return !is_over && key != 'q' && key != 'Q';
}

/* Restores the state of the terminal before it returns. */
static void
run_live(struct screen *s)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct termios before, raw;
	bool has_keys = tcgetattr(STDIN_FILENO, &before) == 0;

	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	/* Use the alternate screen and hide the cursor. */
	(void)printf("\033[?1049h\033[?25l\033[2J");
	while (refresh(s) && wait_for_key())
		;
	(void)printf("\033[?25h\033[?1049l");
	(void)fflush(stdout);
	if (has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

const struct ctl_option ctl_top_options[] = {
	{ "socket", 's', "ADDRESS",
	    "where the pool listens, instead of pool.listen", NULL },
	{ "once", '1', NULL, "once, as if there were no terminal", NULL },
	{ 0 },
};

int
ctl_top(struct ctl *c, int argc, char **argv)
{
	struct screen s = { .ctl = c,
		.address = c->conf->pool.listen,
		.is_live = isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) };
	int option;

	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 's')
			s.address = optarg;
		else
			s.is_live = false;
	}
	if (optind != argc)
		return ctl_usage("top takes no arguments");
	if (*c->conf->status.path == '\0')
		return ctl_usage("status.path is not set in the configuration: "
				 "the server does not tell what it is at");
	if (*s.address == '\0')
		s.address = USUAL_SOCKET;
	if (s.is_live)
		run_live(&s);
	else
		(void)refresh(&s);
	return ctl_status(c);
}
