/*
 * parse.h - the grammar of the headers that only tus has.
 *
 * As in web/parse.h, values are as received: any bytes up to the NUL.
 */
#ifndef TUS_PARSE_H
#define TUS_PARSE_H

#include "core/digest.h"
#include "web/parse.h"

/* The most uploads that one final upload may be made of. */
#define TUS_PARTS_MAX 1000

struct tus_concat {
	bool is_partial;
	bool is_final;
	/* References to the parts as received, NULL-terminated. */
	const char *const *refs;
	size_t nrefs;
};

/*
 * Upload-Concat (tus 1.0.0, Concatenation): "partial" or "final;" and
 * references separated by spaces.
 */
enum web_parsed tus_parse_concat(
    struct arena *, const char *, struct tus_concat *);

/* Upload-Checksum (tus 1.0.0, Checksum): "sha1 base64", one space. */
enum web_parsed tus_parse_sum(struct arena *, const char *, struct sum *);

#endif
