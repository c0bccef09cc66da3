/*
 * download.c - GET: the content of a finished upload.
 *
 * Content from strangers is served under our origin, so only a few harmless
 * types are ever displayed by the browser; all others are saved to a file.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "web/call.h"
#include "web/parse.h"

#define CACHE_CONTROL "private, no-cache"
#define FILE_NAME_MAX 255

static const char *const inline_types[] = {
	"text/plain",
	"image/png",
	"image/jpeg",
	"image/gif",
	"image/bmp",
	"image/webp",
	"audio/wave",
	"audio/wav",
	"audio/x-wav",
	"audio/x-pn-wav",
	"audio/webm",
	"audio/ogg",
	"video/mp4",
	"video/webm",
	"video/ogg",
	"application/ogg",
};

static const struct pair *
find_metadata(const struct upload *up, const char *key)
{
	const struct pair *p;

	for (p = up->info.metadata; p != NULL; p = p->next)
		if (strcmp(p->key, key) == 0)
			return p;
	return NULL;
}

#define TOKEN                                                                  \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"       \
	"!#$%&'*+-.^_`|~"

/* "type/subtype" of RFC 9110 tokens, without parameters. */
static bool
is_media_type(const struct pair *p)
{
	size_t type, subtype;

	if (strlen(p->value) != p->value_len || p->value_len > 127)
		return false;
	type = strspn(p->value, TOKEN);
	if (type == 0 || p->value[type] != '/')
		return false;
	subtype = strspn(p->value + type + 1, TOKEN);
	return subtype > 0 && p->value[type + 1 + subtype] == '\0';
}

static bool
is_inline(const char *type)
{
	size_t i;

	for (i = 0; i < NITEMS(inline_types); i++)
		if (strcasecmp(inline_types[i], type) == 0)
			return true;
	return false;
}

/* Cut a name that is too long for any file system, at a whole character: as %XX
 * it could exceed the web server's limit for a header. */
static struct pair
shorten(const struct pair *name)
{
	struct pair p = *name;
	size_t len = 0, n;

	while (len < p.value_len) {
		n = utf8_char(p.value + len, p.value_len - len);
		if (n == 0)
			n = 1;
		if (len + n > FILE_NAME_MAX)
			break;
		len += n;
	}
	p.value_len = len;
	return p;
}

/* The name as a quoted string of printable ASCII; other bytes become '_'. */
static const char *
quote_name(struct arena *a, const struct pair *name)
{
	char *out = arena_alloc(a, name->value_len * 2 + 1);
	size_t i, n = 0;

	for (i = 0; i < name->value_len; i++) {
		char ch = name->value[i];

		if (ch < 0x20 || ch > 0x7e)
			ch = '_';
		if (ch == '"' || ch == '\\')
			out[n++] = '\\';
		out[n++] = ch;
	}
	out[n] = '\0';
	return out;
}

static bool
needs_encoding(const struct pair *name)
{
	size_t i;

	for (i = 0; i < name->value_len; i++)
		if ((unsigned char)name->value[i] > 0x7e)
			return true;
	return false;
}

/* For filename*=UTF-8'' (RFC 8187): all but letters and digits as %XX. */
static const char *
encode_name(struct arena *a, const struct pair *name)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t i, len, n = 0;
	const char *value = utf8_clean(a, name->value, name->value_len, &len);
	char *out = arena_alloc(a, len * 3 + 1);

	for (i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)value[i];

		if (ch < 0x20 || ch == 0x7f)
			ch = '_';
		if (ch < 0x80 &&
		    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
			   "xyz0123456789.-_",
			ch) != NULL) {
			out[n++] = (char)ch;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[ch >> 4];
		out[n++] = hex[ch & 15];
	}
	out[n] = '\0';
	return out;
}

static const char *
disposition(struct arena *a, const char *how, const struct pair *metadata)
{
	struct pair name;

	if (metadata == NULL || metadata->value_len == 0)
		return how;
	name = shorten(metadata);
	how = arena_printf(a, "%s;filename=\"%s\"", how, quote_name(a, &name));
	if (needs_encoding(&name))
		how = arena_printf(
		    a, "%s;filename*=UTF-8''%s", how, encode_name(a, &name));
	return how;
}

/* Content that was uploaded with a Content-Encoding needs that field again.  In
 * tus, a metadata key of this name means nothing. */
static void
add_coding(struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;
	const struct pair *coding = find_metadata(c->task.up, "encoding");

	if (coding != NULL && info->protocol != NULL &&
	    strlen(coding->value) == coding->value_len &&
	    web_parse_is_token_list(coding->value))
		web_header(c, "Content-Encoding", coding->value);
}

/* What it is, and what a browser is to do with it. */
struct shown {
	const char *type, *disposition;
};

static struct shown
how_shown(struct web_call *c)
{
	const struct pair *type = find_metadata(c->task.up, "filetype");
	const struct pair *name = find_metadata(c->task.up, "filename");
	struct shown shown = { .type = "application/octet-stream" };

	if (type != NULL && is_media_type(type))
		shown.type = type->value;
	shown.disposition = disposition(
	    c->arena, is_inline(shown.type) ? "inline" : "attachment", name);
	return shown;
}

static void
add_content_headers(struct web_call *c)
{
	struct shown shown = how_shown(c);

	add_coding(c);
	web_header(c, "Content-Type", shown.type);
	web_header(c, "Content-Disposition", shown.disposition);
	web_header(c, "Content-Security-Policy", "sandbox; default-src 'none'");
	web_header(c, "Referrer-Policy", "no-referrer");
	web_header(c, "Cache-Control", CACHE_CONTROL);
}

/* Finished uploads never change; but a hook may reuse the id of one that was
 * removed. */
