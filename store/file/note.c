/*
 * note.c - the store's note: the locks that guard the store, and its boot.
 *
 * Two processes that use different lock directories do not exclude each other.
 * A process that sees another boot id than the others takes their bytes for
 * unflushed bytes of an earlier boot and cuts them.  So every process that
 * works in the store holds a shared lock on the file .store in it as long as it
 * lives, and checks that it agrees with its content.  A pool that starts and
 * gets an exclusive lock is alone, and writes the note anew.
 *
 * The lock is flock's, on a descriptor that children inherit: it is held until
 * the last of them has ended.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fs.h"
#include "base/pinned.h"
#include "base/log.h"
#include "store/file/file.h"

enum {
	/* The longest text of a note. */
	NOTE_MAX = 4096,
	/* A starting pool has the exclusive lock for less than this. */
	TRIES = 100,
	PAUSE_MS = 20,
	/* How much of a path is shown in a log line. */
	PATH_SHOWN = 34,
	/* Seconds by which two readings of the same clock may differ. */
	SLACK = 2,
	/* Seconds between two updates of the time that this boot has run. */
	WATCH = 10
};

struct note {
	/* The id of the store, which never changes. */
	char id[CLOCK_BOOT_ID_LEN + 1];

	/* The kernel's id of the boot, "" where it is not available; the id
	 * that records get; how many seconds this boot had run at the last
	 * look; and when it began, by the clock as it was set then. */
	char kernel[CLOCK_BOOT_ID_LEN + 1];
	char boot[CLOCK_BOOT_ID_LEN + 1];
	int64_t running, began;

	/* The locks: lock.type, method, path, prefix if there is a service, and
	 * the directory's device and inode; has_guards: a record may be locked
	 * instead, and all look whether it is. */
	char type[32], method[16], path[2048], prefix[256];
	uint64_t device, inode;
	bool has_guards;

	/* Do several hosts share the store?  Then boots have no meaning. */
	bool is_shared;
};

/* The result of the last check, shared by all processes of a pool. */
struct watch {
	/* Seconds of a clock that only increases. */
	_Atomic int64_t looked, noted;
	_Atomic bool is_away;
};

/* What this process, or the one that forked it, agreed on. */
static struct {
	/* The descriptor of the note; -1 if there is none. */
	int fd;
	bool is_writable, is_attached, is_stranger, has_began, has_guards;
	const char *path;
	char boot[CLOCK_BOOT_ID_LEN + 1], id[CLOCK_BOOT_ID_LEN + 1];
	struct watch *watch;
} ours = { .fd = -1 };

static const char *
lock_path(const struct conf *conf)
{
	const char *path = conf->lock.path;

	return *path != '\0' ? path : conf->store.path;
}

enum err_code
file_make_directory(const struct conf *conf, struct err *e)
{
	const char *path = conf->store.path;
	mode_t mode = (mode_t)conf->store.dir_mode;
	enum err_code rc;
	int fd;

	if (mkdir(path, mode & ~fs_umask()) == -1)
		return errno == EEXIST ? ERR_OK :
					 err_sys(e, "make directory %s", path);
	if ((rc = pinned_open_dir(path, &fd, e)) != ERR_OK)
		return rc;
	rc = fs_add_mode(fd, mode, path, e);
	(void)close(fd);
	return rc;
}

/* --- The text. --- */

/* These come first, so that they can be changed in place. */
#define RUNNING "{\"Running\":%20" PRId64 ","
#define BEGAN	"\"Began\":%20" PRId64 ","

/* Follows the method of the locks where records have guards.  A release that
 * does not look at guards has no such method, and so refuses to join. */
#define GUARDED '+'

static enum err_code
write_note(int fd, const struct note *n, struct err *e)
{
	const char plus[] = { n->has_guards ? GUARDED : '\0', '\0' };
	json_t *rest = json_pack("{ss ss ss sb s{ss ss+ ss? ss* sI sI}}",
	    "Kernel", n->kernel, "Boot", n->boot, "ID", n->id, "Shared",
	    n->is_shared, "Lock", "Type", n->type, "Method", n->method, plus,
	    "Path", n->path, "Prefix", *n->prefix != '\0' ? n->prefix : NULL,
	    "Device", (json_int_t)n->device, "Inode", (json_int_t)n->inode);
	char text[NOTE_MAX];
	char *json = rest != NULL ? json_dumps(rest, JSON_COMPACT) : NULL;
	enum err_code rc;
	int len;

	json_decref(rest);
	if (json == NULL)
		return err_set(e, ERR_INVALID, "lock.path is not UTF-8");
	len = snprintf(text, sizeof(text), RUNNING BEGAN "%s\n", n->running,
	    n->began, json + 1);
	free(json);
	rc = fs_pwrite(fd, text, (size_t)len, 0, NULL, e);
	if (rc == ERR_OK)
		rc = fs_truncate(fd, len, FILE_NOTE, e);
	return rc == ERR_OK ? fs_sync_data(fd, FILE_NOTE, e) : rc;
}

