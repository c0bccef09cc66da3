/*
 * fill.c - what the placeholders of a template mean.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/template.h"
#include "store/fill.h"

static const char *
metadata(
    const struct file_info *info, const char *key, size_t key_len, size_t *len)
{
	const struct pair *p;

	for (p = info->metadata; p != NULL; p = p->next)
		if (strlen(p->key) == key_len &&
		    memcmp(p->key, key, key_len) == 0) {
			*len = p->value_len;
			return p->value;
		}
	return NULL;
}

static bool
is_word(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(word, name, len) == 0;
}

struct values {
	const struct file_info *info;
	char year[24], month[4], day[4];
};

static const char *
value_of(const void *arg, const char *name, size_t name_len, size_t *len)
{
	const struct values *v = arg;
	const char *text;

	if (name_len > 5 && memcmp(name, "meta:", 5) == 0)
		return metadata(v->info, name + 5, name_len - 5, len);
	if (is_word(name, name_len, "filename"))
		return metadata(v->info, name, name_len, len);
	text = is_word(name, name_len, "id") ? v->info->id :
	    is_word(name, name_len, "owner") ? v->info->owner :
	    is_word(name, name_len, "year")  ? v->year :
	    is_word(name, name_len, "month") ? v->month :
	    is_word(name, name_len, "day")   ? v->day :
					       NULL;
	if (text != NULL)
		*len = strlen(text);
	return text;
}

char *
store_fill(struct arena *a, const char *rest, const struct file_info *info,
    int64_t when)
{
	struct values v = { .info = info };
	time_t t = (time_t)when;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	(void)snprintf(v.year, sizeof(v.year), "%04d", tm.tm_year + 1900);
	(void)snprintf(
	    v.month, sizeof(v.month), "%02u", (unsigned)(tm.tm_mon + 1) % 100);
	(void)snprintf(
	    v.day, sizeof(v.day), "%02u", (unsigned)tm.tm_mday % 100);
	return template_fill(a, rest, value_of, &v);
}
