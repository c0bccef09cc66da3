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
	assert_int_equal(
	    conf_set(p->conf, "store.path", p->dir, &p->e), ERR_OK);
	assert_int_equal(
	    conf_set(p->conf, "store.min_free", "0", &p->e), ERR_OK);
	assert_int_equal(
	    conf_set(p->conf, "store.durability",
		v->durability != NULL ? v->durability : "data", &p->e),
	    ERR_OK);
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