static bool
copy_text(json_t *from, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(from, key));

	if (text == NULL || strlen(text) >= size)
		return false;
	(void)stpcpy(to, text);
	return true;
}

static bool
read_method(json_t *lock, struct note *n)
{
	char *plus;

	if (!copy_text(lock, "Method", n->method, sizeof(n->method)))
		return false;
	plus = strchr(n->method, GUARDED);
	n->has_guards = plus != NULL && plus[1] == '\0';
	if (n->has_guards)
		*plus = '\0';
	return true;
}

static bool
parse_note(json_t *root, struct note *n)
{
	json_t *lock = json_object_get(root, "Lock");

	n->running = json_integer_value(json_object_get(root, "Running"));
	n->began = json_integer_value(json_object_get(root, "Began"));
	n->device =
	    (uint64_t)json_integer_value(json_object_get(lock, "Device"));
	n->inode = (uint64_t)json_integer_value(json_object_get(lock, "Inode"));
	n->is_shared = json_is_true(json_object_get(root, "Shared"));
	if (!copy_text(lock, "Prefix", n->prefix, sizeof(n->prefix)))
		n->prefix[0] = '\0';
	return copy_text(root, "Kernel", n->kernel, sizeof(n->kernel)) &&
	    copy_text(root, "Boot", n->boot, sizeof(n->boot)) &&
	    strlen(n->boot) == CLOCK_BOOT_ID_LEN &&
	    copy_text(root, "ID", n->id, sizeof(n->id)) &&
	    copy_text(lock, "Type", n->type, sizeof(n->type)) &&
	    read_method(lock, n) &&
	    copy_text(lock, "Path", n->path, sizeof(n->path));
}

/* False if the note is invalid: it then counts as absent. */
static bool
read_note(int fd, struct note *n)
{
	char text[NOTE_MAX];
	json_t *root;
	struct err e;
	size_t got;
	bool good;

	fs_refresh(fd, true);
	if (fs_pread(fd, text, sizeof(text), 0, &got, &e) != ERR_OK)
		return false;
	root = json_loadb(text, got, JSON_DISABLE_EOF_CHECK, NULL);
	good = parse_note(root, n);
	json_decref(root);
	return good;
}

/* --- What we would write. --- */

static enum err_code
describe(const struct conf *conf, struct note *n, struct err *e)
{
	const char *path = lock_path(conf), *real = pinned_real_path(path);
	struct stat st;

	*n = (struct note){ .running = clock_boottime(),
		.began = clock_boot_moment() };
	if ((n->is_shared = conf->store.shared))
		(void)stpcpy(n->kernel, INFO_SHARED);
	if (n->is_shared || clock_boot_id(n->kernel))
		(void)stpcpy(n->boot, n->kernel);
	else if (!clock_new_boot_id(n->boot))
		return err_set(e, ERR_SYSTEM, "the kernel has no random ids");
	(void)snprintf(n->type, sizeof(n->type), "%s", conf->lock.type);
	(void)snprintf(n->method, sizeof(n->method), "%s", conf->lock.method);
	(void)snprintf(n->path, sizeof(n->path), "%s", real);
	if (conf->lock.hosts[0] != NULL)
		(void)snprintf(
		    n->prefix, sizeof(n->prefix), "%s", conf->lock.prefix);
	if (fstat(pinned_fd(path), &st) == -1)
		return err_sys(e, "stat %s", path);
	n->device = st.st_dev;
	n->inode = st.st_ino;
	return ERR_OK;
}

/*
 * If either note lacks the kernel's id, the boots are compared by the time when
 * they began.  A clock that was set in between makes one boot look like two,
 * which costs the bytes that were not flushed, and no more.
 */
static bool
is_same_boot(const struct note *then, const struct note *now)
{
	if (then->is_shared || now->is_shared)
		return strcmp(then->kernel, now->kernel) == 0;
	if (then->running > now->running + SLACK)
		return false;
	if (*then->kernel != '\0' && *now->kernel != '\0')
		return strcmp(then->kernel, now->kernel) == 0;
	return llabs(then->began - now->began) <= SLACK;
}

