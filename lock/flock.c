/*
 * flock.c - one lock file per upload, ID.lock, kept as long as it may be
 * needed.
 *
 * The process that holds an exclusive lock on the file of that name holds the
 * upload; it releases the lock with close(2), and the kernel does so for a dead
 * process.  The file stays after a release, because creating and removing one
 * costs six times as much as locking it.  It is removed while it is held; so
 * the file may have been unlinked before we locked it, which is checked each
 * time.
 *
 * A process that cannot get the lock keeps the file open.  It holds a read lock
 * on one byte far beyond the file's end, by which the holder learns that the
 * lock is wanted, and a write lock on one of a few bytes after that, which
 * limits the number of waiting processes.  Both are open file description
 * locks: they end with their owner and leave nothing behind.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/pinned.h"
#include "base/id.h"
#include "base/log.h"
#include "lock/lock.h"

/* The size of a lock file's name, with the NUL. */
#define NAME_SIZE (ID_MAX + sizeof(".lock"))

#define BYTE_LOCK ((off_t)0)
#define BYTE_WANT ((off_t)1 << 40)
#define BYTE_SLOT (BYTE_WANT + 1)

enum {
	/* How many processes may wait for one upload. */
	SLOTS = LOCK_WAITERS,
	/* How many uploads one process may wait for at the same time. */
	ASKS_MAX = 8,
	/* How often one call may find that the lock file was removed
	 * meanwhile. */
	TRIES_MAX = 64
};

/* An upload that this process waits for. */
struct ask {
	char id[ID_MAX + 1];
	/* -1: this entry is free. */
	int fd;
};

struct flock_locker {
	struct locker base;
	int dirfd;
	mode_t mode;
	/* Returns 0 if another process has it, -1 with errno, else the lock is
	 * ours. */
	int (*try_lock)(int fd);
	void (*let_go)(int fd);
	struct ask asks[ASKS_MAX];
};

struct flock_lock {
	struct lock base;
	int fd;
	/* The file did not exist before, and must not stay. */
	bool is_fleeting;
	char name[NAME_SIZE];
};

/* Take or query a lock that belongs to the open file description. */
static int
byte_lock(int fd, int cmd, struct flock *range, off_t byte, off_t len)
{
	range->l_whence = SEEK_SET;
	range->l_start = byte;
	range->l_len = len;
	range->l_pid = 0;
	return fcntl(fd, cmd, range);
}

static int
set_bytes(int fd, short type, off_t byte, off_t len)
{
	struct flock range = { .l_type = type };

	return byte_lock(fd, F_OFD_SETLK, &range, byte, len);
}

/* A call that was interrupted did not get the lock; the caller tries again. */
static bool
is_taken(int sys)
{
	return sys == EWOULDBLOCK || sys == EAGAIN || sys == EACCES ||
	    sys == EINTR;
}

static int
try_whole_file(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB);
}

static int
try_first_byte(int fd)
{
	return set_bytes(fd, F_WRLCK, BYTE_LOCK, 1);
}

static void
let_go_of_file(int fd)
{
	(void)close(fd);
}

/* FUSE unlocks what was closed a while later, seconds on a busy machine. */
static void
let_go_of_bytes(int fd)
{
	(void)set_bytes(fd, F_UNLCK, 0, 0);
	(void)close(fd);
}

static const struct {
	const char *name;
	int (*try_lock)(int fd);
	void (*let_go)(int fd);
} methods[] = {
	{ "flock", try_whole_file, let_go_of_file },
	{ "ofd", try_first_byte, let_go_of_bytes },
};

static enum err_code
make_name(const char *id, char name[NAME_SIZE], struct err *e)
{
	if (!id_is_valid(id))
		return err_set(e, ERR_INVALID, "lock: not an upload id");
	(void)stpcpy(stpcpy(name, id), ".lock");
	return ERR_OK;
}

