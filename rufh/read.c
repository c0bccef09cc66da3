/*
 * read.c - from a request to an intent.
 */
#include "config.h"

#include "rufh/words.h"

static bool
is_too_large(const struct intent *in)
{
	return in->max_size > 0 && in->length > in->max_size;
}

/*
 * Check a request that no protocol claims.  A form would be stored with its
 * boundaries; and because browsers send such a request without asking first,
 * the page's origin must be configured.
 */
static bool
check_plain(struct web_call *c)
{
	static const char *const forms[] = { "", "multipart/form-data",
		"application/x-www-form-urlencoded" };
	const char *type = c->req->content_type;
	size_t i;

	if (!web_cors_names(c))
		return web_refuse(c, WEB_REFUSE_ORIGIN);
	for (i = 0; i < NITEMS(forms); i++)
		if (type == NULL || web_parse_is_type(type, forms[i]))
			return web_refuse(c, RUFH_BAD_CONTENT_TYPE);
	return true;
}

/* The length of the upload, if the headers tell it. */
static bool
read_length(struct web_call *c)
{
	struct intent *in = &c->task.in;
	bool is_known = in->is_last && in->body_length >= 0;

	in->length = rufh_read(c)->length;
	if (is_too_large(in))
		return web_refuse(c, REFUSE_TOO_LARGE);
	if (is_known && in->length >= 0 && in->length != in->body_length)
		return web_refuse(c, REFUSE_LENGTHS_DISAGREE);
	if (is_known)
		in->length = in->body_length;
	if (in->length >= 0)
		in->create.size = in->length;
	else if (c->srv->core.store->length_declarer != NULL)
		in->create.size_deferred = true;
	else
		return web_refuse(c, RUFH_LENGTH_MISSING);
	return true;
}

/* Read the fields of every request with a body. */
static bool
read_body(struct web_call *c)
{
	struct intent *in = &c->task.in;

	in->is_strict = true;
	in->is_last = rufh_read(c)->is_complete;
	in->max_body = c->srv->max_append;
	return web_read_body_length(c);
}

bool
rufh_read_create(struct web_call *c)
{
	const struct rufh_words *w = rufh_read(c);
	struct intent *in = &c->task.in;

	in->deed = DEED_CREATE;
	in->create.protocol = c->protocol->name;
	if (w->is_plain && !check_plain(c))
		return false;
	if (!w->has_complete)
		return web_refuse(c, RUFH_BAD_COMPLETE);
	if (!read_body(c))
		return false;
	if (c->req->upload_concat != NULL)
		return web_refuse(c, RUFH_NO_CONCATENATION);
	if (w->offset > 0)
		return web_refuse(c, RUFH_BAD_OFFSET);
	if (!rufh_describe(c) || !read_length(c))
		return false;
	rufh_read_digest(c);
	rufh_read_whole_digest(c);
	/* The client can be told of its upload before it sends the rest. */
	in->is_early =
	    c->req->takes_interim && w->version > 0 && in->body_length != 0;
	return true;
}

bool
rufh_read_append(struct web_call *c)
{
	struct rufh_words *w = rufh_read(c);
	struct intent *in = &c->task.in;
	bool is_old = w->version > 0;

	in->deed = DEED_APPEND;
	if (!(is_old && w->version < RUFH_VERSION_TYPE) &&
	    !web_parse_is_type(c->req->content_type, RUFH_BODY_TYPE))
		return web_refuse(c, RUFH_BAD_CONTENT_TYPE);
	if (w->offset < 0)
		return web_refuse(c, RUFH_BAD_OFFSET);
	if (!w->has_complete && is_old && w->version < RUFH_VERSION_EXPLICIT)
		w->has_complete = w->is_complete = true;
	if (!w->has_complete)
		return web_refuse(c, RUFH_BAD_COMPLETE);
	in->offset = w->offset;
	in->length = w->length;
	rufh_read_digest(c);
	return read_body(c);
}

/* These requests carry no state: fields with one are a mistake of the
 * client. */
static bool
check_silence(struct web_call *c)
{
	const struct rufh_words *w = rufh_read(c);

	if (w->has_complete)
		return web_refuse(c, RUFH_BAD_COMPLETE);
	if (w->offset >= 0)
		return web_refuse(c, RUFH_BAD_OFFSET);
	return w->length < 0 || web_refuse(c, RUFH_STRAY_LENGTH);
}

bool
rufh_read_look(struct web_call *c)
{
	c->task.in.deed = DEED_LOOK;
	return check_silence(c);
}

bool
rufh_read_delete(struct web_call *c)
{
	c->task.in.deed = DEED_REMOVE;
	return check_silence(c);
}
