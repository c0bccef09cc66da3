/*
 * apart.c - look at all uploads, with as many processes as there are
 * processors.
 *
 * Each of them walks through the whole store, which is cheap, and looks at the
 * uploads whose ids a hash makes its own; so each upload has one process,
 * however the store changes meanwhile.  What they find comes as lines through a
 * pipe each.  The parent alone prints, locks and changes.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

enum {
	PROCESSES_MAX = 16,
	/* How many bytes of lines are written and read at once. */
	AT_ONCE = 65536,
	/* How often the progress is shown, in ms. */
	SHOW_EVERY = 300
};

/* One of the processes, and what came of it and is no whole line yet. */
struct share {
	pid_t pid;
	char *text;
	size_t len, room;
};

struct crowd {
	struct ctl *ctl;
	const struct ctl_search *search;
	unsigned n;
	/* Where there are no children: how many uploads there were. */
	int64_t looked;
	struct share shares[PROCESSES_MAX];
	/* The pipes; fd -1 after the end. */
	struct pollfd pipes[PROCESSES_MAX];
	/* How many uploads each has looked at, in memory that all see. */
	atomic_llong *seen;
};

/* --- In a child. --- */

void
ctl_found(struct ctl *c, const struct ctl_search *s, const char *line)
{
	if (c->found == NULL) {
		s->take(c, line, s->arg);
		return;
	}
	if (fputs(line, c->found) == EOF || putc('\n', c->found) == EOF)
		_exit(CTL_FAILED);
}

struct part {
	const struct crowd *crowd;
	unsigned number;
};

static bool
is_mine(const struct part *p, const char *id)
{
	uint32_t h = UINT32_C(2166136261);

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT32_C(16777619);
	return (h >> 8) % p->crowd->n == p->number;
}

static void
look_at_mine(struct ctl *c, const char *id, void *arg)
{
	const struct part *p = arg;

	if (!is_mine(p, id))
		return;
	(void)atomic_fetch_add(&p->crowd->seen[p->number], 1);
	p->crowd->search->look(c, id, p->crowd->search);
}

static void
work(const struct crowd *crowd, unsigned number, int fd)
{
	struct part p = { crowd, number };
	struct ctl *c = crowd->ctl;

	c->found = fdopen(fd, "w");
	if (c->found == NULL)
		_exit(CTL_FAILED);
	(void)setvbuf(c->found, NULL, _IOFBF, AT_ONCE);
	ctl_each(c, NULL, look_at_mine, &p);
	if (fclose(c->found) == EOF)
		_exit(CTL_FAILED);
	_exit(ctl_status(c));
}

/* --- In the parent. --- */

static bool
begin(struct crowd *crowd, unsigned number)
{
	struct share *s = &crowd->shares[number];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1) {
		ctl_warn(crowd->ctl, "pipe: %s", strerror(errno));
		return false;
	}
	s->pid = fork();
	if (s->pid == 0) {
		(void)close(ends[0]);
		work(crowd, number, ends[1]);
	}
	(void)close(ends[1]);
	crowd->pipes[number] =
	    (struct pollfd){ .fd = ends[0], .events = POLLIN };
	if (s->pid == -1)
		ctl_warn(crowd->ctl, "fork: %s", strerror(errno));
	return s->pid != -1;
}

static void
take_lines(const struct crowd *crowd, struct share *s)
{
	const struct ctl_search *search = crowd->search;
	char *line = s->text, *end = s->text + s->len, *nl;

	while ((nl = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		*nl = '\0';
		search->take(crowd->ctl, line, search->arg);
		arena_reset(crowd->ctl->arena);
		line = nl + 1;
	}
	s->len = (size_t)(end - line);
	memmove(s->text, line, s->len);
}

/* False after the last byte. */
static bool
take_more(const struct crowd *crowd, struct share *s, int fd)
{
	ssize_t n;

	if (s->room - s->len < AT_ONCE) {
		s->room = 2 * s->room + AT_ONCE;
		s->text = realloc(s->text, s->room);
		if (s->text == NULL)
			out_of_memory();
	}
	n = read(fd, s->text + s->len, AT_ONCE);
	if (n <= 0)
		return n == -1 && errno == EINTR;
	s->len += (size_t)n;
	take_lines(crowd, s);
	return true;
}

static int64_t
count_seen(const struct crowd *crowd)
{
	int64_t n = 0;
	unsigned i;

	for (i = 0; i < crowd->n; i++)
		n += atomic_load(&crowd->seen[i]);
	return n;
}

static void
take_all(struct crowd *crowd)
{
	const char *what = crowd->search->what;
	unsigned i, open = crowd->n;

	while (open > 0) {
		(void)poll(crowd->pipes, crowd->n, SHOW_EVERY);
		for (i = 0; i < crowd->n; i++) {
			struct pollfd *p = &crowd->pipes[i];

			if (p->fd == -1 || p->revents == 0 ||
			    take_more(crowd, &crowd->shares[i], p->fd))
				continue;
			(void)close(p->fd);
			p->fd = -1;
			open--;
		}
		if (what != NULL && open > 0)
			ctl_progress(what, count_seen(crowd));
	}
	ctl_progress(what, 0);
}

/* A child has said why it failed, unless it was killed. */
static void
reap(struct crowd *crowd)
{
	unsigned i;
	int status;

	for (i = 0; i < crowd->n; i++) {
		free(crowd->shares[i].text);
		if (crowd->shares[i].pid <= 0)
			continue;
		if (waitpid(crowd->shares[i].pid, &status, 0) == -1 ||
		    !WIFEXITED(status))
			ctl_warn(crowd->ctl,
			    "a process that was looking at "
			    "uploads was killed");
		else if (WEXITSTATUS(status) != CTL_OK)
			crowd->ctl->failed = true;
	}
}

static unsigned
count_processors(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set) == -1)
		return 1;
	n = CPU_COUNT(&set);
	return n < PROCESSES_MAX ? (unsigned)n : PROCESSES_MAX;
}

static int64_t
search_apart(struct crowd *crowd)
{
	const size_t size = PROCESSES_MAX * sizeof(*crowd->seen);
	int64_t n;
	unsigned i;

	crowd->seen = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd->seen == MAP_FAILED)
		out_of_memory();
	/* Or each child would have what is not written yet. */
	(void)fflush(stdout);
	for (i = 0; i < crowd->n; i++)
		crowd->pipes[i].fd = -1;
	for (i = 0; i < crowd->n; i++)
		if (!begin(crowd, i))
			break;
	if (i == crowd->n)
		take_all(crowd);
	for (i = 0; i < crowd->n; i++)
		if (crowd->pipes[i].fd != -1)
			(void)close(crowd->pipes[i].fd);
	reap(crowd);
	n = count_seen(crowd);
	(void)munmap(crowd->seen, size);
	return n;
}

/* --- Without children. --- */

static void
look_at_one(struct ctl *c, const char *id, void *arg)
{
	struct crowd *crowd = arg;

	crowd->looked++;
	crowd->search->look(c, id, crowd->search);
}

int64_t
ctl_search(struct ctl *c, const struct ctl_search *search)
{
	struct crowd crowd = { .ctl = c, .search = search };

	if (c->store->can_be_read_apart)
		crowd.n = count_processors();
	if (crowd.n > 1)
		return search_apart(&crowd);
	ctl_each(c, search->what, look_at_one, &crowd);
	return crowd.looked;
}
