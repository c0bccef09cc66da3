/*
 * template.c - paths made of values that clients choose, as in finish.move_to.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/template.h"
#include "base/utf8.h"

/* Text after the last dot that is longer than this is no extension. */
#define EXTENSION_MAX 32

/* Limits for the path of a client: what comes after them is one name. */
#define FOLDERS_MAX  32
#define FOLDERS_SIZE 2048

static const char *const placeholders[] = { "id", "owner", "filename", "year",
	"month", "day" };

static const char meta[] = "meta:";

/* The only placeholder whose value keeps its slashes. */
static const char relative_path[] = "meta:relativePath";

static bool
is_placeholder(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NITEMS(placeholders); i++)
		if (strlen(placeholders[i]) == len &&
		    memcmp(placeholders[i], name, len) == 0)
			return true;
	return len > strlen(meta) && memcmp(name, meta, strlen(meta)) == 0;
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* Every brace opens or closes a placeholder, and there is at least one. */
static bool
has_placeholders(const char *text)
{
	size_t len, n = 0;

	for (text += strcspn(text, "{}"); *text != '\0';
	     text += strcspn(text, "{}")) {
		if (*text == '}')
			return false;
		text++;
		len = strcspn(text, "{}/");
		if (text[len] != '}' || !is_placeholder(text, len))
			return false;
		text += len + 1;
		n++;
	}
	return n > 0;
}

/* No name between slashes is empty, "."  or "..". */
static bool
has_names(const char *text)
{
	const char *root_end = template_rest(text);
	size_t len;

	for (; *text == '/'; text += len) {
		text++;
		len = strcspn(text, "/");
		if (len == 0 || (*text == '.' && text >= root_end) ||
		    (len == 1 && *text == '.') ||
		    (len == 2 && memcmp(text, "..", 2) == 0))
			return false;
	}
	return true;
}

bool
template_is_valid(const char *text)
{
	return *text == '/' && !has_control(text) && has_placeholders(text) &&
	    has_names(text);
}

const char *
template_rest(const char *text)
{
	const char *brace = text + strcspn(text, "{");

	while (brace > text && brace[-1] != '/')
		brace--;
	return brace;
}

char *
template_root(struct arena *a, const char *text)
{
	size_t len = (size_t)(template_rest(text) - text);

	/* Drop the slash at the end, unless it is the whole path. */
	return arena_memdup(a, text, len > 1 ? len - 1 : len);
}

/* The largest number of bytes, at most max, that ends with a whole
 * character. */
static size_t
whole(const char *s, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* Where the extension begins; the end of the name if it has none. */
static const char *
extension(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot == NULL || dot == name || strlen(dot) > EXTENSION_MAX)
		return name + strlen(name);
	return dot;
}

/* Insert text between name and extension, and cut the name to fit. */
static char *
insert(struct arena *a, const char *name, const char *what, size_t max)
{
	const char *end = extension(name);
	size_t rest = strlen(what) + strlen(end);

	return arena_printf(a, "%.*s%s%s",
	    (int)whole(name, (size_t)(end - name), max > rest ? max - rest : 1),
	    name, what, end);
}

/* --- What a file system takes. --- */

/* A device's name, whatever follows its first dot; COM and LPT need a digit. */
static bool
is_device(const char *name)
{
	static const char *const devices[] = { "CON", "PRN", "AUX", "NUL",
		"CONIN$", "CONOUT$" };
	size_t i, len = strcspn(name, ".");

	while (len > 0 && name[len - 1] == ' ')
		len--;
	for (i = 0; i < NITEMS(devices); i++)
		if (strlen(devices[i]) == len &&
		    strncasecmp(devices[i], name, len) == 0)
			return true;
	if (strncasecmp(name, "COM", 3) != 0 &&
	    strncasecmp(name, "LPT", 3) != 0)
		return false;
	/* Superscript one, two and three count as digits too. */
	return (len == 4 && name[3] >= '0' && name[3] <= '9') ||
	    (len == 5 && name[3] == '\xc2' &&
		strchr("\xb9\xb2\xb3", name[4]) != NULL);
}

static void
end_as_windows_wants(char *name)
{
	char *last = name + strlen(name) - 1;

	for (; last >= name && (*last == '.' || *last == ' '); last--)
		*last = '_';
}

static char *
suit_name(struct arena *a, char *name, const struct template_names *names)
{
	char *p;

	if (!names->is_windows)
		return insert(a, name, "", names->max);
	for (p = name; *p != '\0'; p++)
		if (strchr("<>:\"|?*\\", *p) != NULL)
			*p = '_';
	end_as_windows_wants(name);
	if (is_device(name))
		name = arena_printf(a, "_%s", name);
	name = insert(a, name, "", names->max);
	end_as_windows_wants(name);
	return name;
}

char *
template_suit(
    struct arena *a, const char *path, const struct template_names *names)
{
	char *suited = arena_strdup(a, "");
	size_t len;

