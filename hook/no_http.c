/*
 * no_http.c - no hooks.url, for a program that cannot load libcurl.
 */
#include "config.h"

#include "hook/parts.h"

enum err_code
hook_http_load(struct err *e)
{
	return err_set(e, ERR_SYSTEM,
	    "hooks.url is not in this program, which is in one file; see "
	    "hooks.dir");
}

static bool
wants_none(struct hook *h, enum hook_point hook)
{
	(void)h;
	(void)hook;
	return false;
}

static enum err_code
send_none(struct hook *h, const struct hook_message *m, struct err *e)
{
	(void)h;
	(void)m;
	return hook_http_load(e);
}

static void
shut_down_none(struct hook *h)
{
	(void)h;
}

const struct hook_way hook_http = {
	.wants = wants_none,
	.send = send_none,
	.shutdown = shut_down_none,
};