/* Device numbers are not compared: they change at a reboot. */
static bool
are_same_locks(const struct note *a, const struct note *b)
{
	return a->is_shared == b->is_shared && strcmp(a->type, b->type) == 0 &&
	    strcmp(a->method, b->method) == 0 &&
	    strcmp(a->prefix, b->prefix) == 0 && a->inode == b->inode &&
	    (a->device == b->device || a->is_shared || !is_same_boot(a, b));
}

/* --- Agreement. --- */

static bool
try_lock(int fd, int how)
{
	int rc;

	do
		rc = flock(fd, how | LOCK_NB);
	while (rc == -1 && errno == EINTR);
	return rc == 0;
}

/* The process that writes the note needs only a moment. */
static bool
lock_soon(int fd, int how)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	int i;

	for (i = 0; i < TRIES; i++) {
		if (try_lock(fd, how))
			return true;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

/* Would a host that does not know this boot cut bytes of the record? */
static enum err_code
check_record(int dirfd, const char *name, struct err *e)
{
	char buf[INFO_WHOLE_HEAD], id[ID_MAX + 1];
	struct info_head head;
	struct stat st;
	size_t got, len = strlen(name) - strlen(FILE_INFO);
	enum err_code rc;
	int fd;

	memcpy(id, name, len);
	id[len] = '\0';
	rc = fs_open_at(dirfd, name, O_RDONLY, &fd, NULL, e);
	if (rc != ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = fs_pread(fd, buf, sizeof(buf), 0, &got, e);
	(void)close(fd);
	if (rc != ERR_OK || !info_read_head(buf, got, &head) ||
	    head.boot[0] == INFO_NO_BOOT[0] || head.finished != 0 ||
	    fstatat(dirfd, id, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    (int64_t)st.st_size <= head.offset)
		return rc;
	return err_set(e, ERR_CONFLICT,
	    "store.shared: upload %s has bytes that only this host has "
	    "flushed: "
	    "take store.shared out, run \"tusctl settle\", and begin again",
	    id);
}

/* Before store.shared is first used, all uploads must be settled. */
static enum err_code
check_settled(struct err *e)
{
	int dirfd = pinned_fd(ours.path);
	enum err_code rc = ERR_OK;
	struct dirent *entry;
	size_t len;
	DIR *dir;
	int fd;

	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || (dir = fdopendir(fd)) == NULL)
		return err_sys(e, "list %s", ours.path);
	while (rc == ERR_OK && (entry = readdir(dir)) != NULL) {
		len = strlen(entry->d_name);
		if (len > strlen(FILE_INFO) &&
		    len <= ID_MAX + strlen(FILE_INFO) &&
		    strcmp(entry->d_name + len - strlen(FILE_INFO),
			FILE_INFO) == 0)
			rc = check_record(dirfd, entry->d_name, e);
	}
	(void)closedir(dir);
	return rc;
}

/* A file system that leaves such locks to a server may have none. */
static bool
can_have_guards(const struct note *mine)
{
	struct err ignored;

	return !mine->is_shared &&
	    file_check_locks(pinned_fd(ours.path), &ignored) == ERR_OK;
}

/*
 * No other process uses the store.  If the boot has run shorter than noted, it
 * is another one even with the same id: some boards always have the same id.
 */
static enum err_code
renew(int fd, struct note *mine, struct err *e)
{
	bool is_old, good = true;
	struct note old;
	enum err_code rc;

	if ((is_old = read_note(fd, &old)))
		(void)stpcpy(mine->id, old.id);
	else
		good = clock_new_boot_id(mine->id);
	if (mine->is_shared && (!is_old || !old.is_shared) &&
	    (rc = check_settled(e)) != ERR_OK)
		return rc;
	if (is_old && is_same_boot(&old, mine))
		(void)stpcpy(mine->boot, old.boot);
	else if (is_old && strcmp(old.kernel, mine->kernel) == 0)
		good = clock_new_boot_id(mine->boot);
	if (!good)
		return err_set(e, ERR_SYSTEM, "the kernel has no random ids");
	(void)stpcpy(ours.id, mine->id);
	mine->has_guards = can_have_guards(mine);
	return write_note(fd, mine, e);
}

/* The end of a path tells it from others. */
static const char *
end_of(const char *path)
{
	size_t len = strlen(path);

	return len > PATH_SHOWN ? path + len - PATH_SHOWN : path;
}

static enum err_code
refuse_locks(const struct note *theirs, const struct note *mine, struct err *e)
{
	if (theirs->is_shared != mine->is_shared)
		return err_set(e, ERR_CONFLICT,
		    "the store is in use with store.shared = %s, on this host "
		    "or on another one: set the same here, or stop all its "
		    "users",
		    theirs->is_shared ? "true" : "false");
	if (strcmp(theirs->prefix, mine->prefix) != 0)
		return err_set(e, ERR_CONFLICT,
		    "the store is in use with lock.prefix = \"%.40s\", not "
		    "\"%.40s\": take the configuration of its users, or stop "
		    "them",
		    theirs->prefix, mine->prefix);
	return err_set(e, ERR_CONFLICT,
	    "the store is in use with locks in %s (%.8s), not in %s (%.8s): "
	    "take the configuration of its users, or stop them",
	    end_of(theirs->path), theirs->method, end_of(mine->path),
	    mine->method);
}

/* Locks that only one pool can use exclude all other pools. */
static enum err_code
refuse_company(int fd, const struct note *mine, bool alone, struct err *e)
{
	struct note theirs;

	if (!read_note(fd, &theirs))
		(void)stpcpy(theirs.type, "?");
	return err_set(e, ERR_CONFLICT,
	    "the store is in use with lock.type = \"%s\", and \"%s\" admits "
	    "no other pool: stop its users first; a pool sweeps by itself, "
	    "see expiration.sweep",
	    theirs.type, alone ? mine->type : theirs.type);
}

/* Called with a shared or an exclusive lock on the note: does this process
 * agree with what the others agreed on? */
static enum err_code
agree(int fd, enum store_use use, const struct note *mine, struct err *e)
{
	struct note theirs;

	if (!read_note(fd, &theirs))
		return use != STORE_SERVED ?
		    ERR_OK :
		    err_set(e, ERR_CONFLICT,
			"the note of the store, %s, is damaged: stop all who "
			"use the store, and the next start writes it anew",
			FILE_NOTE);
	(void)stpcpy(ours.id, theirs.id);
	/* tusctl, if alone, keeps all others out while it runs. */
	if (!are_same_locks(&theirs, mine) &&
	    ((use == STORE_SERVED && ours.is_writable) ||
		!try_lock(fd, LOCK_EX)))
		return refuse_locks(&theirs, mine, e);
	ours.has_guards = theirs.has_guards && are_same_locks(&theirs, mine);
	/* A note of an older release has no room for it. */
	ours.has_began = theirs.began != 0;
	if (is_same_boot(&theirs, mine)) {
		(void)stpcpy(ours.boot, theirs.boot);
		return ERR_OK;
	}
	if (use == STORE_SERVED && ours.is_writable)
		return err_set(e, ERR_CONFLICT,
		    "the store is in use under another boot id, from another "
		    "machine or container, or by a tusctl since before the "
		    "first start in this boot: stop it, or wait for it");
	ours.is_stranger = true;
	return ERR_OK;
}

/* On a full disk uploads have to be removed, so go on without the note. */
static enum err_code
do_without(const struct err *e)
{
	log_warn("the store gets no note of its locks: %s", e->text);
	return ERR_OK;
}

static enum err_code
attach_note(
    const struct conf *conf, enum store_use use, bool alone, struct err *e)
{
	struct note mine;
	enum err_code rc = describe(conf, &mine, e);

	if (rc != ERR_OK)
		return rc;
	(void)stpcpy(ours.boot, mine.boot);
	if (ours.fd == -1)
		return ERR_OK;
	if (alone && !lock_soon(ours.fd, LOCK_EX))
		return refuse_company(ours.fd, &mine, alone, e);
	if (use == STORE_SERVED && ours.is_writable &&
	    try_lock(ours.fd, LOCK_EX) &&
	    (rc = renew(ours.fd, &mine, e)) != ERR_OK)
		return rc == ERR_NO_SPACE && !alone ? do_without(e) : rc;
	if (!alone && !lock_soon(ours.fd, LOCK_SH))
		return refuse_company(ours.fd, &mine, alone, e);
	return agree(ours.fd, use, &mine, e);
}

/* *fd is -1 if there is no note and none may be created. */
static enum err_code
open_note(
    const struct conf *conf, enum store_use use, bool alone, struct err *e)
{
	int dirfd = pinned_fd(conf->store.path);
	mode_t mode = FS_LOCK_MODE(conf->store.file_mode);
	enum err_code rc;

	rc = fs_open_at(dirfd, FILE_NOTE, O_RDWR, &ours.fd, NULL, e);
	if (rc == ERR_NOT_FOUND && use == STORE_SERVED)
		rc = fs_create_at(dirfd, FILE_NOTE, mode, &ours.fd, e);
	if (rc == ERR_EXISTS)
		rc = fs_open_at(dirfd, FILE_NOTE, O_RDWR, &ours.fd, NULL, e);
	ours.is_writable = rc == ERR_OK;
	if (rc == ERR_SYSTEM && fs_is_denied(e->sys))
		rc = fs_open_at(dirfd, FILE_NOTE, O_RDONLY, &ours.fd, NULL, e);
	if (rc == ERR_OK)
		return rc;
	ours.fd = -1;
	if (rc == ERR_NO_SPACE && !alone)
		return do_without(e);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static bool
set_up_watch(void)
{
	void *p = mmap(NULL, sizeof(*ours.watch), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	ours.watch = p;
	return true;
}

void
file_detach(void)
{
	if (ours.fd != -1)
		(void)close(ours.fd);
	ours.fd = -1;
	ours.is_attached = ours.is_stranger = ours.has_guards = false;
	ours.id[0] = '\0';
	pinned_forget();
	if (ours.watch != NULL)
		(void)munmap(ours.watch, sizeof(*ours.watch));
	ours.watch = NULL;
}

enum err_code
file_attach(
    const struct conf *conf, enum store_use use, bool alone, struct err *e)
{
	enum err_code rc = ERR_OK;

	info_set_up();
	if (!set_up_watch())
		return err_sys(e, "memory for the store");
	if (use != STORE_CHECKED)
		rc = file_make_directory(conf, e);
	if (rc == ERR_OK)
		rc = pinned_add(conf->store.path, e);
	if (rc == ERR_OK)
		rc = pinned_add(lock_path(conf), e);
	ours.path = conf->store.path;
	if (rc == ERR_OK && conf->store.shared)
		rc = file_check_mount(
		    pinned_real_path(ours.path), pinned_fd(ours.path), e);
	if (rc == ERR_OK)
		rc = open_note(conf, use, alone, e);
	if (rc == ERR_OK && conf->store.shared && use == STORE_SERVED &&
	    ours.is_writable)
		rc = file_check_locks(pinned_fd(ours.path), e);
	if (rc == ERR_OK)
		rc = attach_note(conf, use, alone, e);
	if (rc == ERR_OK)
		ours.is_attached = true;
	else
		file_detach();
	return rc;
}

const char *
file_store_id(void)
{
	return ours.id;
}

bool
file_has_guards(void)
{
	return ours.has_guards;
}

void
file_take_boot(struct file_store *fs)
{
	(void)stpcpy(fs->boot, ours.boot);
	fs->is_stranger = ours.is_stranger;
	fs->is_attached = true;
}

bool
file_is_attached(const struct conf *conf)
{
	return ours.is_attached && pinned_fd(conf->store.path) != -1;
}

/* --- Afterwards. --- */

/* Note how long this boot has run, for the next boot; not flushed. */
static void
note_running(void)
{
	char text[64];
	struct err e;
	int n = ours.has_began ?
	    snprintf(text, sizeof(text), RUNNING BEGAN, clock_boottime(),
		clock_boot_moment()) :
	    snprintf(text, sizeof(text), RUNNING, clock_boottime());

	if (ours.fd != -1 && ours.is_writable &&
	    fs_pwrite(ours.fd, text, (size_t)n, 0, NULL, &e) != ERR_OK)
		log_warn("%s: %s", FILE_NOTE, e.text);
}

/* One process of the pool checks, and logs a change. */
static void
look(const struct file_store *fs)
{
	const char *path = fs->given;
	bool is_away = !pinned_is_current(path);

	if (!is_away && !pinned_is_current(fs->given_locks)) {
		path = fs->given_locks;
		is_away = true;
	}
	if (atomic_exchange(&ours.watch->is_away, is_away) == is_away)
		return;
	if (is_away)
		log_error("%s leads to another directory than at the start, or "
			  "to none: nothing is served until it is back, or "
			  "until a restart",
		    path);
	else
		log_info("%s is in place again", path);
}

enum err_code
file_check_directory(const struct file_store *fs, struct err *e)
{
	int64_t now = clock_ms() / 1000, then;

	if (!fs->is_attached)
		return ERR_OK;
	then = ours.watch->looked;
	if (then != now &&
	    atomic_compare_exchange_strong(&ours.watch->looked, &then, now))
		look(fs);
	then = ours.watch->noted;
	if (now - then >= WATCH &&
	    atomic_compare_exchange_strong(&ours.watch->noted, &then, now))
		note_running();
	if (!ours.watch->is_away)
		return ERR_OK;
	return err_set(e, ERR_AWAY, "%s is not where it was", fs->given);
}
