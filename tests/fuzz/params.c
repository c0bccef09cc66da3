/*
 * params.c - any FastCGI parameters: what is made of them keeps what the core
 * may rely on.  A line of the input is a parameter; the first byte chooses the
 * configuration.
 */
#include "config.h"

#include <string.h>

#include "fcgi/request.h"
#include "tests/fuzz/fuzz.h"

#define PARAMS_MAX 40

static void
check(const struct web_request *req)
{
	size_t len = strlen(req->base);

	if (req->method == NULL || *req->method == '\0')
		fuzz_bug("no method");
	if (len > 0 && req->base[len - 1] == '/')
		fuzz_bug("base %s", req->base);
	if (req->path != NULL && *req->path != '\0' && *req->path != '/')
		fuzz_bug("path %s", req->path);
	/* PATH_INFO alone is decoded. */
	if (req->shown.uri != NULL && *req->shown.uri != '\0' &&
	    req->path != NULL && strchr(req->path, '?') != NULL)
		fuzz_bug("path %s has a query", req->path);
	if (req->max_size < -1)
		fuzz_bug("a limit of %lld", (long long)req->max_size);
	if (req->owner != NULL && *req->owner == '\0')
		fuzz_bug("an owner without a name");
}

static void
check_headers(const struct pair *p)
{
	for (; p != NULL; p = p->next)
		if (strchr(p->key, '_') != NULL ||
		    strchr(p->key, '=') != NULL || p->value_len == 0)
			fuzz_bug("header %s: %s", p->key, p->value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const bases[] = { "", "/files", "/a/b", "/" };
	static struct hooks somebody;
	struct arena *a = arena_new();
	char *params[PARAMS_MAX + 1] = { NULL }, *rest;
	uint8_t how = len > 0 ? bytes[0] : 0;
	struct settings s = { .base_path = bases[how % NITEMS(bases)],
		.owner_param = how & 4 ? "REMOTE_USER" : "",
		.trust_forwarded = (how & 8) != 0,
		.server = { .core.hooks = how & 16 ? &somebody : NULL } };
	struct web_request req;
	const char *why;
	size_t i;

	rest = arena_memdup(
	    a, len > 0 ? (const char *)bytes + 1 : "", len > 0 ? len - 1 : 0);
	for (i = 0; i < PARAMS_MAX && rest != NULL; i++)
		params[i] = strsep(&rest, "\n");
	if (request_read(params, &s, a, &req, &why) == REQUEST_OK) {
		check(&req);
		check_headers(req.shown.headers);
	} else if (why == NULL) {
		fuzz_bug("refused without a reason");
	}
	arena_free(a);
	return 0;
}
