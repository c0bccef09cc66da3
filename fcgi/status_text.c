/*
 * status_text.c - text that grows, and numbers as people read them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/status_parts.h"

void
text_put(struct text *t, const char *fmt, ...)
{
	char *larger;
	va_list ap;
	int n;

	for (;;) {
		va_start(ap, fmt);
		n = vsnprintf(t->at + t->len, t->size - t->len, fmt, ap);
		va_end(ap);
		if (n < 0)
			return;
		if ((size_t)n < t->size - t->len)
			break;
		t->size = 2 * t->size + (size_t)n;
		larger = arena_alloc(t->arena, t->size);
		memcpy(larger, t->at, t->len);
		t->at = larger;
	}
	t->len += (size_t)n;
}

struct text
text_new(struct arena *a)
{
	struct text t = { .arena = a, .size = 16384 };

	t.at = arena_alloc(a, t.size);
	return t;
}

const char *
status_size(struct arena *a, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB",
		"PiB", "EiB" };
	double n = (double)bytes;
	size_t i;

	if (bytes < 0)
		return "?";
	for (i = 0; n >= 1023.95 && i + 1 < NITEMS(units); i++)
		n /= 1024;
	return arena_printf(a, i == 0 ? "%.0f %s" : "%.1f %s", n, units[i]);
}

const char *
status_time(struct arena *a, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		return arena_printf(a, "%" PRId64 " ms", ms);
	if (s < 10)
		return arena_printf(a, "%.1f s", (double)ms / 1000);
	if (s < 60)
		return arena_printf(a, "%" PRId64 " s", s);
	if (s < 3600)
		return arena_printf(
		    a, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
	if (s < 86400)
		return arena_printf(a, "%" PRId64 " h %02" PRId64 " min",
		    s / 3600, s / 60 % 60);
	return arena_printf(
	    a, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

int
status_percent(const struct work *w)
{
	if (w->size < 0 || w->offset < 0)
		return -1;
	return w->size == 0 || w->offset >= w->size ?
	    100 :
	    (int)((double)w->offset * 100 / (double)w->size);
}
