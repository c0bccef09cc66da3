/*
 * conf_kit.c - a configuration in a directory of its own, for each test.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/base/conf_kit.h"

struct conf *conf;
struct err err;

int
set_up(void **state)
{
	conf = conf_new();
	return temp_enter(state);
}

int
tear_down(void **state)
{
	conf_free(conf);
	return temp_leave(state);
}

enum err_code
read_text(const char *text)
{
	temp_write("t.conf", text);
	return conf_read(conf, "t.conf", &err);
}

void
must_read(const char *text)
{
	if (read_text(text) != ERR_OK)
		fail_msg("%s: %s", text, err.text);
}
