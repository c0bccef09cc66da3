/*
 * tell.c - post-hooks, so that nobody waits for them.
 */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <unistd.h>

#include "fcgi/tell.h"

/*
 * The lock of the upload and the files of the spool are open file
 * descriptions: the child has them as well, and they stay locked until it is
 * done, whatever we close.  A grandchild, so that nobody has to wait for it.
 */
static void
tell_in_child(struct tus_call *call, int listen_fd)
{
	if (fork() > 0)
		_exit(0);
	(void)close(listen_fd);
	tus_close(call);
	_exit(0);
}

void
tell_and_close(struct tus_call *call, bool alone, int listen_fd)
{
	pid_t pid = alone && tus_has_to_tell(call) ? fork() : -1;

	if (pid == -1) {
		tus_close(call);
		return;
	}
	if (pid == 0)
		tell_in_child(call, listen_fd);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	tus_forget(call);
}
