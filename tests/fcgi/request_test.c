/*
 * request_test.c - FastCGI parameters as the front ends send them.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/request.h"

#define PARAMS_MAX 8

/* Any that is not NULL makes request_read() describe a request for hooks. */
static struct hooks somebody;

struct place {
	/* What the configuration says. */
	const char *base_path;
	const char *params[PARAMS_MAX];
	/* The expected result. */
	const char *base, *path;
};

static const struct place places[] = {
	/* nginx, lighttpd, mod_fcgid below a ScriptAlias */
	{ "", { "REQUEST_URI=/files/abc?x=/y", "PATH_INFO=/abc" }, "/files",
	    "/abc" },
	{ "", { "REQUEST_URI=/files", "PATH_INFO=" }, "/files", "" },
	{ "", { "REQUEST_URI=/files/", "PATH_INFO=/" }, "/files", "/" },
	/* .htaccess: the path of the script is not that of the request */
	{ "",
	    { "REQUEST_URI=/up/files/abc", "SCRIPT_NAME=/up/tus.fcgi",
		"PATH_INFO=/abc" },
	    "/up/files", "/abc" },
	/* PATH_INFO is decoded, REQUEST_URI is not */
	{ "", { "REQUEST_URI=/a%2Fb/files/%61bc", "PATH_INFO=/abc" },
	    "/a%2Fb/files", "/abc" },
	{ "", { "REQUEST_URI=/files/a%2fb", "PATH_INFO=/a/b" }, "/files",
	    "/a%2fb" },
	{ "", { "REQUEST_URI=/files/100%25", "PATH_INFO=/100%" }, "/files",
	    "/100%25" },
	/* unreserved characters are decoded, once, and nothing else is */
	{ "/files", { "REQUEST_URI=/%66il%65s/%61%2d%7E%2E" }, "/files",
	    "/a-~." },
	{ "/files", { "REQUEST_URI=/files/%2561%%36%31%zz%" }, "/files",
	    "/%2561%61%zz%" },
	{ "/files", { "REQUEST_URI=/files/%2F%20%2e%2e" }, "/files",
	    "/%2F%20.." },
	{ "", { "REQUEST_URI=/%66iles/%61bc", "PATH_INFO=/abc" }, "/files",
	    "/abc" },
	/* what the front end has split is another path */
	{ "", { "REQUEST_URI=/files/abc", "PATH_INFO=/abd" }, "", NULL },
	{ "", { "REQUEST_URI=/files/abc/.", "PATH_INFO=/abc/" }, "", NULL },
	{ "", { "REQUEST_URI=/files", "PATH_INFO=/" }, "/files", "" },
	{ "", { "REQUEST_URI=/files/./abc", "PATH_INFO=/abc" }, "/files/.",
	    NULL },
	{ "", { "REQUEST_URI=/a/%2E./files/abc", "PATH_INFO=/abc" },
	    "/a/../files", NULL },
	{ "", { "REQUEST_URI=//files/abc", "PATH_INFO=/abc" }, "//files",
	    NULL },
	{ "", { "REQUEST_URI=/.../..files/abc", "PATH_INFO=/abc" },
	    "/.../..files", "/abc" },
	/* mod_proxy_fcgi says nothing: then it must be configured */
	{ "/files", { "REQUEST_URI=/files/abc", "SCRIPT_NAME=/files/abc" },
	    "/files", "/abc" },
	{ "/files/", { "REQUEST_URI=/files" }, "/files", "" },
	{ "/files", { "REQUEST_URI=/filesystem" }, "/files", NULL },
	{ "/files", { "REQUEST_URI=/other/files/abc" }, "/files", NULL },
	{ "/files", { "REQUEST_URI=/files//abc" }, "/files", "//abc" },
	/* the endpoint is the root */
	{ "", { "REQUEST_URI=/abc", "PATH_INFO=/abc" }, "", "/abc" },
	{ "/", { "REQUEST_URI=/abc" }, "", "/abc" },
	/* absolute form */
	{ "/files", { "REQUEST_URI=http://a.test/files/abc?x" }, "/files",
	    "/abc" },
	{ "/files", { "REQUEST_URI=/files/abc?u=http://a.test/" }, "/files",
	    "/abc" },
	/* the web server knows better than the configuration */
	{ "/files", { "REQUEST_URI=/mine/abc", "TUS_BASE_PATH=/mine/" },
	    "/mine", "/abc" },
	{ "/files", { "REQUEST_URI=/files/abc", "TUS_BASE_PATH=" }, "/files",
	    "/abc" },
	/* no REQUEST_URI */
	{ "/files", { "SCRIPT_NAME=/files", "PATH_INFO=/abc" }, "/files",
	    "/abc" },
	{ "/files", { "SCRIPT_NAME=/files/abc" }, "/files", "/abc" },
};

