/*
 * temp.h - a directory of its own for every test.
 *
 * temp_enter() and temp_leave() are cmocka's set-up and tear-down; in between
 * the directory is the current one.  Whatever fails, fails the test.
 */
#ifndef TESTS_BASE_TEMP_H
#define TESTS_BASE_TEMP_H

int temp_enter(void **state);
int temp_leave(void **state);

/* Its path. */
const char *temp_folder(void);

/* Make a file of this text. */
void temp_write(const char *name, const char *text);

/* The text of a file; free() it. */
char *temp_read(const char *name);

/*
 * Where a file of the source tree is: below $srcdir, which the test harness
 * sets, or below the directory in which the program was started.
 */
const char *temp_source(const char *name);

#endif
