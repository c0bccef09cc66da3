/*
 * room.c - how much room there is, and whether an upload will fit.
 */
#include "config.h"

#include <string.h>

#include "base/fs.h"
#include "store/file/file.h"

enum err_code
file_look_for_space(
    struct file_store *fs, int64_t need, int64_t *left, struct err *e)
{
	int64_t bytes;
	enum err_code rc;

	*left = INT64_MAX;
	if (fs->min_free == 0)
		return ERR_OK;
	if ((rc = fs_free_space(fs->dirfd, &bytes, e)) != ERR_OK)
		return rc;
	*left = bytes - need - fs->min_free;
	if (*left < 0)
		return err_set(e, ERR_NO_SPACE,
		    "%s: only %lld bytes are free, store.min_free is %lld",
		    fs->path, (long long)bytes, (long long)fs->min_free);
	return ERR_OK;
}

enum err_code
file_check_space(struct file_store *fs, int64_t need, struct err *e)
{
	int64_t left;

	return file_look_for_space(fs, need, &left, e);
}

/* What the unfinished uploads have yet to bring, but the one of that id. */
static enum err_code
count_lacking(
    struct file_store *fs, const char *but, int64_t *lacking, struct err *e)
{
	struct data_store *ds = &fs->base;
	struct arena *a = arena_new();
	enum err_code rc;
	struct upload *up;
	void *cursor = NULL;
	const char *id;
	struct err ignored;

	*lacking = 0;
	while (
	    (rc = ds->expirer->walk_next(ds, &cursor, a, &id, e)) == ERR_OK &&
	    id != NULL) {
		/* What cannot be read takes no more bytes. */
		if (strcmp(id, but) != 0 &&
		    ds->core->get_upload(ds, id, a, &up, &ignored) == ERR_OK) {
			if (!up->info.size_deferred &&
			    !upload_is_finished(up) &&
			    __builtin_add_overflow(*lacking,
				up->info.size - up->info.offset, lacking))
				*lacking = INT64_MAX;
			ds->core->close(up);
		}
		arena_reset(a);
	}
	arena_free(a);
	return rc;
}

enum err_code
file_check_length(
    struct file_store *fs, const char *id, int64_t length, struct err *e)
{
	int64_t bytes, lacking = 0;
	enum err_code rc;

	if (fs->overcommit == OVERCOMMIT_ALWAYS)
		return file_check_space(fs, 0, e);
	if ((rc = fs_free_space(fs->dirfd, &bytes, e)) != ERR_OK)
		return rc;
	bytes -= fs->min_free;
	if (fs->overcommit == OVERCOMMIT_NEVER && length <= bytes &&
	    (rc = count_lacking(fs, id, &lacking, e)) != ERR_OK)
		return rc;
	if (bytes < 0 || length > bytes || lacking > bytes - length)
		return err_set(e, ERR_NO_SPACE,
		    "%s: %lld bytes do not fit: %lld are free above "
		    "store.min_free, other uploads lack %lld",
		    fs->path, (long long)length,
		    (long long)(bytes > 0 ? bytes : 0), (long long)lacking);
	return ERR_OK;
}
