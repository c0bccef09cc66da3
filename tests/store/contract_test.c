/*
 * contract_test.c - the contract over every back end that is built in.
 */
#include "config.h"

#include "tests/store/contract.h"

int
main(void)
{
	static const struct variant variants[] = {
		{ "memory", "memory", NULL, false },
		{ "memory, bare", "memory", NULL, true },
		{ "file, none", "file", "none", false },
		{ "file, data", "file", "data", false },
		{ "file, full", "file", "full", false },
		{ "file, bare", "file", "data", true },
	};
	int failures = 0;
	size_t i;

	for (i = 0; i < NITEMS(variants); i++)
		failures += contract_run(&variants[i]) +
		    contract_run_capable(&variants[i]) +
		    contract_run_ledger(&variants[i]);
	return failures != 0;
}
