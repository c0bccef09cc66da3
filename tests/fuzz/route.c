/*
 * route.c - any method, override and path: only the path of an upload ever
 * leads to it.  The input is three lines.
 */
#include "config.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"

#define ID "00000000000000000000000000000001"

static const char *
next_line(void)
{
	const uint8_t *end =
	    input.left > 0 ? memchr(input.at, '\n', input.left) : NULL;
	size_t n = end != NULL ? (size_t)(end - input.at) : input.left;
	const char *line = arena_memdup(
	    arena, input.left > 0 ? (const void *)input.at : "", n);

	n += end != NULL;
	input.at += n;
	input.left -= n;
	return line;
}

static int
status_of(const char *method, const char *path)
{
	const struct web_request req = { .method = method,
		.base = "/files",
		.path = path,
		.tus_resumable = TUS_VERSION,
		.max_size = -1 };

	return server_look(&req).status;
}

static void
create(void)
{
	const struct web_request req = { .method = "POST",
		.base = "/files",
		.path = "/",
		.tus_resumable = TUS_VERSION,
		.content_type = "application/offset+octet-stream",
		.content_length = "3",
		.upload_length = "3",
		.max_size = -1 };
	const struct body body = { "abc", 3, 3, END_COMPLETE };

	if (server_ask(&req, &body).status != 201)
		fuzz_bug("no upload");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct body body = { "abc", 3, 3, END_COMPLETE };
	struct web_request req = { .base = "/files",
		.tus_resumable = TUS_VERSION,
		.content_type = "application/offset+octet-stream",
		.upload_offset = "3",
		.upload_length = "5",
		.max_size = -1 };
	struct answer a;

	input = (struct input){ bytes, len };
	server_open();
	create();
	req.method = next_line();
	req.method_override = next_line();
	req.path = next_line();
	a = server_ask(&req, &body);
	if (strcmp(req.path, "/" ID) == 0 || strcmp(req.path, "/" ID "/") == 0)
		return 0;
	if (answer_header(&a, "Upload-Offset") != NULL && a.status != 201)
		fuzz_bug("%s leads to an upload", req.path);
	if (status_of("HEAD", "/" ID) != 200 || status_of("GET", "/" ID) != 200)
		fuzz_bug("%s %s %s harms another upload", req.method,
		    req.method_override, req.path);
	if (a.status == 201 && strcmp(req.path, "") != 0 &&
	    strcmp(req.path, "/") != 0)
		fuzz_bug("%s is the collection", req.path);
	return 0;
}
