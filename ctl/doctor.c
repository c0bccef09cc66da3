/*
 * doctor.c - tusctl doctor: what the web server does to uploads on their way.
 *
 * All is tested from outside, as a client, with small uploads that are removed
 * at the end.  So it also works without access to the configuration of the web
 * server.  Where the configuration of tusfcgi is at hand, the store is tried
 * out by itself.
 */
#include "config.h"

#include <curl/curl.h>
#include <unistd.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "ctl/ctl.h"
#include "ctl/doctor.h"

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum {
	/* A body that is not sent to its end: below every limit in common
	 * use. */
	DROP_ANNOUNCED = 128 * 1024,
	DROP_SENT = 64 * 1024,
	/* Just below the default of max_metadata. */
	METADATA_SIZE = 4000
};

/* --- The checks, in the order in which they make sense. --- */

static bool
can_reach(struct doctor *d)
{
	const struct probe_reply *r = doctor_send(d, "OPTIONS", d->url, NULL);
	const char *server = probe_header(r, "Server");

	d->front = front_end_of(server);
	if (r->status == 0) {
		doctor_bad(
		    d, ADVICE_MAX, "no answer from %s: %s", d->url, r->error);
	} else if (!r->is_tus && r->status >= 500) {
		doctor_bad(d, ADVICE_REACH,
		    "the web server answers %d: it cannot "
		    "reach tusfcgi",
		    r->status);
	} else if (!r->is_tus) {
		doctor_bad(d, ADVICE_MAX,
		    "the answer is %d, and not of a tus server: "
		    "the URL must be where uploads are created, like "
		    "https://example.org/files/",
		    r->status);
	} else {
		d->extensions = probe_header(r, "Tus-Extension");
		d->max_size = probe_number(r, "Tus-Max-Size");
		doctor_good(
		    "%s answers for tus", server != NULL ? server : "a server");
	}
	return r->is_tus;
}

static void
check_location(struct doctor *d, const char *url)
{
	if (probe_same_origin(d->url, url))
		doctor_good("the URL of a new upload leads back here");
	else
		doctor_bad(d, ADVICE_MAX,
		    "the URL of a new upload is %s, which is "
		    "elsewhere: set location = \"path\" in tusfcgi.conf, or "
		    "let the web server say HTTPS=on and pass on Host",
		    url);
}

static bool
can_create(struct doctor *d)
{
	static const char metadata[] = "Upload-Metadata: filename ZG9jdG9y";
	const struct probe_reply *r;
	const char *url = doctor_create(d, 1000, metadata, &r);
	const char *echo;

	if (url == NULL && r->status == 401) {
		doctor_bad(d, ADVICE_MAX,
		    "a password is asked for: say "
		    "https://USER:PASSWORD@...");
		return false;
	}
	if (url == NULL) {
		doctor_bad(d, ADVICE_MAX, "an upload cannot be created: %s",
		    doctor_outcome(d, r));
		return false;
	}
	check_location(d, url);
	r = doctor_send(d, "HEAD", url, NULL);
	echo = probe_header(r, "Upload-Metadata");
	if (r->status == 200 && probe_number(r, "Upload-Offset") == 0 &&
	    probe_number(r, "Upload-Length") == 1000 && echo != NULL &&
	    strcmp(echo, "filename ZG9jdG9y") == 0)
		doctor_good("the headers of HEAD survive");
	else
		doctor_bad(d, ADVICE_MAX,
		    "HEAD of a new upload lacks headers: %s",
		    doctor_outcome(d, r));
	r = doctor_patch(d, url, 0, 1000, 1000);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == 1000) {
		doctor_good("PATCH gets through");
		return true;
	}
	doctor_bad(d, ADVICE_MAX, "PATCH does not get through: %s",
	    doctor_outcome(d, r));
	return false;
}

/* That the server is full is not the fault of any directive. */
static enum advice
advice_on_body(const struct probe_reply *r)
{
	bool is_full = r->is_tus && (r->status == 503 || r->status == 507);

	return is_full ? ADVICE_MAX : ADVICE_BODY_SIZE;
}

static void
check_drop(struct doctor *d)
{
	const char *url = doctor_must_create(d, DROP_ANNOUNCED);
	const struct probe_reply *r;
	int64_t kept;

	if (url == NULL)
		return;
	r = doctor_patch(d, url, 0, DROP_SENT, DROP_ANNOUNCED);
	kept = doctor_offset(d, url);
	if (r->status != 0)
		doctor_bad(d, advice_on_body(r),
		    "a body of %d bytes is not taken: %s", DROP_ANNOUNCED,
		    doctor_outcome(d, r));
	else if (kept == DROP_SENT)
		doctor_good("bodies stream: a broken connection keeps the "
			    "bytes received");
	else if (kept > 0)
		doctor_note(d, ADVICE_MAX,
		    "bodies stream, but a broken connection "
		    "kept only %" PRId64 " of %d bytes",
		    kept, DROP_SENT);
	else if (kept == 0)
		doctor_bad(d, ADVICE_STREAM,
		    "bodies are spooled: a broken connection keeps nothing of "
		    "a request");
	else
		doctor_bad(d, ADVICE_MAX,
		    "after a broken connection, HEAD does not "
		    "tell the offset");
}

