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

/* After the head in all records except those of the first builds of 0.1.0,
 * which read it as an unknown key: the pending work. */
#define INFO_PENDING	17
#define INFO_WHOLE_HEAD (INFO_HEAD + INFO_PENDING)

/* A longer record is refused when it is created, and counts as damaged when it
 * is found.  This is enough for a thousand parts, as ids and as URLs. */
#define INFO_MAX 131072

/* The boot of an upload that has no watermark. */
#define INFO_NO_BOOT "------------------------------------"

/* The boot of an upload after a failed flush.  No boot ever has this id, so
 * bytes above the watermark count in none. */
#define INFO_DOUBT "00000000-0000-0000-0000-000000000000"

/* The boot of all uploads of a store that several hosts share. */
#define INFO_SHARED "ssssssssssssssssssssssssssssssssssss"

/* In a shared store: the boot of an upload that is being removed. */
#define INFO_GONE "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct info_head {
	/* The watermark: bytes below it survived a flush. */
	int64_t offset;

	/* 0 while the length is deferred. */
	int64_t size;
	bool size_deferred;

	/* Seconds since the epoch; 0 is not yet, and never. */
	int64_t finished;
	int64_t expires;

	/* Where bytes on probation begin, -1 if there are none. */
	int64_t hold;

	/* The boot in which the upload was last written. */
	char boot[CLOCK_BOOT_ID_LEN + 1];

	/* The work that is pending once the upload is finished (enum
	 * store_pending), if the record has room for it. */
	bool has_pending;
	unsigned pending;
};

/* The content of a record.  foreign: it had no head, and this one was derived
 * from the rest. */
struct info_record {
	struct info_head head;
	bool foreign;
	struct file_info info;

	/* What follows the id in ID, without the + between them: tusd puts the
	 * name of a multipart upload there.  NULL if nothing does. */
	const char *multipart;

	/* Storage.Path and InfoPath; NULL if absent. */
	const char *path, *info_path;

	/* All text members of Storage; when a record is written, they come from
	 * info.storage. */
	const struct pair *storage;
};

/*
 * Set up the JSON library; call this before its first use.  Running out of
 * memory then ends the process, as everywhere in this program, instead of
 * looking like a damaged record.  The seed of its hash tables is read from
 * /dev/urandom before the sandbox is entered.
 */
void info_set_up(void);

/* Writes INFO_HEAD or INFO_WHOLE_HEAD bytes, without a NUL, and returns how
 * many. */
size_t info_write_head(char *buf, const struct info_head *);

/* False unless every byte is as info_write_head() would write it. */
bool info_read_head(const char *buf, size_t len, struct info_head *);

/* plain.c: what follows the head.  False if it is not as info_format() would
 * write it, or is more than that: then it is JSON. */
bool info_read_plain(const char *buf, size_t len, const char *id,
    struct arena *, struct file_info *);

/* The same for writing, from the brace at the end of the head on; how many
 * bytes, 0 if it is not plain or has no room. */
size_t info_write_plain(char *buf, size_t room, const struct file_info *);

/* Memory for the text of a record, until the next info_parse() or
 * info_format() returns. */
void *info_scratch(size_t size);

/*
 * Parse a whole record of the upload id; buf is overwritten.  Strings come from
 * the arena; info.offset and info.storage are not set, because only the store
 * knows them.  ERR_NOT_FOUND if the file is empty or has only NUL bytes: its
 * creation did not survive a power failure.  ERR_CORRUPT for anything else that
 * is invalid.
 */
MUST_CHECK enum err_code info_parse(char *buf, size_t len, const char *id,
    struct arena *, struct info_record *, struct err *);

/*
 * The text of a record; its strings may contain any bytes.  An owner "" is read
 * back as no owner.  ERR_INVALID if it would be longer than INFO_MAX, or if a
 * key of the metadata is not UTF-8.
 */
MUST_CHECK enum err_code info_format(const struct info_record *, struct arena *,
    const char **text, size_t *len, struct err *);

#endif
