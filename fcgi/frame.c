/*
 * frame.c - look at the records before libfcgi does.
 */
#include "config.h"

#include <fastcgi.h>
#include <string.h>

#include "fcgi/frame.h"

/* All parameters of a request; web servers stop at 64 KiB or so of headers. */
#define PARAMS_MAX (1024 * 1024)

/* And their number: libfcgi allocates each one by itself. */
#define PAIRS_MAX 8192

/* A question for each of the three values that libfcgi knows. */
#define QUESTION_MAX 48

/* How often a connection may ask before its first request. */
#define QUESTIONS_MAX 8

/* The roles are numbered from 1 on. */
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

/* A question, or the beginning of a request.  libfcgi takes the padding of
 * either for the next record. */
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

/* libfcgi takes the padding of the last, empty record for the next one, and
 * closes the connection if that record cuts a pair in two. */
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

/* FCGI_ABORT_REQUEST ends the body for libfcgi, with an error: its connection
 * is never kept. */
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

/* A header is complete: may what it announces come? */
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

/* A byte of one of the two lengths; both together must be possible. */
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

/* Some of the content of a record that holds names and values. */
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

/* The role of a request; libfcgi closes the connection for one that it does
 * not know, and reads on for as long as anything comes. */
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

/* Some of the content of a record. */
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
frame_check(struct frame *f, const void *bytes, size_t len)
{
	if (!f->is_refused && !check(f, bytes, len))
		f->is_refused = true;
	return !f->is_refused;
}
