/*
 * escape.c - the attempts of an attacker who runs code in a worker.
 *
 * Preloaded, and called where a new upload gets its id.  Prints on standard
 * error which attempts the kernel permitted.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
tell(const char *what, int rc)
{
	fprintf(stderr, "escape: %s: %s\n", what,
	    rc == -1 ? strerror(errno) : "worked");
}

static void
run_shell(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	errno = EACCES;
	tell("run a shell", WEXITSTATUS(status) == 0 ? 0 : -1);
}

void
uuid_generate_random(unsigned char *out)
{
	void (*real)(unsigned char *) =
	    (void (*)(unsigned char *))dlsym(RTLD_NEXT, "uuid_generate_random");
	const char *outside = getenv("ESCAPE_TO");
	const char *inside = getenv("ESCAPE_FROM");
	struct rlimit core;
	char path[4096];

	tell("read /etc/passwd", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	snprintf(path, sizeof(path), "%s/secret", outside);
	tell("read a secret", open(path, O_RDONLY | O_CLOEXEC));
	tell("write a secret", open(path, O_WRONLY | O_CLOEXEC));
	tell("remove a secret", unlink(path));
	snprintf(path, sizeof(path), "%s/new", outside);
	tell("make a file", open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	tell("make a directory", mkdir(path, 0700));
	tell("list the root", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	snprintf(path, sizeof(path), "%s/link", inside);
	tell("make a symbolic link", symlink("/etc/passwd", path));
	run_shell();
	snprintf(path, sizeof(path), "%s/inside", inside);
	tell("make an upload", open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	(void)unlink(path);
	getrlimit(RLIMIT_CORE, &core);
	fprintf(stderr, "escape: core %lu, no new privileges %d\n",
	    (unsigned long)core.rlim_max,
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	real(out);
}
