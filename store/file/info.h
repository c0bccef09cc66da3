/*
 * info.h - the record of an upload, the text in ID.info.
 *
 * One JSON object in tusd's vocabulary, with a head of fixed width; FORMAT says
 * it byte by byte.  A record that another program made has no such head and is
 * called foreign.
 */
#ifndef STORE_FILE_INFO_H
#define STORE_FILE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"

#define INFO_HEAD 219

/* Behind it, in all records but those of the first builds of 0.1.0, which take
 * it for a key that they do not know: what is pending. */
#define INFO_PENDING	17
#define INFO_WHOLE_HEAD (INFO_HEAD + INFO_PENDING)

/* Longer records are refused when they are made, and damaged when found.  Room
 * for a thousand parts, as ids and as URLs. */
#define INFO_MAX 131072

/* Boot of an upload whose watermark nobody keeps. */
#define INFO_NO_BOOT "------------------------------------"

/* Boot of an upload of which a flush failed: none ever has this id, so that
 * bytes above the watermark count in no boot. */
#define INFO_DOUBT "00000000-0000-0000-0000-000000000000"

/* Boot of all uploads of a store that several hosts share. */
#define INFO_SHARED "ssssssssssssssssssssssssssssssssssss"

/* Boot, there, of an upload that is being removed. */
#define INFO_GONE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct info_head {
	/* The watermark: bytes below it survived a flush. */
	int64_t offset;

	/* 0 while deferred. */
	int64_t size;
	bool size_deferred;

	/* Seconds since the epoch, 0 is not yet and never. */
	int64_t finished;
	int64_t expires;

	/* Where bytes on probation begin, -1 if there are none. */
	int64_t hold;

	/* The boot in which the upload was last written. */
	char boot[CLOCK_BOOT_ID_LEN + 1];

	/* What is pending once it is finished (enum store_pending), if there is
	 * room for that. */
	bool has_pending;
	unsigned pending;
};

/* What a record says.  foreign: it had no head, and this one is made up. */
struct info_record {
	struct info_head head;
	bool foreign;
	struct file_info info;

	/* Storage.Path and InfoPath; NULL if it does not say. */
	const char *path, *info_path;

	/* All of Storage that is text; when a record is written, it is
	 * info.storage. */
	const struct pair *storage;
};

/*
 * For the JSON library, before its first use.  Out of memory it would say that
 * a record makes no sense; now it ends the process, as everybody does here.
 * And its hash tables get their seed from /dev/urandom before the sandbox.
 */
void info_set_up(void);

/* INFO_HEAD bytes, or INFO_WHOLE_HEAD, no NUL; how many it returns. */
size_t info_write_head(char *buf, const struct info_head *);

/* False unless every byte is as info_write_head() would write it. */
bool info_read_head(const char *buf, size_t len, struct info_head *);

/* Memory for the text of a record, until the next info_parse() or
 * info_format() returns. */
void *info_scratch(size_t size);

/*
 * Read a whole record of the upload id; buf is scratch afterwards.  Strings
 * come from the arena; info.offset and info.storage are left alone, for only
 * the store knows them.  ERR_NOT_FOUND if there is nothing in the file, or
 * nothing but NUL bytes: a creation that did not survive a power loss.
 * ERR_CORRUPT for all else that makes no sense.
 */
MUST_CHECK enum err_code info_parse(char *buf, size_t len, const char *id,
    struct arena *, struct info_record *, struct err *);

/*
 * The text of a record, for any bytes in its strings.  An owner "" comes back
 * as nobody.  ERR_INVALID if it would be longer than INFO_MAX, or if a key of
 * the metadata is not UTF-8.
 */
MUST_CHECK enum err_code info_format(const struct info_record *, struct arena *,
    const char **text, size_t *len, struct err *);

#endif