/* ERR_CONFLICT: the name belongs to another file by now, or does not exist. */
static enum err_code
check_name(
    const struct flock_locker *l, int fd, const char *name, struct err *e)
{
	bool has_name = true;
	struct stat st;
	enum err_code rc;

	/* NFS believes for 30 s in a name that another host removed, and the
	 * file stays as long as it is open. */
	if (l->try_lock == try_first_byte)
		fs_refresh(l->dirfd, false);
	rc = fs_stat_regular(l->dirfd, fd, name, &st, e);
	if (rc == ERR_OK)
		rc = fs_has_name(l->dirfd, name, &st, &has_name, e);
	if (rc == ERR_OK ? has_name : e->sys != ESTALE)
		return rc;
	return err_set(e, ERR_CONFLICT, "%s was removed", name);
}

/* ERR_CONFLICT: locked, but the file is not the lock of that upload any
 * more. */
static enum err_code
try_file(struct flock_locker *l, int fd, const char *name, struct err *e)
{
	if (l->try_lock(fd) == 0)
		return check_name(l, fd, name, e);
	if (!is_taken(errno))
		return err_sys(e, "lock %s", name);
	return err_set(e, ERR_LOCKED, "%s is held", name);
}

/* ERR_EXISTS: the file did not exist and then did; try again. */
static enum err_code
open_file(const struct flock_locker *l, const char *name, enum lock_how how,
    int *fd, bool *made, struct err *e)
{
	enum err_code rc;

	*made = false;
	rc = fs_open_thing_at(l->dirfd, name, O_RDWR, fd, e);
	if (rc != ERR_NOT_FOUND || how == LOCK_EXISTING ||
	    how == LOCK_EXISTING_QUIETLY)
		return rc;
	rc = fs_create_at(l->dirfd, name, l->mode, fd, e);
	*made = rc == ERR_OK;
	return rc;
}

static struct ask *
find_ask(struct flock_locker *l, const char *id)
{
	size_t i;

	for (i = 0; i < NITEMS(l->asks); i++)
		if (l->asks[i].fd != -1 && strcmp(l->asks[i].id, id) == 0)
			return &l->asks[i];
	return NULL;
}

static struct ask *
find_free_ask(struct flock_locker *l)
{
	size_t i;

	for (i = 0; i < NITEMS(l->asks); i++)
		if (l->asks[i].fd == -1)
			return &l->asks[i];
	return NULL;
}

static void
drop_ask(const struct flock_locker *l, struct ask *ask)
{
	l->let_go(ask->fd);
	ask->fd = -1;
}

/* Take one of the bytes for waiting processes before asking for the lock. */
static enum err_code
show_intent(int fd, const char *id, struct err *e)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		if (set_bytes(fd, F_WRLCK, BYTE_SLOT + i, 1) == 0)
			break;
		if (!is_taken(errno))
			return err_sys(e, "wait for %s.lock", id);
	}
	if (i == SLOTS)
		return err_set(
		    e, ERR_CROWDED, "%d wait for %s.lock already", SLOTS, id);
	if (set_bytes(fd, F_RDLCK, BYTE_WANT, 1) == -1)
		return err_sys(e, "ask for %s.lock", id);
	return ERR_OK;
}

/* Keeps the file open if it returns ERR_LOCKED, else closes it. */
static enum err_code
begin_to_ask(struct flock_locker *l, const char *id, int fd, struct err *e)
{
	struct ask *ask = find_free_ask(l);
	enum err_code rc;

	if (ask == NULL)
		rc = err_set(e, ERR_CROWDED,
		    "this process waits for %d locks already", ASKS_MAX);
	else
		rc = show_intent(fd, id, e);
	if (rc != ERR_OK) {
		(void)close(fd);
		return rc;
	}
	ask->fd = fd;
	(void)snprintf(ask->id, sizeof(ask->id), "%s", id);
	return err_set(e, ERR_LOCKED, "%s.lock is held", id);
}

static struct lock *
hand_out(struct flock_locker *l, int fd, const char *name, bool is_fleeting,
    struct arena *a)
{
	struct flock_lock *lock = arena_alloc(a, sizeof(*lock));

	lock->base = (struct lock){ .locker = &l->base };
	lock->fd = fd;
	lock->is_fleeting = is_fleeting;
	(void)stpcpy(lock->name, name);
	return &lock->base;
}