/* Does a whole body of this size arrive? */
static bool
takes_body(struct doctor *d, int64_t size)
{
	const struct probe_reply *r;
	const char *url = doctor_must_create(d, size);

	if (url == NULL)
		return false;
	r = doctor_patch(d, url, 0, size, size);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == size) {
		d->longest = size;
		return true;
	}
	if (r->status == 204)
		doctor_bad(d, ADVICE_BODY_SIZE,
		    "of a body of %s, %" PRId64 " bytes "
		    "arrive and the rest is cut off",
		    doctor_bytes(d, size), probe_number(r, "Upload-Offset"));
	else
		doctor_bad(d, advice_on_body(r),
		    "a body of %s is answered with %s", doctor_bytes(d, size),
		    doctor_outcome(d, r));
	return false;
}

/* Is a body of this size not refused when it is announced? */
static bool
takes_announcement(struct doctor *d, int64_t size)
{
	const struct probe_reply *r;
	const char *url = doctor_create(d, size, NULL, &r);

	if (url == NULL && r->is_tus && r->status == 507 && size >= 2 * GIB) {
		doctor_good("bodies of any size are taken that the server has "
			    "room for");
		return false;
	}
	if (url == NULL) {
		doctor_note(d, ADVICE_MAX, "larger bodies were not tried: %s",
		    doctor_outcome(d, r));
		return false;
	}
	r = doctor_patch(d, url, 0, DROP_SENT, size);
	if (r->is_tus && r->status == 204) {
		doctor_bad(d, ADVICE_BODY_SIZE,
		    "a body of %s is cut without a word",
		    doctor_bytes(d, size));
		return false;
	}
	if (r->status == 0 || r->is_tus)
		return true;
	doctor_bad(d, ADVICE_BODY_SIZE, "a body of %s is answered with %s",
	    doctor_bytes(d, size), doctor_outcome(d, r));
	return false;
}

static void
check_sizes(struct doctor *d)
{
	static const int64_t whole[] = { 128 * KIB + 1, MIB + 1, 8 * MIB };
	static const int64_t announced[] = { 100 * MIB, 2 * GIB, 16 * GIB,
		1024 * GIB };
	size_t i;

	for (i = 0; i < NITEMS(whole); i++)
		if (d->max_size > 0 && whole[i] > d->max_size)
			return;
		else if (!takes_body(d, whole[i]))
			return;
	for (i = 0; i < NITEMS(announced); i++)
		if (d->max_size > 0 && announced[i] > d->max_size)
			break;
		else if (!takes_announcement(d, announced[i]))
			return;
	doctor_good("bodies of any size are taken");
}

static void
check_metadata(struct doctor *d)
{
	static const char name[] = "Upload-Metadata: ";
	char *line = arena_alloc(d->arena, sizeof(name) + METADATA_SIZE);
	size_t at = sizeof(name) - 1;
	const struct probe_reply *r;
	const char *url;

	memcpy(line, name, at);
	memset(line + at, 'A', METADATA_SIZE);
	memcpy(line + at, "doctor ", 7);
	/* The length of base64 must be a multiple of four. */
	line[at + 7 + (METADATA_SIZE - 7) / 4 * 4] = '\0';
	url = doctor_create(d, 10, line, &r);
	if (url == NULL && r->is_tus)
		return;
	if (url == NULL) {
		doctor_bad(d, ADVICE_REQUEST_HEADER,
		    "long Upload-Metadata is "
		    "answered with %s",
		    doctor_outcome(d, r));
		return;
	}
	r = doctor_send(d, "HEAD", url, NULL);
	if (r->status == 200 && probe_header(r, "Upload-Metadata") != NULL &&
	    strcmp(probe_header(r, "Upload-Metadata"), line + at) == 0)
		doctor_good("long Upload-Metadata comes back");
	else
		doctor_bad(d, ADVICE_REPLY_HEADER,
		    "HEAD with %d bytes of "
		    "Upload-Metadata is answered with %s",
		    METADATA_SIZE, doctor_outcome(d, r));
}

