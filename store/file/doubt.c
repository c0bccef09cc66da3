/*
 * doubt.c - flush, raise the watermark, and survive a flush that fails.
 *
 * After a failed flush the kernel takes the pages for clean, so the next flush
 * would succeed although the bytes are lost.  Therefore the failure is written
 * into the record before anything else: the head that was safe, with INFO_DOUBT
 * as its boot.  Such an upload is not written to until its record was flushed
 * with that mark and its bytes were cut to the watermark, by this process or by
 * the next one that claims the upload.
 *
 * If the mark cannot be written either, it is kept in memory that all workers
 * of a pool share, until one of them can write it.
 */
#include "config.h"

#include <sys/mman.h>

#include <stdatomic.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/file/file.h"

/* If more uploads than this are remembered, every unfinished one is refused. */
#define REMEMBERED 60

/* An upload whose record could not be marked. */
struct line {
	enum line_state {
		LINE_FREE,
		LINE_TAKEN,
		LINE_VALID
	} _Atomic state;
	char id[ID_MAX + 1];
	/* The watermark that was safe. */
	int64_t offset;
};

struct memory {
	_Atomic int used;
	_Atomic bool is_full;
	struct line lines[REMEMBERED];
};

/* Created by the first process that opens a store, before it forks others. */
static struct memory *memory;

bool
file_set_up_memory(void)
{
	void *p;

	if (memory != NULL)
		return true;
	p = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	memory = p;
	return true;
}

static struct line *
find_line(const char *id)
{
	size_t i;

	if (memory->used == 0)
		return NULL;
	for (i = 0; i < REMEMBERED; i++)
		if (memory->lines[i].state == LINE_VALID &&
		    strcmp(memory->lines[i].id, id) == 0)
			return &memory->lines[i];
	return NULL;
}

bool
file_is_remembered(const struct file_upload *u)
{
	return memory->is_full || find_line(u->base.info.id) != NULL;
}

void
file_remember(const char *id, int64_t offset)
{
	struct line *line = find_line(id);
	enum line_state state;
	size_t i;

	for (i = 0; line == NULL && i < REMEMBERED; i++) {
		state = LINE_FREE;
		if (!atomic_compare_exchange_strong(
			&memory->lines[i].state, &state, LINE_TAKEN))
			continue;
		line = &memory->lines[i];
		(void)stpcpy(line->id, id);
		line->offset = INT64_MAX;
		memory->used++;
	}
	if (line == NULL) {
		memory->is_full = true;
		return;
	}
	if (offset < line->offset)
		line->offset = offset;
	line->state = LINE_VALID;
}

static void
forget(const char *id)
{
	struct line *line = find_line(id);

	if (line == NULL)
		return;
	line->state = LINE_FREE;
	memory->used--;
}

bool
file_is_doubtful(const struct file_upload *u)
{
	return strcmp(u->head.boot, INFO_DOUBT) == 0;
}

enum err_code
file_check_doubt(const struct file_upload *u, struct err *e)
{
	if (!file_is_doubtful(u))
		return ERR_OK;
	return err_set(e, ERR_SYSTEM,
	    "%s: a flush failed, and it is not yet "
	    "back where it was safe",
	    u->base.info.id);
}

/* A record of another program has no room for the mark and is replaced. */
static enum err_code
write_head(struct file_upload *u, const struct info_head *head, struct err *e)
{
	struct info_head before = u->head;
	enum err_code rc;

	if (!u->foreign)
		return file_set(u, head, e);
	u->head = *head;
	rc = file_publish(u, true, e);
	if (u->foreign)
		file_put_back(u, &before);
	return rc;
}

void
file_doubt(struct file_upload *u, const struct info_head *safe)
{
	struct info_head head = *safe;
	struct err e;

	memcpy(head.boot, INFO_DOUBT, sizeof(head.boot));
	if (write_head(u, &head, &e) == ERR_OK)
		return;
	log_error("%s: a flush failed, and its record cannot say so: %s",
	    u->base.info.id, e.text);
	file_remember(u->base.info.id, head.offset);
	file_put_back(u, &head);
}

/* Write the mark that another process of the pool could not write. */
enum err_code
file_recall_doubt(struct file_upload *u, struct err *e)
{
	const struct line *line = find_line(u->base.info.id);
	struct info_head head = u->head;
	enum err_code rc;

	u->is_remembered = file_is_remembered(u);
	if (!u->is_remembered)
		return ERR_OK;
	if (line == NULL)
		return err_set(e, ERR_SYSTEM, "%s: too many flushes failed",
		    u->base.info.id);
	if (u->foreign || line->offset < head.offset)
		head.offset = u->foreign ? 0 : line->offset;
	memcpy(head.boot, INFO_DOUBT, sizeof(head.boot));
	if ((rc = write_head(u, &head, e)) == ERR_OK)
		u->is_remembered = false;
	return rc;
}

