/*
 * format.c - print uploads for people and for scripts.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "base/utf8.h"
#include "ctl/format.h"

static const char *const states[STATE_MAX] = {
	[STATE_UNFINISHED] = "unfinished",
	[STATE_FINISHED] = "finished",
	[STATE_EXPIRED] = "expired",
	[STATE_DAMAGED] = "damaged",
};

const char *
format_state(enum ctl_state state)
{
	return states[state];
}

enum ctl_state
state_of(const struct upload *up, int64_t now)
{
	if (upload_is_finished(up))
		return STATE_FINISHED;
	if (up->info.expires != 0 && up->info.expires < now)
		return STATE_EXPIRED;
	return STATE_UNFINISHED;
}

const char *
format_size(struct arena *a, int64_t bytes)
{
	static const char units[] = "KMGTPE";
	double n = (double)bytes;
	size_t i;

	if (bytes < 0)
		return "?";
	if (bytes < 1024)
		return arena_printf(a, "%lld", (long long)bytes);
	for (i = 0, n /= 1024; n >= 1023.95; i++)
		n /= 1024;
	return arena_printf(a, "%.1f%c", n, units[i]);
}

const char *
format_age(struct arena *a, int64_t when, int64_t now)
{
	static const struct {
		int64_t below, seconds;
		char unit;
	} steps[] = {
		{ 120, 1, 's' },
		{ 2 * 3600, 60, 'm' },
		{ 2 * 86400, 3600, 'h' },
		{ INT64_MAX, 86400, 'd' },
	};
	int64_t age = now - when;
	size_t i = 0;

	if (when == 0)
		return "-";
	while (age >= steps[i].below)
		i++;
	return arena_printf(
	    a, "%lld%c", (long long)(age / steps[i].seconds), steps[i].unit);
}

const char *
format_time(struct arena *a, int64_t when)
{
	time_t t = (time_t)when;
	char text[64];
	struct tm tm;

	if (when == 0)
		return "-";
	if (localtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm) == 0)
		return "?";
	return arena_strdup(a, text);
}

/* Text that is not UTF-8 is judged by the locale. */
static bool
is_control(const char *s, size_t n)
{
	return utf8_char(s, n) == n && utf8_is_control(s, n);
}

const char *
format_text(struct arena *a, const char *s, size_t len)
{
	char *out = arena_alloc(a, len + 1), *p = out;
	mbstate_t state = { 0 };
	size_t i = 0, n;
	wchar_t wide;

	while (i < len) {
		/* Nearly all of it is like that. */
		if (s[i] >= ' ' && s[i] <= '~') {
			*p++ = s[i++];
			continue;
		}
		n = mbrtowc(&wide, s + i, len - i, &state);
		if (n != 0 && n <= len - i && iswprint((wint_t)wide) &&
		    !is_control(s + i, n)) {
			(void)memcpy(p, s + i, n);
			p += n;
			i += n;
			continue;
		}
		state = (mbstate_t){ 0 };
		*p++ = '?';
		i++;
	}
	return out;
}

const char *
format_columns(struct arena *a, const char *s, int columns)
{
	mbstate_t state = { 0 };
	size_t i = 0, n;
	wchar_t wide;

	while (s[i] != '\0') {
		n = mbrtowc(&wide, s + i, strlen(s + i), &state);
		if (n == 0 || n > strlen(s + i))
			break;
		columns -= wcwidth(wide) > 0 ? wcwidth(wide) : 0;
		if (columns < 0)
			break;
		i += n;
	}
	return arena_memdup(a, s, i);
}

const struct pair *
find_pair(const struct pair *p, const char *key)
{
	while (p != NULL && strcmp(p->key, key) != 0)
		p = p->next;
	return p;
}

/* JSON must be UTF-8; of any other text only the ASCII is kept. */
static json_t *
text_to_json(const char *s, size_t len)
{
	json_t *text = json_stringn(s, len);
	char *ascii;
	size_t i;

	if (text != NULL)
		return text;
	ascii = must_alloc(len);
	for (i = 0; i < len; i++)
		ascii[i] = (s[i] & 0x80) != 0 ? '?' : s[i];
	text = json_stringn(ascii, len);
	free(ascii);
	return text;
}

static void
set_text(json_t *object, const char *key, const char *value)
{
	json_t *text =
	    value != NULL ? text_to_json(value, strlen(value)) : json_null();

	(void)json_object_set_new(object, key, text);
}

static void
set_number(json_t *object, const char *key, int64_t value)
{
	(void)json_object_set_new(object, key, json_integer(value));
}

static void
set_flag(json_t *object, const char *key, bool value)
{
	(void)json_object_set_new(object, key, json_boolean(value));
}

static void
set_pairs(json_t *object, const char *key, const struct pair *p)
{
	json_t *pairs = json_object();

	for (; p != NULL; p = p->next)
		(void)json_object_set_new(
		    pairs, p->key, text_to_json(p->value, p->value_len));
	(void)json_object_set_new(object, key, pairs);
}

static void
set_parts(json_t *object, const char *const *part)
{
	json_t *parts = json_array();

	for (; part != NULL && *part != NULL; part++)
		(void)json_array_append_new(
		    parts, text_to_json(*part, strlen(*part)));
	(void)json_object_set_new(object, "parts", parts);
}

const char *
format_protocol(const struct file_info *info)
{
	return info->protocol != NULL ? info->protocol : "tus";
}

json_t *
upload_to_json(const struct upload *up, enum ctl_state state)
{
	const struct file_info *info = &up->info;
	json_t *object = json_object();

	set_text(object, "id", info->id);
	set_text(object, "state", format_state(state));
	if (state == STATE_DAMAGED)
		return object;
	set_number(object, "offset", info->offset);
	if (info->size_deferred)
		set_text(object, "size", NULL);
	else
		set_number(object, "size", info->size);
	set_number(object, "created", info->created);
	set_number(object, "expires", info->expires);
	set_number(object, "finished", info->finished);
	set_number(object, "retention", info->retention);
	set_number(object, "moved", info->moved);
	set_number(object, "forget", info->forget);
	set_flag(object, "settled", up->settled);
	set_flag(object, "partial", info->is_partial);
	set_flag(object, "final", info->is_final);
	set_parts(object, info->parts);
	set_text(object, "owner", info->owner);
	set_text(object, "protocol", format_protocol(info));
	set_pairs(object, "metadata", info->metadata);
	set_text(object, "metadata_raw", info->metadata_raw);
	set_pairs(object, "storage", info->storage);
	return object;
}

/* Escape control characters, which JSON allows but a terminal would obey. */
static const char *
escape(struct arena *a, const char *text)
{
	size_t n, len = strlen(text);
	char *line = arena_alloc(a, len * strlen("\\u0000") + 1), *p = line;

	for (; len > 0; text += n, len -= n) {
		bool is_plain = *text >= ' ' && *text <= '~';

		n = is_plain ? 1 : utf8_char(text, len);
		if (n == 0)
			n = 1;
		if (!is_plain && utf8_is_control(text, n))
			p += sprintf(p, "\\u%04x", utf8_code(text, n));
		else
			p = (char *)memcpy(p, text, n) + n;
	}
	return line;
}

const char *
format_json(struct arena *a, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	const char *line;

	if (text == NULL)
		out_of_memory();
	line = escape(a, text);
	free(text);
	json_decref(object);
	return line;
}
