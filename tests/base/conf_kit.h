/*
 * conf_kit.h - a configuration in a directory of its own, for each test.
 */
#ifndef TESTS_BASE_CONF_KIT_H
#define TESTS_BASE_CONF_KIT_H

#include "base/conf.h"
#include "tests/base/temp.h"

extern struct conf *conf;
extern struct err err;

int set_up(void **state);
int tear_down(void **state);

/* Write the text to "t.conf" and read it. */
enum err_code read_text(const char *text);

/* The same for a text that must be accepted. */
void must_read(const char *text);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
