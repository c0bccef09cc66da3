/*
 * json_test.c - tusd v2's words, to the letter.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hook/parts.h"

static struct arena *a;

static int
setup(void **state)
{
	(void)state;
	a = arena_new();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_free(a);
	return 0;
}

static const char *
event_text(enum hook_point hook, const struct file_info *info,
    const struct hook_request *req)
{
	const struct hook_event event = { hook, info, req };
	struct hook_message m;
	struct err e;
	char *text;

	assert_int_equal(
	    hook_message_make(&m, hook_json_event(&event, a), "id", &e),
	    ERR_OK);
	text = arena_memdup(a, m.text, m.len);
	hook_message_free(&m);
	return text;
}

static void
event_is_what_tusd_sends(void **state)
{
	struct pair storage2 = { NULL, "InfoPath", "/s/x.info", 9 };
	struct pair storage = { &storage2, "Path", "/s/x", 4 };
	struct pair type = { NULL, "public", "", 0 };
	struct pair name = { &type, "filename", "a \"b\".txt", 9 };
	struct pair second = { NULL, "X-Forwarded-For", "10.0.0.1", 8 };
	struct pair cookie = { &second, "Cookie", "a=b", 3 };
	struct pair first = { &cookie, "X-Forwarded-For", "::1", 3 };
	const struct file_info info = {
		.id = "0d7e",
		.size = 11,
		.offset = 5,
		.metadata = &name,
		.storage = &storage,
	};
	const struct hook_request req = {
		.method = "PATCH",
		.uri = "/files/0d7e?a=b",
		.remote = "[::1]:4711",
		.headers = &first,
	};

	(void)state;
	assert_string_equal(event_text(HOOK_POST_RECEIVE, &info, &req),
	    "{\"Type\":\"post-receive\",\"Event\":{\"Upload\":{\"ID\":\"0d7e\","
	    "\"Size\":11,\"SizeIsDeferred\":false,\"Offset\":5,\"MetaData\":{"
	    "\"filename\":\"a \\\"b\\\".txt\",\"public\":\"\"},"
	    "\"IsPartial\":false,\"IsFinal\":false,\"PartialUploads\":null,"
	    "\"Storage\":{\"Path\":\"/s/x\",\"InfoPath\":\"/s/x.info\"}},"
	    "\"HTTPRequest\":{\"Method\":\"PATCH\",\"URI\":\"/files/0d7e?a=b\","
	    "\"RemoteAddr\":\"[::1]:4711\",\"Header\":{\"X-Forwarded-For\":["
	    "\"::1\",\"10.0.0.1\"],\"Cookie\":[\"a=b\"]}}},"
	    "\"EventID\":\"id\"}");
}

static void
what_is_not_known_is_told_as_tusd_does(void **state)
{
	const char *const parts[] = { "p1", "p2", NULL };
	const struct file_info empty = { .size = 77, .size_deferred = true };
	const struct file_info final = {
		.id = "f",
		.is_final = true,
		.parts = parts,
	};

	(void)state;
	assert_string_equal(event_text(HOOK_PRE_CREATE, &empty, NULL),
	    "{\"Type\":\"pre-create\",\"Event\":{\"Upload\":{\"ID\":\"\","
	    "\"Size\":0,\"SizeIsDeferred\":true,\"Offset\":0,\"MetaData\":{},"
	    "\"IsPartial\":false,\"IsFinal\":false,\"PartialUploads\":null,"
	    "\"Storage\":null},\"HTTPRequest\":{\"Method\":\"\",\"URI\":\"\","
	    "\"RemoteAddr\":\"\",\"Header\":{}}},\"EventID\":\"id\"}");
	assert_non_null(strstr(event_text(HOOK_POST_FINISH, &final, NULL),
	    "\"IsFinal\":true,\"PartialUploads\":[\"p1\",\"p2\"]"));
}

static void
any_bytes_become_text(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text;
	} rows[] = {
		{ "\xc3\xa9", 2, "\xc3\xa9" },
		{ "\xff", 1, "\xef\xbf\xbd" },
		{ "a\xc3", 2, "a\xef\xbf\xbd" },
		{ "\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80" },
		{ "\xf4\x90\x80\x80", 4,
		    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "a\0b", 3, "a\\u0000b" },
		{ "\r\n", 2, "\\r\\n" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		struct pair p = { NULL, "k", rows[i].bytes, rows[i].len };
		const struct file_info info = { .id = "x", .metadata = &p };

		assert_non_null(
		    strstr(event_text(HOOK_POST_CREATE, &info, NULL),
			arena_printf(
			    a, "\"MetaData\":{\"k\":\"%s\"}", rows[i].text)));
	}
}

static enum err_code
answer(const char *text, struct hook_verdict *v, struct err *e)
{
	return hook_json_answer(text, strlen(text), a, v, e);
}

static void
full_answer_is_understood(void **state)
{
	struct hook_verdict v;
	struct err e;

	(void)state;
	assert_int_equal(
	    answer("{\"HTTPResponse\":{\"StatusCode\":422,\"Body\":"
		   "\"no\",\"Header\":{\"A\":\"b\",\"C\":\"d\"}},"
		   "\"RejectUpload\":true,\"RejectTermination\":"
		   "true,\"StopUpload\":true,\"ChangeFileInfo\":{"
		   "\"ID\":\"x\",\"MetaData\":{\"k\":\"v\"},"
		   "\"Storage\":{\"Path\":\"/p\"}}}\n",
		&v, &e),
	    ERR_OK);
	assert_int_equal(v.reply.status, 422);
	assert_string_equal(v.reply.body, "no");
	assert_string_equal(v.reply.headers->key, "A");
	assert_string_equal(v.reply.headers->next->value, "d");
	assert_null(v.reply.headers->next->next);
	assert_true(v.reject_upload && v.reject_termination && v.stop_upload);
	assert_string_equal(v.id, "x");
	assert_true(v.has_metadata);
	assert_string_equal(v.metadata->key, "k");
	assert_int_equal(v.metadata->value_len, 1);
	assert_string_equal(v.storage_path, "/p");
}

/* All of these say "go on". */
static const char *const silent[] = {
	"",
	" \r\n",
	"{}",
	"{\"HTTPResponse\":null,\"RejectUpload\":null,\"ChangeFileInfo\":null}",
	"{\"HTTPResponse\":{\"StatusCode\":0,\"Body\":\"\",\"Header\":null},"
	"\"RejectUpload\":false,\"ChangeFileInfo\":{\"ID\":\"\",\"MetaData\":"
	"null,\"Storage\":null}}",
	"{\"Unheard\":[1,2,{\"Of\":3}]}",
};

