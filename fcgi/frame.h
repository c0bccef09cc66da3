/*
 * frame.h - look at the records before libfcgi does.
 *
 * libfcgi 2.4 allocates whatever length a parameter announces, up to 4 GiB,
 * keeps as many parameters as come, and answers FCGI_GET_VALUES into 64 bytes
 * of its stack, however many values it is asked for.  Web servers do nothing
 * of the kind; who else gets at the socket shall not bring a worker down.
 */
#ifndef FCGI_FRAME_H
#define FCGI_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a connection is, from all zero at its beginning. */
struct frame {
	unsigned char header[8];
	/* Bytes of the header that came; what then comes, and is skipped. */
	size_t has, content, padding;
	unsigned type, id;

	/* A request has begun, and with it its parameters. */
	bool is_begun;
	unsigned request;
	size_t params;

	/* In the middle of a pair: bytes of a length still to come, both
	 * lengths so far, and what is left of name and value. */
	unsigned length_left, lengths;
	uint64_t length, pair_left;

	bool is_refused;
};

/* The next request of the same connection may begin. */
void frame_next_request(struct frame *);

/* These bytes came.  False: libfcgi must not see them, nor what follows. */
bool frame_check(struct frame *, const void *, size_t);

#endif