static bool
read_params(const char *const *params, const struct settings *s,
    struct arena *a, struct web_request *req)
{
	char *list[PARAMS_MAX + 2] = { arena_strdup(a, "REQUEST_METHOD=GET") };
	const char *why;
	size_t i;

	for (i = 0; i < PARAMS_MAX && params[i] != NULL; i++)
		list[i + 1] = arena_strdup(a, params[i]);
	return request_read(list, s, a, req, &why) == REQUEST_OK;
}

static void
assert_text(const char *got, const char *wanted)
{
	if (wanted == NULL)
		assert_null(got);
	else
		assert_string_equal(got, wanted);
}

static void
the_endpoint_and_what_follows_it(void **state)
{
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(places); i++) {
		struct settings s = { .base_path = places[i].base_path,
			.owner_param = "" };

		assert_true(read_params(places[i].params, &s, a, &req));
		assert_text(req.base, places[i].base);
		assert_text(req.path, places[i].path);
	}
	arena_free(a);
}

/* A web server lets readers in there, under any of these names. */
static void
what_can_only_be_read_is_no_endpoint(void **state)
{
	static const char *const uris[] = { "/metrics/", "//metrics",
		"/%6detrics", "/%6Detric%73//", "/%2Fmetrics", "/x/../metrics",
		"/./metrics", "/metrics//", "/metrics/?x" };
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < 2 * NITEMS(uris); i++) {
		const char *params[] = { arena_printf(
					     a, "REQUEST_URI=%s", uris[i / 2]),
			"SCRIPT_NAME=/metrics", NULL };
		struct settings s = { .base_path = "", .owner_param = "" };

		*(i % 2 == 0 ? &s.metrics_path : &s.status_path) = "/metrics";
		assert_true(read_params(params, &s, a, &req));
		assert_null(req.path);
		assert_true(read_params(
		    (const char *const[]){ "REQUEST_URI=/metric", NULL }, &s, a,
		    &req));
		assert_string_equal(req.path, "");
	}
	arena_free(a);
}

static void
the_scheme_and_the_limit(void **state)
{
	static const struct {
		const char *params[PARAMS_MAX];
		const char *scheme;
		int64_t max_size;
	} rows[] = {
		{ { "REQUEST_URI=/" }, NULL, -1 },
		{ { "REQUEST_URI=/", "HTTPS=on" }, "https", -1 },
		{ { "REQUEST_URI=/", "HTTPS=1", "REQUEST_SCHEME=http" },
		    "https", -1 },
		{ { "REQUEST_URI=/", "HTTPS=off", "REQUEST_SCHEME=http" },
		    "http", -1 },
		{ { "REQUEST_URI=/", "HTTPS=", "REQUEST_SCHEME=https" },
		    "https", -1 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=10" }, NULL, 10 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=0" }, NULL, 0 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=" }, NULL, -1 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=-5" }, NULL, -1 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=10M" }, NULL, -1 },
		{ { "REQUEST_URI=/", "TUS_MAX_SIZE=99999999999999999999" },
		    NULL, -1 },
		/* A client cannot. */
		{ { "REQUEST_URI=/", "HTTP_TUS_MAX_SIZE=10", "HTTP_HTTPS=on" },
		    NULL, -1 },
	};
	struct settings s = { .base_path = "", .owner_param = "" };
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		assert_true(read_params(rows[i].params, &s, a, &req));
		assert_text(req.scheme, rows[i].scheme);
		assert_int_equal(req.max_size, rows[i].max_size);
	}
	arena_free(a);
}

