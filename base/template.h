/*
 * template.h - paths made of values that clients choose, as in finish.move_to.
 *
 * "/srv/in/{owner}/{id}-{filename}": the directories before the first component
 * with a placeholder are the root, which the administrator created.  The rest
 * is computed for each upload.  Whatever the values are, the result is a path
 * below the root: no component is hidden, "."  or "..", and only
 * {meta:relativePath} may become more than one.
 */
#ifndef BASE_TEMPLATE_H
#define BASE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* The longest name that file systems accept, in bytes. */
#define TEMPLATE_NAME_MAX 255

/*
 * Is this an absolute path without empty components, "."  and "..", that ends
 * in a name and has at least one placeholder: {id}, {owner}, {filename},
 * {year}, {month}, {day} or {meta:KEY}? A brace has no other use, and no
 * component after the root may begin with a dot.
 */
bool template_is_valid(const char *);

/* The root of a valid template; and the rest, without the slash between
 * them. */
char *template_root(struct arena *, const char *);
const char *template_rest(const char *);

/* Returns the value of a placeholder: len bytes of any kind; NULL if there is
 * none. */
typedef const char *template_value(
    const void *arg, const char *name, size_t name_len, size_t *len);

/*
 * Fill in the rest of a template.  In a value, each slash, control character
 * and byte that is not UTF-8 becomes '_'; so does an empty or missing value,
 * and a dot at the beginning of a component.  A component that is too long is
 * cut before its extension.
 *
 * {meta:relativePath} is the path of a file in a folder that was uploaded: its
 * slashes stay, and each name between them is treated as above.  If it contains
 * no folder, it means {filename}.
 */
char *template_fill(
    struct arena *, const char *rest, template_value *, const void *arg);

/* The names that a file system accepts. */
struct template_names {
	/* Bytes of the longest, at most TEMPLATE_NAME_MAX. */
	size_t max;

	/* As Windows requires: without < > : " | ? * and backslash, without a
	 * blank or dot at the end, and not the name of a device. */
	bool is_windows;
};

/*
 * Adapt a path of template_fill() to these names: a character that is not
 * accepted becomes '_', a name that is not accepted gets one in front, and a
 * name that is too long is cut as above.
 */
char *template_suit(
    struct arena *, const char *path, const struct template_names *);

/* Make "name-2.txt" of "name.txt" and 2; cut if it becomes too long. */
char *template_number(struct arena *, const char *name, unsigned n,
    const struct template_names *);

/* Could template_fill() have made this path? */
bool template_is_filled(const char *);

#endif
