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

/* How to come to one. */
struct variant {
	const char *name;
	const char *type;
	const char *durability;

	/* Without the capabilities that a store may lack. */
	bool bare;
};

void place_open(struct place *, const struct variant *);
void place_close(struct place *);

/* Fails the test if this call, in this line of it, came to another end. */
void place_expect(struct place *, enum err_code got, enum err_code want,
    const char *call, int line);

/* A directory with all that is in it. */
void place_remove(const char *path);

/* Run every promise over one store; the number of failures. */
int contract_run(const struct variant *);

/* And those of a store that is not bare. */
int contract_run_capable(const struct variant *);

/* And those about what an owner has, if it has a ledger. */
int contract_run_ledger(const struct variant *);

#endif
