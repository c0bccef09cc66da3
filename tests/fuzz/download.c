/*
 * download.c - any bytes as file name and file type of a download: what the
 * browser gets to see is two harmless headers.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"

static const char *const inline_types[] = { "text/plain", "image/png",
	"image/jpeg", "image/gif", "image/bmp", "image/webp", "audio/wave",
	"audio/wav", "audio/x-wav", "audio/x-pn-wav", "audio/webm", "audio/ogg",
	"video/mp4", "video/webm", "video/ogg", "application/ogg" };

static const char *
skip(const char *s, const char *what)
{
	if (strncmp(s, what, strlen(what)) != 0)
		fuzz_bug("\"%s\" where %s is due", s, what);
	return s + strlen(what);
}

/* A quoted string of printable ASCII; what comes behind it. */
static const char *
skip_quoted(const char *s)
{
	for (s = skip(s, "\""); *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (*s < ' ' || *s > '~')
			fuzz_bug("byte %#x in a file name", (unsigned)*s);
	}
	return s + 1;
}

static void
check_disposition(const char *s, bool is_inline)
{
	size_t i;

	s = skip(s, is_inline ? "inline" : "attachment");
	if (*s != '\0')
		s = skip_quoted(skip(s, ";filename="));
	if (*s == '\0')
		return;
	s = skip(s, ";filename*=UTF-8''");
	for (; *s != '\0'; s += *s == '%' ? 3 : 1) {
		for (i = 1; *s == '%' && i < 3; i++)
			if (strchr("0123456789ABCDEF", s[i]) == NULL ||
			    s[i] == '\0')
				fuzz_bug("\"%s\" is no byte", s);
		if (strchr(" \"\\;,'()<>@?=/:{}", *s) != NULL)
			fuzz_bug("'%c' in an encoded name", *s);
	}
}

static bool
check_type(const char *s)
{
	size_t i;

	if (strpbrk(s, " ;,\"\t") != NULL || strchr(s, '/') == NULL)
		fuzz_bug("\"%s\" is a type", s);
	for (i = 0; i < NITEMS(inline_types); i++)
		if (strcasecmp(inline_types[i], s) == 0)
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *end = len > 0 ? memchr(bytes, '\n', len) : NULL;
	size_t n = end != NULL ? (size_t)(end - bytes) : len;
	struct web_request req = { .method = "POST",
		.base = "/files",
		.path = "",
		.tus_resumable = TUS_VERSION,
		.upload_length = "0",
		.max_size = -1 };
	struct body none = { "", 0, 1, END_COMPLETE };
	struct answer a;

	server_open();
	server.core.locker = NULL;
	req.upload_metadata =
	    arena_printf(arena, "filename %s,filetype %s", to_base64(bytes, n),
		end != NULL ? to_base64(end + 1, len - n - 1) : "");
	a = server_ask(&req, &none);
	if (a.status == 431)
		return 0;
	if (a.status != 201)
		fuzz_bug("%d: %s", a.status, req.upload_metadata);
	req = (struct web_request){ .method = "GET",
		.base = "/files",
		.path = skip(answer_header(&a, "Location"), "/files"),
		.max_size = -1 };
	a = server_ask(&req, &none);
	if (a.status != 200)
		fuzz_bug("%d", a.status);
	check_disposition(answer_header(&a, "Content-Disposition"),
	    check_type(answer_header(&a, "Content-Type")));
	return 0;
}
