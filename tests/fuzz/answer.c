/*
 * answer.c - any bytes as the answer of a hook.
 *
 * An answer that is understood must be fit to be sent to a client, and an
 * invalid one must change nothing.
 */
#include "config.h"

#include <string.h>

#include "hook/parts.h"
#include "tests/fuzz/fuzz.h"

static void
check_headers(const struct pair *p)
{
	for (; p != NULL; p = p->next) {
		if (*p->key == '\0' || strpbrk(p->key, " :\r\n") != NULL)
			fuzz_bug("header name \"%s\"", p->key);
		if (p->value == NULL)
			fuzz_bug("header %s without a value", p->key);
	}
}

static void
check_verdict(const struct hook_verdict *v)
{
	if (v->reply.status != 0 &&
	    (v->reply.status < 200 || v->reply.status > 599))
		fuzz_bug("status %d", v->reply.status);
	if (v->metadata != NULL && !v->has_metadata)
		fuzz_bug("metadata that is not meant");
	if (v->id != NULL && *v->id == '\0')
		fuzz_bug("an empty id is none");
	check_headers(v->reply.headers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct hook_verdict none = { .id = NULL };
	struct arena *a = arena_new();
	struct hook_verdict v;
	struct err e = { .code = ERR_OK };

	if (hook_json_answer((const char *)bytes, len, a, &v, &e) == ERR_OK)
		check_verdict(&v);
	else if (e.code == ERR_OK || *e.text == '\0')
		fuzz_bug("refused without a word");
	if (len == 0 && memcmp(&v, &none, sizeof(v)) != 0)
		fuzz_bug("nothing said, something changed");
	arena_free(a);
	return 0;
}
