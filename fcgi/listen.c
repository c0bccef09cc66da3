/*
 * listen.c - the socket that the workers accept on.
 *
 * FCGX_OpenSocket() is not used: it removes any file at the path and calls
 * exit().  Two pools started by mistake would silently take over each other's
 * socket.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/become.h"
#include "base/fs.h"
#include "base/log.h"
#include "fcgi/listen.h"

#define SYSTEMD_FIRST_FD 3

/* How long to wait for the lock on the directory, in ms. */
#define LOCK_TIME 1000

static bool
is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

bool
listen_is_inherited(void)
{
	return is_listening(STDIN_FILENO);
}

static bool
has_systemd_socket(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");

	return pid != NULL && fds != NULL && atol(pid) == (long)getpid() &&
	    atoi(fds) >= 1;
}

const char *
listen_address(const char *address, const struct conf *conf)
{
	if (address == NULL)
		address = conf->pool.listen;
	if (*address != '\0')
		return address;
	if (has_systemd_socket())
		return "the socket that systemd passed";
	return listen_is_inherited() ? "descriptor 0" : NULL;
}

static enum err_code
take_systemd_socket(struct listener *l, struct err *e)
{
	if (!is_listening(SYSTEMD_FIRST_FD))
		return err_set(e, ERR_INVALID,
		    "LISTEN_FDS is set but descriptor %d is not a listening "
		    "socket: the socket unit needs Accept=no",
		    SYSTEMD_FIRST_FD);
	l->fd = SYSTEMD_FIRST_FD;
	(void)fcntl(l->fd, F_SETFD, FD_CLOEXEC);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return ERR_OK;
}

/* Move the socket away from descriptor 0, so that no library reads requests as
 * standard input. */
static enum err_code
take_stdin(struct listener *l, struct err *e)
{
	int null;

	l->inherited = true;
	l->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (l->fd == -1)
		return err_sys(e, "duplicate descriptor 0");
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null == -1)
		return err_sys(e, "open /dev/null");
	(void)dup2(null, STDIN_FILENO);
	(void)close(null);
	return ERR_OK;
}

/* Does a program listen at this address?  A full backlog means yes. */
static bool
is_served(const struct sockaddr_un *sun, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool served;

	if (fd == -1)
		return true;
	served = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno == EAGAIN || errno == EINPROGRESS || errno == EACCES;
	(void)close(fd);
	return served;
}

/* Remove a socket that a killed pool left behind, and nothing else. */
static enum err_code
remove_stale(const struct sockaddr_un *sun, int type, struct err *e)
{
	const char *path = sun->sun_path;
	struct stat st;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? ERR_OK : err_sys(e, "stat %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_EXISTS,
		    "%s exists and is not a socket: remove it, or listen "
		    "elsewhere",
		    path);
	if (is_served(sun, type))
		return err_set(e, ERR_EXISTS,
		    "another program listens on %s: stop it first, or "
		    "listen elsewhere",
		    path);
	if (unlink(path) == -1)
		return err_sys(e, "remove stale socket %s", path);
	return ERR_OK;
}

/* Bind with mode 0: no client can connect before owner and mode are right. */
static enum err_code
bind_path(struct listener *l, const struct sockaddr_un *sun, mode_t mode,
    const struct conf *conf, struct err *e)
{
	const char *path = sun->sun_path;
	struct stat st;
	mode_t mask;
	uid_t uid;
	gid_t gid;
	int rc;

	if (become_find(conf, &uid, &gid, e) != ERR_OK)
		return e->code;
	if (geteuid() != 0)
		uid = (uid_t)-1;
	mask = umask(0777);
	rc = bind(l->fd, (const struct sockaddr *)sun, sizeof(*sun));
	(void)umask(mask);
	if (rc == -1)
		return err_sys(e, "bind to %s", path);
	if (lstat(path, &st) == -1)
		return err_sys(e, "stat %s", path);
	l->path = must_strdup(path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    chown(path, uid, gid) == -1)
		return err_sys(e, "give %s to pool.user and pool.group", path);
	if (chmod(path, mode) == -1)
		return err_sys(e, "set the mode of %s", path);
	return ERR_OK;
}

/*
 * Two programs that start at the same time take turns: each locks the directory
 * from the check until it listens.  The wait is limited, because any program
 * that may read the directory can hold that lock for as long as it likes.
 */
static int
lock_directory(const char *path)
{
	char *dir = must_strdup(path);
	char *slash = strrchr(dir, '/');
	int fd;

	if (slash != NULL)
		slash[slash == dir] = '\0';
	fd =
	    open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 && !fs_lock_in_time(fd, LOCK_TIME) && errno == EWOULDBLOCK)
		log_warn(
		    "another process holds a lock on %s: started without it",
		    slash != NULL ? dir : ".");
	free(dir);
	return fd;
}

