/*
 * tus.c - tus 1.0.0: its routes, refusals and answers.
 *
 * Three tables: routes lists which method is handled where, and how it is read
 * and answered; extensions lists the offers; words has the refusals that only
 * tus has.  405, Allow and Tus-Extension are derived from them and from the
 * store's capabilities, so they cannot disagree.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "tus/parse.h"
#include "tus/tus.h"
#include "web/call.h"

#define BODY_TYPE "application/offset+octet-stream"

/* Refusals that only the grammar of tus has. */
enum tus_refusal {
	TUS_UNSUPPORTED_VERSION = WEB_REFUSE_MAX,
	TUS_BAD_CONTENT_TYPE,
	TUS_BAD_LENGTH,
	TUS_LENGTH_MISSING,
	TUS_LENGTH_AMBIGUOUS,
	TUS_BAD_DEFER_LENGTH,
	TUS_BAD_OFFSET,
	TUS_BAD_METADATA,
	TUS_NO_CONCATENATION,
	TUS_BAD_CONCAT,
	TUS_FINAL_WITH_LENGTH,
	TUS_FINAL_WITH_BODY,
	TUS_BAD_CHECKSUM,
	TUS_CHECKSUM_TRAILER,
	TUS_REFUSAL_MAX
};

#define ROW(why) [(why)-WEB_REFUSE_MAX]
static const struct web_words words[TUS_REFUSAL_MAX - WEB_REFUSE_MAX] = {
	ROW(TUS_UNSUPPORTED_VERSION) = { 412, "ERR_UNSUPPORTED_VERSION",
	    "this server speaks tus 1.0.0; send Tus-Resumable: 1.0.0" },
	ROW(TUS_BAD_CONTENT_TYPE) = { 415, "ERR_INVALID_CONTENT_TYPE",
	    "a body must be application/offset+octet-stream" },
	ROW(TUS_BAD_LENGTH) = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "Upload-Length is not a number of bytes" },
	ROW(TUS_LENGTH_MISSING) = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "send Upload-Length, or Upload-Defer-Length if offered" },
	ROW(TUS_LENGTH_AMBIGUOUS) = { 400, "ERR_AMBIGUOUS_UPLOAD_LENGTH",
	    "Upload-Length and Upload-Defer-Length exclude each other" },
	ROW(TUS_BAD_DEFER_LENGTH) = { 400, "ERR_INVALID_UPLOAD_LENGTH_DEFER",
	    "Upload-Defer-Length can only be 1" },
	ROW(TUS_BAD_OFFSET) = { 400, "ERR_INVALID_OFFSET",
	    "Upload-Offset is missing or not a number of bytes" },
	ROW(TUS_BAD_METADATA) = { 400, "ERR_INVALID_METADATA",
	    "Upload-Metadata must be unique keys with base64 values" },
	ROW(TUS_NO_CONCATENATION) = { 400, "ERR_CONCATENATION_UNSUPPORTED",
	    "concatenation is not offered here" },
	ROW(TUS_BAD_CONCAT) = { 400, "ERR_INVALID_CONCAT",
	    "Upload-Concat must be partial, or final; and upload URLs" },
	ROW(TUS_FINAL_WITH_LENGTH) = { 400, "ERR_INVALID_UPLOAD_LENGTH",
	    "the length of a final upload follows from its parts" },
	ROW(TUS_FINAL_WITH_BODY) = { 403, "ERR_MODIFY_FINAL",
	    "a final upload takes no data of its own" },
	ROW(TUS_BAD_CHECKSUM) = { 400, "ERR_INVALID_CHECKSUM",
	    "Upload-Checksum must be an algorithm, a space, and base64" },
	ROW(TUS_CHECKSUM_TRAILER) = { 400, "ERR_CHECKSUM_TRAILER_UNSUPPORTED",
	    "send Upload-Checksum as a header, not as a trailer" },
};

/* --- From a request to an intent. --- */

static bool
has_version(const struct web_call *c)
{
	const char *v = web_parse_trim(c->arena, c->req->tus_resumable);

	return v != NULL && strcmp(v, TUS_VERSION) == 0;
}

/*
 * Is this HEAD by a client that knows nothing of tus and expects the size of a
 * download?  Not if an override names another method: a length without a body
 * would then be no answer.
 */
