/*
 * words.c - parse the fields of a request.
 *
 * A field that cannot be parsed counts as absent, as the draft requires.
 */
#include "config.h"

#include "core/digest.h"
#include "rufh/sf.h"
#include "rufh/words.h"

static void
read_version(struct web_call *c, struct rufh_words *w)
{
	int64_t n;

	w->version = -1;
	if (!sf_parse_integer(c->arena, c->req->interop_version, &n))
		return;
	w->is_marked = true;
	if (n >= RUFH_VERSION_MIN && n <= RUFH_VERSION_MAX)
		w->version = n;
	c->res.outcome.version = n;
}

static int64_t
read_integer(struct web_call *c, const char *field)
{
	int64_t n;

	return sf_parse_integer(c->arena, field, &n) ? n : -1;
}

static void
read_complete(struct web_call *c, struct rufh_words *w)
{
	bool is_inverse = w->version == RUFH_VERSION_INCOMPLETE;

	w->has_complete = sf_parse_boolean(c->arena,
	    is_inverse ? c->req->upload_incomplete : c->req->upload_complete,
	    &w->is_complete);
	w->is_marked |= w->has_complete;
	w->is_complete ^= is_inverse;
}

/* Does the request contain nothing that belongs to one of the protocols? */
static bool
is_plain(const struct web_request *req)
{
	return req->upload_length == NULL && req->upload_defer_length == NULL &&
	    req->upload_offset == NULL && req->upload_metadata == NULL &&
	    req->upload_concat == NULL && req->upload_checksum == NULL;
}

static bool
is_upload(const struct web_call *c)
{
	return c->method == WEB_POST || c->method == WEB_PUT;
}

struct rufh_words *
rufh_read(struct web_call *c)
{
	struct rufh_words *w = c->words;

	if (w != NULL)
		return w;
	w = c->words = arena_alloc(c->arena, sizeof(*w));
	read_version(c, w);
	read_complete(c, w);
	w->is_marked |= web_parse_is_type(c->req->content_type, RUFH_BODY_TYPE);
	w->offset = read_integer(c, c->req->upload_offset);
	w->length = read_integer(c, c->req->upload_length);
	if (!w->is_marked && c->srv->takes_plain && is_upload(c) &&
	    is_plain(c->req))
		w->is_plain = w->has_complete = w->is_complete = true;
	return w;
}

/* False if the field cannot be used, which is the last refusal to be made. */
static bool
parse_digest(struct web_call *c, const char *text, const char *name,
    struct digest_field *f)
{
	struct intent *in = &c->task.in;

	*f = (struct digest_field){ .count = 0 };
	if (!c->srv->core.allow_checksum || in->late != REFUSE_NOTHING)
		return false;
	switch (digest_field_parse(c->arena, text, f)) {
	case DIGEST_MALFORMED:
		in->late = RUFH_BAD_DIGEST;
		return false;
	case DIGEST_WRONG_SIZE:
		rufh_read(c)->wrong = *f;
		rufh_read(c)->wrong_field = name;
		in->late = RUFH_DIGEST_SIZE;
		return false;
	case DIGEST_ABSENT:
	case DIGEST_VALID:
		break;
	}
	return true;
}

void
rufh_read_digest(struct web_call *c)
{
	struct digest_field *f = &rufh_read(c)->content;
	struct intent *in = &c->task.in;
	size_t i;

	if (!parse_digest(c, c->req->content_digest, "Content-Digest", f))
		return;
	for (i = 0; i < f->count; i++)
		in->sums[i] = (struct sum){ f->values[i].algorithm,
			f->values[i].bytes, f->values[i].len };
	in->sum_count = f->count;
}

void
rufh_read_whole_digest(struct web_call *c)
{
	const char *text = NULL;
	struct digest_field f;
	size_t i;

	if (!c->srv->core.store->reads_unfinished ||
	    !parse_digest(c, c->req->repr_digest, "Repr-Digest", &f))
		return;
	for (i = 0; i < f.count; i++)
		text = whole_format(c->arena, text, f.values[i].algorithm,
		    f.values[i].bytes, f.values[i].len);
	c->task.in.create.digest = text;
}