/* Send a list of parts of this length: is it seen, refused, or lost? */
static bool
passes_header(struct doctor *d, size_t size)
{
	static const char name[] = "Upload-Concat: final; /";
	char *line = arena_alloc(d->arena, sizeof(name) + size);
	const char *const headers[] = { line, NULL };
	const struct probe_reply *r;

	memcpy(line, name, sizeof(name) - 1);
	memset(line + sizeof(name) - 1, '0', size);
	r = doctor_send(d, "POST", d->url, headers);
	if (r->is_tus && strstr(r->body, "UPLOAD_LENGTH") != NULL)
		doctor_bad(d, ADVICE_REQUEST_HEADER,
		    "a request header of %zu bytes "
		    "is dropped silently",
		    size);
	else if (!r->is_tus && size <= 12000)
		doctor_note(d, ADVICE_REQUEST_HEADER,
		    "a request header of %zu bytes "
		    "is answered with %s: an upload in more than some 150 "
		    "parts cannot be put together",
		    size, doctor_outcome(d, r));
	else
		return true;
	return false;
}

static void
check_long_headers(struct doctor *d)
{
	if (doctor_offers(d, "concatenation") && passes_header(d, 12000) &&
	    passes_header(d, 20000))
		doctor_good("long request headers get through");
}

enum target {
	COLLECTION,
	UPLOAD,
	NO_UPLOAD
};

/* Invalid requests, and their answers: the web server may replace the answer by
 * an error page for some statuses only. */
static const struct {
	int status;
	const char *method;
	enum target target;
	const char *headers[4];
	int64_t body;
} mistakes[] = {
	{ 400, "PATCH", UPLOAD, { PATCH_TYPE, "Upload-Offset: x" }, 0 },
	{ 404, "HEAD", NO_UPLOAD, { NULL }, 0 },
	{ 404, "PATCH", NO_UPLOAD, { PATCH_TYPE, "Upload-Offset: 0" }, 0 },
	{ 405, "PATCH", COLLECTION, { PATCH_TYPE, "Upload-Offset: 0" }, 0 },
	{ 409, "PATCH", UPLOAD, { PATCH_TYPE, "Upload-Offset: 5" }, 1000 },
	{ 413, "PATCH", UPLOAD, { PATCH_TYPE, "Upload-Offset: 0" }, 1001 },
	{ 415, "PATCH", UPLOAD, { "Upload-Offset: 0" }, 0 },
	{ 460, "PATCH", UPLOAD,
	    { PATCH_TYPE, "Upload-Offset: 0",
		"Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=" },
	    1000 },
};

static void
check_errors(struct doctor *d)
{
	const char *url = doctor_must_create(d, 1000);
	const char *targets[] = { d->url, url, NULL };
	const struct probe_reply *r;
	size_t i;

	if (url == NULL)
		return;
	targets[NO_UPLOAD] = arena_printf(
	    d->arena, "%.*s%032d", (int)(strrchr(url, '/') + 1 - url), url, 0);
	for (i = 0; i < NITEMS(mistakes); i++) {
		const struct probe_request q = { mistakes[i].method,
			targets[mistakes[i].target], mistakes[i].headers,
			mistakes[i].body, mistakes[i].body };

		if (mistakes[i].status == 460 && !doctor_offers(d, "checksum"))
			continue;
		r = probe_send(d->probe, &q);
		if (r->status == mistakes[i].status && r->is_tus &&
		    (r->body_len > 0 || strcmp(q.method, "HEAD") == 0))
			continue;
		doctor_bad(d, ADVICE_OWN_ERRORS, "status %d arrives as %s",
		    mistakes[i].status, doctor_outcome(d, r));
		return;
	}
	doctor_good("errors arrive as tusfcgi sent them");
}

/* An answer that is sent before the body has been read must reach the
 * client. */
static void
check_early_answer(struct doctor *d)
{
	const char *url = doctor_must_create(d, d->longest);
	const struct probe_reply *r;

	if (url == NULL)
		return;
	r = doctor_patch(d, url, 5, d->longest, d->longest);
	if (r->status == 409 && r->is_tus)
		doctor_good("a refusal arrives though the body was not read");
	else
		doctor_bad(d, ADVICE_MAX,
		    "a refused body of %s is answered with %s, "
		    "not 409",
		    doctor_bytes(d, d->longest), doctor_outcome(d, r));
}

/* A chunked body must be long: a short one could be buffered and announced. */
static void
check_unknown_length(struct doctor *d)
{
	int64_t size = d->longest < MIB ? d->longest : MIB;
	const char *url = doctor_must_create(d, size);
	const struct probe_reply *r;

	if (url == NULL)
		return;
	r = doctor_patch(d, url, 0, size, PROBE_CHUNKED);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == size)
		doctor_good("bodies of unknown length are taken");
	else
		doctor_note(d, ADVICE_UNKNOWN_LENGTH,
		    "a body of unknown length is answered with %s: "
		    "tus-java-client and tus-js-client 5 on Node send such",
		    doctor_outcome(d, r));
}

