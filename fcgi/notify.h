/*
 * notify.h - tell the service manager how we are (sd_notify(3) protocol).
 *
 * Does nothing where nobody asked for it with $NOTIFY_SOCKET.
 */
#ifndef FCGI_NOTIFY_H
#define FCGI_NOTIFY_H

#include "base/compat.h"

/* One or more lines "NAME=value". */
void notify_send(const char *, ...) PRINTF_LIKE(1, 2);

/* RELOADING=1, with the time that systemd wants beside it. */
void notify_reloading(void);

#endif
