/*
 * doctor.h - what the checks of tusctl doctor share.
 *
 * A check is a function that asks some requests and says what it found.
 * Whatever doctor_create() made is removed at the end.
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
	/* Where uploads are created, and what answers there. */
	const char *url;
	enum front_end front;
	const char *extensions;
	int64_t max_size;
	/* The longest body that is known to get through. */
	int64_t longest;

	const char *uploads[DOCTOR_UPLOADS_MAX];
	size_t n_uploads;
	int problems, notes;
};

/* A finding.  The advice is the directive to change; ADVICE_MAX for none. */
void doctor_good(const char *fmt, ...) PRINTF_LIKE(1, 2);
void doctor_note(struct doctor *, enum advice, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void doctor_bad(struct doctor *, enum advice, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* In words: what came instead of what was expected; so many bytes. */
const char *doctor_outcome(struct doctor *, const struct probe_reply *);
const char *doctor_bytes(struct doctor *, int64_t n);

/* Requests without a body, and a PATCH of body bytes where more may have been
 * announced: see probe.h. */
const struct probe_reply *doctor_send(struct doctor *, const char *method,
    const char *url, const char *const *headers);
const struct probe_reply *doctor_patch(struct doctor *, const char *url,
    int64_t offset, int64_t body, int64_t announced);

/* The URL of a new upload; NULL if there is none, and *reply says why.  The
 * second is for checks that cannot go on without, and says so. */
const char *doctor_create(struct doctor *, int64_t length, const char *header,
    const struct probe_reply **reply);
const char *doctor_must_create(struct doctor *, int64_t length);

/* Remember to remove the upload that a reply tells of, if it does. */
const char *doctor_created(struct doctor *, const struct probe_reply *);

/* What HEAD says; -1 if it says nothing. */
int64_t doctor_offset(struct doctor *, const char *url);

bool doctor_offers(const struct doctor *, const char *extension);

/*
 * doors.c: who gets in.  Can a login be walked around, and is what tusfcgi
 * keeps for itself handed out as a file?
 */
void doctor_check_overrides(struct doctor *);
void doctor_check_login(struct doctor *);
void doctor_check_files(struct doctor *);

#endif
