/*
 * service.h - a lock service of our own, from Debian's packages.
 */
#ifndef TESTS_LOCK_SERVICE_H
#define TESTS_LOCK_SERVICE_H

#include <stdbool.h>

/* In a new folder, on a free port; false if it is not installed. */
bool service_make(const char *type);
/* Begin, and wait until it takes connections. */
bool service_start(void);
/* By a signal, and wait. */
void service_stop(int sig);
/* What it has written is forgotten; it must be stopped. */
void service_forget(void);
/* Only a signal. */
void service_signal(int sig);
/* All that was made. */
void service_remove(void);

int service_port(void);

#endif