#define SEEN "REQUEST_URI=/", "HTTP_HOST=seen.test:80", "REQUEST_SCHEME=http"
static const struct {
	const char *params[PARAMS_MAX];
	const char *host, *scheme;
} forwarded[] = {
	{ { SEEN }, "seen.test", "http" },
	{ { SEEN, "HTTP_X_FORWARDED_HOST=b.test" }, "b.test", "http" },
	{ { SEEN, "HTTP_X_FORWARDED_PROTO=https" }, "seen.test:80", "https" },
	{ { SEEN, "HTTP_X_FORWARDED_PROTO=HTTPS , http",
	      "HTTP_X_FORWARDED_HOST= b.test:443 , c.test" },
	    "b.test", "https" },
	{ { SEEN, "HTTP_X_FORWARDED_PROTO=javascript",
	      "HTTP_X_FORWARDED_HOST=" },
	    "seen.test", "http" },
	/* RFC 7239 */
	{ { SEEN,
	      "HTTP_FORWARDED=for=192.0.2.60;proto=https;host=b.test,"
	      "host=c.test;proto=http" },
	    "b.test", "https" },
	{ { SEEN, "HTTP_FORWARDED=Host=\"b.test:8443\" ; PROTO=HTTPS" },
	    "b.test:8443", "https" },
	{ { SEEN, "HTTP_FORWARDED=host=\"[::1]:443\";proto=\"https\"" },
	    "[::1]", "https" },
	{ { SEEN, "HTTP_FORWARDED=for=\"a,host=x;\\\"\";host=b.test" },
	    "b.test", "http" },
	{ { SEEN, "HTTP_X_FORWARDED_HOST=b.test",
	      "HTTP_X_FORWARDED_PROTO=https", "HTTP_FORWARDED=host=c.test" },
	    "c.test", "https" },
	/* Rubbish. */
	{ { SEEN, "HTTP_FORWARDED=host" }, "seen.test", "http" },
	{ { SEEN, "HTTP_FORWARDED=host=;proto=ftp" }, "seen.test", "http" },
	{ { SEEN, "HTTP_FORWARDED=;;=;xhost=a;hosts=b" }, "seen.test", "http" },
	{ { SEEN, "HTTP_FORWARDED=,host=c.test" }, "seen.test", "http" },
	{ { SEEN, "HTTP_FORWARDED=host=\"b.test" }, "b.test", "http" },
	{ { "REQUEST_URI=/", "HTTP_FORWARDED=proto=https" }, NULL, "https" },
};

static void
what_a_proxy_says_counts_where_it_is_trusted(void **state)
{
	struct settings s = { .base_path = "", .owner_param = "" };
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(forwarded); i++) {
		s.trust_forwarded = true;
		assert_true(read_params(forwarded[i].params, &s, a, &req));
		assert_text(req.host, forwarded[i].host);
		assert_text(req.scheme, forwarded[i].scheme);
		s.trust_forwarded = false;
		assert_true(read_params(forwarded[i].params, &s, a, &req));
		assert_text(req.host,
		    forwarded[i].host != NULL ? "seen.test:80" : NULL);
		assert_text(
		    req.scheme, forwarded[i].host != NULL ? "http" : NULL);
	}
	arena_free(a);
}

static void
a_prefix_that_a_trusted_proxy_strips(void **state)
{
	static const struct {
		const char *header, *prefix;
	} rows[] = {
		{ "/up", "/up" },
		{ "/up/there/", "/up/there" },
		{ " /up , /other", "/up" },
		{ "/", "" },
		{ "/a%20b;c=@:~", "/a%20b;c=@:~" },
		{ "", NULL },
		{ "up", NULL },
		{ "//evil.test", NULL },
		{ "/\\evil.test", NULL },
		{ "/a/../b", NULL },
		{ "/a?b", NULL },
		{ "/a#b", NULL },
		{ "/a\r\nX: y", NULL },
		{ "/a\x7f", NULL },
		{ "/\xc3\xa9", NULL },
		{ "http://evil.test/", NULL },
	};
	struct settings s = { .base_path = "", .owner_param = "" };
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		const char *params[] = { "REQUEST_URI=/",
			arena_printf(
			    a, "HTTP_X_FORWARDED_PREFIX=%s", rows[i].header),
			NULL };

		s.trust_forwarded = true;
		assert_true(read_params(params, &s, a, &req));
		assert_text(req.prefix, rows[i].prefix);
		s.trust_forwarded = false;
		assert_true(read_params(params, &s, a, &req));
		assert_null(req.prefix);
	}
	arena_free(a);
}

struct owned {
	/* What the configuration says, and what comes beside the URI. */
	const char *owner_param;
	const char *params[PARAMS_MAX - 1];
	const char *owner;
};

