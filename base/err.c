/*
 * err.c - fill in a struct err where a problem is detected.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum err_code
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

static enum err_code
code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NO_SPACE;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return ERR_UNAVAILABLE;
	default:
		return ERR_SYSTEM;
	}
}

enum err_code
err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno;
	const char *reason = strerror(sys);
	size_t len, room = sizeof(e->text) - strlen(": ") - strlen(reason);
	va_list ap;

	e->code = code_of_errno(sys);
	e->sys = sys;
	/* Cut a long name, so that the reason after it fits. */
	va_start(ap, fmt);
	(void)vsnprintf(e->text, room, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	(void)snprintf(e->text + len, sizeof(e->text) - len, ": %s", reason);
	return e->code;
}

enum err_code
err_within(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	size_t len, room, old_len = strlen(e->text);
	const char *cut = "";
	va_list ap;

	memcpy(old, e->text, old_len + 1);
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text) / 2, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	room = sizeof(e->text) - len - sizeof(": ");
	if (old_len > room)
		cut = "...";
	else
		room = old_len;
	room -= strlen(cut);
	(void)snprintf(e->text + len, sizeof(e->text) - len, ": %s%s", cut,
	    old + old_len - room);
	return e->code;
}