static enum err_code
listen_on_path(const char *path, int type, mode_t mode, const struct conf *conf,
    struct listener *l, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	enum err_code rc;
	int dir;

	if (strlen(path) >= sizeof(sun.sun_path))
		return err_set(e, ERR_INVALID,
		    "%s is too long for a socket: %zu characters at most", path,
		    sizeof(sun.sun_path) - 1);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	l->fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (l->fd == -1)
		return err_sys(e, "socket");
	dir = lock_directory(path);
	rc = remove_stale(&sun, type, e);
	if (rc == ERR_OK)
		rc = bind_path(l, &sun, mode, conf, e);
	if (rc == ERR_OK && listen(l->fd, (int)conf->pool.backlog) == -1)
		rc = err_sys(e, "listen on %s", path);
	if (dir != -1)
		(void)close(dir);
	return rc;
}

/* Resolve "HOST:PORT", "[ADDRESS]:PORT" or "*:PORT"; without a host:
 * loopback. */
static enum err_code
resolve(const char *address, struct addrinfo **found, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE };
	char *copy = must_strdup(address);
	char *port = strrchr(copy, ':');
	const char *host = copy;
	int rc;

	*port++ = '\0';
	if (*copy == '[') {
		host = copy + 1;
		copy[strcspn(copy, "]")] = '\0';
	}
	if (*host == '\0')
		host = "127.0.0.1";
	else if (strcmp(host, "*") == 0)
		host = NULL;
	rc = getaddrinfo(host, port, &hints, found);
	free(copy);
	if (rc != 0)
		return err_set(
		    e, ERR_INVALID, "%s: %s", address, gai_strerror(rc));
	return ERR_OK;
}

static bool
is_port(const char *text)
{
	long n = strtol(text, NULL, 10);

	return text[strspn(text, "0123456789")] == '\0' && n > 0 && n < 65536;
}

static enum err_code
listen_on_port(const char *address, const struct conf *conf, struct listener *l,
    struct err *e)
{
	struct addrinfo *found;
	int on = 1, rc;

	if (!is_port(strrchr(address, ':') + 1))
		return err_set(e, ERR_INVALID,
		    "\"%s\": the port is a number from 1 to 65535", address);
	if (resolve(address, &found, e) != ERR_OK)
		return e->code;
	l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd == -1) {
		freeaddrinfo(found);
		return err_sys(e, "socket");
	}
	(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	rc = bind(l->fd, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (rc == -1 || listen(l->fd, (int)conf->pool.backlog) == -1)
		return err_sys(e, "listen on %s", address);
	return ERR_OK;
}

static enum err_code
open_address(const char *address, const struct conf *conf, struct listener *l,
    struct err *e)
{
	if (strchr(address, '/') != NULL)
		return listen_on_path(
		    address, SOCK_STREAM, (mode_t)conf->pool.mode, conf, l, e);
	if (strchr(address, ':') != NULL)
		return listen_on_port(address, conf, l, e);
	return err_set(e, ERR_INVALID,
	    "\"%s\" is no address: write /path/to/socket or HOST:PORT",
	    address);
}

/* Several workers wait for a connection, and another may accept it first. */
static enum err_code
finish(struct listener *l, enum err_code rc, struct err *e)
{
	if (rc == ERR_OK &&
	    fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK) == -1)
		rc = err_sys(e, "make the socket non-blocking");
	if (rc != ERR_OK)
		listen_close(l);
	return rc;
}

enum err_code
listen_open(const char *address, const struct conf *conf, struct listener *l,
    struct err *e)
{
	const char *name = listen_address(address, conf);
	enum err_code rc;

	*l = (struct listener){ .fd = -1 };
	if (name != NULL)
		l->name = must_strdup(name);
	if (address == NULL)
		address = conf->pool.listen;
	if (*address != '\0')
		rc = open_address(address, conf, l, e);
	else if (has_systemd_socket())
		rc = take_systemd_socket(l, e);
	else if (listen_is_inherited())
		rc = take_stdin(l, e);
	else
		rc = err_set(e, ERR_INVALID,
		    "nothing to listen on: give -s ADDRESS, set pool.listen "
		    "in the configuration, or pass a listening socket "
		    "(systemd, spawn-fcgi, mod_fcgid)");
	return finish(l, rc, e);
}

enum err_code
listen_for_locks(const struct conf *conf, struct listener *l, struct err *e)
{
	const char *path = conf->lock.agent;

	*l = (struct listener){ .fd = -1, .name = must_strdup(path) };
	return finish(l,
	    listen_on_path(path, SOCK_SEQPACKET, S_IRUSR | S_IWUSR, conf, l, e),
	    e);
}

void
listen_close(struct listener *l)
{
	struct stat st;

	if (l->path != NULL && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	free(l->path);
	free(l->name);
	l->path = l->name = NULL;
	if (l->fd != -1)
		(void)close(l->fd);
	l->fd = -1;
}
