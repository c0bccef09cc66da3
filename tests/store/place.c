/*
 * place.c - a store in a directory of its own.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/contract.h"

#define TABLES(X)                                                              \
	X(CAN_TERMINATE, terminater)                                           \
	X(CAN_FINISH, finisher)                                                \
	X(CAN_SUSPEND, suspender)                                              \
	X(CAN_READ, reader)                                                    \
	X(CAN_CONCAT, concater)                                                \
	X(CAN_DECLARE, length_declarer)                                        \
	X(CAN_EXPIRE, expirer)                                                 \
	X(CAN_LEDGER, ledger)                                                  \
	X(CAN_KEEP, keeper)                                                    \
	X(CAN_MOVE, mover)

static void
open_store(struct place *p, const struct variant *v)
{
	enum err_code rc = store_open(p->conf, &p->ds, &p->e);

	if (rc != ERR_OK)
		fail_msg("%s", p->e.text);
#define WITHOUT(bit, table)                                                    \
	if ((v->without & (bit)) != 0)                                         \
		p->ds->table = NULL;
	TABLES(WITHOUT)
#undef WITHOUT
}

unsigned
place_can(const struct place *p)
{
	unsigned can = 0;

#define HAS(bit, table)                                                        \
	if (p->ds->table != NULL)                                              \
		can |= (bit);
	TABLES(HAS)
#undef HAS
	return can;
}

static void
set(struct place *p, const char *key, const char *value)
{
	assert_int_equal(conf_set(p->conf, key, value, &p->e), ERR_OK);
}

static void
set_directory(struct place *p)
{
	const char *durability = p->variant->durability;

	set(p, "store.path", p->dir);
	set(p, "store.min_free", "0");
	set(p, "store.overcommit", "always");
	set(p, "store.durability", durability != NULL ? durability : "data");
}

/* A prefix of its own in the bucket that tests/s3/test_contract.py names. */
static void
set_bucket(struct place *p)
{
	set(p, "s3.endpoint", getenv("TUSFCGI_S3_ENDPOINT"));
	set(p, "s3.bucket", getenv("TUSFCGI_S3_BUCKET"));
	set(p, "s3.prefix", strrchr(p->dir, '/') + 1);
	set(p, "s3.part_size", "64K");
	set(p, "lock.path", p->dir);
}

void
place_open(struct place *p, const struct variant *v)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(p->dir, sizeof(p->dir), "%.30s/tus-store-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(p->dir));
	p->variant = v;
	p->a = arena_new();
	p->conf = conf_new();
	assert_int_equal(
	    conf_set(p->conf, "store.type", v->type, &p->e), ERR_OK);
	if (strcmp(v->type, "s3") == 0)
		set_bucket(p);
	else
		set_directory(p);
	if (v->is_shared) {
		assert_int_equal(
		    conf_set(p->conf, "store.shared", "true", &p->e), ERR_OK);
		assert_int_equal(
		    conf_set(p->conf, "lock.method", "ofd", &p->e), ERR_OK);
	}
	open_store(p, v);
}

void
place_expect(struct place *p, enum err_code got, enum err_code want,
    const char *call, int line)
{
	if (got != want)
		fail_msg("%s: line %d: %s: %d, not %d: %s", p->variant->name,
		    line, call, (int)got, (int)want,
		    got == ERR_OK ? "" : p->e.text);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
place_remove(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void
place_close(struct place *p)
{
	p->ds->core->shutdown(p->ds);
	place_remove(p->dir);
	arena_free(p->a);
	conf_free(p->conf);
}
