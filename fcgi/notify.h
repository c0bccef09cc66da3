/*
 * notify.h - report our state to the service manager (sd_notify(3) protocol).
 *
 * Without $NOTIFY_SOCKET these functions do nothing.
 */
#ifndef FCGI_NOTIFY_H
#define FCGI_NOTIFY_H

#include "base/compat.h"

/* Send one or more lines "NAME=value". */
void notify_send(const char *, ...) PRINTF_LIKE(1, 2);

/* Send RELOADING=1, with the time stamp that systemd requires. */
void notify_reloading(void);

#endif
