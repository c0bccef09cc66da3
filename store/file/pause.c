/*
 * pause.c - a chunk changes its process.
 *
 * The bytes are in the data file, and nothing else of the chunk is: where it
 * began and how long it is by now goes from process to process.  The length of
 * the file must then be what the last process said.  A file of another length
 * was written to by a process that had no right to, and is left alone.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "store/file/file.h"

/* The record, with the hold that the chunk needs; its bytes stay unflushed, as
 * those of a new upload are. */
static enum err_code
appear(struct file_upload *u, struct err *e)
{
	return file_publish_new(u, u->store->durability == DURABILITY_FULL, e);
}

enum err_code
file_suspend(struct upload *up, struct store_pause *pause, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->start != -1);
	if (file_is_doubtful(u))
		return err_set(
		    e, ERR_CONFLICT, "%s: cannot be suspended", up->info.id);
	if ((rc = file_write_out(u, e)) != ERR_OK)
		return rc;
	if (u->is_hidden && (rc = appear(u, e)) != ERR_OK)
		return rc;
	*pause = (struct store_pause){ .start = u->start,
		.end = u->data_size,
		.on_probation = u->on_probation };
	return ERR_OK;
}

/* Is it as suspend() has left it? */
static bool
is_untouched(const struct file_upload *u, const struct store_pause *pause)
{
	int64_t hold = u->head.hold;

	if (u->foreign || u->is_moved || u->data_fd == -1 ||
	    u->head.finished != 0 || file_is_doubtful(u) ||
	    u->data_size != pause->end || u->head.offset > pause->end)
		return false;
	if (file_has_watermark(u) && strcmp(u->head.boot, u->store->boot) != 0)
		return false;
	if (pause->on_probation)
		return hold == pause->start ||
		    (hold == -1 && pause->end == pause->start);
	return hold == -1;
}

static void
go_on(struct file_upload *u, const struct store_pause *pause)
{
	struct file_store *fs = u->store;

	u->is_claimed = true;
	/* The process before may have changed the head since a flush. */
	if (fs->durability == DURABILITY_FULL)
		u->unflushed = true;
	file_see(u);
	u->base.info.offset = u->data_size;
	u->room_until = -1;
	u->start = pause->start;
	u->flushing = u->data_size - u->data_size % fs->flush_every;
	u->on_probation = pause->on_probation;
	u->waiting = 0;
	if (u->on_probation && fs->waiting_user == NULL)
		fs->waiting_user = u;
}

enum err_code
file_resume(struct upload *up, const struct store_pause *pause, struct err *e)
{
	struct file_upload *u = file_upload_of(up);
	enum err_code rc;

	assert(u->start == -1);
	if ((rc = file_open_again(u, e)) != ERR_OK ||
	    (rc = file_recall_doubt(u, e)) != ERR_OK ||
	    (rc = file_check_writable(u, e)) != ERR_OK)
		return rc;
	/* On NFS, a host that was cut off learns so from what the other one
	 * did. */
	u->is_fenced = u->store->base.is_shared && !is_untouched(u, pause);
	if ((rc = file_check_fence(u, e)) != ERR_OK)
		return rc;
	if (!is_untouched(u, pause))
		return err_set(e, ERR_CONFLICT,
		    "%s: changed while its body waited: %lld bytes, not %lld",
		    up->info.id, (long long)u->data_size,
		    (long long)pause->end);
	go_on(u, pause);
	return ERR_OK;
}
