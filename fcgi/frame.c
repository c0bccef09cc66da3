/*
 * frame.c - check FastCGI records before libfcgi sees them.
 */
#include "config.h"

#include <fastcgi.h>
#include <string.h>

#include "fcgi/frame.h"

/* Bytes of parameters of a request; web servers accept about 64 KiB of
 * headers. */
#define PARAMS_MAX (1024 * 1024)

/* The number of parameters: libfcgi allocates each one separately. */
#define PAIRS_MAX 8192

/* The content of a request for the three values that libfcgi knows. */
#define QUESTION_MAX 48

/* Management records that a connection may send before its first request. */
#define QUESTIONS_MAX 8

/* The most content of a record that needs no padding. */
#define RECORD_MAX 65528

/* Roles are numbered from 1. */
#define ROLE_MAX FCGI_FILTER

bool
frame_is_over(const struct frame *f)
{
	return f->phase == FRAME_ENDED && !f->has_more && !f->is_refused;
}

static bool
is_in_pair(const struct frame *f)
{
	return f->length_left > 0 || f->lengths > 0 || f->pair_left > 0;
}

/* Accept a management record or the beginning of a request.  Neither may be
 * padded: libfcgi takes the padding for the next record. */
static bool
take_first(struct frame *f, unsigned id)
{
	if (f->padding > 0)
		return false;
	if (f->type == FCGI_GET_VALUES)
		return id == FCGI_NULL_REQUEST_ID &&
		    f->content <= QUESTION_MAX &&
		    ++f->questions <= QUESTIONS_MAX;
	if (f->type != FCGI_BEGIN_REQUEST || id == FCGI_NULL_REQUEST_ID ||
	    f->content != sizeof(FCGI_BeginRequestBody))
		return false;
	f->request = id;
	f->phase = FRAME_PARAMS;
	return true;
}

/* The last, empty record may not be padded: libfcgi takes the padding for the
 * next record.  Nor may it come in the middle of a pair: libfcgi would close
 * the connection. */
static bool
take_params(struct frame *f)
{
	f->params += f->content;
	if (f->type != FCGI_PARAMS || f->params > PARAMS_MAX)
		return false;
	if (f->content > 0)
		return true;
	f->phase = FRAME_STDIN;
	return f->padding == 0 && !is_in_pair(f);
}

/* FCGI_ABORT_REQUEST ends the body for libfcgi with an error, and such a
 * connection is never kept. */
static bool
take_stdin(struct frame *f)
{
	bool is_abort = f->type == FCGI_ABORT_REQUEST;

	if (f->type != FCGI_STDIN && !is_abort)
		return false;
	if (f->content > 0 && !is_abort)
		return true;
	f->phase = FRAME_ENDED;
	f->has_more = is_abort || f->padding > 0;
	return true;
}

/* A header is complete: is the record that it announces allowed? */
static bool
take_header(struct frame *f)
{
	const unsigned char *h = f->header;
	unsigned id = (unsigned)h[2] << 8 | h[3];

	f->has = 0;
	f->type = h[1];
	f->content = (size_t)h[4] << 8 | h[5];
	f->padding = h[6];
	if (h[0] != FCGI_VERSION_1)
		return false;
	if (f->phase == FRAME_IDLE)
		return take_first(f, id);
	if (id != f->request)
		return false;
	return f->phase == FRAME_PARAMS ? take_params(f) : take_stdin(f);
}

/* Take a byte of one of the two lengths; their sum must be possible. */
static bool
take_length(struct frame *f, unsigned char byte)
{
	if (f->length_left == 0 && (byte & 0x80) != 0) {
		f->length_left = 3;
		f->length = byte & 0x7f;
		return true;
	}
	f->length = f->length_left > 0 ? f->length << 8 | byte : byte;
	if (f->length_left > 0 && --f->length_left > 0)
		return true;
	f->pair_left += f->length;
	f->length = 0;
	f->lengths = (f->lengths + 1) % 2;
	if (f->lengths == 0)
		f->pairs++;
	return f->pair_left <= PARAMS_MAX && f->pairs <= PAIRS_MAX;
}