static const struct owned owned[] = {
	{ "", { "REMOTE_USER=ann" }, NULL },
	{ "REMOTE_USER", { "REMOTE_USER=ann" }, "ann" },
	{ "REMOTE_USER", { "REMOTE_USER=" }, NULL },
	{ "REMOTE_USER", { "REMOTE_USERS=ann" }, NULL },
	{ "REMOTE_USER", { "REMOTE_USER=ann", "TUS_OWNER=bob" }, "bob" },
	{ "REMOTE_USER", { "REMOTE_USER=ann", "TUS_OWNER=" }, "ann" },
	{ "", { "HTTP_TUS_OWNER=eve" }, NULL },
	/* Two names: nobody knows which was checked. */
	{ "REMOTE_USER", { "REMOTE_USER=ann", "REMOTE_USER=" }, NULL },
	{ "REMOTE_USER", { "REMOTE_USER=", "REMOTE_USER=ann" }, NULL },
	{ "REMOTE_USER", { "REMOTE_USER=ann", "REMOTE_USER=ann" }, "ann" },
	{ "REMOTE_USER",
	    { "REMOTE_USER=ann", "TUS_OWNER=bob", "TUS_OWNER=eve" }, NULL },
	{ "", { "TUS_OWNER=bob", "TUS_OWNER=" }, NULL },
	{ "HTTP_X_USER", { "HTTP_X_USER=ann", "HTTP_X_USER=bob" }, NULL },
	/* What we do not read does not matter. */
	{ "MY_USER", { "REMOTE_USER=x", "REMOTE_USER=y", "MY_USER=ann" },
	    "ann" },
	/* As Apache renames them in an .htaccess. */
	{ "", { "REDIRECT_TUS_OWNER=bob" }, "bob" },
	{ "", { "REDIRECT_REDIRECT_TUS_OWNER=bob", "TUS_OWNER=bob" }, "bob" },
	{ "", { "REDIRECT_TUS_OWNER=bob", "TUS_OWNER=eve" }, NULL },
	{ "REMOTE_USER", { "REDIRECT_REMOTE_USER=ann" }, "ann" },
	{ "REMOTE_USER", { "REDIRECT_REMOTE_USER=ann", "REMOTE_USER=bob" },
	    NULL },
	{ "", { "HTTP_REDIRECT_TUS_OWNER=eve", "REDIRECT_HTTP_TUS_OWNER=eve" },
	    NULL },
};

static void
the_owner(void **state)
{
	struct settings s = { .base_path = "" };
	struct arena *a = arena_new();
	struct web_request req;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(owned); i++) {
		const char *params[PARAMS_MAX] = { "REQUEST_URI=/" };

		memcpy(&params[1], owned[i].params, sizeof(owned[i].params));
		s.owner_param = owned[i].owner_param;
		assert_true(read_params(params, &s, a, &req));
		assert_text(req.owner, owned[i].owner);
	}
	arena_free(a);
}

static void
each_header_goes_where_it_belongs(void **state)
{
	static const char *const params[] = { "REQUEST_URI=/files",
		"HTTP_UPLOAD_OFFSET=5", "HTTP_UPLOAD_METADATA=a",
		"HTTP_UPLOAD_METADATA=b YQ==", "HTTP_UPLOAD_METADATA=c",
		"HTTP_X_HTTP_METHOD_OVERRIDE=PATCH", "CONTENT_LENGTH=7", NULL };
	struct settings s = { .base_path = "/files", .owner_param = "" };
	struct arena *a = arena_new();
	struct web_request req;

	(void)state;
	assert_true(read_params(params, &s, a, &req));
	assert_string_equal(req.method, "GET");
	assert_string_equal(req.upload_offset, "5");
	assert_string_equal(req.method_override, "PATCH");
	assert_string_equal(req.upload_metadata, "a, b YQ==, c");
	assert_string_equal(req.content_length, "7");
	assert_null(req.upload_length);
	assert_null(req.shown.headers);
	arena_free(a);
}

