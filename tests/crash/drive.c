/*
 * drive.c - a fixed workload on the directory store, for the crash harnesses.
 *
 *	store-drive prepare DIR MODE	the state before: an upload of tusd, and
 *					one that was never flushed
 *	store-drive run DIR MODE	the workload
 *	store-drive owned DIR MODE	another, of an owner with a quota
 *	store-drive move DIR MODE	another, whose finished uploads move
 *	store-drive recover DIR MODE	open and repair every upload, then sweep
 *	store-drive resume DIR MODE	complete every upload
 *	store-drive settle DIR MODE	as before handing the directory over
 *
 * One process, the real store, no locks.  Each deed is written to standard
 * output before ("TRY") and after ("ACK"), each time with one write(2):
 * whatever the log acknowledges must be true of the directory for ever.  MODE
 * is store.durability, or "shared" for store.shared.  STORE_BOOT stands for the
 * kernel's boot id.  If there is a directory "in" beside DIR, finished uploads
 * are moved there.
 */
#include "config.h"

#include <openssl/crypto.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/drive.h"

/* Small, so that little data passes every limit. */
#define CHECKPOINT_EVERY 8192
#define FLUSH_EVERY	 3000
#define WAITING_ROOM	 4096

/* What goes on as it was meant to, or breaks off. */
static void
run_plain(void)
{
	create_only(PLAIN, false, 0);
	patch(PLAIN, CHUNK(.len = 5000));
	head(PLAIN);
	patch(PLAIN, CHUNK(.len = 9000));
	head(PLAIN);

	create_only(DEFERRED, true, 0);
	patch(DEFERRED, CHUNK(.len = 3000));
	patch(DEFERRED, CHUNK(.len = 3000, .declare_before = true));
	patch(DEFERRED, CHUNK(.len = 3000));

	create_only(CHECKED, false, 0);
	patch(CHECKED, CHUNK(.len = 6000, .on_probation = true));
	patch(CHECKED,
	    CHUNK(.len = 9500, .on_probation = true, .fate = TAKEN_BACK));
	head(CHECKED);
	patch(CHECKED,
	    CHUNK(.len = 6000, .on_probation = true, .fate = ABANDONED));
	patch(CHECKED, CHUNK(.len = 3000, .on_probation = true));
	patch(CHECKED,
	    CHUNK(.len = 2000, .on_probation = true, .fate = TAKEN_BACK));
	patch(CHECKED, CHUNK(.len = 7000, .on_probation = true));

	create_with_body(WITH_BODY, 5000);
	patch(WITH_BODY,
	    CHUNK(.len = 6000, .on_probation = true, .fate = ABANDONED));

	create_with_body(PART_A, 3000);
	create_with_body(PART_B, 5000);
	concat(FINAL, PART_A, PART_B, PART_A);
	create_only(EMPTY, false, 0);

	create_hidden(HIDDEN, false, CHUNK(.len = 4000));
	create_hidden(HIDDEN_HALF, true, CHUNK(.len = 2000));
	create_hidden(HIDDEN_CHECKED, false,
	    CHUNK(.len = 9000, .on_probation = true, .fate = TAKEN_BACK));
	create_hidden(
	    HIDDEN_CHECKED, false, CHUNK(.len = 9000, .on_probation = true));
	create_hidden(HIDDEN_EMPTY, false, CHUNK(.len = 0));
	patch(HIDDEN_HALF, CHUNK(.len = 4000, .declare_before = true));

	create_only(ENDED, true, 0);
	patch(ENDED, CHUNK(.len = 3000));
	patch(ENDED, CHUNK(.len = 5000, .declare_after = true));
	create_only(ENDED_CHECKED, true, 0);
	patch(ENDED_CHECKED, CHUNK(.len = 3000));
	patch(ENDED_CHECKED,
	    CHUNK(.len = 6000, .on_probation = true, .declare_after = true));
}

/* Uploads that are refused, rolled back, owned by another server, or
 * removed. */
