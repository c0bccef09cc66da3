/*
 * report.c - output and requests for the checks of tusctl doctor.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/doctor.h"

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static void
say(const char *kind, const char *fmt, va_list ap)
{
	printf("%-8s", kind);
	(void)vprintf(fmt, ap);
	printf("\n");
	(void)fflush(stdout);
}

void
doctor_good(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("ok", fmt, ap);
	va_end(ap);
}

/* Print the advice; ADVICE_MAX is none. */
static void
advise(const struct doctor *d, enum advice advice)
{
	if (advice != ADVICE_MAX)
		printf("%8s%s: %s\n", "", front_end_name(d->front),
		    advice_for(advice, d->front));
	(void)fflush(stdout);
}

void
doctor_note(struct doctor *d, enum advice advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("note", fmt, ap);
	va_end(ap);
	d->notes++;
	advise(d, advice);
}

void
doctor_bad(struct doctor *d, enum advice advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("PROBLEM", fmt, ap);
	va_end(ap);
	d->problems++;
	advise(d, advice);
}

/* In words, the answer that came instead of the expected one. */
const char *
doctor_outcome(struct doctor *d, const struct probe_reply *r)
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

const char *
doctor_bytes(struct doctor *d, int64_t n)
{
	if (n >= GIB)
		return arena_printf(d->arena, "%" PRId64 " GiB", n / GIB);
	if (n >= MIB && n % MIB == 0)
		return arena_printf(d->arena, "%" PRId64 " MiB", n / MIB);
	return arena_printf(d->arena, "%" PRId64 " bytes", n);
}

const struct probe_reply *
doctor_patch(struct doctor *d, const char *url, int64_t offset, int64_t body,
    int64_t announced)
{
	const char *at =
	    arena_printf(d->arena, "Upload-Offset: %" PRId64, offset);
	const char *const headers[] = { PATCH_TYPE, at, NULL };
	const struct probe_request q = { "PATCH", url, headers, body,
		announced };

	return probe_send(d->probe, &q);
}

const struct probe_reply *
doctor_send(struct doctor *d, const char *method, const char *url,
    const char *const *headers)
{
	const struct probe_request q = { method, url, headers, 0, 0 };

	return probe_send(d->probe, &q);
}

const char *
doctor_created(struct doctor *d, const struct probe_reply *r)
{
	const char *where = probe_header(r, "Location");
	const char *url;

	if (r->status != 201 || where == NULL ||
	    d->n_uploads == DOCTOR_UPLOADS_MAX)
		return NULL;
	url = probe_resolve(d->probe, d->url, where);
	if (url != NULL)
		d->uploads[d->n_uploads++] = url;
	return url;
}

const char *
doctor_create(struct doctor *d, int64_t length, const char *header,
    const struct probe_reply **reply)
{
	const char *size =
	    arena_printf(d->arena, "Upload-Length: %" PRId64, length);
	const char *const headers[] = { size, header, NULL };

	*reply = doctor_send(d, "POST", d->url, headers);
	return doctor_created(d, *reply);
}

/* Likewise, for checks that cannot go on without an upload. */
const char *
doctor_must_create(struct doctor *d, int64_t length)
{
	const struct probe_reply *r;
	const char *url = doctor_create(d, length, NULL, &r);

	if (url == NULL)
		doctor_bad(d, ADVICE_MAX,
		    "an upload of %s cannot be created: %s",
		    doctor_bytes(d, length), doctor_outcome(d, r));
	return url;
}

/* Repeated while the request before still holds the lock. */
int64_t
doctor_offset(struct doctor *d, const char *url)
{
	const struct timespec nap = { 0, 300000000 };
	const struct probe_reply *r;
	int tries = 10;

	do {
		r = doctor_send(d, "HEAD", url, NULL);
		if (r->status != 423)
			break;
		(void)nanosleep(&nap, NULL);
	} while (--tries > 0);
	return r->status == 200 ? probe_number(r, "Upload-Offset") : -1;
}

bool
doctor_offers(const struct doctor *d, const char *extension)
{
	return d->extensions != NULL &&
	    strstr(d->extensions, extension) != NULL;
}
