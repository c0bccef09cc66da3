/*
 * doctor.c - tusctl doctor: what the web server does to uploads on their way.
 *
 * Everything is seen from outside, as a client sees it, with small uploads
 * that are removed at the end.  So it also works where nobody may look at the
 * configuration of the web server.
 */
#include "config.h"

#include <curl/curl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/advice.h"
#include "ctl/ctl.h"
#include "ctl/probe.h"

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum {
	/* A dropped body: less than every limit in common use. */
	DROP_ANNOUNCED = 128 * 1024,
	DROP_SENT = 64 * 1024,
	/* Just below the default of max_metadata. */
	METADATA_SIZE = 4000,
	/* As many as the checks below create. */
	UPLOADS_MAX = 32
};

#define PATCH_TYPE "Content-Type: application/offset+octet-stream"

struct doctor {
	struct arena *arena;
	struct probe *probe;
	/* Where uploads are created, and what answers there. */
	const char *url;
	enum front_end front;
	const char *extensions;
	int64_t max_size;
	/* The longest body that is known to get through. */
	int64_t longest;

	const char *uploads[UPLOADS_MAX];
	size_t n_uploads;
	int problems, notes;
};

/* --- Findings. --- */

static void
say(const char *kind, const char *fmt, va_list ap)
{
	printf("%-8s", kind);
	(void)vprintf(fmt, ap);
	printf("\n");
	(void)fflush(stdout);
}

static void PRINTF_LIKE(1, 2) good(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("ok", fmt, ap);
	va_end(ap);
}

/* ADVICE_MAX for none. */
static void
advise(const struct doctor *d, enum advice advice)
{
	if (advice != ADVICE_MAX)
		printf("%8s%s: %s\n", "", front_end_name(d->front),
		    advice_for(advice, d->front));
	(void)fflush(stdout);
}

static void PRINTF_LIKE(3, 4)
    note(struct doctor *d, enum advice advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("note", fmt, ap);
	va_end(ap);
	d->notes++;
	advise(d, advice);
}

static void PRINTF_LIKE(3, 4)
    bad(struct doctor *d, enum advice advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("PROBLEM", fmt, ap);
	va_end(ap);
	d->problems++;
	advise(d, advice);
}

/* What came instead of what was expected. */
static const char *
outcome(struct doctor *d, const struct probe_reply *r)
{
	const char *end = memchr(r->body, '\n', r->body_len);
	int len = end != NULL ? (int)(end - r->body) : (int)r->body_len;

	if (r->status == 0)
		return arena_printf(d->arena, "no answer (%s)", r->error);
	if (!r->is_tus)
		return arena_printf(
		    d->arena, "%d by the web server", r->status);
	return arena_printf(
	    d->arena, "%d %.*s", r->status, len, len > 0 ? r->body : "");
}

static const char *
bytes(struct doctor *d, int64_t n)
{
	if (n >= GIB)
		return arena_printf(d->arena, "%" PRId64 " GiB", n / GIB);
	if (n >= MIB && n % MIB == 0)
		return arena_printf(d->arena, "%" PRId64 " MiB", n / MIB);
	return arena_printf(d->arena, "%" PRId64 " bytes", n);
}

/* --- Requests. --- */

static const struct probe_reply *
send_patch(struct doctor *d, const char *url, int64_t offset, int64_t body,
    int64_t announced)
{
	const char *at =
	    arena_printf(d->arena, "Upload-Offset: %" PRId64, offset);
	const char *const headers[] = { PATCH_TYPE, at, NULL };
	const struct probe_request q = { "PATCH", url, headers, body,
		announced };

	return probe_send(d->probe, &q);
}

static const struct probe_reply *
send_plain(struct doctor *d, const char *method, const char *url,
    const char *const *headers)
{
	const struct probe_request q = { method, url, headers, 0, 0 };

	return probe_send(d->probe, &q);
}

/* A new upload; NULL if there is none, and *reply says why. */
static const char *
create(struct doctor *d, int64_t length, const char *header,
    const struct probe_reply **reply)
{
	const char *size =
	    arena_printf(d->arena, "Upload-Length: %" PRId64, length);
	const char *const headers[] = { size, header, NULL };
	const char *where, *url;

	if (d->n_uploads == UPLOADS_MAX)
		return NULL;
	*reply = send_plain(d, "POST", d->url, headers);
	where = probe_header(*reply, "Location");
	if ((*reply)->status != 201 || where == NULL)
		return NULL;
	url = probe_resolve(d->probe, d->url, where);
	if (url != NULL)
		d->uploads[d->n_uploads++] = url;
	return url;
}

