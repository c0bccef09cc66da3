/*
 * contract_test.c - the contract over every back end that is built in.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/store/contract.h"

static int
run(const struct variant *v)
{
	return contract_run(v) + contract_run_capable(v);
}

/* A store may lack any one table, and all of them.  The ledger's promises have
 * races between processes, and need little besides it. */
static int
run_without(const char *type)
{
	struct variant v = { .type = type, .durability = "none" };
	char name[64];
	int failures = 0;
	unsigned bit;

	v.name = name;
	for (bit = 1; bit < CAN_ALL; bit <<= 1) {
		v.without = bit;
		(void)snprintf(name, sizeof(name), "%s without %#x", type, bit);
		failures += run(&v);
	}
	v.without = CAN_ALL;
	(void)snprintf(name, sizeof(name), "%s, bare", type);
	return failures + run(&v);
}

/* By itself: tests/s3/test_contract.py has an engine for it. */
static int
run_in_bucket(void)
{
	static const struct variant v = { .name = "s3", .type = "s3" };

	return run(&v) != 0;
}

int
main(void)
{
	static const struct variant variants[] = {
		{ .name = "memory", .type = "memory" },
		{ .name = "file, none", .type = "file", .durability = "none" },
		{ .name = "file, data", .type = "file", .durability = "data" },
		{ .name = "file, full", .type = "file", .durability = "full" },
		{ .name = "file, shared",
		    .type = "file",
		    .durability = "full",
		    .is_shared = true },
	};
	int failures;
	size_t i;

	if (getenv("TUSFCGI_S3_ENDPOINT") != NULL)
		return run_in_bucket();
	failures = run_without("memory") + run_without("file");
	for (i = 0; i < NITEMS(variants); i++)
		failures +=
		    run(&variants[i]) + contract_run_ledger(&variants[i]);
	return failures != 0;
}