static void
a_parameter_with_two_values_is_refused_where_it_counts(void **state)
{
	static const struct {
		const char *base_path;
		const char *params[PARAMS_MAX];
		const char *why;
	} rows[] = {
		{ "", { "REQUEST_URI=/a", "REQUEST_URI=/b" }, "REQUEST_URI" },
		{ "", { "REQUEST_URI=/a", "REQUEST_URI=/a" }, NULL },
		{ "", { "REQUEST_URI=/a", "REQUEST_METHOD=POST" },
		    "REQUEST_METHOD" },
		{ "", { "REQUEST_URI=/a", "REQUEST_METHOD=GET" }, NULL },
		{ "",
		    { "REQUEST_URI=/", "CONTENT_LENGTH=1", "CONTENT_LENGTH=" },
		    "CONTENT_LENGTH" },
		{ "", { "REQUEST_URI=/", "TUS_MAX_SIZE=1", "TUS_MAX_SIZE=2" },
		    "TUS_MAX_SIZE" },
		{ "",
		    { "REQUEST_URI=/", "TUS_MAX_SIZE=1",
			"REDIRECT_TUS_MAX_SIZE=2" },
		    "TUS_MAX_SIZE" },
		{ "",
		    { "REQUEST_URI=/", "TUS_BASE_PATH=/", "TUS_BASE_PATH=/a" },
		    "TUS_BASE_PATH" },
		{ "", { "REQUEST_URI=/a", "PATH_INFO=", "PATH_INFO=/a" },
		    "PATH_INFO" },
		{ "/a", { "REQUEST_URI=/a", "PATH_INFO=", "PATH_INFO=/a" },
		    NULL },
		{ "", { "REQUEST_URI=/a", "SCRIPT_NAME=/a", "SCRIPT_NAME=/b" },
		    NULL },
		{ "", { "SCRIPT_NAME=/a", "SCRIPT_NAME=/b" }, "SCRIPT_NAME" },
		{ "", { "REQUEST_URI=/a", "REMOTE_ADDR=a", "REMOTE_ADDR=b" },
		    NULL },
		{ "", { "REQUEST_URI=/a", "SERVER_NAME=a", "SERVER_NAME=b" },
		    NULL },
		{ "", { "REQUEST_URI=/a", "HTTP_HOST=a", "HTTP_HOST=b" },
		    NULL },
		{ "", { "REQUEST_URI=/a", "TUS_OWNER=a", "TUS_OWNER=b" },
		    NULL },
	};
	struct arena *a = arena_new();
	struct web_request req;
	const char *why;
	size_t i, n;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		struct settings s = { .base_path = rows[i].base_path,
			.owner_param = "" };
		char *list[PARAMS_MAX + 2] = { arena_strdup(
		    a, "REQUEST_METHOD=GET") };

		for (n = 0; n < PARAMS_MAX && rows[i].params[n] != NULL; n++)
			list[n + 1] = arena_strdup(a, rows[i].params[n]);
		assert_int_equal(request_read(list, &s, a, &req, &why),
		    rows[i].why != NULL ? REQUEST_AMBIGUOUS : REQUEST_OK);
		assert_text(why, rows[i].why);
	}
	arena_free(a);
}

static void
hooks_see_the_headers_by_their_usual_names(void **state)
{
	static const char *const params[] = { "REQUEST_URI=/files?x",
		"CONTENT_TYPE=a/b", "HTTP_CONTENT_TYPE=a/b",
		"HTTP_X_REQUEST_ID=42", "HTTP_EMPTY=", "REMOTE_ADDR=::1",
		"REMOTE_PORT=99", "HTTP_X_HTTP_METHOD_OVERRIDE=PATCH", NULL };
	struct settings s = { .base_path = "/files", .owner_param = "" };
	struct arena *a = arena_new();
	struct web_request req;

	(void)state;
	s.server.core.hooks = &somebody;
	assert_true(read_params(params, &s, a, &req));
	/* What the client meant, not what came. */
	assert_string_equal(req.shown.method, "PATCH");
	assert_string_equal(req.shown.uri, "/files?x");
	assert_string_equal(req.shown.remote, "[::1]:99");
	assert_string_equal(req.shown.request_id, "42");
	assert_string_equal(req.shown.headers->key, "Content-Type");
	assert_string_equal(req.shown.headers->value, "a/b");
	assert_string_equal(req.shown.headers->next->key, "X-Request-Id");
	assert_string_equal(
	    req.shown.headers->next->next->key, "X-Http-Method-Override");
	assert_null(req.shown.headers->next->next->next);
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_endpoint_and_what_follows_it),
		cmocka_unit_test(what_can_only_be_read_is_no_endpoint),
		cmocka_unit_test(the_scheme_and_the_limit),
		cmocka_unit_test(what_a_proxy_says_counts_where_it_is_trusted),
		cmocka_unit_test(a_prefix_that_a_trusted_proxy_strips),
		cmocka_unit_test(the_owner),
		cmocka_unit_test(each_header_goes_where_it_belongs),
		cmocka_unit_test(
		    a_parameter_with_two_values_is_refused_where_it_counts),
		cmocka_unit_test(hooks_see_the_headers_by_their_usual_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
