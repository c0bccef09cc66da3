/*
 * words.h - the parsed fields of a request of this protocol; private to rufh/.
 */
#ifndef RUFH_WORDS_H
#define RUFH_WORDS_H

#include "rufh/digest_field.h"
#include "web/call.h"
#include "web/parse.h"

#define RUFH_BODY_TYPE "application/partial-upload"

/* The interop versions that are accepted; the first one has Upload-Incomplete
 * instead of Upload-Complete. */
enum {
	RUFH_VERSION_MIN = 3,
	RUFH_VERSION_INCOMPLETE = 3,
	/* From this version on a PATCH has the media type. */
	RUFH_VERSION_TYPE = 6,
	/* From this version on a PATCH says whether it completes the upload. */
	RUFH_VERSION_EXPLICIT = 7,
	RUFH_VERSION_MAX = 10
};

/* Refusals that only the grammar of this protocol has. */
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
	/* is_plain: no protocol claims the request; is_marked: it has a field
	 * of this one. */
	bool is_plain, is_marked;
	/* The digests of the body; those that cannot be used, and their
	 * field. */
	struct digest_field content, wrong;
	const char *wrong_field;
};

/* Parses the fields at the first call only. */
struct rufh_words *rufh_read(struct web_call *);

/* Add to the intent: the digests of the body, and of the whole upload. */
void rufh_read_digest(struct web_call *);
void rufh_read_whole_digest(struct web_call *);

/* In describe.c: metadata from the header fields about the file. */
bool rufh_describe(struct web_call *);

/* In read.c: make the intent; false if refused. */
bool rufh_read_create(struct web_call *);
bool rufh_read_append(struct web_call *);
bool rufh_read_look(struct web_call *);
bool rufh_read_delete(struct web_call *);

/* In answer.c. */
void rufh_answer_body(struct web_call *);
void rufh_answer_head(struct web_call *);
void rufh_answer_get(struct web_call *);
void rufh_answer_delete(struct web_call *);
void rufh_offer(struct web_call *);
void rufh_sign(struct web_call *);
const struct pair *rufh_tell(struct web_call *);
/* The value of Upload-Limit. */
const char *rufh_limits(const struct web_call *);

/* In refuse.c. */
const struct web_words *rufh_refuse(struct web_call *);

#endif
