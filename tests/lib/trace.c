/*
 * trace.c - write down every function that a request enters.
 *
 * For tests/path: linked into a program that was built with
 * -finstrument-functions.  Each entry is one address in the file that
 * TUSFCGI_TRACE names.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define UNTRACED __attribute__((no_instrument_function))

static int fd = -1;

UNTRACED __attribute__((constructor)) static void
trace_open(void)
{
	const char *name = getenv("TUSFCGI_TRACE");

	if (name != NULL)
		fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

UNTRACED void
__cyg_profile_func_enter(void *function, void *caller)
{
	(void)caller;
	if (fd != -1)
		(void)!write(fd, &function, sizeof(function));
}

UNTRACED void
__cyg_profile_func_exit(void *function, void *caller)
{
	(void)function;
	(void)caller;
}
