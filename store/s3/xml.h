/*
 * xml.h - the answers of S3, as the texts of their elements.
 *
 * expat is loaded when it is first needed, as libcurl is.
 */
#ifndef STORE_S3_XML_H
#define STORE_S3_XML_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

/* ERR_SYSTEM if expat cannot be had. */
MUST_CHECK enum err_code s3_xml_load(struct err *);

/* Elements within each other, without their namespace: "Contents", "Key". */
struct s3_xml_text {
	const char *parent;
	const char *name;
	const char *text;
};

/* An element that has no elements in it has ended; text is good until this
 * returns. */
typedef void s3_xml_seen(void *arg, const struct s3_xml_text *);

/* Likewise one that has: name and parent alone. */
typedef void s3_xml_ended(void *arg, const char *name);

/*
 * Read a document.  ERR_UNAVAILABLE if it is none, has a document type (which
 * S3 never sends, and which may make it endless), or nests too deeply.
 */
MUST_CHECK enum err_code s3_xml_read(const char *, size_t, s3_xml_seen *,
    s3_xml_ended *, void *arg, struct err *);

#endif