/*
 * Try again as in acquire(), with the file that was kept open.  The waiting
 * process shares the file with others, so it may not count as its creator even
 * if it created it.
 */
static enum err_code
ask_again(struct flock_locker *l, struct ask *ask, const char *name,
    struct arena *a, struct lock **out, struct err *e)
{
	enum err_code rc = try_file(l, ask->fd, name, e);

	if (rc == ERR_LOCKED)
		return rc;
	if (rc != ERR_OK) {
		drop_ask(l, ask);
		return rc;
	}
	if (set_bytes(ask->fd, F_UNLCK, BYTE_WANT, 1 + SLOTS) == -1) {
		rc = err_sys(e, "stop asking for %s", name);
		drop_ask(l, ask);
		return rc;
	}
	*out = hand_out(l, ask->fd, name, false, a);
	ask->fd = -1;
	return ERR_OK;
}

static enum err_code
flock_acquire(struct locker *locker, const char *id, enum lock_how how,
    struct arena *a, struct lock **out, struct err *e)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	char name[NAME_SIZE];
	struct ask *ask;
	enum err_code rc;
	int fd, tries;
	bool made;

	if ((rc = make_name(id, name, e)) != ERR_OK)
		return rc;
	if ((ask = find_ask(l, id)) != NULL) {
		rc = ask_again(l, ask, name, a, out, e);
		if (rc != ERR_CONFLICT)
			return rc;
	}
	for (tries = 0; tries < TRIES_MAX; tries++) {
		rc = open_file(l, name, how, &fd, &made, e);
		if (rc == ERR_EXISTS)
			continue;
		if (rc != ERR_OK)
			return rc;
		rc = try_file(l, fd, name, e);
		if (rc == ERR_OK) {
			*out = hand_out(
			    l, fd, name, made && how == LOCK_QUIETLY, a);
			return ERR_OK;
		}
		if (rc == ERR_LOCKED &&
		    (how == LOCK_CREATE || how == LOCK_EXISTING))
			return begin_to_ask(l, id, fd, e);
		(void)close(fd);
		if (rc != ERR_CONFLICT)
			return rc;
	}
	return err_set(e, ERR_LOCKED, "%s changes hands too fast", name);
}

static void
flock_stop_asking(struct locker *locker, const char *id)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	struct ask *ask = find_ask(l, id);

	if (ask != NULL)
		drop_ask(l, ask);
}

/*
 * If the file was removed by hand, another process may hold a new file of the
 * same name by now, which must not be removed.
 */
static void
remove_file(struct flock_lock *lock)
{
	struct flock_locker *l =
	    OUTER(lock->base.locker, struct flock_locker, base);
	struct err e;
	bool is_ours = check_name(l, lock->fd, lock->name, &e) == ERR_OK;

	if (is_ours && fs_unlink_at(l->dirfd, lock->name, &e) != ERR_OK)
		log_warn("%s", e.text);
}

static void
flock_release(struct lock *base, bool for_good)
{
	struct flock_locker *l = OUTER(base->locker, struct flock_locker, base);
	struct flock_lock *lock = OUTER(base, struct flock_lock, base);

	if (for_good || lock->is_fleeting)
		remove_file(lock);
	l->let_go(lock->fd);
	lock->fd = -1;
}

static bool
is_asked_for(int fd)
{
	struct flock range = { .l_type = F_WRLCK };

	return byte_lock(fd, F_OFD_GETLK, &range, BYTE_WANT, 1) == 0 &&
	    range.l_type != F_UNLCK;
}

static enum lock_state
flock_state(struct lock *base)
{
	struct flock_lock *lock = OUTER(base, struct flock_lock, base);

	return is_asked_for(lock->fd) ? LOCK_WANTED : LOCK_HELD;
}

/* --- Lending: the lock is the open file's, whichever process has that. --- */

static void
flock_lend(struct lock *base, struct lock_loan *loan)
{
	struct flock_lock *lock = OUTER(base, struct flock_lock, base);

	*loan = (struct lock_loan){ .fd = lock->fd };
}