/* Take some of the content of a record of names and values. */
static bool
take_pairs(struct frame *f, const unsigned char *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (f->lengths == 0 && f->length_left == 0 &&
		    f->pair_left > 0) {
			n = f->pair_left < len ? (size_t)f->pair_left : len;
			f->has_nul |= memchr(p, '\0', n) != NULL;
			f->pair_left -= n;
			p += n;
			len -= n;
			continue;
		}
		if (!take_length(f, *p))
			return false;
		p++;
		len--;
	}
	return true;
}

/* Check the role of a request: for an unknown one libfcgi closes the
 * connection, and keeps reading as long as input comes. */
static bool
take_role(const struct frame *f, const unsigned char *p, size_t len)
{
	size_t at = sizeof(FCGI_BeginRequestBody) - f->content;

	if (at == 0 && *p != 0)
		return false;
	if (at <= 1 && at + len > 1)
		return p[1 - at] >= 1 && p[1 - at] <= ROLE_MAX;
	return true;
}

/* Take some of the content of a record. */
static bool
take_content(struct frame *f, const unsigned char *p, size_t len)
{
	if (f->type == FCGI_BEGIN_REQUEST && !take_role(f, p, len))
		return false;
	if ((f->type == FCGI_PARAMS || f->type == FCGI_GET_VALUES) &&
	    !take_pairs(f, p, len))
		return false;
	f->content -= len;
	return f->type != FCGI_GET_VALUES || f->content > 0 || !is_in_pair(f);
}

static bool
check(struct frame *f, const unsigned char *p, size_t len)
{
	size_t n;

	while (len > 0 && f->phase != FRAME_ENDED) {
		if (f->content > 0) {
			n = f->content < len ? f->content : len;
			if (!take_content(f, p, n))
				return false;
		} else if (f->padding > 0) {
			n = f->padding < len ? f->padding : len;
			f->padding -= n;
		} else {
			n = 1;
			f->header[f->has++] = *p;
			if (f->has == sizeof(f->header) && !take_header(f))
				return false;
		}
		p += n;
		len -= n;
	}
	if (len > 0)
		f->has_more = true;
	return true;
}

bool
frame_get_cut(const struct frame *f, struct frame_cut *cut)
{
	if (f->phase != FRAME_STDIN || f->is_refused ||
	    (f->content == 0 && f->padding > 0))
		return false;
	/* The empty record that ends the parameters has no content. */
	*cut = (struct frame_cut){ .request = f->request,
		.content = f->content,
		.padding = f->padding,
		.has = f->has };
	memcpy(cut->header, f->header, f->has);
	return true;
}

static unsigned char *
put_header(unsigned char *p, unsigned type, unsigned id, size_t content,
    size_t padding)
{
	*p++ = FCGI_VERSION_1;
	*p++ = (unsigned char)type;
	*p++ = (unsigned char)(id >> 8);
	*p++ = (unsigned char)id;
	*p++ = (unsigned char)(content >> 8);
	*p++ = (unsigned char)content;
	*p++ = (unsigned char)padding;
	*p++ = 0;
	return p;
}

size_t
frame_again(const struct frame_cut *cut, bool keep, const void *params,
    size_t len, void *to)
{
	const unsigned char *from = params;
	unsigned char *p = to;
	size_t n;

	p = put_header(p, FCGI_BEGIN_REQUEST, cut->request,
	    sizeof(FCGI_BeginRequestBody), 0);
	memset(p, 0, sizeof(FCGI_BeginRequestBody));
	p[1] = FCGI_RESPONDER;
	p[2] = keep ? FCGI_KEEP_CONN : 0;
	p += sizeof(FCGI_BeginRequestBody);
	for (; len > 0; len -= n, from += n) {
		n = len < RECORD_MAX ? len : RECORD_MAX;
		p = put_header(p, FCGI_PARAMS, cut->request, n, 0);
		memcpy(p, from, n);
		p += n;
	}
	p = put_header(p, FCGI_PARAMS, cut->request, 0, 0);
	/* A record without content would be the end of the body. */
	if (cut->content > 0)
		p = put_header(
		    p, FCGI_STDIN, cut->request, cut->content, cut->padding);
	memcpy(p, cut->header, cut->has);
	return (size_t)(p + cut->has - (unsigned char *)to);
}

bool
frame_check(struct frame *f, const void *bytes, size_t len)
{
	if (!f->is_refused && !check(f, bytes, len))
		f->is_refused = true;
	return !f->is_refused;
}