static const char *
etag(const struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;

	return arena_printf(c->arena, "\"%s-%" PRIx64 "-%" PRIx64 "\"",
	    c->task.in.id, (uint64_t)info->created, (uint64_t)info->finished);
}

/* If-Match (RFC 9110 §13.1.1) compares strongly, so a weak tag never
 * matches. */
static bool
is_precondition_met(const struct web_call *c)
{
	const char *list = c->req->if_match;

	return list == NULL || web_parse_has_token(list, "*") ||
	    web_parse_has_token(list, etag(c));
}

/* A weak tag matches too: a proxy that compresses makes a strong one weak. */
static bool
matches(struct arena *a, const char *list, const char *tag)
{
	return web_parse_has_token(list, "*") ||
	    web_parse_has_token(list, tag) ||
	    web_parse_has_token(list, arena_printf(a, "W/%s", tag));
}

/* Does the web server send the content? */
bool
web_is_offloaded(const struct web_call *c)
{
	const struct file_info *info = &c->task.up->info;
	const char *dir = c->srv->offload_moved;
	size_t len;

	if (!c->srv->offload_download || info->moved == 0)
		return c->srv->offload_download;
	if (dir == NULL || info->path == NULL)
		return false;
	len = strlen(dir);
	return strncmp(info->path, dir, len) == 0 && info->path[len] == '/';
}

/* Choose the range and set the status; false if refused. */
static bool
choose_range(struct web_call *c, int64_t *first, int64_t *last)
{
	const struct web_request *req = c->req;
	int64_t size = c->task.up->info.size;
	enum web_range range = WEB_RANGE_WHOLE;

	if (c->method != WEB_HEAD && !web_is_offloaded(c) &&
	    (req->if_range == NULL ||
		strcmp(web_parse_trim(c->arena, req->if_range), etag(c)) == 0))
		range = web_parse_range(req->range, size, first, last);
	c->status = range == WEB_RANGE_PART ? 206 : 200;
	switch (range) {
	case WEB_RANGE_PART:
		web_header(c, "Content-Range",
		    arena_printf(c->arena,
			"bytes %" PRId64 "-%" PRId64 "/%" PRId64, *first, *last,
			size));
		break;
	case WEB_RANGE_UNSATISFIABLE:
		web_header(c, "Content-Range",
		    arena_printf(c->arena, "bytes */%" PRId64, size));
		return web_refuse(c, WEB_REFUSE_RANGE);
	case WEB_RANGE_WHOLE:
		*first = 0;
		*last = size - 1;
		break;
	}
	return true;
}

bool
web_has_content(const struct web_call *c)
{
	return upload_is_finished(c->task.up) && !c->task.up->info.is_partial;
}

bool
web_read_download(struct web_call *c)
{
	c->task.in.deed = DEED_READ;
	return true;
}

static bool
is_linked(const struct web_call *c)
{
	return c->srv->offload_download && c->method != WEB_HEAD &&
	    c->srv->core.store->linker != NULL;
}

/* The path and query of a URL. */
static const char *
path_of(const char *url)
{
	const char *host = strstr(url, "://");

	return host != NULL ? host + 3 + strcspn(host + 3, "/") : url;
}

static void
answer_link(struct web_call *c)
{
	const struct store_linker *linker = c->srv->core.store->linker;
	struct shown shown = how_shown(c);
	const char *url;

	if (linker->link(c->task.up, shown.type, shown.disposition, c->arena,
		&url, &c->task.err) != ERR_OK) {
		(void)task_fail(&c->task);
		return;
	}
	if (c->srv->link_root == NULL) {
		c->status = 307;
		web_header(c, "Location", url);
		return;
	}
	web_header(c, "X-Accel-Redirect",
	    arena_printf(c->arena, "%s%s", c->srv->link_root, path_of(url)));
	add_content_headers(c);
}

void
web_answer_download(struct web_call *c)
{
	const struct store_reader *reader = c->srv->core.store->reader;
	struct task *t = &c->task;
	int64_t first, last;
	enum err_code rc;

	if (!is_precondition_met(c)) {
		(void)web_refuse(c, WEB_REFUSE_PRECONDITION);
		return;
	}
	web_header(c, "ETag", etag(c));
	if (matches(c->arena, c->req->if_none_match, etag(c))) {
		web_header(c, "Cache-Control", CACHE_CONTROL);
		c->status = 304;
		return;
	}
	if (!choose_range(c, &first, &last))
		return;
	if (is_linked(c)) {
		answer_link(c);
		return;
	}
	rc = reader->open(t->up, first, c->arena, &c->res.content, &t->err);
	if (rc == ERR_NOT_FOUND) {
		/* The file was moved from its destination: a 404 is no error to
		 * be logged. */
		t->err.code = ERR_OK;
		(void)web_refuse(c, REFUSE_NOT_FOUND);
		return;
	}
	if (rc != ERR_OK) {
		(void)task_fail(t);
		return;
	}
	c->res.content->length = last - first + 1;
	if (!web_is_offloaded(c))
		c->res.content->path = NULL;
	web_header(c, "Accept-Ranges", "bytes");
	add_content_headers(c);
}

ssize_t
web_content(struct web_call *c, void *buf, size_t size, struct err *e)
{
	int64_t left = c->res.content->length - c->sent;
	ssize_t n;

	if ((uint64_t)size > (uint64_t)left)
		size = (size_t)left;
	if (size == 0)
		return 0;
	n = c->srv->core.store->reader->read(c->res.content, buf, size, e);
	if (n > 0)
		c->sent += n;
	return n;
}

void
web_close_content(struct web_call *c)
{
	if (c->res.content != NULL)
		c->srv->core.store->reader->close(c->res.content);
	c->res.content = NULL;
}
