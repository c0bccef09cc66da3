/*
 * answer.c - the header fields of successful answers, and those of every
 * answer.
 */
#include "config.h"

#include <inttypes.h>

#include "core/digest.h"
#include "rufh/sf.h"
#include "rufh/words.h"

static const char *
add_limit(
    const struct web_call *c, const char *list, const char *key, int64_t value)
{
	if (value > SF_INTEGER_MAX)
		return list;
	return arena_printf(c->arena, "%s, %s=%" PRId64, list, key, value);
}

/* The largest size of the upload: the server's limit, or a smaller one set by a
 * hook. */
static int64_t
max_size(const struct web_call *c)
{
	const struct upload *up = c->task.up;
	int64_t own = up != NULL ? up->info.max_size : 0;
	int64_t all = c->task.in.max_size;

	return own > 0 && (all == 0 || own < all) ? own : all;
}

const char *
rufh_limits(const struct web_call *c)
{
	const struct core *core = &c->srv->core;
	const struct upload *up = c->task.up;
	const char *list = "min-size=0";
	int64_t left;

	if (max_size(c) > 0)
		list = add_limit(c, list, "max-size", max_size(c));
	if (c->srv->max_append > 0)
		list =
		    add_limit(c, list, "max-append-size", c->srv->max_append);
	if (up == NULL || !core_can_expire(core) || up->info.expires == 0 ||
	    upload_is_finished(up))
		return list;
	left = up->info.expires - core->now();
	return add_limit(c, list, "max-age", left > 0 ? left : 0);
}

/* Add the digest of the whole upload, if the client wants one and the store has
 * the bytes: only once, because all of it has to be read. */
static void
add_digest(struct web_call *c)
{
	const struct digest_value *wanted =
	    digest_field_wanted(c->arena, c->req->want_repr_digest);
	unsigned char bytes[DIGEST_MAX];
	struct err ignored;
	size_t len;

	if (wanted == NULL || !c->task.finished ||
	    !c->srv->core.allow_checksum ||
	    c->srv->core.store->reader == NULL ||
	    whole_digest(c->task.up, wanted->algorithm, c->arena, bytes, &len,
		&ignored) != ERR_OK)
		return;
	web_header(c, "Repr-Digest",
	    digest_field_format(c->arena, wanted->name, bytes, len));
}

/* The answer to a body; a client that lost it repeats the request with an empty
 * body and gets it again. */
void
rufh_answer_body(struct web_call *c)
{
	const struct upload *up = c->task.up;
	bool is_finished = upload_is_finished(up);
	bool is_new = c->method != WEB_PATCH;

	if (is_new || is_finished)
		web_header(c, "Location", web_location(c, up->info.id));
	web_header_int(c, "Upload-Offset", up->info.offset);
	web_header(c, "Upload-Limit", rufh_limits(c));
	add_digest(c);
	c->status = is_new || is_finished ? 201 : 204;
}

void
rufh_answer_head(struct web_call *c)
{
	c->status = 204;
	if (c->task.up->info.offset > SF_INTEGER_MAX)
		(void)web_refuse(c, REFUSE_NOT_FOUND);
}

/* The file, or the state of an unfinished upload. */
void
rufh_answer_get(struct web_call *c)
{
	bool is_marked = rufh_read(c)->is_marked;

	rufh_answer_head(c);
	if (c->task.why != REFUSE_NOTHING || !web_has_content(c))
		return;
	/* A web server that sends the file for us drops our header fields. */
	if (is_marked && (!core_can_read(&c->srv->core) || web_is_offloaded(c)))
		return;
	if (core_can_read(&c->srv->core))
		web_answer_download(c);
	else
		(void)web_refuse(c, WEB_REFUSE_METHOD);
}

void
rufh_answer_delete(struct web_call *c)
{
	c->status = 204;
}

static void
add_complete(struct web_call *c, bool is_complete)
{
	if (rufh_read(c)->version == RUFH_VERSION_INCOMPLETE)
		web_header(c, "Upload-Incomplete", is_complete ? "?0" : "?1");
	else
		web_header(c, "Upload-Complete", is_complete ? "?1" : "?0");
}

/* Add the offset and whether the upload is complete. */
static void
add_state(struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;

	web_header_int(c, "Upload-Offset", info->offset);
	if (!info->size_deferred && info->size <= SF_INTEGER_MAX)
		web_header_int(c, "Upload-Length", info->size);
	web_header(c, "Upload-Limit", rufh_limits(c));
	add_complete(c, upload_is_finished(c->task.up));
}

static bool
brings_bytes(const struct web_call *c)
{
	return c->method == WEB_POST || c->method == WEB_PUT ||
	    c->method == WEB_PATCH;
}

/* A failed request has completed nothing, whatever the state of the upload. */
void
rufh_sign(struct web_call *c)
{
	int64_t version = rufh_read(c)->version;
	const struct upload *up = c->task.up;

	if (c->task.why != REFUSE_NOTHING && brings_bytes(c))
		add_complete(c, false);
	else if (c->task.why == REFUSE_NOTHING && up != NULL) {
		if (brings_bytes(c))
			add_complete(c, upload_is_finished(up));
		else if (c->method != WEB_DELETE)
			add_state(c);
	}
	if (version > 0)
		web_header_int(c, "Upload-Draft-Interop-Version", version);
}

void
rufh_offer(struct web_call *c)
{
	web_header(c, "Upload-Limit", rufh_limits(c));
}

/* In lower case: lighttpd passes these on unchanged, to HTTP/2 as well. */
const struct pair *
rufh_tell(struct web_call *c)
{
	struct pair *p = arena_alloc(c->arena, 3 * sizeof(*p));

	p[0] = (struct pair){ &p[1], "location",
		web_location(c, c->task.up->info.id), 0 };
	p[1] = (struct pair){ &p[2], "upload-limit", rufh_limits(c), 0 };
	p[2] = (struct pair){ NULL, "upload-draft-interop-version",
		arena_printf(c->arena, "%" PRId64, rufh_read(c)->version), 0 };
	return p;
}