static void
flock_parted(struct lock *base)
{
	struct flock_lock *lock = OUTER(base, struct flock_lock, base);

	(void)close(lock->fd);
	lock->fd = -1;
}

static enum err_code
flock_adopt(struct locker *locker, const char *id, const struct lock_loan *loan,
    struct arena *a, struct lock **out, struct err *e)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	char name[NAME_SIZE];
	enum err_code rc;

	if ((rc = make_name(id, name, e)) == ERR_OK)
		rc = check_name(l, loan->fd, name, e);
	if (rc == ERR_OK)
		*out = hand_out(l, loan->fd, name, false, a);
	else
		(void)close(loan->fd);
	return rc;
}

static bool
flock_is_wanted(const struct lock_loan *loan)
{
	return is_asked_for(loan->fd);
}

/*
 * Parse one line of /proc/locks, "1: FLOCK ADVISORY WRITE 1234 fe:01:5678 0
 * EOF".  File systems with an anonymous device (btrfs, overlayfs) show another
 * device number there than in stat(), so only the inode is compared.
 */
static bool
is_lock_on(const char *line, const struct stat *st, pid_t *pid)
{
	unsigned long long inode;
	unsigned dev_major, dev_minor;
	long long start;
	char kind[8];
	int p;

	if (sscanf(line, "%*s %7s %*s WRITE %d %x:%x:%llu %lld", kind, &p,
		&dev_major, &dev_minor, &inode, &start) != 6)
		return false;
	if (inode != st->st_ino || start != BYTE_LOCK)
		return false;
	if (major(st->st_dev) != 0 &&
	    makedev(dev_major, dev_minor) != st->st_dev)
		return false;
	*pid = p > 0 ? (pid_t)p : -1;
	return true;
}

/*
 * /proc/locks names the process that took the lock, for as long as any process
 * has it: by now it may be another one.
 */
static bool
may_have_open(pid_t pid, const struct stat *st)
{
	char path[32];
	const struct dirent *entry;
	struct stat found;
	bool is_open = false;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	if ((dir = opendir(path)) == NULL)
		return errno != ENOENT;
	while (!is_open && (entry = readdir(dir)) != NULL)
		is_open = fstatat(dirfd(dir), entry->d_name, &found, 0) == 0 &&
		    found.st_ino == st->st_ino && found.st_dev == st->st_dev;
	(void)closedir(dir);
	return is_open;
}

/* The kernel's list has the locks of this host, and those of FUSE not at all;
 * only the server knows all of them. */
static bool
is_first_byte_held(const struct flock_locker *l, const char *name)
{
	struct flock range = { .l_type = F_WRLCK };
	bool is_held = false;
	struct err e;
	int fd;

	if (l->try_lock != try_first_byte ||
	    fs_open_thing_at(l->dirfd, name, O_RDONLY, &fd, &e) != ERR_OK)
		return false;
	is_held = byte_lock(fd, F_OFD_GETLK, &range, BYTE_LOCK, 1) == 0 &&
	    range.l_type != F_UNLCK;
	(void)close(fd);
	return is_held;
}

static bool
flock_holder(struct locker *locker, const char *id, struct lock_holder *holder)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	char name[NAME_SIZE], line[160];
	struct stat st;
	struct err e;
	bool is_held = false;
	FILE *locks;

	*holder = (struct lock_holder){ .pid = -1 };
	if (make_name(id, name, &e) != ERR_OK ||
	    fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return false;
	if ((locks = fopen("/proc/locks", "re")) == NULL)
		return true;
	while (!is_held && fgets(line, sizeof(line), locks) != NULL)
		is_held = is_lock_on(line, &st, &holder->pid);
	(void)fclose(locks);
	if (is_held && holder->pid != -1 && !may_have_open(holder->pid, &st))
		holder->pid = -1;
	return is_held || is_first_byte_held(l, name);
}

/* A lock file is empty: a composer.lock, if the directory is shared with other
 * programs, is not ours. */
static bool
is_lock_file(const struct flock_locker *l, const char *name)
{
	const char *dot = strchr(name, '.');
	struct stat st;

	return dot != NULL && strcmp(dot, ".lock") == 0 &&
	    fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_size == 0;
}

