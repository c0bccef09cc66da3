/*
 * service.c - a lock service of our own: Redis, etcd or ZooKeeper.
 *
 * Redis keeps nothing over a restart, the others what they have written.
 */
#include "config.h"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/compat.h"
#include "tests/lock/service.h"

enum {
	WORDS = 24,
	READY_S = 30
};

static const struct service {
	const char *type;
	/* What must be there. */
	const char *file;
	/* $P is a port, $Q another, $D the folder. */
	const char *words[WORDS];
} services[] = {
	{ "redis", "/usr/bin/redis-server",
	    { "/usr/bin/redis-server", "--port", "$P", "--bind", "127.0.0.1",
		"--unixsocket", "$D/sock", "--save", "", "--dir", "$D" } },
	{ "etcd", "/usr/bin/etcd",
	    { "/usr/bin/etcd", "--data-dir", "$D/data", "--listen-client-urls",
		"http://127.0.0.1:$P", "--advertise-client-urls",
		"http://127.0.0.1:$P", "--listen-peer-urls",
		"http://127.0.0.1:$Q", "--initial-advertise-peer-urls",
		"http://127.0.0.1:$Q", "--initial-cluster",
		"default=http://127.0.0.1:$Q" } },
	{ "zookeeper", "/usr/share/java/zookeeper.jar",
	    { "/usr/bin/java", "-Xmx128m", "-XX:+UseSerialGC",
		"-XX:TieredStopAtLevel=1",
		"-Dzookeeper.admin.enableServer=false", "-cp",
		"/usr/share/java/zookeeper.jar",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain",
		"$D/zoo.cfg" } },
};

static const struct service *service;
static char folder[64];
static int port, other_port;
static pid_t pid;

static int
find_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&sin, len) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		abort();
	(void)close(fd);
	return ntohs(sin.sin_port);
}

static void
write_settings(void)
{
	char name[128];
	FILE *f;

	(void)snprintf(name, sizeof(name), "%s/zoo.cfg", folder);
	if ((f = fopen(name, "w")) == NULL)
		abort();
	(void)fprintf(f,
	    "tickTime=500\ndataDir=%s/data\nclientPort=%d\n"
	    "clientPortAddress=127.0.0.1\n",
	    folder, port);
	(void)fclose(f);
}

bool
service_make(const char *type)
{
	size_t i;

	for (i = 0; i < NITEMS(services); i++)
		if (strcmp(services[i].type, type) == 0)
			service = &services[i];
	if (service == NULL || access(service->file, R_OK) == -1 ||
	    access(service->words[0], X_OK) == -1)
		return false;
	/* In memory if possible: a busy disk takes longer than lock.reply. */
	(void)strcpy(folder, "/dev/shm/tuslocksXXXXXX");
	if (mkdtemp(folder) == NULL)
		(void)strcpy(folder, "/tmp/tuslocksXXXXXX");
	if (strncmp(folder, "/tmp", 4) == 0 && mkdtemp(folder) == NULL)
		abort();
	port = find_port();
	other_port = find_port();
	write_settings();
	return true;
}

static char *
expand(const char *word)
{
	char *out = malloc(256);
	size_t at = 0;

	if (out == NULL)
		abort();
	for (out[0] = '\0'; *word != '\0'; word++) {
		if (word[0] == '$' && word[1] == 'D')
			at += (size_t)sprintf(out + at, "%s", folder);
		else if (word[0] == '$')
			at += (size_t)sprintf(
			    out + at, "%d", word[1] == 'P' ? port : other_port);
		else
			at += (size_t)sprintf(out + at, "%c", *word);
		word += *word == '$';
	}
	return out;
}

static _Noreturn void
become(void)
{
	char *words[WORDS + 1] = { NULL };
	int i, null = open("/dev/null", O_RDWR);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	for (i = 0; service->words[i] != NULL; i++)
		words[i] = expand(service->words[i]);
	(void)execv(words[0], words);
	_exit(1);
}

static bool
answers(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool yes = connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;

	(void)close(fd);
	return yes;
}

bool
service_start(void)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	int i;

	pid = fork();
	if (pid == 0)
		become();
	for (i = 0; i < 100 * READY_S && !answers(); i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return false;
		(void)nanosleep(&nap, NULL);
	}
	return answers();
}

void
service_signal(int sig)
{
	(void)kill(pid, sig);
}

void
service_stop(int sig)
{
	(void)kill(pid, sig);
	(void)waitpid(pid, NULL, 0);
}

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static void
remove_below(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s%s", folder, name);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
service_forget(void)
{
	remove_below("/data");
}

void
service_remove(void)
{
	remove_below("");
}

int
service_port(void)
{
	return port;
}
