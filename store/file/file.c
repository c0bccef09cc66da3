/*
 * file.c - uploads as files in one directory, in tusd's layout.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/pinned.h"
#include "base/template.h"
#include "store/file/guard.h"

#define CHECKPOINT_EVERY ((int64_t)64 << 20)
#define FLUSH_EVERY	 ((int64_t)2 << 20)
#define WAITING_ROOM	 ((size_t)1 << 20)

static void
file_shutdown(struct data_store *ds)
{
	struct file_store *fs = file_store_of(ds);

	if (fs->waiting != NULL)
		(void)munmap(fs->waiting, fs->waiting_room);
	if (fs->note_fd != -1)
		(void)close(fs->note_fd);
	if (fs->dirfd != -1)
		(void)close(fs->dirfd);
	if (fs->move_fd != -1)
		(void)close(fs->move_fd);
	free(fs->move_root);
	free(fs->move_given);
	free(fs->move_to);
	free(fs->path);
	free(fs->given);
	free(fs->given_locks);
	free(fs);
}

static const struct store_core core = {
	.new_upload = file_new_upload,
	.new_hidden = file_new_hidden,
	.get_upload = file_get_upload,
	.find_upload = file_get_upload,
	.claim = file_claim,
	.confirm = file_confirm,
	.write_begin = file_write_begin,
	.write = file_write,
	.write_end = file_write_end,
	.close = file_close,
	.shutdown = file_shutdown,
};

static const struct store_terminater terminater = {
	.terminate = file_terminate,
	.clear = file_clear,
};

static const struct store_finisher finisher = {
	.finish = file_finish,
	.done = file_done,
	.refuse = file_refuse,
};

static const struct store_suspender suspender = {
	.suspend = file_suspend,
	.resume = file_resume,
};

static const struct store_concater concater = {
	.concat = file_concat,
};

static const struct store_length_declarer length_declarer = {
	.declare_length = file_declare_length,
};

static enum durability
durability_of(const char *word)
{
	if (strcmp(word, "none") == 0)
		return DURABILITY_NONE;
	return strcmp(word, "full") == 0 ? DURABILITY_FULL : DURABILITY_DATA;
}

static enum overcommit
overcommit_of(const char *word)
{
	if (strcmp(word, "always") == 0)
		return OVERCOMMIT_ALWAYS;
	return strcmp(word, "never") == 0 ? OVERCOMMIT_NEVER : OVERCOMMIT_EACH;
}

static bool
leads_to(const char *root, const char *dir)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(dir, root, len) != 0)
		return false;
	return dir[len] == '\0' ||
	    (dir[len] == '/' && template_is_filled(dir + len + 1));
}

/* A directory that clients can name must not contain our own files: clients
 * could then overwrite records, locks and hooks. */
static enum err_code
check_ways(
    const char *root, const char *path, const struct conf *conf, struct err *e)
{
	const struct {
		const char *key, *path;
	} ours[] = { { "store.path", conf->store.path },
		{ "lock.path", conf->lock.path },
		{ "hooks.dir", conf->hooks.dir } };
	bool is_way;
	char *dir;
	size_t i;

	for (i = 0; i < NITEMS(ours); i++) {
		dir = realpath(ours[i].path, NULL);
		is_way = dir != NULL && leads_to(root, dir);
		free(dir);
		if (is_way)
			return err_set(e, ERR_INVALID,
			    "finish.move_to: names below %.60s could lead "
			    "into %s; name another directory",
			    path, ours[i].key);
	}
	return ERR_OK;
}

/* Open the destination of finished uploads.  It is not created, because it
 * belongs to other programs. */
static enum err_code
open_move_root(struct file_store *fs, const struct conf *conf, struct err *e)
{
	const char *to = conf->finish.move_to;
	struct arena *a = arena_new();
	const char *path = template_root(a, to);
	struct stat store, root;
	enum err_code rc = ERR_OK;

	if (fs_open_dir(path, &fs->move_fd, e) != ERR_OK)
		rc = err_within(e, "finish.move_to");
	else if ((fs->move_root = realpath(path, NULL)) == NULL)
		rc = err_sys(e, "find %s", path);
	else if (fstat(fs->dirfd, &store) == -1 ||
	    fstat(fs->move_fd, &root) == -1)
		rc = err_sys(e, "stat %s", path);
	else if (store.st_dev == root.st_dev && store.st_ino == root.st_ino)
		rc = err_set(e, ERR_INVALID,
		    "finish.move_to: %s is the store itself; name another "
		    "directory",
		    path);
	else
		rc = check_ways(fs->move_root, path, conf, e);
	fs->move_given = must_strdup(path);
	fs->move_to = must_strdup(template_rest(to));
	arena_free(a);
	return rc;
}

