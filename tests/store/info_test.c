/*
 * info_test.c - a record that is read in the plain way says what it says as
 * JSON, and all that is not plain is JSON.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "store/file/info.h"

#define ID "0123456789abcdef0123456789abcdef"

static struct arena *a;

static const char *
format(const struct file_info *info, size_t *len)
{
	struct info_record r = { .info = *info };
	const char *text;
	struct err e;

	r.head = (struct info_head){ .size = info->size,
		.hold = -1,
		.boot = INFO_NO_BOOT,
		.has_pending = true };
	assert_int_equal(info_format(&r, a, &text, len, &e), ERR_OK);
	return text;
}

/* As the store does, without what it knows itself. */
static char *
without_storage(const char *text, size_t *len)
{
	static const char end[] = ",\"Storage\":{}}";
	char *copy = arena_memdup(a, text, *len);

	*len -= sizeof(end) - 1;
	assert_memory_equal(copy + *len, end, sizeof(end) - 1);
	copy[(*len)++] = '}';
	copy[*len] = '\0';
	return copy;
}

static bool
is_plain(const char *text, size_t len)
{
	struct file_info info;

	return info_read_plain(
	    text + INFO_WHOLE_HEAD, len - INFO_WHOLE_HEAD, ID, a, &info);
}

static struct info_record
parse(const char *text, size_t len)
{
	struct info_record r;
	struct err e;

	assert_int_equal(
	    info_parse(arena_memdup(a, text, len), len, ID, a, &r, &e), ERR_OK);
	return r;
}

static void
assert_same(const char *x, const char *y)
{
	if (x == NULL || y == NULL)
		assert_ptr_equal(x, y);
	else
		assert_string_equal(x, y);
}

static void
assert_same_info(const struct file_info *x, const struct file_info *y)
{
	const struct pair *p = x->metadata, *q = y->metadata;

	for (; p != NULL && q != NULL; p = p->next, q = q->next) {
		assert_string_equal(p->key, q->key);
		assert_int_equal(p->value_len, q->value_len);
		assert_memory_equal(p->value, q->value, p->value_len);
	}
	assert_true(p == NULL && q == NULL);
	assert_same(x->id, y->id);
	assert_same(x->metadata_raw, y->metadata_raw);
	assert_same(x->owner, y->owner);
	assert_same(x->protocol, y->protocol);
	assert_same(x->digest, y->digest);
	assert_same(x->move_to, y->move_to);
	assert_int_equal(x->is_partial, y->is_partial);
	assert_int_equal(x->is_final, y->is_final);
	assert_null(x->parts);
	assert_null(y->parts);
	assert_int_equal(x->size, y->size);
	assert_int_equal(x->max_size, y->max_size);
	assert_int_equal(x->retention, y->retention);
	assert_int_equal(x->created, y->created);
}

static struct pair type = { NULL, "filetype", "", 0 };
static struct pair name = { &type, "filename",
	"gr\xc3\xbc\xc3\x9f"
	"e",
	7 };

static const struct file_info plain[] = {
	{ .id = ID },
	{ .id = ID,
	    .size = 5,
	    .metadata = &name,
	    .created = 1795377600,
	    .metadata_raw = "filename Z3LDvMOfZQ==,filetype" },
	{ .id = ID,
	    .is_partial = true,
	    .owner = "joe",
	    .protocol = "rufh",
	    .digest = "sha256=00",
	    .move_to = "a/b",
	    .max_size = 999,
	    .retention = 7,
	    .created = 1 },
};

static void
a_plain_record_says_the_same_as_json(void **state)
{
	struct info_record quick, slow;
	char *text, *spaced;
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(plain); i++) {
		text = (char *)format(&plain[i], &len);
		text = without_storage(text, &len);
		assert_true(is_plain(text, len));
		spaced = arena_memdup(a, text, len + 1);
		memcpy(spaced + len - 1, " }", 2);
		assert_false(is_plain(spaced, len + 1));
		quick = parse(text, len);
		slow = parse(spaced, len + 1);
		assert_same_info(&quick.info, &slow.info);
		assert_same_info(&quick.info, &plain[i]);
	}
}

