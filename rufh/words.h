/*
 * words.h - what a request of this protocol says; private to rufh/.
 */
#ifndef RUFH_WORDS_H
#define RUFH_WORDS_H

#include "rufh/digest_field.h"
#include "web/call.h"
#include "web/parse.h"

#define RUFH_BODY_TYPE "application/partial-upload"

/* The interop versions that we answer to; that of the first one says
 * Upload-Incomplete instead of Upload-Complete. */
enum {
	RUFH_VERSION_MIN = 3,
	RUFH_VERSION_INCOMPLETE = 3,
	/* From here on a PATCH has the media type. */
	RUFH_VERSION_TYPE = 6,
	/* From here on a PATCH says whether it completes. */
	RUFH_VERSION_EXPLICIT = 7,
	RUFH_VERSION_MAX = 10
};

/* What only the grammar of this protocol can refuse. */
enum rufh_refusal {
	RUFH_BAD_COMPLETE = WEB_REFUSE_MAX,
	RUFH_BAD_CONTENT_TYPE,
	RUFH_BAD_OFFSET,
	RUFH_STRAY_LENGTH,
	RUFH_LENGTH_MISSING,
	RUFH_BAD_METADATA,
	RUFH_NO_CONCATENATION,
	RUFH_BAD_DIGEST,
	RUFH_DIGEST_SIZE,
	RUFH_REFUSAL_MAX
};

struct rufh_words {
	/* -1 if the client names none that we know. */
	int64_t version;
	bool has_complete, is_complete;
	/* -1 if absent. */
	int64_t offset, length;
	/* In nobody's words; or with a marker. */
	bool is_plain, is_marked;
	/* The digests of the body; and those that are of no use, of which
	 * field. */
	struct digest_field content, wrong;
	const char *wrong_field;
};

/* They are read once. */
struct rufh_words *rufh_read(struct web_call *);

/* Into the intent: the digests of the body, and of the whole upload. */
void rufh_read_digest(struct web_call *);
void rufh_read_whole_digest(struct web_call *);

/* describe.c: metadata of what the client says about its file. */
bool rufh_describe(struct web_call *);

/* read.c: the intent; false if refused. */
bool rufh_read_create(struct web_call *);
bool rufh_read_append(struct web_call *);
bool rufh_read_look(struct web_call *);
bool rufh_read_delete(struct web_call *);

/* answer.c */
void rufh_answer_body(struct web_call *);
void rufh_answer_head(struct web_call *);
void rufh_answer_get(struct web_call *);
void rufh_answer_delete(struct web_call *);
void rufh_offer(struct web_call *);
void rufh_sign(struct web_call *);
const struct pair *rufh_tell(struct web_call *);
/* The value of Upload-Limit. */
const char *rufh_limits(const struct web_call *);

/* refuse.c */
const struct web_words *rufh_refuse(struct web_call *);

#endif
