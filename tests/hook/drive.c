/*
 * drive.c - a fixed story of uploads through core, store, locks and hooks, in
 * one process and without a web server, to be killed at any system call.
 *
 * "ACK what id" is written when a client would have its answer.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "hook/hook.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/tus.h"

#define TYPE "application/offset+octet-stream"

static const struct web_protocol *const protocols[] = { &tus_protocol, NULL };

static struct web_server srv = {
	.protocols = protocols,
	.core.allow_terminate = true,
	.core.allow_concat = true,
	.core.allow_terminate_finished = true,
	.core.now = clock_now,
	.core.now_ms = clock_ms,
	.core.new_id = id_new,
};
static struct arena *arena;

static void
must(enum err_code rc, const struct err *e)
{
	if (rc == ERR_OK)
		return;
	(void)fprintf(stderr, "drive: %s\n", e->text);
	exit(1);
}

static void
say(const char *what, const char *id)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "ACK %s %s\n", what, id);

	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		exit(1);
}

/* One request, with all of its body at once; the id of the upload. */
static const char *
request(const char *what, struct web_request req, const char *body)
{
	const struct web_response *res;
	const char *id;
	struct web_call *c;
	enum step step;

	req.base = "/files";
	req.tus_resumable = TUS_VERSION;
	req.max_size = -1;
	req.content_length = arena_printf(arena, "%zu", strlen(body));
	req.content_type = *body != '\0' ? TYPE : NULL;
	c = web_call_new(&srv, &req, arena);
	step = web_begin(c);
	if (step == STEP_RECEIVE)
		step = web_receive(c, body, strlen(body));
	if (step == STEP_RECEIVE)
		web_end(c, END_COMPLETE);
	res = web_response(c);
	if (res->status >= 300) {
		(void)fprintf(stderr, "drive: %s: %d %s\n", what, res->status,
		    res->err->text);
		exit(1);
	}
	id = res->outcome.id;
	say(what, id);
	if (res->outcome.finished)
		say("finished", id);
	web_close(c);
	return id;
}

static void
tell_the_story(void)
{
	const char *path, *one, *two;

	path = request("created",
	    (struct web_request){
		.method = "POST", .path = "", .upload_length = "10" },
	    "");
	path = arena_printf(arena, "/%s", path);
	(void)request("patched",
	    (struct web_request){
		.method = "PATCH", .path = path, .upload_offset = "0" },
	    "hello");
	(void)request("patched",
	    (struct web_request){
		.method = "PATCH", .path = path, .upload_offset = "5" },
	    "world");
	(void)request("created",
	    (struct web_request){
		.method = "POST", .path = "", .upload_length = "0" },
	    "");
	one = request("created",
	    (struct web_request){ .method = "POST",
		.path = "",
		.upload_length = "5",
		.upload_concat = "partial" },
	    "hello");
	two = request("created",
	    (struct web_request){ .method = "POST",
		.path = "",
		.upload_concat = arena_printf(arena, "final;/files/%s", one) },
	    "");
	(void)request("terminated",
	    (struct web_request){
		.method = "DELETE", .path = arena_printf(arena, "/%s", two) },
	    "");
}

int
main(int argc, char **argv)
{
	struct conf *conf = conf_new();
	struct err e;

	if (argc != 2)
		return 2;
	arena = arena_new();
	must(conf_read(conf, argv[1], &e), &e);
	must(store_open(conf, &srv.core.store, &e), &e);
	must(locker_open(conf, &srv.core.locker, &e), &e);
	must(hook_open(conf, &srv.core.hooks, &e), &e);
	tell_the_story();
	srv.core.hooks->ops->shutdown(srv.core.hooks);
	srv.core.locker->ops->shutdown(srv.core.locker);
	srv.core.store->core->shutdown(srv.core.store);
	arena_free(arena);
	conf_free(conf);
	return 0;
}