static void
a_plain_record_is_written_as_the_library_writes_it(void **state)
{
	char buf[4096], *text;
	json_t *root;
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(plain); i++) {
		len = info_write_plain(buf, sizeof(buf), &plain[i]);
		assert_true(len > 0);
		root = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
		assert_int_equal(strlen(text), len);
		assert_memory_equal(text, buf, len);
		free(text);
		json_decref(root);
		/* Whatever room there is, it is all or nothing. */
		for (; len > 0; len--)
			assert_int_equal(
			    info_write_plain(buf, len - 1, &plain[i]), 0);
	}
}

static struct pair twice = { &type, "filetype", "", 0 };
static struct pair binary = { NULL, "filename", "\xff", 1 };

static const struct file_info not_plain[] = {
	{ .id = ID, .metadata = &twice },
	{ .id = ID, .metadata = &binary },
	{ .id = ID, .owner = "a\"b" },
	{ .id = ID, .owner = "a\\b" },
	{ .id = ID, .owner = "a\tb" },
	{ .id = ID, .concat_raw = "final;x" },
};

static void
what_needs_an_escape_is_left_to_the_library(void **state)
{
	char buf[4096];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(not_plain); i++)
		assert_int_equal(
		    info_write_plain(buf, sizeof(buf), &not_plain[i]), 0);
}

/* Instead of what stands there; of the same length or not. */
static const struct {
	const char *from, *to;
} others[] = {
	{ "\"joe\"", "\"jo\\u0065\"" },
	{ "\"joe\"",
	    "\"j\xff"
	    "e\"" },
	{ "\"joe\"",
	    "\"j\x01"
	    "e\"" },
	{ "\"joe\"", "null" },
	{ "\"joe\"", "joe" },
	{ "\"MaxSize\":999", "\"MaxSize\":0999" },
	{ "\"MaxSize\":999", "\"MaxSize\":-999" },
	{ "\"MaxSize\":999", "\"MaxSize\":9999999999999999999" },
	{ "\"MaxSize\":999", "\"MaxSize\":999.0" },
	{ "\"MaxSize\":999", "\"MaxSize\":" },
	{ "\"MetaData\":{}", "\"MetaData\":{\"a\":\"\",\"a\":\"\"}" },
	{ "\"MetaData\":{}", "\"MetaData\":{\"a\":\"\",}" },
	{ "\"MetaData\":{}", "\"MetaData\":{,\"a\":\"\"}" },
	{ "\"MetaData\":{}", "\"MetaData\":null" },
	{ "\"PartialUploads\":null", "\"PartialUploads\":[\"x\"]" },
	{ "\"IsFinal\":false", "\"IsFinal\":0" },
	{ "\"Created\":1}", "\"Created\":1" },
	{ "\"Created\":1}", "\"Created\":1}}" },
	{ "\"Created\":1}", "\"Created\":1,\"New\":2}" },
	{ ID, "0123456789abcdef0123456789abcdee" },
};

static void
whatever_looks_different_is_not_plain(void **state)
{
	const char *text, *at;
	size_t i, len;
	char *base;

	(void)state;
	text = format(&plain[2], &len);
	base = without_storage(text, &len);
	assert_true(is_plain(base, len));
	for (i = 0; i < NITEMS(others); i++) {
		at = strstr(base, others[i].from);
		assert_non_null(at);
		text = arena_printf(a, "%.*s%s%s", (int)(at - base), base,
		    others[i].to, at + strlen(others[i].from));
		assert_false(is_plain(text, strlen(text)));
	}
	/* Nor is one that ends anywhere in between. */
	for (i = INFO_WHOLE_HEAD; i < len; i++)
		assert_false(is_plain(arena_memdup(a, base, i), i));
}

static int
set_up(void **state)
{
	(void)state;
	info_set_up();
	a = arena_new();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(a);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_record_says_the_same_as_json),
		cmocka_unit_test(whatever_looks_different_is_not_plain),
		cmocka_unit_test(
		    a_plain_record_is_written_as_the_library_writes_it),
		cmocka_unit_test(what_needs_an_escape_is_left_to_the_library),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