static void
run_odd(void)
{
	create_only(DECLARED_WRONGLY, true, 0);
	patch(DECLARED_WRONGLY,
	    CHUNK(.len = 7000, .on_probation = true, .declare_within = true,
		.fate = TAKEN_BACK));
	patch(DECLARED_WRONGLY, CHUNK(.len = 2000));
	patch(DECLARED_WRONGLY,
	    CHUNK(.len = 5000, .on_probation = true, .declare_within = true));

	create_only(OVERFLOWING, false, 0);
	patch(OVERFLOWING, CHUNK(.len = 2000));
	patch(OVERFLOWING, CHUNK(.len = 9999, .fate = TAKEN_BACK));
	head(OVERFLOWING);
	patch(OVERFLOWING, CHUNK(.len = 4000));

	create_only(EXPIRING, false, 1);
	create_with_body(REFUSED, 2000);
	refuse_finish(REFUSED);
	head(REFUSED);
	patch(REFUSED, CHUNK(.len = 1));

	patch(FOREIGN, CHUNK(.len = 3000));
	patch(FOREIGN, CHUNK(.len = 3000, .declare_before = true));
	patch(FOREIGN, CHUNK(.len = 3000));

	patch(UNSAFE, CHUNK(.len = 3000));
	head(UNSAFE);
	patch(UNSAFE, CHUNK(.len = 2000));

	remove_upload(WITH_BODY);
	remove_upload(FINAL);
	remove_upload(EMPTY);
	patch(PLAIN, CHUNK(.len = 6000));
}

static void
run(void)
{
	run_plain();
	run_odd();
}

static void
run_owned(void)
{
	struct file_info never = { .id = "never", .size = 5, .owner = "joe" };
	struct store_entry *entry;

	owner = "joe";
	create_only(OWNED, false, 0);
	patch(OWNED, CHUNK(.len = 1000));
	create_only(OWNED_DEFERRED, true, 0);
	patch_growing(OWNED_DEFERRED, CHUNK(.len = 2000));
	patch_growing(OWNED_DEFERRED, CHUNK(.len = 3000, .fate = TAKEN_BACK));
	patch_growing(
	    OWNED_DEFERRED, CHUNK(.len = 3000, .declare_before = true));
	create_with_body(OWNED_PART, 3000);
	create_hidden(HIDDEN, false, CHUNK(.len = 4000));
	create_only(EMPTY, false, 0);
	concat(OWNED_FINAL, OWNED_PART, OWNED_PART, EMPTY);
	if (enter(&never, &entry))
		entered(entry, false);
	create_only(EXPIRING, false, 1);
	remove_upload(OWNED_PART);
	remove_upload(OWNED_FINAL);
	remove_upload(OWNED_DEFERRED);
	patch(OWNED, CHUNK(.len = 3000));
}

/* Several of one name, which a file of another program has already. */
static void
run_moves(void)
{
	create_and_move(MOVED);
	create_and_move(MOVED_TOO);
	head(MOVED);
	create_and_move(MOVED_EMPTY);
	create_and_move(PART_A);
	create_and_move(MOVED_APART);
	create_and_move(MOVED_AND_GONE);
	remove_upload(MOVED_AND_GONE);
}

static void
write_file(const char *dir, const char *name, const char *buf, size_t len)
{
	const char *path = arena_printf(arena, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(buf, 1, len, f) != len || fclose(f) != 0)
		exit(3);
}

/* What tusd leaves behind: half of a deferred upload. */
static void
prepare(const char *dir)
{
	const char *id = id_of(FOREIGN);
	const char *info = arena_printf(arena,
	    "{\"ID\":\"%s\",\"Size\":0,\"SizeIsDeferred\":true,\"Offset\":0,"
	    "\"MetaData\":{\"filename\":\"world.txt\"},\"IsPartial\":false,"
	    "\"IsFinal\":false,\"PartialUploads\":null,\"Storage\":{"
	    "\"InfoPath\":\"%s/%s.info\",\"Path\":\"%s/%s\","
	    "\"Type\":\"filestore\"}}",
	    id, dir, id, dir, id);
	char bytes[3000];

	fill(bytes, FOREIGN, 0, sizeof(bytes), true);
	write_file(dir, id, bytes, sizeof(bytes));
	write_file(dir, arena_printf(arena, "%s.info", id), info, strlen(info));
	say("TRY create %s %lld 1 0", id, (long long)total[FOREIGN]);
	say("ACK create %s 3000 1", id);
}

