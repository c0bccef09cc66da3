/*
 * no_http.c - no hooks.url and no etcd, for a program that cannot load libcurl.
 */
#include "config.h"

#include "base/http.h"
#include "hook/parts.h"

enum err_code
http_load(const char *key, const struct http_lib **lib, struct err *e)
{
	(void)lib;
	return err_set(e, ERR_SYSTEM,
	    "%s needs libcurl, which is not in this program, for it is in one "
	    "file",
	    key);
}

static void
needs_nothing(const struct conf *conf, need_ear *ear, void *arg)
{
	(void)conf;
	(void)ear;
	(void)arg;
}

static enum err_code
refuse(struct err *e)
{
	return err_set(e, ERR_SYSTEM,
	    "hooks.url is not in this program, which is in one file; see "
	    "hooks.dir");
}

static enum err_code
check(const struct conf *conf, struct err *e)
{
	(void)conf;
	return refuse(e);
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
	return refuse(e);
}

static void
shut_down_none(struct hook *h)
{
	(void)h;
}

const struct hook_way hook_http = {
	HOOK_KEY(url),
	.needs = needs_nothing,
	.check = check,
	.load = refuse,
	.wants = wants_none,
	.send = send_none,
	.shutdown = shut_down_none,
};