enum err_code
file_set_durably(
    struct file_upload *u, const struct info_head *head, struct err *e)
{
	struct info_head before = u->head;
	struct err ignored;
	enum err_code rc;

	if ((rc = file_set(u, head, e)) != ERR_OK)
		return rc;
	if ((rc = file_flush_info(u, e)) == ERR_OK || u->store->base.is_shared)
		return rc;
	before.hold = -1;
	if (before.boot[0] != INFO_NO_BOOT[0] ||
	    file_set(u, &before, &ignored) != ERR_OK)
		file_doubt(u, &before);
	return rc;
}

/*
 * Flush the mark before anything is cut: the disk may have a later head with a
 * higher watermark, written by a flush that failed only in its last step.
 */
enum err_code
file_end_doubt(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;
	int64_t to = head.offset;
	enum err_code rc;

	/* Its record could not be replaced, and must not be written to. */
	if (u->foreign)
		return file_check_doubt(u, e);
	if (head.hold >= 0 && head.hold < to)
		to = head.hold;
	if ((rc = file_set_durably(u, &head, e)) != ERR_OK ||
	    (rc = file_cut(u, to, e)) != ERR_OK)
		return rc;
	forget(u->base.info.id);
	head.hold = -1;
	memcpy(head.boot, file_boot(u->store), sizeof(head.boot));
	return file_set(u, &head, e);
}

enum err_code
file_flush_bytes(struct file_upload *u, struct err *e)
{
	enum err_code rc = file_flush_data(u, e);

	if (rc != ERR_OK)
		file_give_up(u);
	return rc;
}

void
file_give_up(struct file_upload *u)
{
	struct info_head head = u->head;
	struct err e;

	/* The next host that claims it cuts the bytes above the watermark. */
	if (u->store->base.is_shared)
		return;
	/* No bytes of a foreign upload were ever flushed by us. */
	if (u->foreign)
		head.offset = 0;
	file_doubt(u, &head);
	if (!file_is_doubtful(u) || file_end_doubt(u, &e) == ERR_OK)
		return;
	log_error("%s: a flush failed, and so does the way back: %s",
	    u->base.info.id, e.text);
}

/*
 * --- Raise the watermark: flush the bytes, then say so in the record; and see,
 * in a shared store, that the record can still be written to. ---
 */

enum err_code
file_raise(struct file_upload *u, struct info_head head, struct err *e)
{
	enum err_code rc;

	if ((rc = file_check_doubt(u, e)) != ERR_OK ||
	    (rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	head.offset = u->data_size;
	return file_set_durably(u, &head, e);
}

enum err_code
file_checkpoint(struct file_upload *u, struct err *e)
{
	if (u->head.offset == u->data_size && !u->unflushed)
		return ERR_OK;
	return file_raise(u, u->head, e);
}

enum err_code
file_adopt(struct file_upload *u, bool durably, struct err *e)
{
	struct info_head before = u->head, head = u->head;
	enum err_code rc;

	if (durably && (rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	head.offset = durably ? u->data_size : 0;
	head.hold = -1;
	memcpy(head.boot, durably ? u->store->boot : INFO_NO_BOOT,
	    sizeof(head.boot));
	if (!u->foreign)
		return file_set_durably(u, &head, e);
	u->head = head;
	rc = file_publish(u, durably, e);
	if (u->foreign)
		file_put_back(u, &before);
	return rc;
}

enum err_code
file_adopt_if_needed(struct file_upload *u, struct err *e)
{
	bool durably = u->store->durability != DURABILITY_NONE;

	if (!u->foreign && (file_has_watermark(u) || !durably))
		return ERR_OK;
	return file_adopt(u, durably, e);
}

enum err_code
file_prove(struct file_upload *u, struct err *e)
{
	enum err_code rc;

	if (!u->store->base.is_shared || u->damaged || u->foreign ||
	    u->is_hidden)
		return ERR_OK;
	rc = file_set(u, &u->head, e);
	return rc == ERR_OK ? file_flush_info(u, e) : rc;
}

enum err_code
file_mark_gone(struct file_upload *u, struct err *e)
{
	struct info_head head = u->head;
	enum err_code rc;

	if (!u->store->base.is_shared || u->damaged || u->foreign ||
	    u->is_hidden)
		return ERR_OK;
	memcpy(head.boot, INFO_GONE, sizeof(head.boot));
	rc = file_set(u, &head, e);
	return rc == ERR_OK ? file_flush_info(u, e) : rc;
}