/* The same for checks that cannot go on without. */
static const char *
must_create(struct doctor *d, int64_t length)
{
	const struct probe_reply *r;
	const char *url = create(d, length, NULL, &r);

	if (url == NULL)
		bad(d, ADVICE_MAX, "an upload of %s cannot be created: %s",
		    bytes(d, length), outcome(d, r));
	return url;
}

/* Asked again while the request before still holds the lock. */
static int64_t
offset_of(struct doctor *d, const char *url)
{
	const struct timespec nap = { 0, 300000000 };
	const struct probe_reply *r;
	int tries = 10;

	do {
		r = send_plain(d, "HEAD", url, NULL);
		if (r->status != 423)
			break;
		(void)nanosleep(&nap, NULL);
	} while (--tries > 0);
	return r->status == 200 ? probe_number(r, "Upload-Offset") : -1;
}

static bool
offers(const struct doctor *d, const char *extension)
{
	return d->extensions != NULL &&
	    strstr(d->extensions, extension) != NULL;
}

/* --- The checks, in the order in which they make sense. --- */

static bool
can_reach(struct doctor *d)
{
	const struct probe_reply *r = send_plain(d, "OPTIONS", d->url, NULL);
	const char *server = probe_header(r, "Server");

	d->front = front_end_of(server);
	if (r->status == 0) {
		bad(d, ADVICE_MAX, "no answer from %s: %s", d->url, r->error);
	} else if (!r->is_tus && r->status >= 500) {
		bad(d, ADVICE_REACH,
		    "the web server answers %d: it cannot "
		    "reach tusfcgi",
		    r->status);
	} else if (!r->is_tus) {
		bad(d, ADVICE_MAX,
		    "the answer is %d, and not of a tus server: "
		    "the URL must be where uploads are created, like "
		    "https://example.org/files/",
		    r->status);
	} else {
		d->extensions = probe_header(r, "Tus-Extension");
		d->max_size = probe_number(r, "Tus-Max-Size");
		good(
		    "%s answers for tus", server != NULL ? server : "a server");
	}
	return r->is_tus;
}

static void
check_location(struct doctor *d, const char *url)
{
	if (probe_same_origin(d->url, url))
		good("the URL of a new upload leads back here");
	else
		bad(d, ADVICE_MAX,
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
	const char *url = create(d, 1000, metadata, &r);
	const char *echo;

	if (url == NULL && r->status == 401) {
		bad(d, ADVICE_MAX,
		    "a password is asked for: say "
		    "https://USER:PASSWORD@...");
		return false;
	}
	if (url == NULL) {
		bad(d, ADVICE_MAX, "an upload cannot be created: %s",
		    outcome(d, r));
		return false;
	}
	check_location(d, url);
	r = send_plain(d, "HEAD", url, NULL);
	echo = probe_header(r, "Upload-Metadata");
	if (r->status == 200 && probe_number(r, "Upload-Offset") == 0 &&
	    probe_number(r, "Upload-Length") == 1000 && echo != NULL &&
	    strcmp(echo, "filename ZG9jdG9y") == 0)
		good("the headers of HEAD survive");
	else
		bad(d, ADVICE_MAX, "HEAD of a new upload lacks headers: %s",
		    outcome(d, r));
	r = send_patch(d, url, 0, 1000, 1000);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == 1000) {
		good("PATCH gets through");
		return true;
	}
	bad(d, ADVICE_MAX, "PATCH does not get through: %s", outcome(d, r));
	return false;
}

/* That we are full, no directive of the web server changes. */
static enum advice
advice_on_body(const struct probe_reply *r)
{
	bool is_full = r->is_tus && (r->status == 503 || r->status == 507);

	return is_full ? ADVICE_MAX : ADVICE_BODY_SIZE;
}

/* Apache does not name its modules, but only one of the two spools. */
static void
found_spooling(struct doctor *d)
{
	if (d->front == FRONT_APACHE)
		d->front = FRONT_APACHE_FCGID;
	bad(d, ADVICE_STREAM,
	    "bodies are spooled: a broken connection "
	    "keeps nothing of a request");
}

