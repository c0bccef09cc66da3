/*
 * frame.c - look at the records before libfcgi does.
 */
#include "config.h"

#include <fastcgi.h>

#include "fcgi/frame.h"

/* All parameters of a request; web servers stop at 64 KiB or so of headers. */
#define PARAMS_MAX (1024 * 1024)

/* A question for each of the three values that libfcgi knows. */
#define QUESTION_MAX 48

void
frame_next_request(struct frame *f)
{
	f->is_begun = false;
}

static void
begin_pairs(struct frame *f)
{
	f->length_left = f->lengths = 0;
	f->length = f->pair_left = 0;
}

/* A header is complete: may what it announces come? */
static bool
take_header(struct frame *f)
{
	const unsigned char *h = f->header;

	f->has = 0;
	f->type = h[1];
	f->id = (unsigned)h[2] << 8 | h[3];
	f->content = (size_t)h[4] << 8 | h[5];
	f->padding = h[6];
	/* Where the padding of other records ends, libfcgi disagrees. */
	if (h[0] != FCGI_VERSION_1 ||
	    (f->padding > 0 && f->type != FCGI_PARAMS &&
		f->type != FCGI_STDIN && f->type != FCGI_DATA))
		return false;
	if (f->type == FCGI_BEGIN_REQUEST && f->content != 8)
		return false;
	/* libfcgi takes the content of what belongs to no request for that of
	 * the request, and what follows an empty record of another one for
	 * that record's; a question in the middle of a pair confuses it. */
	if (f->is_begun && f->id != f->request)
		return false;
	if (f->id == FCGI_NULL_REQUEST_ID && f->type != FCGI_GET_VALUES &&
	    f->content > 0)
		return false;
	if (f->type == FCGI_BEGIN_REQUEST && !f->is_begun) {
		f->is_begun = true;
		f->is_ended = false;
		f->request = f->id;
		f->params = 0;
		begin_pairs(f);
	}
	if (f->type == FCGI_GET_VALUES) {
		begin_pairs(f);
		return f->content <= QUESTION_MAX;
	}
	if (f->type == FCGI_STDIN && f->id == f->request && f->content == 0)
		f->is_ended = true;
	if (f->type == FCGI_PARAMS && f->id == f->request)
		f->params += f->content;
	return f->params <= PARAMS_MAX;
}

static bool
has_pairs(const struct frame *f)
{
	return f->type == FCGI_GET_VALUES ||
	    (f->type == FCGI_PARAMS && f->id == f->request);
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
	return f->pair_left <= PARAMS_MAX;
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

static bool
check(struct frame *f, const unsigned char *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (f->content > 0) {
			n = f->content < len ? f->content : len;
			if (has_pairs(f) && !take_pairs(f, p, n))
				return false;
			f->content -= n;
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
	return true;
}

bool
frame_check(struct frame *f, const void *bytes, size_t len)
{
	if (!f->is_refused && !check(f, bytes, len))
		f->is_refused = true;
	return !f->is_refused;
}
