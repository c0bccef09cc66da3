/*
 * tell.c - run post-hooks so that no client waits for them.
 */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "fcgi/stop.h"
#include "fcgi/tell.h"
#include "fcgi/work.h"

enum {
	/* The most children.  Each may have a hook, and a process that watches
	 * the hook. */
	CHILDREN_MAX = 16,

	/* The longest wait for a child to end, and the pause between two looks,
	 * in ms. */
	WAIT_MAX = 1000,
	LOOK_EVERY = 10
};

/* Process ids; 0 marks a free entry. */
static pid_t children[CHILDREN_MAX];

/* A free entry of the table, or NULL. */
static pid_t *
find_room(void)
{
	pid_t *room = NULL;
	size_t i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] != 0 &&
		    waitpid(children[i], NULL, WNOHANG) != 0)
			children[i] = 0;
		if (children[i] == 0)
			room = &children[i];
	}
	return room;
}

bool
tell_has_room(void)
{
	const struct timespec nap = { 0, LOOK_EVERY * 1000000L };
	int64_t until = clock_ms() + WAIT_MAX;

	while (find_room() == NULL) {
		if (clock_ms() >= until || stop_is_wanted())
			return false;
		(void)nanosleep(&nap, NULL);
	}
	return true;
}

/*
 * The lock of the upload and the files of the spool are open file descriptions,
 * which the child shares: they stay locked until the child is done, even after
 * this process has closed them.
 */
static pid_t
fork_child(struct web_call *call, int listen_fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)close(listen_fd);
	work_join(NULL, NULL);
	web_close(call);
	_exit(0);
}

/* What no child can move or tell is left to the sweep: a process without a pool
 * must serve its next request. */
void
tell_and_close(struct web_call *call, bool by_child, int listen_fd)
{
	pid_t *room;

	if (!by_child) {
		web_close(call);
		return;
	}
	room = find_room();
	if (room != NULL && (*room = fork_child(call, listen_fd)) == -1)
		*room = 0;
	web_forget(call);
}