	for (; *path != '\0'; path += len) {
		path += *path == '/' ? 1 : 0;
		len = strcspn(path, "/");
		suited = arena_printf(a, "%s%s%s", suited,
		    *suited != '\0' ? "/" : "",
		    suit_name(a, arena_memdup(a, path, len), names));
	}
	return suited;
}

char *
template_number(struct arena *a, const char *name, unsigned n,
    const struct template_names *names)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "-%u", n);
	return insert(a, name, number, names->max);
}

/* --- Filling in. --- */

static const char *
clean(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 2), *to = copy;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = utf8_char(s + i, len - i);
		if (n == 0 || s[i] == '/' || utf8_is_control(s + i, n)) {
			n = n == 0 ? 1 : n;
			*to++ = '_';
			continue;
		}
		memcpy(to, s + i, n);
		to += n;
	}
	if (to == copy)
		*to = '_';
	return copy;
}

/* "/photos/2024/a.jpg": make each name harmless, and leave out empty ones. */
static const char *
clean_path(struct arena *a, const char *s, size_t len)
{
	const char *path = "", *slash;
	unsigned folders = 0;
	size_t i, n;

	for (i = 0; i < len; i += n + 1) {
		slash = memchr(s + i, '/', len - i);
		n = slash != NULL ? (size_t)(slash - s) - i : len - i;
		if (n == 0)
			continue;
		if (folders++ == FOLDERS_MAX || i > FOLDERS_SIZE)
			n = len - i;
		path = arena_printf(a, "%s%s%s", path, *path != '\0' ? "/" : "",
		    clean(a, s + i, n));
	}
	return path;
}

/* A relative path without a folder means the file name: a single file has none,
 * and Uppy sends "null" then. */
static const char *
fill_relative_path(struct arena *a, const char *s, size_t len,
    template_value *value, const void *arg)
{
	const char *filename;
	size_t filename_len = 0;

	for (; len > 0 && *s == '/'; s++)
		len--;
	if (len > 0 && memchr(s, '/', len) != NULL)
		return clean_path(a, s, len);
	filename = value(arg, "filename", strlen("filename"), &filename_len);
	return filename != NULL ? clean(a, filename, filename_len) :
				  clean(a, s, len);
}

static const char *
fill_value(struct arena *a, const char *name, size_t name_len,
    template_value *value, const void *arg)
{
	size_t len = 0;
	const char *s = value(arg, name, name_len, &len);

	if (s == NULL)
		len = 0;
	if (name_len == strlen(relative_path) &&
	    memcmp(name, relative_path, name_len) == 0)
		return fill_relative_path(a, s, len, value, arg);
	return clean(a, s, len);
}

/* Make sure that no name is hidden or too long. */
static char *
close_names(struct arena *a, const char *names)
{
	char *name, *path = arena_strdup(a, "");
	size_t len;

	for (; *names != '\0'; names += len) {
		names += *names == '/' ? 1 : 0;
		len = strcspn(names, "/");
		name = arena_memdup(a, names, len);
		if (*name == '.')
			*name = '_';
		path = arena_printf(a, "%s%s%s", path, *path != '\0' ? "/" : "",
		    insert(a, name, "", TEMPLATE_NAME_MAX));
	}
	return path;
}

/* Fill in one component of the template. */
static const char *
fill_name(struct arena *a, const char *text, size_t len, template_value *value,
    const void *arg)
{
	const char *end = text + len, *name = "";
	size_t n;

	for (; text < end; text += n) {
		n = strcspn(text, *text == '{' ? "}" : "{/");
		if (*text != '{') {
			name = arena_printf(a, "%s%.*s", name, (int)n, text);
			continue;
		}
		n++;
		name = arena_printf(a, "%s%s", name,
		    fill_value(a, text + 1, n - 2, value, arg));
	}
	return close_names(a, name);
}

char *
template_fill(
    struct arena *a, const char *rest, template_value *value, const void *arg)
{
	char *path = arena_strdup(a, "");
	size_t len;

	for (; *rest != '\0'; rest += len) {
		rest += *rest == '/' ? 1 : 0;
		len = strcspn(rest, "/");
		path = arena_printf(a, "%s%s%s", path, *path != '\0' ? "/" : "",
		    fill_name(a, rest, len, value, arg));
	}
	return path;
}

static bool
is_filled_name(const char *s, size_t len)
{
	size_t i, n;

	if (len == 0 || len > TEMPLATE_NAME_MAX || *s == '.')
		return false;
	for (i = 0; i < len; i += n) {
		n = utf8_char(s + i, len - i);
		if (n == 0 || utf8_is_control(s + i, n))
			return false;
	}
	return true;
}

bool
template_is_filled(const char *path)
{
	size_t len = strcspn(path, "/");

	while (is_filled_name(path, len)) {
		if (path[len] == '\0')
			return true;
		path += len + 1;
		len = strcspn(path, "/");
	}
	return false;
}