static bool
is_plain_head(const struct web_call *c)
{
	return c->method == WEB_HEAD && strcmp(c->req->method, "HEAD") == 0 &&
	    c->req->tus_resumable == NULL && c->task.in.id[0] != '\0' &&
	    core_can_read(&c->srv->core) &&
	    (!c->srv->core.owner_required || c->req->owner != NULL);
}

static bool
admit(struct web_call *c)
{
	return c->method == WEB_GET || is_plain_head(c) || has_version(c) ||
	    web_refuse(c, TUS_UNSUPPORTED_VERSION);
}

/* A faulty one is refused by the core, after all other refusals that are
 * possible before the body. */
static void
read_sum(struct web_call *c)
{
	const struct web_request *req = c->req;
	struct intent *in = &c->task.in;

	if (core_digest(&c->srv->core, 0) == NULL)
		return;
	if (req->upload_checksum == NULL) {
		if (req->trailer != NULL &&
		    web_parse_has_token(req->trailer, "Upload-Checksum"))
			in->late = TUS_CHECKSUM_TRAILER;
		return;
	}
	if (tus_parse_sum(c->arena, req->upload_checksum, &in->sums[0]) ==
	    WEB_VALID)
		in->sum_count = 1;
	else
		in->late = TUS_BAD_CHECKSUM;
}

static bool
read_concat(struct web_call *c, struct tus_concat *concat)
{
	const struct web_request *req = c->req;
	struct intent *in = &c->task.in;

	if (req->upload_concat == NULL)
		return true;
	if (!core_can_concat(&c->srv->core))
		return web_refuse(c, TUS_NO_CONCATENATION);
	if (tus_parse_concat(c->arena, req->upload_concat, concat) != WEB_VALID)
		return web_refuse(c, TUS_BAD_CONCAT);
	in->create.is_partial = concat->is_partial;
	in->create.is_final = concat->is_final;
	if (!concat->is_final)
		return true;
	in->deed = DEED_CONCAT;
	if (in->if_body == REFUSE_NOTHING)
		in->if_body = TUS_FINAL_WITH_BODY;
	in->create.concat_raw = web_parse_trim(c->arena, req->upload_concat);
	if (req->upload_length != NULL || req->upload_defer_length != NULL)
		return web_refuse(c, TUS_FINAL_WITH_LENGTH);
	return true;
}

static bool
read_new_length(struct web_call *c)
{
	const struct web_request *req = c->req;
	const char *defer = req->upload_defer_length;
	struct intent *in = &c->task.in;

	if (req->upload_length != NULL && defer != NULL)
		return web_refuse(c, TUS_LENGTH_AMBIGUOUS);
	if (defer != NULL && core_can_defer(&c->srv->core)) {
		if (strcmp(web_parse_trim(c->arena, defer), "1") != 0)
			return web_refuse(c, TUS_BAD_DEFER_LENGTH);
		in->create.size_deferred = true;
		return true;
	}
	if (req->upload_length == NULL)
		return web_refuse(c, TUS_LENGTH_MISSING);
	if (!web_parse_int64(req->upload_length, &in->length))
		return web_refuse(c, TUS_BAD_LENGTH);
	in->create.size = in->length;
	return true;
}

static bool
read_metadata(struct web_call *c)
{
	struct file_info *info = &c->task.in.create;
	const char *raw = c->req->upload_metadata;

	if (raw != NULL && c->srv->max_metadata > 0 &&
	    (int64_t)strlen(raw) > c->srv->max_metadata)
		return web_refuse(c, REFUSE_RECORD_TOO_LARGE);
	switch (web_parse_metadata(c->arena, raw, &info->metadata)) {
	case WEB_ABSENT:
		break;
	case WEB_MALFORMED:
		return web_refuse(c, TUS_BAD_METADATA);
	case WEB_TOO_MANY:
		return web_refuse(c, REFUSE_RECORD_TOO_LARGE);
	case WEB_VALID:
		info->metadata_raw = web_parse_trim(c->arena, raw);
		break;
	}
	return true;
}

