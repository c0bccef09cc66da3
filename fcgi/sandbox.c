/*
 * sandbox.c - confine the process to what it needs.
 *
 * glibc has no wrappers for Landlock, so its system calls are made by number.
 */
#include "config.h"

#include <sys/resource.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/compat.h"
#include "base/pinned.h"
#include "base/log.h"
#include "fcgi/needs.h"
#include "fcgi/sandbox.h"
#include "lock/lock.h"

/* Of a process: tells of each of its needs. */
typedef void each_need(const struct conf *, need_ear *, void *arg);

#ifdef USE_LANDLOCK

#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <unistd.h>

/* These rights are younger than some headers that have the others. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define TO_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define TO_KEEP                                                                \
	(TO_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                             \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |   \
	    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |        \
	    LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)

/* Files that libraries read when they are first used: OpenSSL its
 * configuration, the name service its modules. */
static const char *const always_read[] = { "/dev/urandom", "/dev/null",
	"/etc/ssl", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/proc/self" };

/* Files needed to resolve a host name and to verify its certificate. */
static const char *const read_for_hosts[] = { "/etc", "/usr/share", "/run",
	"/usr/local/share/ca-certificates" };

/* All rights that this kernel can restrict. */
static uint64_t
known_rights(int abi)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return rights;
}

static bool
is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A path that does not exist needs no permission. */
static void
allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	int pinned = pinned_fd(path);

	rule.parent_fd = openat(pinned != -1 ? pinned : AT_FDCWD,
	    pinned != -1 ? "." : path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return;
	if (!is_directory(rule.parent_fd))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE |
		    LANDLOCK_ACCESS_FS_WRITE_FILE;
	(void)syscall(SYS_landlock_add_rule, ruleset,
	    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	(void)close(rule.parent_fd);
}

struct rules {
	int ruleset;
	/* The rights that the kernel can restrict. */
	uint64_t known;
};

static void
allow_need(void *arg, enum need need, const char *key, const char *path)
{
	const struct rules *r = arg;
	size_t i;

	(void)key;
	switch (need) {
	case NEED_READ:
		allow(r->ruleset, path, TO_READ);
		break;
	case NEED_KEEP:
	case NEED_PUT:
		allow(r->ruleset, path, TO_KEEP & r->known);
		break;
	case NEED_HOSTS:
		for (i = 0; i < NITEMS(read_for_hosts); i++)
			allow(r->ruleset, read_for_hosts[i], TO_READ);
		break;
	case NEED_PROGRAMS:
		break;
	}
}

/* The whole directory: a log that was rotated is a new file in it. */
static void
allow_log(int ruleset, const char *target)
{
	const char *slash = strrchr(target, '/');
	struct arena *a;

	if (slash == NULL)
		return;
	a = arena_new();
	allow(ruleset, arena_memdup(a, target, (size_t)(slash - target) + 1),
	    LANDLOCK_ACCESS_FS_WRITE_FILE);
	arena_free(a);
}

static void
allow_all(
    int ruleset, const struct conf *conf, each_need *needs, uint64_t known)
{
	struct rules r = { ruleset, known };
	size_t i;

	needs(conf, allow_need, &r);
	allow_log(ruleset, conf->log.target);
	for (i = 0; i < NITEMS(always_read); i++)
		allow(ruleset, always_read[i], TO_READ);
}

/* To what the configuration needs; NULL: to nothing. */
static void
confine_files(const struct conf *conf, each_need *needs)
{
	struct landlock_ruleset_attr attr = { 0 };
	int abi, fd;

	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1) {
		log_debug("files are not confined: %s", strerror(errno));
		return;
	}
	attr.handled_access_fs = known_rights(abi);
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd == -1) {
		log_warn("files are not confined: %s", strerror(errno));
		return;
	}
	if (conf != NULL)
		allow_all(fd, conf, needs, attr.handled_access_fs);
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		log_warn("files are not confined: %s", strerror(errno));
	else
		log_debug("files are confined, Landlock %d", abi);
	(void)close(fd);
}

#else

static void
confine_files(const struct conf *conf, each_need *needs)
{
	(void)conf;
	(void)needs;
	log_debug("files are not confined: built without Landlock");
}

#endif

static void
give_away_rights(void)
{
	static const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
#ifdef PR_SET_NO_NEW_PRIVS
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		log_warn(
		    "new privileges are not ruled out: %s", strerror(errno));
#endif
}

void
sandbox_enter_bare(const struct conf *conf)
{
	if (!conf->pool.sandbox)
		return;
	give_away_rights();
	confine_files(NULL, NULL);
}

void
sandbox_enter(const struct conf *conf, bool may_reload)
{
	if (!conf->pool.sandbox)
		return;
	give_away_rights();
	if (may_reload)
		log_debug("files are not confined: there is no pool");
	else if (needs_any(conf, NEED_PROGRAMS))
		log_debug("files are not confined: hooks are programs");
	else
		confine_files(conf, needs_each);
}

void
sandbox_enter_agent(const struct conf *conf)
{
	if (!conf->pool.sandbox)
		return;
	give_away_rights();
	confine_files(conf, locker_agent_needs);
}