static enum err_code
open_directory(struct file_store *fs, const struct conf *conf, struct err *e)
{
	const char *path = conf->store.path;
	const char *locks = conf->lock.path;
	enum err_code rc;

	fs->given = must_strdup(path);
	fs->given_locks = must_strdup(*locks != '\0' ? locks : path);
	if (file_is_attached(conf)) {
		file_take_boot(fs);
		if (file_has_guards())
			fs->base.guard = &file_guard;
		fs->path = must_strdup(pinned_real_path(path));
		return pinned_open_dir(path, &fs->dirfd, e);
	}
	if ((rc = file_make_directory(conf, e)) != ERR_OK ||
	    (rc = pinned_open_dir(path, &fs->dirfd, e)) != ERR_OK)
		return rc;
	if ((fs->path = realpath(path, NULL)) == NULL)
		return err_sys(e, "find %s", path);
	if (!clock_boot_id(fs->boot) && !clock_new_boot_id(fs->boot))
		return err_set(e, ERR_SYSTEM, "the kernel has no random ids");
	return ERR_OK;
}

/* Refuse keys that do not work in a shared store; the locker has checked its
 * own. */
static enum err_code
check_sharing(const struct conf *conf, struct err *e)
{
	if (!conf->store.shared)
		return ERR_OK;
	if (strcmp(conf->store.durability, "full") != 0)
		return err_set(e, ERR_INVALID,
		    "store.shared needs store.durability = \"full\": a host "
		    "must not acknowledge what another one cannot see");
	return ERR_OK;
}

static struct file_store *
new_store(const struct conf *conf)
{
	struct file_store *fs = must_alloc(sizeof(*fs));

	*fs = (struct file_store) {
		.base = {
			.name = "file",
			.core = &core,
			.terminater = &terminater,
			.finisher = &finisher,
			.suspender = &suspender,
			.reader = &file_reader,
			.can_be_read_apart = true,
			.reads_unfinished = true,
			.concater = &concater,
			.length_declarer = &length_declarer,
			.expirer = &file_expirer,
			.ledger = &file_ledger,
			.keeper = &file_keeper,
			.mover = &file_mover,
			.is_shared = conf->store.shared,
		},
		.dirfd = -1,
		.note_fd = -1,
		.move_fd = -1,
		.dir_mode = (mode_t)conf->store.dir_mode,
		.tries_names =
		    strcmp(conf->finish.names, "auto") == 0,
		.names.is_windows =
		    strcmp(conf->finish.names, "windows") == 0,
		.keep_record = conf->finish.keep_record / 1000,
		.mode = (mode_t)conf->store.file_mode,
		.durability = durability_of(conf->store.durability),
		.min_free = conf->store.min_free,
		.overcommit = overcommit_of(conf->store.overcommit),
		.expire_after = conf->expiration.after / 1000,
		.checkpoint_every = CHECKPOINT_EVERY,
		.flush_every = FLUSH_EVERY,
		.waiting_room = WAITING_ROOM,
	};
	return fs;
}

static enum err_code
file_open(const struct conf *conf, struct data_store **ds, struct err *e)
{
	struct file_store *fs = new_store(conf);
	enum err_code rc = open_directory(fs, conf, e);

	if (fs->base.is_shared)
		(void)stpcpy(fs->boot, INFO_SHARED);
	if (rc == ERR_OK && *conf->finish.move_to != '\0')
		rc = open_move_root(fs, conf, e);
	info_set_up();
	if (rc == ERR_OK && !file_set_up_memory())
		rc = err_sys(e, "memory for the store");
	if (rc != ERR_OK) {
		file_shutdown(&fs->base);
		return rc;
	}
	*ds = &fs->base;
	return ERR_OK;
}

static void
needs(const struct conf *conf, need_ear *ear, void *arg)
{
	const char *to = conf->finish.move_to;
	struct arena *a;

	ear(arg, NEED_KEEP, "store.path", conf->store.path);
	if (*to == '\0')
		return;
	a = arena_new();
	ear(arg, NEED_PUT, "finish.move_to", template_root(a, to));
	arena_free(a);
}

const struct store_class store_file = {
	.name = "file",
	.needs = needs,
	.check_keys = check_sharing,
	.open = file_open,
	.attach = file_attach,
	.detach = file_detach,
	.id = file_store_id,
};
