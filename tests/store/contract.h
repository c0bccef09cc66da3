/*
 * contract.h - what every store must do, written once for all of them.
 */
#ifndef TESTS_STORE_CONTRACT_H
#define TESTS_STORE_CONTRACT_H

#include <stdbool.h>

#include "store/store.h"

struct variant;

/* A store under test, in a place of its own. */
struct place {
	struct conf *conf;
	struct data_store *ds;
	struct arena *a;
	struct err e;
	const struct variant *variant;

	/* Empty for a store without a directory. */
	char dir[64];
};

/* Of a bucket, in bytes. */
#define S3_PART 65536

/* The capability tables that a store may lack. */
enum {
	CAN_TERMINATE = 1 << 0,
	CAN_FINISH = 1 << 1,
	CAN_READ = 1 << 2,
	CAN_CONCAT = 1 << 3,
	CAN_DECLARE = 1 << 4,
	CAN_EXPIRE = 1 << 5,
	CAN_LEDGER = 1 << 6,
	CAN_KEEP = 1 << 7,
	CAN_MOVE = 1 << 8,
	CAN_SUSPEND = 1 << 9,
	CAN_ALL = (1 << 10) - 1
};

/* How to come to one. */
struct variant {
	const char *name;
	const char *type;
	const char *durability;

	/* The tables that are taken away from it. */
	unsigned without;
	/* Several hosts may use it. */
	bool is_shared;
};

void place_open(struct place *, const struct variant *);
void place_close(struct place *);

/* Fails the test if this call, in this line of it, came to another end. */
void place_expect(struct place *, enum err_code got, enum err_code want,
    const char *call, int line);

/* A directory with all that is in it. */
void place_remove(const char *path);

/* The tables that the store has. */
unsigned place_can(const struct place *);

/*
 * Run every promise of a group over one store, but for those that need a
 * table which the store lacks; the number of failures.
 */
int contract_run(const struct variant *);
int contract_run_capable(const struct variant *);
int contract_run_ledger(const struct variant *);

#endif
