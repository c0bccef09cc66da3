/*
 * refuse.c - refusals are problem documents, with words of their own where
 * those of web/ do not fit.
 */
#include "config.h"

#include "rufh/problem.h"
#include "rufh/sf.h"
#include "rufh/words.h"

struct row {
	enum problem_type type;
	/* With a status of 0, that of web/ applies. */
	struct web_words words;
};

#define LENGTHS(text)                                                          \
	{                                                                      \
		PROBLEM_INCONSISTENT_LENGTH,                                   \
		{                                                              \
			400, "ERR_INVALID_UPLOAD_LENGTH", text                 \
		}                                                              \
	}

static const struct row rows[RUFH_REFUSAL_MAX] = {
	[REFUSE_LENGTHS_DISAGREE] =
	    LENGTHS("the upload has another length than that"),
	[REFUSE_BEYOND_LENGTH] =
	    LENGTHS("there is more content than the upload has room for"),
	[REFUSE_TOO_LARGE] = { PROBLEM_BLANK,
	    { 413, "ERR_MAX_SIZE_EXCEEDED",
		"larger than the limit of this server; see Upload-Limit" } },
	[REFUSE_WRONG_OFFSET] = { PROBLEM_MISMATCHING_OFFSET,
	    { 409, "ERR_MISMATCHED_OFFSET",
		"the upload is at another offset; see Upload-Offset" } },
	[REFUSE_DIGEST_MISMATCH] = { PROBLEM_DIGESTS_MISMATCH,
	    { 400, "ERR_CHECKSUM_MISMATCH",
		"the digest does not match; send the data again" } },
	[RUFH_BAD_COMPLETE] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_UPLOAD_COMPLETE",
		"Upload-Complete is missing, or wrong in this place" } },
	[RUFH_BAD_CONTENT_TYPE] = { PROBLEM_BLANK,
	    { 415, "ERR_INVALID_CONTENT_TYPE",
		"content of this type is not taken here" } },
	[RUFH_BAD_OFFSET] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_OFFSET",
		"Upload-Offset is missing, or wrong in this place" } },
	[RUFH_STRAY_LENGTH] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_UPLOAD_LENGTH",
		"Upload-Length has no place here" } },
	[RUFH_LENGTH_MISSING] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_UPLOAD_LENGTH",
		"this server wants Upload-Length, or all of it at once" } },
	[RUFH_BAD_METADATA] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_METADATA",
		"Upload-Metadata must be unique keys with base64 values" } },
	[RUFH_NO_CONCATENATION] = { PROBLEM_BLANK,
	    { 400, "ERR_CONCATENATION_UNSUPPORTED",
		"this protocol concatenates nothing" } },
	[RUFH_BAD_DIGEST] = { PROBLEM_BLANK,
	    { 400, "ERR_INVALID_DIGEST",
		"a digest must be a byte sequence, sha-256=:base64:" } },
	[RUFH_DIGEST_SIZE] = { PROBLEM_DIGESTS_INVALID,
	    { 400, "ERR_INVALID_DIGEST",
		"the digest has another size than its algorithm makes" } },
};

/* List the algorithms whose digests were wrong. */
static void
name_digests(const struct web_call *c, struct problem *p)
{
	const struct rufh_words *w = c->words;
	const char **names =
	    arena_alloc(c->arena, DIGEST_FIELD_MAX * sizeof(*names));
	size_t i;

	p->header = w->wrong_field != NULL ? w->wrong_field : "Content-Digest";
	p->algorithms = names;
	if (c->task.whole_wrong != NULL) {
		p->header = "Repr-Digest";
		names[p->count++] = digest_field_name(c->task.whole_wrong);
		return;
	}
	for (i = 0; i < w->wrong.count; i++)
		names[p->count++] = w->wrong.values[i].name;
	for (i = 0; i < w->content.count; i++)
		if ((c->task.mismatched & 1U << i) != 0)
			names[p->count++] = w->content.values[i].name;
}

static void
add_body(
    struct web_call *c, enum problem_type type, const struct web_words *words)
{
	const struct hook_reply *reply = &c->task.reply;
	struct problem p = { .type = type,
		.title = words->text,
		.status = reply->status != 0 ? reply->status :
					       web_status_of(c, words->status),
		.code = words->code };

	if (type == PROBLEM_MISMATCHING_OFFSET) {
		p.expected_offset = c->task.up->info.offset;
		p.provided_offset = c->task.in.offset;
	}
	if (type == PROBLEM_DIGESTS_MISMATCH || type == PROBLEM_DIGESTS_INVALID)
		name_digests(c, &p);
	c->res.text = problem_format(c->arena, &p);
	if (!web_is_head(c))
		web_header(c, "Content-Type",
		    reply->body != NULL ? "text/plain; charset=utf-8" :
					  PROBLEM_MEDIA_TYPE);
}

const struct web_words *
rufh_refuse(struct web_call *c)
{
	struct task *w = &c->task;
	const struct web_words *words;

	/* The offset is larger than a structured field can express. */
	if (w->why == REFUSE_WRONG_OFFSET &&
	    w->up->info.offset > SF_INTEGER_MAX)
		w->why = REFUSE_NOT_FOUND;
	words = rows[w->why].words.status != 0 ? &rows[w->why].words :
						 web_words(w->why);
	(void)rufh_read(c);
	add_body(c, rows[w->why].type, words);
	if (w->why == RUFH_BAD_CONTENT_TYPE && c->method == WEB_PATCH)
		web_header_accept_patch(c);
	if (w->why == REFUSE_TOO_LARGE || w->why == REFUSE_BODY_TOO_LARGE)
		web_header(c, "Upload-Limit", rufh_limits(c));
	if (w->why == REFUSE_WRONG_OFFSET)
		web_header_int(c, "Upload-Offset", w->up->info.offset);
	return words;
}
