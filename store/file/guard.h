/*
 * guard.h - a lock on the record itself; private to store/file/.
 */
#ifndef STORE_FILE_GUARD_H
#define STORE_FILE_GUARD_H

#include "store/file/file.h"

extern const struct store_guard file_guard;

/* Lock or unlock, without waiting, the byte that stands for an open file; -1
 * with errno, which is EWOULDBLOCK if another open file has it. */
int file_lock_byte(int fd, short type);

/* ERR_LOCKED: another process has raised the guard of the record that is
 * open. */
MUST_CHECK enum err_code file_check_guard(struct file_upload *, struct err *);

void file_lower_guard(struct upload *);

#endif