/* Half of an upload from when durability was none. */
static void
prepare_unsafe(void)
{
	struct file_store *fs = file_store_of(ds);
	enum durability durability = fs->durability;
	struct upload *up;

	fs->durability = DURABILITY_NONE;
	up = create(UNSAFE, false, 0, false);
	if (up == NULL || ds->core->write_begin(up, false, &fault) != ERR_OK ||
	    !write_slices(up, UNSAFE, 5000, true) ||
	    ds->core->write_end(up, true, &fault) != ERR_OK)
		exit(3);
	say("ACK create %s 5000 0", up->info.id);
	ds->core->close(up);
	fs->durability = durability;
}

/* How many descriptors are open beside the standard ones. */
static int
count_open(void)
{
	int fd, n = 0;

	for (fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			n++;
	return n;
}

/* NULL if there is none. */
static const char *
root_beside(const char *dir)
{
	int len = (int)(strrchr(dir, '/') - dir);
	const char *root = arena_printf(arena, "%.*s/in", len, dir);

	return access(root, F_OK) == 0 ? root : NULL;
}

static bool
open_store(const char *dir, const char *mode)
{
	struct conf *conf = conf_new();
	const char *boot = getenv("STORE_BOOT"), *root = root_beside(dir);
	bool is_shared = strcmp(mode, "shared") == 0;
	struct file_store *fs;

	if (root != NULL)
		root = arena_printf(arena, "%s/{filename}", root);
	if (conf_set(conf, "finish.move_to", root != NULL ? root : "",
		&fault) != ERR_OK ||
	    conf_set(conf, "store.path", dir, &fault) != ERR_OK ||
	    conf_set(conf, "store.durability", is_shared ? "full" : mode,
		&fault) != ERR_OK ||
	    conf_set(conf, "store.shared", is_shared ? "true" : "false",
		&fault) != ERR_OK ||
	    conf_set(conf, "lock.method", is_shared ? "ofd" : "flock",
		&fault) != ERR_OK ||
	    conf_set(conf, "store.min_free", "0", &fault) != ERR_OK ||
	    /* What tries out names is not what a move flushes. */
	    conf_set(conf, "finish.names", "unix", &fault) != ERR_OK ||
	    store_open(conf, &ds, &fault) != ERR_OK) {
		fprintf(stderr, "store-drive: %s\n", fault.text);
		return false;
	}
	fs = file_store_of(ds);
	fs->checkpoint_every = CHECKPOINT_EVERY;
	fs->flush_every = FLUSH_EVERY;
	fs->waiting_room = WAITING_ROOM;
	if (boot != NULL && !is_shared)
		(void)snprintf(fs->boot, sizeof(fs->boot), "%s", boot);
	conf_free(conf);
	return true;
}

int
main(int argc, char **argv)
{
	int opened;

	if (argc != 4) {
		fprintf(stderr,
		    "usage: store-drive prepare|run|owned|move|recover|"
		    "resume|settle DIR MODE\n");
		return 2;
	}
	(void)umask(007);
	arena = arena_new();
	if (!open_store(argv[2], argv[3]))
		return 3;
	/* It reads a configuration of its own when it is first used. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
	/* What reads a file the first time it is called. */
	tzset();
	opened = count_open();
	say("BEGIN");
	if (strcmp(argv[1], "prepare") == 0) {
		prepare(argv[2]);
		prepare_unsafe();
	} else if (strcmp(argv[1], "run") == 0)
		run();
	else if (strcmp(argv[1], "owned") == 0)
		run_owned();
	else if (strcmp(argv[1], "move") == 0)
		run_moves();
	else if (strcmp(argv[1], "recover") == 0)
		recover();
	else if (strcmp(argv[1], "resume") == 0)
		resume();
	else if (strcmp(argv[1], "settle") == 0)
		settle();
	say("OPEN %d", count_open() - opened);
	say("END");
	ds->core->shutdown(ds);
	return failures > 0;
}