static bool
read_parts(struct web_call *c, const struct tus_concat *concat)
{
	const char **ids;
	size_t i;

	if (c->task.in.body_length > 0)
		return web_refuse(c, TUS_FINAL_WITH_BODY);
	ids = arena_alloc(c->arena, (concat->nrefs + 1) * sizeof(*ids));
	for (i = 0; i < concat->nrefs; i++) {
		ids[i] = web_reference(c, concat->refs[i]);
		if (ids[i] == NULL)
			return web_refuse(c, REFUSE_NOT_FOUND);
	}
	c->task.in.create.parts = ids;
	return true;
}

/* The first fault is reported: the order is fixed, and tests know it. */
static bool
read_post(struct web_call *c)
{
	struct intent *in = &c->task.in;
	struct tus_concat concat = { 0 };
	bool has_type = web_parse_is_type(c->req->content_type, BODY_TYPE);

	in->deed = DEED_CREATE;
	in->if_body = has_type ? REFUSE_NOTHING : TUS_BAD_CONTENT_TYPE;
	if (!web_read_body_length(c))
		return false;
	/* Some HTTP stacks force a type on an empty POST: only a body needs
	 * the right one. */
	if (in->body_length > 0 && !has_type)
		return web_refuse(c, TUS_BAD_CONTENT_TYPE);
	if (!read_concat(c, &concat) ||
	    (!concat.is_final && !read_new_length(c)) || !read_metadata(c) ||
	    (concat.is_final && !read_parts(c, &concat)))
		return false;
	read_sum(c);
	return true;
}

static bool
read_patch(struct web_call *c)
{
	const struct web_request *req = c->req;
	struct intent *in = &c->task.in;

	in->deed = DEED_APPEND;
	if (!web_parse_is_type(req->content_type, BODY_TYPE))
		return web_refuse(c, TUS_BAD_CONTENT_TYPE);
	if (!web_parse_int64(req->upload_offset, &in->offset))
		return web_refuse(c, TUS_BAD_OFFSET);
	if (req->upload_length != NULL &&
	    !web_parse_int64(req->upload_length, &in->length))
		return web_refuse(c, TUS_BAD_LENGTH);
	read_sum(c);
	return web_read_body_length(c);
}

static bool
read_delete(struct web_call *c)
{
	c->task.in.deed = DEED_REMOVE;
	return true;
}

/* --- From an outcome to an answer. --- */

static void
add_expires(struct web_call *c)
{
	const struct upload *up = c->task.up;
	char *date;

	if (!core_can_expire(&c->srv->core) || up->info.expires == 0 ||
	    upload_is_finished(up))
		return;
	date = arena_alloc(c->arena, CLOCK_HTTP_DATE_MAX);
	clock_http_date(up->info.expires, date);
	web_header(c, "Upload-Expires", date);
}

static void
answer_post(struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;

	web_header(c, "Location", web_location(c, info->id));
	if (c->task.in.if_body == REFUSE_NOTHING)
		web_header_int(c, "Upload-Offset", info->offset);
	add_expires(c);
	c->status = 201;
}

static void
answer_patch(struct web_call *c)
{
	web_header_int(c, "Upload-Offset", c->task.up->info.offset);
	add_expires(c);
	c->status = 204;
}

static void
answer_delete(struct web_call *c)
{
	c->status = 204;
}

/* A foreign record does not have Upload-Concat as it was sent: make one. */
static const char *
concat_header(const struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;
	const char *list = "final;";
	size_t i;

	if (info->is_partial)
		return "partial";
	if (info->concat_raw != NULL)
		return info->concat_raw;
	for (i = 0; info->parts != NULL && info->parts[i] != NULL; i++)
		list = arena_printf(c->arena, "%s%s%s", list, i == 0 ? "" : " ",
		    web_location(c, info->parts[i]));
	return list;
}

static void
answer_head(struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;

	if (c->task.in.deed == DEED_READ) {
		web_answer_download(c);
		return;
	}
	web_header_int(c, "Upload-Offset", info->offset);
	if (info->size_deferred)
		web_header(c, "Upload-Defer-Length", "1");
	else
		web_header_int(c, "Upload-Length", info->size);
	if (info->metadata_raw != NULL)
		web_header(c, "Upload-Metadata", info->metadata_raw);
	if (info->is_partial || info->is_final)
		web_header(c, "Upload-Concat", concat_header(c));
	add_expires(c);
}

