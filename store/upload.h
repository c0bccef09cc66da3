/*
 * upload.h - the data of an upload, whichever store keeps it.
 */
#ifndef STORE_UPLOAD_H
#define STORE_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* One "key value" of a list, in the order in which they were sent. */
struct pair {
	struct pair *next;
	const char *key;
	const char *value;
	size_t value_len; /* decoded values may hold any byte */
};

/* Could this be a key of the header Upload-Metadata? */
bool store_is_metadata_key(const char *);

/*
 * "key base64,key" as a client would have sent it, without keys that it could
 * not have sent; NULL if nothing is left.
 */
const char *store_encode_metadata(struct arena *, const struct pair *);

/* Work that is pending for a finished upload; see store_finisher. */
enum store_pending {
	/* Only for the store: its last flush was not seen to succeed. */
	STORE_TO_CONFIRM = 1 << 0,
	STORE_TO_MOVE = 1 << 1,
	STORE_TO_TELL = 1 << 2,
	/* Remove the parts that it was made of. */
	STORE_TO_REMOVE = 1 << 3,
	STORE_TO_DO = STORE_TO_MOVE | STORE_TO_TELL | STORE_TO_REMOVE
};

/* A time that never ends, and can be added to any date. */
#define KEPT_FOR_EVER (INT64_MAX / 2)

/* All that is known about one upload. */
struct file_info {
	const char *id;

	/* The announced size in bytes; meaningless while size_deferred. */
	int64_t size;
	bool size_deferred;

	/* The number of bytes that count. */
	int64_t offset;

	/* Decoded, and the header as the client sent it; NULL if none. */
	const struct pair *metadata;
	const char *metadata_raw;

	/*
	 * Concatenation: a partial upload is part of a later one.  A final one
	 * was made of the parts[] (NULL-terminated) and takes no PATCH.
	 */
	bool is_partial;
	bool is_final;
	const char *const *parts;

	/* Upload-Concat of a final upload as the client sent it; or NULL. */
	const char *concat_raw;

	/* Seconds since the epoch; 0 is never.  finished is the time when
	 * offset had reached size and finish() had succeeded. */
	int64_t created;
	int64_t expires;
	int64_t finished;

	/*
	 * Of a finished upload: enum store_pending.  An old record has no such
	 * member: then everything is pending if its lock has left a trace, and
	 * nothing if not.
	 */
	unsigned pending;
	bool is_marked_by_lock;

	/* The owner; NULL if the upload has none. */
	const char *owner;

	/* The protocol in which it was created, if not tus; NULL is tus. */
	const char *protocol;

	/* The digest of the whole upload that the client announced when it
	 * created the upload; NULL if it did not. */
	const char *digest;

	/*
	 * The destination that pre-create chose, in the form of the store's
	 * choose(); NULL if it chose none.
	 */
	const char *move_to;

	/* The largest size that pre-create permits; 0 if it set none. */
	int64_t max_size;

	/* Seconds that it is kept after its finish, or KEPT_FOR_EVER; 0 if its
	 * creation did not specify that. */
	int64_t retention;

	/*
	 * When its bytes left the store, and when its record may be removed;
	 * both 0 while the bytes are in the store.
	 */
	int64_t moved, forget;

	/* The absolute path of the file with the bytes; NULL if it is not on
	 * this machine. */
	const char *path;

	/* Where the bytes are, in the store's own terms; for hooks. */
	const struct pair *storage;
};

/* Make a deep copy. */
void file_info_copy(
    struct arena *, struct file_info *to, const struct file_info *from);

/*
 * The content of an upload for a download.  It stays readable when the upload
 * is closed, and even when it is terminated.  fd and path are offers: a
 * transport may use sendfile() or X-Sendfile if they are not -1 and NULL.
 */
struct stream {
	int64_t length;
	int fd;
	const char *path;
};

#endif
