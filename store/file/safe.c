/*
 * safe.c - raise the watermark: flush the bytes, then say so in the record; and
 * see, in a shared store, that the record can still be written to.
 */
#include "config.h"

#include <string.h>

#include "store/file/file.h"

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
