/*
 * move_kit.h - a directory store that moves finished uploads away, for tests.
 */
#ifndef TESTS_STORE_MOVE_KIT_H
#define TESTS_STORE_MOVE_KIT_H

#include "store/file/file.h"
#include "tests/store/contract.h"

#define ID   "0d7e18102c1a1896f45a1fc9a11d1815"
#define ID_2 "00000000000000000000000000000002"

/* The store, and the root of finish.move_to. */
extern struct place place;
extern char root[64];

#define ok(call)       place_expect(&place, call, ERR_OK, #call, __LINE__)
#define is(want, call) place_expect(&place, call, want, #call, __LINE__)

/* Open the store again, with this template below the root. */
void open_with(const char *rest);
int set_up(void **state);
int set_up_elsewhere(void **state);
int tear_down(void **state);

/* Is there another file system to move to? */
bool has_elsewhere(void);

/* "DIR/NAME"; whether a file exists; its text; a new file of that text. */
const char *in(const char *dir, const char *name);
bool is_there(const char *path);
const char *text_of(const char *path);
void put_text(const char *path, const char *text);

/* An upload of that text, finished; one that is claimed; move it. */
struct upload *finished(const char *id, const char *filename, const char *text);
struct upload *claimed(const char *id);
void move(struct upload *up);

/* Where the record says that the file is. */
const char *path_of(const char *id);

/* How many files are in the root; none of them is hidden. */
int count_files(void);

/* The content of the upload is this text. */
void read_all(const char *id, const char *want);

/* Give a file the times of another, so many nanoseconds later. */
void set_time(const char *path, const struct stat *like, long ns);

/* A test with the root beside the store, or on another file system. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define FAR(f)	cmocka_unit_test_setup_teardown(f, set_up_elsewhere, tear_down)

#endif