static void
check_download(struct doctor *d)
{
	const char *url = doctor_must_create(d, 100);
	const struct probe_reply *r;

	if (url == NULL || doctor_patch(d, url, 0, 100, 100)->status != 204)
		return;
	r = doctor_send(d, "GET", url, NULL);
	if (r->is_tus && (r->status == 405 || r->status == 404))
		return;
	if (probe_header(r, "X-Sendfile") != NULL ||
	    probe_header(r, "X-Accel-Redirect") != NULL)
		doctor_bad(d, ADVICE_SENDFILE,
		    "downloads are empty, and tell the "
		    "client where the file is");
	else if (r->status != 200 || r->body_len != 100)
		doctor_bad(d, ADVICE_SENDFILE,
		    "a download is answered with %s and "
		    "%zu of 100 bytes",
		    doctor_outcome(d, r), r->body_len);
	else if (probe_number(r, "Content-Length") != 100)
		doctor_note(
		    d, ADVICE_LENGTH, "a download does not say how long it is");
	else
		doctor_good("downloads work");
}

static void
remove_uploads(struct doctor *d)
{
	const struct probe_reply *r;
	size_t i, left = 0;

	for (i = 0; i < d->n_uploads; i++) {
		r = doctor_send(d, "DELETE", d->uploads[i], NULL);
		left += r->status != 204;
	}
	if (left > 0)
		doctor_note(d, ADVICE_MAX,
		    "%zu uploads of this test could not be "
		    "removed: %s",
		    left, doctor_outcome(d, r));
}

static void (*const checks[])(struct doctor *) = {
	doctor_check_overrides,
	doctor_check_login,
	doctor_check_files,
	check_drop,
	check_sizes,
	check_early_answer,
	check_metadata,
	check_long_headers,
	check_errors,
	check_unknown_length,
	check_download,
};

static void
examine(struct doctor *d)
{
	size_t i;

	if (!can_reach(d))
		doctor_check_files(d);
	else if (can_create(d))
		for (i = 0; i < NITEMS(checks); i++)
			checks[i](d);
	if (d->n_uploads > 0)
		remove_uploads(d);
	printf("%d problem%s, %d note%s\n", d->problems,
	    d->problems == 1 ? "" : "s", d->notes, d->notes == 1 ? "" : "s");
}

/* Only of a store that is a service.  Its keys may be in files, which the user
 * of the pool must be able to read. */
static void
check_store(struct doctor *d, const struct conf *conf)
{
	struct data_store *store = NULL;
	struct err e;
	enum err_code rc;

	if (store_home(conf) != NULL || store_is_private(conf))
		return;
	rc = core_become_owner(conf, &e);
	if (rc == ERR_OK)
		rc = store_open(conf, &store, &e);
	if (rc == ERR_OK) {
		rc = store_try_out(conf, store, &e);
		store->core->shutdown(store);
	}
	if (rc == ERR_OK)
		doctor_good("the store does what uploads need");
	else
		doctor_bad(d, ADVICE_MAX, "%s", e.text);
}

static void
tell_finding(void *arg, enum ctl_grade grade, const char *text)
{
	struct doctor *d = arg;

	if (grade == CTL_GOOD)
		doctor_good("%s", text);
	else if (grade == CTL_BAD)
		doctor_bad(d, ADVICE_MAX, "%s", text);
	else
		doctor_note(d, ADVICE_MAX, "%s%s",
		    grade == CTL_SLOW ? "slow: " : "", text);
}

/* Only of a service: locks in files are tried with the requests. */
static void
check_locks(struct doctor *d, struct ctl *c)
{
	enum err_code rc;
	struct err e;

	if (!locker_is_far(c->conf))
		return;
	rc = ctl_open_store(c, &e);
	if (rc == ERR_OK)
		rc = ctl_try_lock_service(c, tell_finding, d, &e);
	if (rc != ERR_OK)
		doctor_bad(d, ADVICE_MAX, "%s", e.text);
}

int
ctl_doctor(struct ctl *c, int argc, char **argv)
{
	struct doctor d = { .arena = c->arena, .longest = 64 * KIB };

	if (ctl_option(c, argc, argv) != -1 || optind + 1 != argc)
		return ctl_usage("doctor takes one URL");
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		out_of_memory();
	d.url = argv[optind];
	d.probe = probe_new(c->arena);
	check_store(&d, c->conf);
	check_locks(&d, c);
	examine(&d);
	probe_free(d.probe);
	curl_global_cleanup();
	return d.problems > 0 ? CTL_FAILED : CTL_OK;
}