static void
nothing_said_is_nothing_changed(void **state)
{
	const struct hook_verdict nothing = { .id = NULL };
	struct hook_verdict v;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(silent); i++) {
		memset(&v, 0xff, sizeof(v));
		if (answer(silent[i], &v, &e) != ERR_OK)
			fail_msg("%s: %s", silent[i], e.text);
		assert_int_equal(v.reply.status, nothing.reply.status);
		assert_null(v.reply.body);
		assert_null(v.reply.headers);
		assert_false(v.reject_upload || v.reject_termination ||
		    v.stop_upload || v.has_metadata);
		assert_null(v.id);
		assert_null(v.storage_path);
	}
}

/* Invalid answers, and a word that the log must contain. */
static const struct {
	const char *text;
	const char *word;
} wrong[] = {
	{ "hello", "JSON" },
	{ "{", "JSON" },
	{ "{} {}", "JSON" },
	{ "[]", "root" },
	{ "\"x\"", "JSON" },
	{ "{\"RejectUpload\":1}", "RejectUpload" },
	{ "{\"RejectTermination\":\"true\"}", "RejectTermination" },
	{ "{\"StopUpload\":{}}", "StopUpload" },
	{ "{\"HTTPResponse\":[]}", "HTTPResponse" },
	{ "{\"HTTPResponse\":{\"StatusCode\":\"400\"}}", "StatusCode" },
	{ "{\"HTTPResponse\":{\"StatusCode\":100}}", "StatusCode" },
	{ "{\"HTTPResponse\":{\"StatusCode\":600}}", "StatusCode" },
	{ "{\"HTTPResponse\":{\"StatusCode\":-1}}", "StatusCode" },
	{ "{\"HTTPResponse\":{\"StatusCode\":4294967696}}", "StatusCode" },
	{ "{\"HTTPResponse\":{\"Body\":{}}}", "Body" },
	{ "{\"HTTPResponse\":{\"Header\":{\"A\":[\"b\"]}}}", "Header" },
	{ "{\"HTTPResponse\":{\"Header\":{\"A B\":\"c\"}}}", "Header" },
	{ "{\"HTTPResponse\":{\"Header\":{\"A\\r\\nB\":\"c\"}}}", "Header" },
	{ "{\"HTTPResponse\":{\"Header\":{\"x-accel-redirect\":\"/x\"}}}",
	    "web server" },
	{ "{\"HTTPResponse\":{\"Header\":{\"X-Accel-Limit-Rate\":\"1\"}}}",
	    "web server" },
	{ "{\"HTTPResponse\":{\"Header\":{\"X-Sendfile\":\"/x\"}}}",
	    "web server" },
	{ "{\"HTTPResponse\":{\"Header\":{\"X-SENDFILE2\":\"/x\"}}}",
	    "web server" },
	{ "{\"HTTPResponse\":{\"Header\":{\"A\":\"b\","
	  "\"X-LIGHTTPD-send-file\":\"/x\"}}}",
	    "web server" },
	{ "{\"ChangeFileInfo\":{\"ID\":7}}", "ID" },
	{ "{\"ChangeFileInfo\":{\"MetaData\":{\"k\":1}}}", "MetaData" },
	{ "{\"ChangeFileInfo\":{\"Storage\":{\"Path\":1}}}", "Path" },
};