static void
check_drop(struct doctor *d)
{
	const char *url = must_create(d, DROP_ANNOUNCED);
	const struct probe_reply *r;
	int64_t kept;

	if (url == NULL)
		return;
	r = send_patch(d, url, 0, DROP_SENT, DROP_ANNOUNCED);
	kept = offset_of(d, url);
	if (r->status != 0)
		bad(d, advice_on_body(r), "a body of %d bytes is not taken: %s",
		    DROP_ANNOUNCED, outcome(d, r));
	else if (kept == DROP_SENT)
		good("bodies stream: a broken connection keeps what came");
	else if (kept > 0)
		note(d, ADVICE_MAX,
		    "bodies stream, but a broken connection "
		    "kept only %" PRId64 " of %d bytes",
		    kept, DROP_SENT);
	else if (kept == 0)
		found_spooling(d);
	else
		bad(d, ADVICE_MAX,
		    "after a broken connection, HEAD does not "
		    "tell the offset");
}

/* True if a whole body of this size arrives. */
static bool
takes_body(struct doctor *d, int64_t size)
{
	const struct probe_reply *r;
	const char *url = must_create(d, size);

	if (url == NULL)
		return false;
	r = send_patch(d, url, 0, size, size);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == size) {
		d->longest = size;
		return true;
	}
	if (r->status == 204)
		bad(d, ADVICE_BODY_SIZE,
		    "of a body of %s, %" PRId64 " bytes "
		    "arrive and the rest is cut off",
		    bytes(d, size), probe_number(r, "Upload-Offset"));
	else
		bad(d, advice_on_body(r), "a body of %s is answered with %s",
		    bytes(d, size), outcome(d, r));
	return false;
}

/* True if such a body is not refused as soon as it is announced. */
static bool
takes_announcement(struct doctor *d, int64_t size)
{
	const struct probe_reply *r;
	const char *url = create(d, size, NULL, &r);

	if (url == NULL) {
		note(d, ADVICE_MAX, "larger bodies were not tried: %s",
		    outcome(d, r));
		return false;
	}
	r = send_patch(d, url, 0, DROP_SENT, size);
	if (r->is_tus && r->status == 204) {
		bad(d, ADVICE_BODY_SIZE, "a body of %s is cut without a word",
		    bytes(d, size));
		return false;
	}
	if (r->status == 0 || r->is_tus)
		return true;
	bad(d, ADVICE_BODY_SIZE, "a body of %s is answered with %s",
	    bytes(d, size), outcome(d, r));
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
	good("bodies of any size are taken");
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
	/* The value is base64: a multiple of four. */
	line[at + 7 + (METADATA_SIZE - 7) / 4 * 4] = '\0';
	url = create(d, 10, line, &r);
	if (url == NULL && r->is_tus)
		return;
	if (url == NULL) {
		bad(d, ADVICE_REQUEST_HEADER,
		    "long Upload-Metadata is "
		    "answered with %s",
		    outcome(d, r));
		return;
	}
	r = send_plain(d, "HEAD", url, NULL);
	if (r->status == 200 && probe_header(r, "Upload-Metadata") != NULL &&
	    strcmp(probe_header(r, "Upload-Metadata"), line + at) == 0)
		good("long Upload-Metadata comes back");
	else
		bad(d, ADVICE_REPLY_HEADER,
		    "HEAD with %d bytes of "
		    "Upload-Metadata is answered with %s",
		    METADATA_SIZE, outcome(d, r));
}

/* A list of parts that is that long: is it seen, refused, or lost? */
static bool
passes_header(struct doctor *d, size_t size)
{
	static const char name[] = "Upload-Concat: final; /";
	char *line = arena_alloc(d->arena, sizeof(name) + size);
	const char *const headers[] = { line, NULL };
	const struct probe_reply *r;

	memcpy(line, name, sizeof(name) - 1);
	memset(line + sizeof(name) - 1, '0', size);
	r = send_plain(d, "POST", d->url, headers);
	if (r->is_tus && strstr(r->body, "UPLOAD_LENGTH") != NULL)
		bad(d, ADVICE_REQUEST_HEADER,
		    "a request header of %zu bytes "
		    "is dropped silently",
		    size);
	else if (!r->is_tus && size <= 12000)
		note(d, ADVICE_REQUEST_HEADER,
		    "a request header of %zu bytes "
		    "is answered with %s: an upload in more than some 150 "
		    "parts cannot be put together",
		    size, outcome(d, r));
	else
		return true;
	return false;
}

static void
check_long_headers(struct doctor *d)
{
	if (offers(d, "concatenation") && passes_header(d, 12000) &&
	    passes_header(d, 20000))
		good("long request headers get through");
}