static enum err_code
flock_walk_next(struct locker *locker, void **cursor, struct arena *a,
    const char **id, struct err *e)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	DIR *dir = *cursor;
	const char *name;
	enum err_code rc;

	for (;;) {
		rc = fs_walk_next(l->dirfd, &dir, &name, e);
		*cursor = dir;
		*id = NULL;
		if (rc != ERR_OK || name == NULL)
			return rc;
		if (!is_lock_file(l, name))
			continue;
		*id = arena_memdup(a, name, strcspn(name, "."));
		if (id_is_valid(*id))
			return ERR_OK;
	}
}

static bool
flock_has(struct locker *locker, const char *id)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	char name[NAME_SIZE];
	struct stat st;
	struct err e;

	return make_name(id, name, &e) != ERR_OK ||
	    fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    errno != ENOENT;
}

static void
flock_shutdown(struct locker *locker)
{
	struct flock_locker *l = OUTER(locker, struct flock_locker, base);
	size_t i;

	for (i = 0; i < NITEMS(l->asks); i++)
		if (l->asks[i].fd != -1)
			drop_ask(l, &l->asks[i]);
	(void)close(l->dirfd);
	free(l);
}

static const struct locker_ops ops = {
	.acquire = flock_acquire,
	.stop_asking = flock_stop_asking,
	.release = flock_release,
	.state = flock_state,
	.holder = flock_holder,
	.shutdown = flock_shutdown,
};

static const struct locker_traces traces = {
	.walk_next = flock_walk_next,
	.has = flock_has,
};

static const struct locker_lender lender = {
	.lend = flock_lend,
	.parted = flock_parted,
	.adopt = flock_adopt,
	.is_wanted = flock_is_wanted,
};

static enum err_code
set_method(struct flock_locker *l, const char *name, struct err *e)
{
	size_t i;

	for (i = 0; i < NITEMS(methods); i++) {
		if (strcmp(methods[i].name, name) != 0)
			continue;
		l->try_lock = methods[i].try_lock;
		l->let_go = methods[i].let_go;
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID,
	    "lock.method \"%s\" is neither \"flock\" nor \"ofd\"", name);
}

static enum err_code
flock_open(const struct conf *conf, struct locker **locker, struct err *e)
{
	struct flock_locker *l = must_alloc(sizeof(*l));
	const char *path = conf->lock.path;
	enum err_code rc;
	size_t i;

	l->base.name = "flock";
	l->base.ops = &ops;
	l->base.traces = &traces;
	l->base.lender = &lender;
	l->base.is_inherited = true;
	l->mode = FS_LOCK_MODE(conf->store.file_mode);
	for (i = 0; i < NITEMS(l->asks); i++)
		l->asks[i].fd = -1;
	if (path[0] == '\0')
		path = conf->store.path;
	rc = set_method(l, conf->lock.method, e);
	if (rc == ERR_OK)
		rc = pinned_open_dir(path, &l->dirfd, e);
	if (rc != ERR_OK) {
		free(l);
		return rc;
	}
	*locker = &l->base;
	return ERR_OK;
}

static enum err_code
check_keys(const struct conf *conf, struct err *e)
{
	if (!conf->store.shared)
		return ERR_OK;
	if (strcmp(conf->lock.method, "ofd") != 0)
		return err_set(e, ERR_INVALID,
		    "store.shared needs lock.method = \"ofd\": not every "
		    "shared file system has flock()");
	if (*conf->lock.path != '\0')
		return err_set(e, ERR_INVALID,
		    "store.shared: remove lock.path, for the locks have to be "
		    "where all hosts see them");
	return ERR_OK;
}

static void
needs(const struct conf *conf, need_ear *ear, void *arg)
{
	if (*conf->lock.path != '\0')
		ear(arg, NEED_KEEP, "lock.path", conf->lock.path);
	else
		ear(arg, NEED_KEEP, "store.path", conf->store.path);
}

const struct locker_class locker_flock = {
	.name = "flock",
	.has_files = true,
	.lender = &lender,
	.check_keys = check_keys,
	.needs = needs,
	.open = flock_open,
};
