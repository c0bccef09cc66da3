/*
 * file_kit.h - a directory store, and what is on its disk.
 */
#ifndef TESTS_STORE_FILE_KIT_H
#define TESTS_STORE_FILE_KIT_H

#include "store/file/file.h"
#include "tests/store/contract.h"

#define ID	   "0d7e18102c1a1896f45a1fc9a11d1815"
#define OTHER_ID   "00000000000000000000000000000002"
#define BOOT	   "3f0c6a52-8a1e-4d0b-9c57-2f6b1c0d7e94"
#define OTHER_BOOT "00000000-0000-4000-8000-000000000002"

/* It has a durability of this name. */
extern const struct variant none, data, full, shared;

/* The store under test. */
extern struct place place;

struct file_store *files(void);

/* With the boot id BOOT. */
void open_with(const struct variant *);

/* For cmocka: with the durability that is the default. */
int set_up(void **state);
int tear_down(void **state);

#define ok(call)       place_expect(&place, call, ERR_OK, #call, __LINE__)
#define is(want, call) place_expect(&place, call, want, #call, __LINE__)

/* Files in its directory; what is read is in the arena of the place. */
const char *path_of(const char *name);
void put_file(const char *name, const void *buf, size_t len);
void put_text(const char *name, const char *text);
const char *get_text(const char *name);
bool is_file(const char *name);

/* Uploads; size -1 is deferred.  Whatever fails, fails the test. */
struct upload *make(const char *id, int64_t size);
struct upload *look(const char *id);
struct upload *claim(const char *id);
void drop(struct upload *);
void append(struct upload *, const char *text);

/* What its record says. */
struct info_head head_of(const char *id);

#endif