static bool
read_head(struct web_call *c)
{
	c->task.in.deed = c->req->tus_resumable == NULL ? DEED_READ : DEED_LOOK;
	return true;
}

static const struct web_words *
refuse(struct web_call *c)
{
	struct task *t = &c->task;
	const struct web_words *said;

	/* A client that does not speak tus is not told anything about an upload
	 * that GET would not serve, not even whether it exists. */
	if (c->method == WEB_HEAD && t->in.deed == DEED_READ &&
	    (t->why == REFUSE_NOT_FOUND || t->why == REFUSE_GONE))
		t->why = TUS_UNSUPPORTED_VERSION;
	said = t->why < WEB_REFUSE_MAX ? web_words(t->why) :
					 &words[t->why - WEB_REFUSE_MAX];
	if (t->why == TUS_UNSUPPORTED_VERSION)
		web_header(c, "Tus-Version", TUS_VERSION);
	if (t->why == TUS_BAD_CONTENT_TYPE && c->method == WEB_PATCH)
		web_header_accept_patch(c);
	if (said->status == 413 && t->in.max_size > 0)
		web_header_int(c, "Tus-Max-Size", t->in.max_size);
	if (t->why == REFUSE_WRONG_OFFSET)
		web_header_int(c, "Upload-Offset", t->up->info.offset);
	return said;
}

/* --- What OPTIONS offers, and all tables. --- */

static bool
always(const struct core *core)
{
	(void)core;
	return true;
}

static bool
has_checksum(const struct core *core)
{
	return core_digest(core, 0) != NULL;
}

static const struct web_route routes[] = {
	{ WEB_POST, WEB_COLLECTION, always, read_post, answer_post },
	{ WEB_HEAD, WEB_UPLOAD, always, read_head, answer_head },
	{ WEB_PATCH, WEB_UPLOAD, always, read_patch, answer_patch },
	{ WEB_DELETE, WEB_UPLOAD, core_can_remove, read_delete, answer_delete },
	{ WEB_GET, WEB_UPLOAD, core_can_read, web_read_download,
	    web_answer_download },
};

/* In the order of the header. */
static const struct {
	const char *name;
	bool (*offered)(const struct core *);
} extensions[] = {
	{ "creation", always },
	{ "creation-with-upload", always },
	{ "creation-defer-length", core_can_defer },
	{ "expiration", core_can_expire },
	{ "checksum", has_checksum },
	{ "termination", core_can_remove },
	{ "concatenation", core_can_concat },
};

const char *
tus_extensions(const struct core *core, struct arena *a)
{
	const char *list = "";
	size_t i;

	for (i = 0; i < NITEMS(extensions); i++)
		if (extensions[i].offered(core))
			list = arena_printf(a, "%s%s%s", list,
			    *list == '\0' ? "" : ",", extensions[i].name);
	return list;
}

static void
offer(struct web_call *c)
{
	const struct core *core = &c->srv->core;
	const char *list = tus_extensions(core, c->arena);
	size_t i;

	web_header(c, "Tus-Version", TUS_VERSION);
	if (*list != '\0')
		web_header(c, "Tus-Extension", list);
	if (c->task.in.max_size > 0)
		web_header_int(c, "Tus-Max-Size", c->task.in.max_size);
	list = "";
	for (i = 0; core_digest(core, i) != NULL; i++)
		list = arena_printf(c->arena, "%s%s%s", list, i == 0 ? "" : ",",
		    core_digest(core, i));
	if (*list != '\0')
		web_header(c, "Tus-Checksum-Algorithm", list);
}

static void
sign(struct web_call *c)
{
	web_header(c, "Tus-Resumable", TUS_VERSION);
}

static bool
is_spoken(struct web_call *c)
{
	return c->req->tus_resumable != NULL;
}

const struct web_protocol tus_protocol = {
	.name = "tus",
	.patch_type = BODY_TYPE,
	.routes = routes,
	.nroutes = NITEMS(routes),
	.is_spoken = is_spoken,
	.admit = admit,
	.refuse = refuse,
	.offer = offer,
	.sign = sign,
};
