/*
 * doctor.h - what the checks of tusctl doctor share.
 *
 * A check is a function that sends some requests and prints what it found.
 * Every upload that doctor_create() made is removed at the end.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "ctl/advice.h"
#include "ctl/probe.h"

/* More than all checks together create. */
#define DOCTOR_UPLOADS_MAX 64

#define PATCH_TYPE	   "Content-Type: application/offset+octet-stream"

struct doctor {
	struct arena *arena;
	struct probe *probe;
	/* The URL at which uploads are created, and the web server that answers
	 * there. */
	const char *url;
	enum front_end front;
	const char *extensions;
	int64_t max_size;
	/* The longest body that is known to reach the program. */
	int64_t longest;

	const char *uploads[DOCTOR_UPLOADS_MAX];
	size_t n_uploads;
	int problems, notes;
};

/* Print a finding.  The advice names the directive to change; ADVICE_MAX is
 * none. */
void doctor_good(const char *fmt, ...) PRINTF_LIKE(1, 2);
void doctor_note(struct doctor *, enum advice, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void doctor_bad(struct doctor *, enum advice, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* In words: the answer that came instead of the expected one; a number of
 * bytes. */
const char *doctor_outcome(struct doctor *, const struct probe_reply *);
const char *doctor_bytes(struct doctor *, int64_t n);

/* Send a request without a body, or a PATCH of so many bytes whose announced
 * length may be larger: see probe.h. */
const struct probe_reply *doctor_send(struct doctor *, const char *method,
    const char *url, const char *const *headers);
const struct probe_reply *doctor_patch(struct doctor *, const char *url,
    int64_t offset, int64_t body, int64_t announced);

/* Create an upload and return its URL, or NULL, and *reply has the reason.
 * doctor_must_create() is for checks that cannot go on without an upload, and
 * prints the error. */
const char *doctor_create(struct doctor *, int64_t length, const char *header,
    const struct probe_reply **reply);
const char *doctor_must_create(struct doctor *, int64_t length);

/* If the reply has the URL of a new upload, remember to remove that. */
const char *doctor_created(struct doctor *, const struct probe_reply *);

/* The offset that HEAD returns; -1 if it returns none. */
int64_t doctor_offset(struct doctor *, const char *url);

bool doctor_offers(const struct doctor *, const char *extension);

/*
 * See doors.c: can a login be bypassed, and are the files of tusfcgi served?
 */
void doctor_check_overrides(struct doctor *);
void doctor_check_login(struct doctor *);
void doctor_check_files(struct doctor *);

#endif
