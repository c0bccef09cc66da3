/*
 * describe.c - the file's name and type from HTTP header fields, as metadata of
 * tus: so hooks, tus clients and downloads see the same in both protocols.
 */
#include "config.h"

#include <string.h>

#include "rufh/disposition.h"
#include "rufh/words.h"

static void
add(struct web_call *c, const char *key, const char *value)
{
	struct pair **end = (struct pair **)&c->task.in.create.metadata;

	if (value == NULL)
		return;
	for (; *end != NULL; end = &(*end)->next)
		if (strcmp((*end)->key, key) == 0)
			return;
	*end = arena_alloc(c->arena, sizeof(**end));
	(*end)->key = key;
	(*end)->value = value;
	(*end)->value_len = strlen(value);
}

/* The media type of the file, unless it is that of the request. */
static const char *
file_type(struct web_call *c)
{
	static const char *const others[] = { RUFH_BODY_TYPE,
		"application/offset+octet-stream",
		"application/x-www-form-urlencoded" };
	const char *type = web_parse_trim(c->arena, c->req->content_type);
	size_t i;

	for (i = 0; i < NITEMS(others); i++)
		if (web_parse_is_type(type, others[i]))
			return NULL;
	return type != NULL && *type != '\0' ? type : NULL;
}

static const char *
coding(struct web_call *c)
{
	const char *list = web_parse_trim(c->arena, c->req->content_encoding);

	return web_parse_is_token_list(list) ? list : NULL;
}

/* Upload-Metadata as tus clients send it; tus-js-client sends it in this
 * protocol too. */
static bool
read_metadata(struct web_call *c)
{
	struct file_info *info = &c->task.in.create;

	switch (web_parse_metadata(
	    c->arena, c->req->upload_metadata, &info->metadata)) {
	case WEB_ABSENT:
		break;
	case WEB_MALFORMED:
		return web_refuse(c, RUFH_BAD_METADATA);
	case WEB_TOO_MANY:
		return web_refuse(c, REFUSE_RECORD_TOO_LARGE);
	case WEB_VALID:
		info->metadata_raw =
		    web_parse_trim(c->arena, c->req->upload_metadata);
		break;
	}
	return true;
}

bool
rufh_describe(struct web_call *c)
{
	struct file_info *info = &c->task.in.create;
	const char *raw = c->req->upload_metadata;

	if (!read_metadata(c))
		return false;
	if (raw == NULL) {
		add(c, "filename",
		    disposition_filename(
			c->arena, c->req->content_disposition));
		add(c, "filetype", file_type(c));
	}
	add(c, "encoding", coding(c));
	if (raw == NULL || coding(c) != NULL)
		info->metadata_raw =
		    store_encode_metadata(c->arena, info->metadata);
	if (info->metadata_raw != NULL && c->srv->max_metadata > 0 &&
	    (int64_t)strlen(info->metadata_raw) > c->srv->max_metadata)
		return web_refuse(c, REFUSE_RECORD_TOO_LARGE);
	return true;
}
