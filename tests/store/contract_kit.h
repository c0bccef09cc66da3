/*
 * contract_kit.h - what the parts of the contract have in common.
 *
 * Whatever fails, fails the test.
 */
#ifndef TESTS_STORE_CONTRACT_KIT_H
#define TESTS_STORE_CONTRACT_KIT_H

#include "tests/store/contract.h"

#define ID   "0d7e18102c1a1896f45a1fc9a11d1815"
#define ID_2 "00000000000000000000000000000002"
#define ID_3 "00000000000000000000000000000003"

/* The variant that is being tested; cmocka hands a state, not a parameter. */
extern const struct variant *variant;

/* One promise, and the tables without which a store cannot give it. */
struct promise {
	const char *name;
	void (*test)(void **state);
	unsigned needs;
};

#define PROMISE(f, needs)                                                      \
	{                                                                      \
#f, f, needs                                                   \
	}

/* Run those that the store can give, each in a place of its own; the state
 * is a struct place. */
int contract_check(const struct variant *, const struct promise *, size_t n);

#define ok(p, call)	  place_expect(p, call, ERR_OK, #call, __LINE__)
#define is(p, want, call) place_expect(p, call, want, #call, __LINE__)

/* Open uploads; size -1 is deferred. */
struct upload *make(struct place *, const char *id, int64_t size);
struct upload *look(struct place *, const char *id);
struct upload *claim(struct place *, const char *id);
void drop(struct place *, struct upload *);

/* A chunk, in three parts or at once. */
void begin(struct place *, struct upload *, bool on_probation);
void put(struct place *, struct upload *, const char *text);
void end(struct place *, struct upload *, bool keep);
void append(struct place *, struct upload *, const char *text);

/* Where a store can do that. */
void finish(struct place *, struct upload *);

/* Made, filled and finished. */
void make_whole(struct place *, const char *id, const char *text);

/* What a look without the lock says. */
int64_t offset_of(struct place *, const char *id);
bool is_there(struct place *, const char *id);

/* The bytes, where they can be read at all. */
void assert_bytes(
    struct place *, const char *id, int64_t from, const char *text);

#endif