static void
answer_that_makes_no_sense_is_refused(void **state)
{
	struct hook_verdict v;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(wrong); i++) {
		e.text[0] = '\0';
		if (answer(wrong[i].text, &v, &e) == ERR_OK)
			fail_msg("%s was taken", wrong[i].text);
		if (strstr(e.text, wrong[i].word) == NULL)
			fail_msg("%s: %s", wrong[i].text, e.text);
	}
}

static void
names_may_differ_in_case(void **state)
{
	struct hook_verdict v;
	struct err e;

	(void)state;
	assert_int_equal(answer("{\"rejectUpload\":true,\"httpresponse\":"
				"{\"statuscode\":403}}",
			     &v, &e),
	    ERR_OK);
	assert_true(v.reject_upload);
	assert_int_equal(v.reply.status, 403);
}

static void
only_events_are_messages(void **state)
{
	static const char *const others[] = { "{}", "[]",
		"{\"Type\":\"x\",\"Event\":{}}",
		("{\"Type\":\"x\",\"Event\":{\"Upload\":{\"ID\":\"a\",\"Size\":"
		 "\"1\",\"Offset\":0}}}") };
	struct hook_message m;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(others); i++)
		assert_int_equal(hook_message_make(&m,
				     json_loads(others[i], 0, NULL), "id", &e),
		    ERR_CORRUPT);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(event_is_what_tusd_sends),
		T(what_is_not_known_is_told_as_tusd_does),
		T(any_bytes_become_text),
		T(full_answer_is_understood),
		T(nothing_said_is_nothing_changed),
		T(answer_that_makes_no_sense_is_refused),
		T(names_may_differ_in_case),
		T(only_events_are_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