static void
check_errors(struct doctor *d)
{
	static const char *const wrong[] = { PATCH_TYPE, "Upload-Offset: 0",
		"Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL };
	const char *url = must_create(d, 1000);
	const struct probe_request q = { "PATCH", url, wrong, 1000, 1000 };
	const struct probe_reply *r;

	if (url == NULL)
		return;
	if (offers(d, "checksum")) {
		r = probe_send(d->probe, &q);
		if (r->status != 460 || !r->is_tus) {
			bad(d, ADVICE_OWN_ERRORS, "status 460 arrives as %s",
			    outcome(d, r));
			return;
		}
	}
	r = send_patch(d, url, 5, 1000, 1000);
	if (r->status == 409 && r->is_tus && r->body_len > 0)
		good("errors arrive as tusfcgi sent them");
	else
		bad(d, ADVICE_OWN_ERRORS, "status 409 arrives as %s",
		    outcome(d, r));
}

/* The answer to a body that is not read must not get lost behind it. */
static void
check_early_answer(struct doctor *d)
{
	const char *url = must_create(d, d->longest);
	const struct probe_reply *r;

	if (url == NULL)
		return;
	r = send_patch(d, url, 5, d->longest, d->longest);
	if (r->status == 409 && r->is_tus)
		good("a refusal arrives though the body was not read");
	else
		bad(d, ADVICE_MAX,
		    "a refused body of %s is answered with %s, "
		    "not 409",
		    bytes(d, d->longest), outcome(d, r));
}

/* A short one could be mistaken for one that was announced. */
static void
check_unknown_length(struct doctor *d)
{
	int64_t size = d->longest < MIB ? d->longest : MIB;
	const char *url = must_create(d, size);
	const struct probe_reply *r;

	if (url == NULL)
		return;
	r = send_patch(d, url, 0, size, PROBE_CHUNKED);
	if (r->status == 204 && probe_number(r, "Upload-Offset") == size)
		good("bodies of unknown length are taken");
	else
		note(d, ADVICE_UNKNOWN_LENGTH,
		    "a body of unknown length is answered with %s: "
		    "tus-java-client sends such",
		    outcome(d, r));
}

static void
check_download(struct doctor *d)
{
	const char *url = must_create(d, 100);
	const struct probe_reply *r;

	if (url == NULL || send_patch(d, url, 0, 100, 100)->status != 204)
		return;
	r = send_plain(d, "GET", url, NULL);
	if (r->is_tus && (r->status == 405 || r->status == 404))
		return;
	if (probe_header(r, "X-Sendfile") != NULL ||
	    probe_header(r, "X-Accel-Redirect") != NULL)
		bad(d, ADVICE_SENDFILE,
		    "downloads are empty, and tell the "
		    "client where the file is");
	else if (r->status != 200 || r->body_len != 100)
		bad(d, ADVICE_SENDFILE,
		    "a download is answered with %s and "
		    "%zu of 100 bytes",
		    outcome(d, r), r->body_len);
	else if (probe_number(r, "Content-Length") != 100)
		note(
		    d, ADVICE_LENGTH, "a download does not say how long it is");
	else
		good("downloads work");
}

static void
remove_uploads(struct doctor *d)
{
	const struct probe_reply *r;
	size_t i, left = 0;

	for (i = 0; i < d->n_uploads; i++) {
		r = send_plain(d, "DELETE", d->uploads[i], NULL);
		left += r->status != 204;
	}
	if (left > 0)
		note(d, ADVICE_MAX,
		    "%zu uploads of this test could not be "
		    "removed: %s",
		    left, outcome(d, r));
}

static void (*const checks[])(struct doctor *) = {
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

	if (can_reach(d) && can_create(d))
		for (i = 0; i < NITEMS(checks); i++)
			checks[i](d);
	if (d->n_uploads > 0)
		remove_uploads(d);
	printf("%d problem%s, %d note%s\n", d->problems,
	    d->problems == 1 ? "" : "s", d->notes, d->notes == 1 ? "" : "s");
}

int
ctl_doctor(struct ctl *c, int argc, char **argv)
{
	static const struct option none[] = { { 0 } };
	struct doctor d = { .arena = c->arena, .longest = 64 * KIB };

	if (getopt_long(argc, argv, "", none, NULL) != -1 || optind + 1 != argc)
		return ctl_usage("doctor takes one URL");
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		out_of_memory();
	d.url = argv[optind];
	d.probe = probe_new(c->arena);
	examine(&d);
	probe_free(d.probe);
	curl_global_cleanup();
	return d.problems > 0 ? CTL_FAILED : CTL_OK;
}
